//! The embedded store: one SQLite file, `state.db`, in the state folder.

mod agent_state_rows;
mod alerts;
mod counters;
mod error;
mod events;
mod files;
mod messages;
mod meta;
mod operations;
mod schema;
mod sessions;
mod store;
mod totals;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use self::files::{FileId, file_id, has_quarantined, lock, make_private_file, quarantine, unusable};
use super::Result;
use super::cache_file::{lock_exclusive, lock_shared};
use super::error::BackendErrorKind;
use crate::domain::time::Timestamp;

pub use files::make_private_dir;

/// Name of the database file.
pub const FILE: &str = "state.db";

/// How long to wait for another process that writes. One write takes about a millisecond.
const BUSY_TIMEOUT: Duration = Duration::from_millis(1000);

/// Bytes of the write-ahead log from which on it is emptied after a hook, and at the end of a turn. Every process that
/// finds nobody else there reads the whole log, page by page, so a short one saves time at each call; emptying it waits
/// for the disk three times. A call writes 7 pages.
const LOG_BYTES: u64 = 128 * PAGE_BYTES;
const LOG_BYTES_IDLE: u64 = 64 * PAGE_BYTES;

/// Bytes of a page of the database. A call changes a row here and there, and each page of those is summed and written
/// to the log whole, and read and summed once more by the calls after it: so small ones.
const PAGE_BYTES: u64 = 1024;

/// The embedded store.
pub struct SqliteStore {
    connection: Connection,
    path: PathBuf,
    /// The file that was opened: another one may stand in its place by now.
    file: FileId,
}

/// What opening found.
pub struct OpenedStore {
    /// The store.
    pub store: SqliteStore,
    /// Where a corrupt database was quarantined; the new one is empty, to be filled from the transcripts.
    pub quarantined: Option<PathBuf>,
}

impl SqliteStore {
    /// Opens the store in `dir`, which is made where it does not exist. A file that is no database, or a corrupt one,
    /// is renamed to `state.db.corrupt-<now>` and a new one begun.
    ///
    /// # Errors
    /// The folder or the file cannot be used: says which, and what to do.
    pub fn open(dir: &Path, now: Timestamp) -> Result<OpenedStore> {
        Self::open_after(dir, now, || None)
    }

    /// The same. `installed`: when Fusebox was installed, as far as others than a store know: asked where a new database
    /// is begun, which is one that was lost then.
    ///
    /// # Errors
    /// The folder or the file cannot be used: says which, and what to do.
    pub fn open_after(
        dir: &Path,
        now: Timestamp,
        installed: impl FnOnce() -> Option<Timestamp>,
    ) -> Result<OpenedStore> {
        let path = dir.join(FILE);
        // Beside others: no database is made, changed or replaced meanwhile. The side files are found by name, so nobody
        // may be half way through opening one database while another is put in its place; and SQLite does not wait for
        // its locks while it turns a new file into one with a log.
        let shared = lock(dir, lock_shared);
        let first = match Self::connect(&path) {
            Ok((store, version)) if version >= schema::VERSION => {
                return Ok(OpenedStore { store, quarantined: None });
            }
            // Closed, or the next one would wait for it.
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
        // Alone: what is missing is made, what is old migrated, what is corrupt quarantined.
        let _lock = lock(dir, lock_exclusive)
            .map_err(|e| unusable(&path, &first.map_or_else(|| e.to_string(), |first| first.to_string())))?;
        let installed = installed();
        let (store, quarantined) = match Self::make(&path, installed) {
            Err(error) if error.is_corrupt() => {
                let aside = quarantine(&path, now).map_err(|e| unusable(&path, &e.to_string()))?;
                (Self::make(&path, installed), Some(aside))
            }
            other => (other, None),
        };
        let store = store.map_err(|error| unusable(&path, &error.to_string()))?;
        Ok(OpenedStore { store, quarantined })
    }

    /// Opens the file; answers the version of its schema too.
    fn connect(path: &Path) -> Result<(Self, usize)> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        // A checkpoint at close costs four fsyncs at every hook.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.execute_batch("PRAGMA synchronous=NORMAL")?;
        let version = schema::version(&connection)?;
        let (path, file) = (path.to_owned(), file_id(path));
        Ok((Self { connection, path, file }, version))
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
        // So is the size of its pages, and before that.
        db.execute_batch(&format!("PRAGMA page_size={PAGE_BYTES}"))?;
        db.query_row("PRAGMA journal_mode=WAL", (), |_| Ok(()))?;
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Asked again under the lock: another process may have been faster.
        let version = schema::version(&tx)?;
        schema::migrate(&tx, version, schema::VERSION)?;
        // In the same step: who is killed here leaves no new store that takes itself for the first one.
        if version == 0 && lost {
            meta::mark(&tx, meta::REBUILDING, true)?;
            installed.map_or(Ok(()), |installed| meta::note_installation(&tx, installed))?;
        }
        tx.commit()?;
        Ok(())
    }

    /// Copies the write-ahead log into the database and empties it, if it is longer than `max_bytes` and nobody is
    /// reading or writing.
    fn empty_log(&mut self, max_bytes: u64) -> Result<()> {
        let log = std::fs::metadata(format!("{}-wal", self.path.display()));
        if log.map_or(0, |meta| meta.len()) <= max_bytes {
            return Ok(());
        }
        let db = &self.connection;
        db.busy_timeout(Duration::ZERO)?;
        // TRUNCATE, because anything less is forgotten: how much of the log was copied stands in memory, which the next
        // hook begins anew, and the log would be copied at every commit and never begin again.
        db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))?;
        db.busy_timeout(BUSY_TIMEOUT)?;
        Ok(())
    }

    /// Reads.
    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.checked(work(&self.connection))
    }

    /// One atomic step.
    fn write<T>(&mut self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let done = write(&mut self.connection, work);
        self.checked(done)
    }

    /// What was done. SQLite has no code of its own for a table or column that is not there, which is damage: after a
    /// failure without a cause of its own, the schema is looked at.
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

/// An unsigned count as SQLite keeps it.
fn to_sql(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A stored count.
fn from_sql(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
