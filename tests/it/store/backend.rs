//! The stores that the suite runs on.

use std::sync::Barrier;

use fusebox::store::Store;
use fusebox::store::sqlite::SqliteStore;
use tempfile::TempDir;

use super::facts::NOW;
use crate::rig;

/// A store of some kind, empty at first and of its own for each test; what it keeps goes when this goes.
pub trait Backend: Sync {
    /// A further handle on the same store, as another process would have.
    fn open(&self) -> Box<dyn Store>;

    /// Another store of this kind, empty.
    fn fresh(&self) -> Box<dyn Backend>;

    /// What it is called.
    fn name(&self) -> &'static str;
}

/// A backend that tests can begin with.
pub trait Begin: Backend + Sized {
    /// An empty store.
    ///
    /// # Errors
    /// It cannot be had on this machine: why.
    fn begin() -> Result<Self, String>;
}

/// Runs a test on an empty store of this kind; says so where there is none to be had.
pub fn check<B: Begin>(test: fn(&dyn Backend)) {
    match B::begin() {
        Ok(backend) => test(&backend),
        Err(why) => rig::skip(&why),
    }
}

/// Runs `work` in so many threads at once, each with a handle of its own; answers what they came to, in their order.
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

/// The embedded store, in a folder of its own.
pub struct Sqlite(TempDir);

impl Begin for Sqlite {
    fn begin() -> Result<Self, String> {
        Ok(Self(tempfile::tempdir().expect("a temporary folder")))
    }
}

impl Backend for Sqlite {
    fn open(&self) -> Box<dyn Store> {
        Box::new(SqliteStore::open(self.0.path(), NOW).expect("a store in a temporary folder").store)
    }

    fn fresh(&self) -> Box<dyn Backend> {
        Box::new(Self::begin().expect("another one"))
    }

    fn name(&self) -> &'static str {
        "sqlite"
    }
}
