//! The embedded store: one SQLite file, `state.db`, in the state folder.

mod agent_state_rows;
mod alerts;
mod counters;
mod error;
mod events;
mod files;
mod messages;
mod meta;
mod metrics;
mod operations;
mod quota;
mod schema;
mod sessions;
mod store;
mod totals;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use self::files::{
    FileId, file_id, has_quarantined, lock, make_private_file, quarantine, unusable, unusable_by,
};
use super::Result;
use super::cache_file::{lock_exclusive, lock_shared};
use super::error::BackendErrorKind;
use crate::domain::time::Timestamp;
use crate::platform::test_patience;

pub use files::make_private_dir;
pub use schema::check_columns;

/// Name of the database file.
pub const FILE: &str = "state.db";

/// How long a hook waits for another writer, times [`test_patience`]. One write takes about a millisecond.
const BUSY_TIMEOUT: Duration = Duration::from_millis(1000);

/// How long a command waits: writers do not queue, so one of many may be overtaken for long.
const PATIENT_BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Size of the write-ahead log, in bytes, at which it is emptied after a hook, and at the end of a turn. A process that
/// has the database to itself reads the whole log page by page, so a short log speeds up each call; emptying it takes
/// three fsyncs. A call writes 7 pages.
const LOG_BYTES: u64 = 128 * PAGE_BYTES;
const LOG_BYTES_IDLE: u64 = 64 * PAGE_BYTES;

/// Page size of the database, in bytes. Small, because a call changes single rows, and whole pages are checksummed and
/// written to the log, then read and checked again by later calls.
const PAGE_BYTES: u64 = 1024;

/// The embedded store.
pub struct SqliteStore {
    connection: Connection,
    /// How long it waits for another writer.
    busy_timeout: Duration,
    path: PathBuf,
    /// The file that was opened; the path may now have another one.
    file: FileId,
}

/// The result of opening a store.
pub struct OpenedStore {
    /// The store.
    pub store: SqliteStore,
    /// Path of the quarantined corrupt database; the new one is empty, to be refilled from the transcripts.
    pub quarantined: Option<PathBuf>,
}

impl SqliteStore {
    /// Opens the store in `dir`, creating it if needed. A file that is not a database, or is corrupt, is renamed to
    /// `state.db.corrupt-<now>`, and a new one is created.
    ///
    /// # Errors
    /// The folder or the file cannot be used; says which, and what to do.
    pub fn open(dir: &Path, now: Timestamp) -> Result<OpenedStore> {
        Self::open_after(dir, now, || None)
    }

    /// Waits longer for other writers from now on: for commands, which have no deadline.
    ///
    /// # Errors
    /// The database refuses; nothing changed.
    pub fn wait_patiently(&mut self) -> Result<()> {
        self.busy_timeout = self.busy_timeout.max(PATIENT_BUSY_TIMEOUT);
        Ok(self.connection.busy_timeout(self.busy_timeout)?)
    }

    /// Like [`Self::open`]. `installed` returns the time of installation known from other sources. It is called if a
    /// new database is created; a time means that the old one was lost.
    ///
    /// # Errors
    /// The folder or the file cannot be used; says which, and what to do.
    pub fn open_after(
        dir: &Path,
        now: Timestamp,
        installed: impl FnOnce() -> Option<Timestamp>,
    ) -> Result<OpenedStore> {
        let path = dir.join(FILE);
        // Shared lock: no database is created, changed or replaced meanwhile. The side files are found by name, so
        // nobody may replace a database while another process opens it; and SQLite does not wait for its locks while it
        // switches a new file to WAL.
        let shared = lock(dir, lock_shared);
        let first = match Self::connect(&path) {
            Ok((store, version)) if version >= schema::VERSION => {
                return Ok(OpenedStore { store, quarantined: None });
            }
            // Close it first, or the next open would wait for it.
            Ok((store, _)) => {
                drop(store);
                None
            }
            Err(error) if error.is_backend(BackendErrorKind::Busy) => {
                return Err(unusable(&path, &error.to_string()));
            }
            Err(error) => Some(error),
        };
        drop(shared);
        make_private_dir(dir)?;
        // Exclusive lock: create what is missing, migrate what is old, quarantine what is corrupt.
        let _lock = lock(dir, lock_exclusive).map_err(|error| {
            first.map_or_else(|| unusable(&path, &error.to_string()), |first| unusable_by(&path, first))
        })?;
        let installed = installed();
        let (store, quarantined) = match Self::make(&path, installed) {
            Err(error) if error.is_corrupt() => {
                let aside = quarantine(&path, now).map_err(|e| unusable(&path, &e.to_string()))?;
                (Self::make(&path, installed), Some(aside))
            }
            other => (other, None),
        };
        let store = store.map_err(|error| unusable_by(&path, error))?;
        Ok(OpenedStore { store, quarantined })
    }

    /// Opens the file. Also returns its schema version.
    fn connect(path: &Path) -> Result<(Self, usize)> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        // A checkpoint at close would cost four fsyncs per hook.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        let busy_timeout = BUSY_TIMEOUT * test_patience();
        connection.busy_timeout(busy_timeout)?;
        connection.execute_batch("PRAGMA synchronous=NORMAL")?;
        let version = schema::version(&connection)?;
        let (path, file) = (path.to_owned(), file_id(path));
        Ok((Self { connection, busy_timeout, path, file }, version))
    }

    fn make(path: &Path, installed: Option<Timestamp>) -> Result<Self> {
        make_private_file(path)?;
        let (mut store, version) = Self::connect(path)?;
        if version < schema::VERSION {
            let migrated = store.migrate(installed);
            store.checked(migrated)?;
        }
        Ok(store)
    }

    fn migrate(&mut self, installed: Option<Timestamp>) -> Result<()> {
        let lost = installed.is_some() || has_quarantined(&self.path);
        // WAL is a property of the file: set once, not at every opening.
        let db = &mut self.connection;
        // So is the page size, which must be set first.
        db.execute_batch(&format!("PRAGMA page_size={PAGE_BYTES}"))?;
        db.query_row("PRAGMA journal_mode=WAL", (), |_| Ok(()))?;
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Read again under the lock: another process may have migrated it.
        let version = schema::version(&tx)?;
        schema::migrate(&tx, version, schema::VERSION)?;
        // In the same transaction, so that a crash cannot leave a new store that does not know data was lost.
        if version == 0 && lost {
            meta::mark(&tx, meta::REBUILDING, true)?;
            installed.map_or(Ok(()), |installed| meta::note_installation(&tx, installed))?;
        }
        tx.commit()?;
        Ok(())
    }

    /// Copies the write-ahead log into the database and empties it, if it is longer than `max_bytes` and nobody reads
    /// or writes.
    fn empty_log(&mut self, max_bytes: u64) -> Result<()> {
        let log = std::fs::metadata(format!("{}-wal", self.path.display()));
        if log.map_or(0, |meta| meta.len()) <= max_bytes {
            return Ok(());
        }
        let db = &self.connection;
        db.busy_timeout(Duration::ZERO)?;
        // TRUNCATE, because the progress of other checkpoints is only kept in memory, which is new in each hook: the
        // log would be copied at every commit and never restart.
        db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))?;
        db.busy_timeout(self.busy_timeout)?;
        Ok(())
    }

    /// Runs a read.
    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.checked(work(&self.connection))
    }

    /// Runs one atomic step.
    fn write<T>(&mut self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let done = write(&mut self.connection, work);
        self.checked(done)
    }

    /// Checks a result. SQLite has no error code for a missing table or column, which is damage, so the schema is
    /// checked after a generic failure.
    fn checked<T>(&self, done: Result<T>) -> Result<T> {
        match done {
            Err(error) if error.is_backend(BackendErrorKind::Other) => {
                Err(match schema::check(&self.connection) {
                    Err(damage) if damage.is_corrupt() => damage,
                    _ => error,
                })
            }
            done => done,
        }
    }
}

fn write<T>(db: &mut Connection, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = work(&tx)?;
    tx.commit()?;
    Ok(done)
}

/// An unsigned count as an SQLite integer.
fn to_sql(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A count from an SQLite integer.
fn from_sql(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
