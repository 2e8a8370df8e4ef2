//! The stores that the suite tests.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use fusebox::app::operator::with_user;
use fusebox::config::redis_address::Address;
use fusebox::store::redis::acl::Role;
use fusebox::store::redis::{RedisLocation, RedisStore};
use fusebox::store::shared_names;
use fusebox::store::sqlite::SqliteStore;
use fusebox::store::{Session, Store};
use tempfile::TempDir;

use super::facts::NOW;
use crate::redis::users::{self, PASSWORD};
use crate::redis::{Server, WAIT};

/// A store of some kind: initially empty, separate for each test, and deleted when dropped.
pub trait Backend: Sync {
    /// Another handle on the same store, like another process's.
    fn open(&self) -> Box<dyn Store>;

    /// Another empty store of this kind.
    fn fresh(&self) -> Box<dyn Backend>;

    /// A session as stored: a shared store has no paths.
    fn as_stored(&self, session: &Session) -> Session {
        session.clone()
    }

    /// The name of the backend.
    fn name(&self) -> &'static str;
}

/// A backend that can start empty.
pub trait EmptyBackend: Backend + Sized {
    /// An empty store.
    fn empty() -> Self;
}

/// Runs a test on an empty store of this kind.
pub fn check<B: EmptyBackend>(test: fn(&dyn Backend)) {
    test(&B::empty());
}

/// Runs `work` in this many threads at once, each with its own handle. Returns the results in order.
pub fn at_once<T: Send>(
    backend: &dyn Backend,
    threads: usize,
    work: impl Fn(usize, &mut dyn Store) -> T + Sync,
) -> Vec<T> {
    let (barrier, work) = (Barrier::new(threads), &work);
    std::thread::scope(|scope| {
        let run = |thread: usize| {
            let barrier = &barrier;
            move || {
                barrier.wait();
                let mut store = backend.open();
                work(thread, &mut *store)
            }
        };
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(run(thread))).collect();
        let name = backend.name();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| panic!("{name}: see above")))
            .collect()
    })
}

/// The embedded store, in its own folder.
pub struct Sqlite(TempDir);

impl EmptyBackend for Sqlite {
    fn empty() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }
}

impl Backend for Sqlite {
    fn open(&self) -> Box<dyn Store> {
        let mut store = SqliteStore::open(self.0.path(), NOW).expect("a store in a temporary folder").store;
        // Like a command: these tests may run on a busy machine.
        store.wait_patiently().expect("a longer timeout");
        Box::new(store)
    }

    fn fresh(&self) -> Box<dyn Backend> {
        Box::new(Self::empty())
    }

    fn name(&self) -> &'static str {
        "sqlite"
    }
}

/// The shared store, on its own server, used with an operator's rights and no more. All handles share one read cache:
/// its content is from the last writer, and must not matter.
pub struct Redis {
    server: Arc<Server>,
    tenants: Arc<AtomicUsize>,
    tenant: usize,
    read_caches: Arc<TempDir>,
}

impl Redis {
    /// A handle like that of a process on another machine.
    pub fn open_on(&self, machine: &str) -> RedisStore {
        let url = with_user(&self.server.socket_url(), &format!("operator-{}", self.tenant));
        RedisStore::new(RedisLocation {
            address: Address::parse(&url).expect("the address of a socket").with_password(PASSWORD),
            wait: WAIT,
            tenant: format!("tenant-{}", self.tenant),
            machine: shared_names::machine_id(machine, Path::new("/state")),
            read_cache: Some(self.read_caches.path().join(self.tenant.to_string())),
        })
    }
}

impl EmptyBackend for Redis {
    fn empty() -> Self {
        let server = Arc::new(Server::start());
        users::add(&server, "operator-0", Role::Operator, "tenant-0");
        let memory = Arc::new(tempfile::tempdir().expect("a temporary folder"));
        Self { server, tenants: Arc::default(), tenant: 0, read_caches: memory }
    }
}

impl Backend for Redis {
    fn open(&self) -> Box<dyn Store> {
        Box::new(self.open_on("machine"))
    }

    fn fresh(&self) -> Box<dyn Backend> {
        let tenant = self.tenants.fetch_add(1, Ordering::SeqCst) + 1;
        let name = format!("operator-{tenant}");
        users::add(&self.server, &name, Role::Operator, &format!("tenant-{tenant}"));
        let (server, tenants, memory) = (self.server.clone(), self.tenants.clone(), self.read_caches.clone());
        Box::new(Self { server, tenants, tenant, read_caches: memory })
    }

    fn as_stored(&self, session: &Session) -> Session {
        shared_names::shared_session(session)
    }

    fn name(&self) -> &'static str {
        "redis"
    }
}
