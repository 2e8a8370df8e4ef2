//! The ledger's file: opening, locking, and what happens to a damaged one.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::schema;
use crate::domain::time::Timestamp;
use crate::platform::files;
use crate::store::sqlite::make_private_dir;
use crate::store::{Result, StoreError};

/// Name of the file.
pub const FILE: &str = "ledger.db";

/// Name of the file that writers lock.
const LOCK_FILE: &str = "ledger.lock";

/// How long to wait for another writer, such as `fusebox cost record`.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Pages of the log after which it is copied into the file: 64 MiB.
const CHECKPOINT_PAGES: u32 = 16_384;

/// The ledger's file, opened.
pub struct LedgerDatabase {
    pub(super) connection: Connection,
    path: PathBuf,
}

/// The result of opening the ledger to write.
pub struct OpenedLedger {
    /// The ledger.
    pub database: LedgerDatabase,
    /// Where a damaged file was kept; the ledger is new then.
    pub set_aside: Option<PathBuf>,
}

/// Keeps others from importing and purging, until it is dropped.
pub struct LedgerLock {
    _file: File,
}

impl LedgerLock {
    /// Waits for the lock in `dir`. `waiting` is called if somebody else has it.
    ///
    /// # Errors
    /// The folder or the file cannot be used.
    pub fn wait(dir: &Path, waiting: impl FnOnce()) -> Result<Self> {
        make_private_dir(dir)?;
        let path = dir.join(LOCK_FILE);
        let file = files::private().create(true).append(true).open(&path);
        let file = file.map_err(|error| unusable(&path, &error.to_string()))?;
        if file.try_lock().is_err() {
            waiting();
            file.lock().map_err(|error| unusable(&path, &error.to_string()))?;
        }
        Ok(Self { _file: file })
    }
}

impl LedgerDatabase {
    /// Opens the ledger in `dir` to write, creating it if needed. A damaged file is renamed to
    /// `ledger.db.corrupt-<now>`, never overwritten, and a new one is created.
    ///
    /// # Errors
    /// The folder or the file cannot be used, or a later version of Fusebox wrote it; says what to do.
    pub fn open(dir: &Path, now: Timestamp) -> Result<OpenedLedger> {
        make_private_dir(dir)?;
        let path = dir.join(FILE);
        match Self::open_or_create(&path) {
            Err(error) if error.is_corrupt() => {
                let aside = set_aside(&path, now)?;
                let database = Self::open_or_create(&path).map_err(|error| explain(&path, error))?;
                Ok(OpenedLedger { database, set_aside: Some(aside) })
            }
            opened => {
                let database = opened.map_err(|error| explain(&path, error))?;
                Ok(OpenedLedger { database, set_aside: None })
            }
        }
    }

    /// Opens an existing ledger to read.
    ///
    /// # Errors
    /// There is none, it cannot be read, it is damaged, or a later version of Fusebox wrote it; says what to do.
    pub fn open_existing(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Err(StoreError::Unusable {
                path: path.to_owned(),
                problem: "there is no ledger".into(),
                remedy: "Run `fusebox import`, which makes one from the client's history".into(),
            });
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || {
            let connection = Connection::open_with_flags(path, flags)?;
            connection.busy_timeout(BUSY_TIMEOUT)?;
            check_version(path, schema::version(&connection)?)?;
            schema::check(&connection)?;
            Ok(Self { connection, path: path.to_owned() })
        };
        open().map_err(|error| explain(path, error))
    }

    fn open_or_create(path: &Path) -> Result<Self> {
        let made = files::private().create(true).append(true).open(path);
        let made = made.map_err(|error| unusable(path, &error.to_string()))?;
        let mode = made.metadata().map_or(0o600, |meta| meta.permissions().mode());
        if mode & 0o077 != 0 {
            let private = made.set_permissions(Permissions::from_mode(0o600));
            private.map_err(|error| unusable(path, &error.to_string()))?;
        }
        drop(made);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // Of a new file. With the usual 4 KB an import takes a tenth longer.
        connection.execute_batch("PRAGMA page_size=16384")?;
        connection.query_row("PRAGMA journal_mode=WAL", (), |_| Ok(()))?;
        connection.execute_batch(&format!(
            "PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-65536; PRAGMA secure_delete=ON; \
             PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}"
        ))?;
        let mut database = Self { connection, path: path.to_owned() };
        if schema::version(&database.connection)? < schema::VERSION {
            database.write(|db| schema::migrate(db, schema::VERSION))?;
        }
        check_version(path, schema::version(&database.connection)?)?;
        schema::check(&database.connection)?;
        Ok(database)
    }

    /// Path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs one atomic step.
    pub(super) fn write<T>(&mut self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let tx = self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let done = work(&tx)?;
        tx.commit()?;
        Ok(done)
    }

    /// The same error, saying which file, and what to do.
    pub(super) fn explain(&self, error: StoreError) -> StoreError {
        explain(&self.path, error)
    }
}

fn check_version(path: &Path, version: usize) -> Result<()> {
    if version <= schema::VERSION {
        return Ok(());
    }
    Err(StoreError::Unusable {
        path: path.to_owned(),
        problem: "a later version of Fusebox wrote it".into(),
        remedy: "Use that version".into(),
    })
}

/// Keeps a damaged ledger under another name. Returns that name.
pub(super) fn set_aside(path: &Path, now: Timestamp) -> Result<PathBuf> {
    let named = |suffix: &str| PathBuf::from(format!("{}{suffix}", path.display()));
    let free =
        (0..).map(|n| named(&format!(".corrupt-{}", now.0.saturating_add(n)))).find(|name| !name.exists());
    let aside = free.unwrap_or_else(|| named(".corrupt"));
    // The log first: a new database must not find the old one's.
    for suffix in ["-wal", "-shm", ""] {
        if named(suffix).exists() {
            let renamed = std::fs::rename(named(suffix), format!("{}{suffix}", aside.display()));
            renamed.map_err(|error| unusable(path, &error.to_string()))?;
        }
    }
    Ok(aside)
}

fn explain(path: &Path, error: StoreError) -> StoreError {
    match error {
        StoreError::Unusable { .. } => error,
        error if error.is_corrupt() => StoreError::Unusable {
            path: path.to_owned(),
            problem: format!("it is damaged ({error})"),
            remedy: "Run `fusebox import`, which keeps it under another name and makes a new one from the client's \
                     history"
                .into(),
        },
        error => unusable(path, &error.to_string()),
    }
}

fn unusable(path: &Path, problem: &str) -> StoreError {
    StoreError::Unusable {
        path: path.to_owned(),
        problem: problem.to_owned(),
        remedy: "What was written before is kept. Make sure that the file is yours and the disk has space, and run the \
                 command again"
            .into(),
    }
}
