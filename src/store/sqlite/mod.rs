//! The embedded store: one SQLite file, `state.db`, in the state folder.

mod alerts;
mod counters;
mod events;
mod files;
mod messages;
mod meta;
mod operations;
mod sessions;
mod standings;
mod totals;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::session_cache::{lock_exclusive, lock_shared};
use super::standing;
use super::{
    Applied, Batch, CircuitRow, ClientProcess, Result, Session, SessionRow, SessionTotal, Store, StoreError,
    Watch,
};
use crate::domain::alert::{Acknowledgement, AlertRecord};
use crate::domain::breaker::circuit::Trip;
use crate::domain::budget::{BudgetState, Scope};
use crate::domain::event::{CircuitDecision, Event};
use crate::domain::operation::Operation;
use crate::domain::throttle::Slots;
use crate::domain::time::Timestamp;
use crate::env::machine_name;
use files::{FileId, file_id, has_set_aside, lock, make_private_file, move_aside, unusable};
use standings::OfSession;

pub use files::make_private_dir;

/// Name of the database file.
pub const FILE: &str = "state.db";

/// Numbered migrations; the number of those applied stands in `user_version`.
const MIGRATIONS: [&str; 5] = [
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
    include_str!("schema_5.sql"),
];

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
    /// `None` where it is still to be opened again, beside others.
    connection: Option<Connection>,
    path: PathBuf,
    company: Company,
    /// The file that was opened: another one may stand in its place by now.
    file: FileId,
}

/// Whether others can use the database meanwhile.
#[derive(Clone, Copy, PartialEq)]
enum Company {
    /// Nobody: the index of the log stands in memory, which saves making it as a file, and most locks. For a hook that
    /// records one batch and ends; whoever comes meanwhile waits.
    Alone,
    /// Everybody, in turns.
    Others,
}

/// What opening found.
pub struct Opened {
    /// The store.
    pub store: SqliteStore,
    /// Where a corrupt database was set aside; the new one is empty, to be filled from the transcripts.
    pub set_aside: Option<PathBuf>,
}

impl SqliteStore {
    /// Opens the store in `dir`, which is made where it does not exist. A file that is no database, or a corrupt one,
    /// is renamed to `state.db.corrupt-<now>` and a new one begun.
    ///
    /// # Errors
    /// The folder or the file cannot be used: says which, and what to do.
    pub fn open(dir: &Path, now: Timestamp) -> Result<Opened> {
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
    ) -> Result<Opened> {
        let path = dir.join(FILE);
        // Beside others: no database is made, changed or replaced meanwhile. The side files are found by name, so nobody
        // may be half way through opening one database while another is put in its place; and SQLite does not wait for
        // its locks while it turns a new file into one with a log.
        let shared = lock(dir, lock_shared);
        let alone = Self::connect(&path, Company::Alone);
        let first = match alone {
            Err(error) if is_busy(&error) => Self::connect(&path, Company::Others),
            other => other,
        };
        let first = match first {
            Ok((store, version)) if version >= MIGRATIONS.len() => {
                return Ok(Opened { store, set_aside: None });
            }
            // Closed, or the next one would wait for it.
            Ok((store, _)) => {
                drop(store);
                None
            }
            Err(error) if is_busy(&error) => return Err(unusable(&path, &error.to_string())),
            Err(error) => Some(error),
        };
        drop(shared);
        make_private_dir(dir)?;
        // Alone: what is missing is made, what is old migrated, what is corrupt set aside.
        let _lock = lock(dir, lock_exclusive)
            .map_err(|e| unusable(&path, &first.map_or_else(|| e.to_string(), |first| first.to_string())))?;
        let installed = installed();
        let (store, set_aside) = match Self::make(&path, installed) {
            Err(error) if error.is_corrupt() => {
                let aside = move_aside(&path, now).map_err(|e| unusable(&path, &e.to_string()))?;
                (Self::make(&path, installed), Some(aside))
            }
            other => (other, None),
        };
        let store = store.map_err(|error| unusable(&path, &error.to_string()))?;
        Ok(Opened { store, set_aside })
    }

    /// Opens the file; answers the version of its schema too.
    fn connect(path: &Path, company: Company) -> Result<(Self, usize)> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        // A checkpoint at close costs four fsyncs at every hook.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        match company {
            Company::Alone => {
                connection.busy_timeout(Duration::ZERO)?;
                connection.execute_batch("PRAGMA locking_mode=EXCLUSIVE;PRAGMA synchronous=NORMAL")?;
            }
            Company::Others => {
                connection.busy_timeout(BUSY_TIMEOUT)?;
                connection.execute_batch("PRAGMA synchronous=NORMAL")?;
            }
        }
        let version: u32 = connection.query_row("PRAGMA user_version", (), |r| r.get(0))?;
        let (path, file) = (path.to_owned(), file_id(path));
        Ok((Self { connection: Some(connection), path, company, file }, version as usize))
    }

    fn make(path: &Path, installed: Option<Timestamp>) -> Result<Self> {
        make_private_file(path)?;
        let (mut store, version) = Self::connect(path, Company::Others)?;
        if version < MIGRATIONS.len() {
            store.migrate(installed)?;
        }
        Ok(store)
    }

    /// The connection; opened anew, where it was given up.
    fn db(&mut self) -> Result<&mut Connection> {
        if self.connection.is_none() {
            let _lock = lock(self.path.parent().unwrap_or(&self.path), lock_shared);
            *self = Self::connect(&self.path, Company::Others)?.0;
        }
        self.connection.as_mut().ok_or(StoreError::Sqlite(rusqlite::Error::InvalidQuery))
    }

    /// The connection, which others can be beside for as long as it is open.
    fn beside(&mut self) -> Result<&mut Connection> {
        if self.company == Company::Alone {
            (self.connection, self.company) = (None, Company::Others);
        }
        self.db()
    }

    fn migrate(&mut self, installed: Option<Timestamp>) -> Result<()> {
        let lost = installed.is_some() || has_set_aside(&self.path);
        // WAL is a property of the file: set once, not at every opening.
        let db = self.db()?;
        // So is the size of its pages, and before that.
        db.execute_batch(&format!("PRAGMA page_size={PAGE_BYTES}"))?;
        db.query_row("PRAGMA journal_mode=WAL", (), |_| Ok(()))?;
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Asked again under the lock: another process may have been faster.
        let version: u32 = tx.query_row("PRAGMA user_version", (), |r| r.get(0))?;
        for (number, migration) in MIGRATIONS.iter().enumerate().skip(version as usize) {
            tx.execute_batch(migration)?;
            if number + 1 == standings::VERSION {
                standings::take_over(&tx)?;
            }
            tx.execute_batch(&format!("PRAGMA user_version={}", number + 1))?;
        }
        // In the same step: who is killed here leaves no new store that takes itself for the first one.
        if version == 0 && lost {
            meta::mark(&tx, meta::REBUILDING, true)?;
            installed.map_or(Ok(()), |installed| meta::install(&tx, installed))?;
        }
        tx.commit()?;
        Ok(())
    }

    /// Copies the write-ahead log into the database and empties it, if it is longer than `most` bytes and nobody is
    /// reading or writing.
    fn empty_log(&mut self, most: u64) -> Result<()> {
        let log = std::fs::metadata(format!("{}-wal", self.path.display()));
        if log.map_or(0, |meta| meta.len()) <= most {
            return Ok(());
        }
        let db = self.db()?;
        db.busy_timeout(Duration::ZERO)?;
        // TRUNCATE, because anything less is forgotten: how much of the log was copied stands in memory, which the next
        // hook begins anew, and the log would be copied at every commit and never begin again.
        db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))?;
        db.busy_timeout(BUSY_TIMEOUT)?;
        Ok(())
    }

    fn write<T>(&mut self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        write(self.beside()?, work)
    }
}

/// One atomic step.
fn write<T>(db: &mut Connection, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = work(&tx)?;
    tx.commit()?;
    Ok(done)
}

impl Store for SqliteStore {
    fn apply(&mut self, batch: &Batch) -> Result<Applied> {
        // Who can show alerts is answering an event, and about to end. Others read on, and record more.
        let db = if batch.claim { self.db()? } else { self.beside()? };
        write(db, |db| messages::apply(db, batch))
    }

    fn confirm_shown(&mut self, alerts: &[i64], events: &[i64]) -> Result<()> {
        write(self.db()?, |db| {
            if !alerts.is_empty() {
                alerts::confirm(db, alerts)?;
            }
            if !events.is_empty() {
                events::confirm(db, events)?;
            }
            Ok(())
        })
    }

    fn note(&mut self, event: &Event) -> Result<()> {
        // A hook that denies has little left to do: it need not give up the database for others.
        write(self.db()?, |db| events::add(db, event, false))
    }

    fn events(&mut self, session: Option<&str>, call: Option<u64>) -> Result<Vec<Event>> {
        events::list(self.beside()?, session, call)
    }

    fn circuits(&mut self, session: Option<&str>) -> Result<Vec<CircuitRow>> {
        let db = self.beside()?;
        match session.map(|id| sessions::number(db, id)).transpose()? {
            Some(None) => Ok(Vec::new()),
            number => standings::rows(db, number.flatten()),
        }
    }

    fn decide_circuit(
        &mut self,
        session: &str,
        agent: Option<&str>,
        decision: CircuitDecision,
        by: (&str, &str),
        now: Timestamp,
    ) -> Result<Vec<(String, Option<Trip>)>> {
        self.write(|db| match sessions::number(db, session)? {
            Some(number) => {
                standing::decide(&mut OfSession { db, number, id: session }, agent, decision, by, now)
            }
            None => Ok(Vec::new()),
        })
    }

    fn slots(&mut self, session: &str) -> Result<Slots> {
        let db = self.beside()?;
        match sessions::number(db, session)? {
            Some(number) => standing::slots(&mut OfSession { db, number, id: session }),
            None => Ok(Slots::default()),
        }
    }

    fn operate(&mut self, operation: &Operation, state: &BudgetState) -> Result<Option<BudgetState>> {
        let watch = [Watch { budget: state.budget.clone(), value: state.value.clone() }];
        self.write(|db| {
            operations::record(db, operation, state)?;
            Ok(operations::states(db, &watch, operation.at)?.pop())
        })
    }

    fn states(&mut self, watches: &[Watch], now: Timestamp) -> Result<Vec<BudgetState>> {
        // A write: counters that are missing are added up, and kept.
        self.write(|db| operations::states(db, watches, now))
    }

    fn states_before(&mut self, watches: &[Watch], moment: Timestamp) -> Result<Vec<BudgetState>> {
        operations::states_before(self.beside()?, watches, moment)
    }

    fn operations(&mut self, budget: Option<&str>) -> Result<Vec<Operation>> {
        operations::list(self.beside()?, budget)
    }

    fn session_total(&mut self, session: &str) -> Result<Option<SessionTotal>> {
        sessions::total(self.beside()?, session)
    }

    fn sessions(&mut self) -> Result<Vec<SessionRow>> {
        sessions::list(self.beside()?)
    }

    fn session(&mut self, id: &str) -> Result<Option<SessionRow>> {
        sessions::get(self.beside()?, id)
    }

    fn session_of_client(&mut self, client: ClientProcess) -> Result<Option<String>> {
        sessions::of_client(self.beside()?, client)
    }

    fn see(&mut self, session: &Session, now: Timestamp, ended: bool) -> Result<()> {
        self.write(|db| {
            sessions::see(db, session, now, ended)?;
            events::sweep(db, now)
        })
    }

    fn complete(&mut self, session: &str, seen: Timestamp) -> Result<()> {
        self.write(|db| sessions::complete(db, session, seen))
    }

    fn values(&mut self, scope: Scope, since: Timestamp) -> Result<Vec<String>> {
        counters::values(self.beside()?, scope, since)
    }

    fn tidy(&mut self, idle: bool) -> Result<()> {
        self.empty_log(if idle { LOG_BYTES_IDLE } else { LOG_BYTES })
    }

    /// Renames its file, unless another process has put a new one in its place already.
    fn set_aside(self: Box<Self>, now: Timestamp) -> std::io::Result<Option<PathBuf>> {
        let Self { connection, path, file, .. } = *self;
        drop(connection);
        let _lock = lock(path.parent().unwrap_or(&path), lock_exclusive)?;
        if file.is_none() || file_id(&path) != file {
            return Ok(None);
        }
        move_aside(&path, now).map(Some)
    }

    fn installed(&mut self) -> Result<Option<Timestamp>> {
        Ok(meta::read(self.beside()?)?.installed)
    }

    fn alerts(&mut self) -> Result<Vec<AlertRecord>> {
        alerts::list(self.beside()?)
    }

    fn acknowledge(&mut self, alerts: &[i64], acknowledgement: &Acknowledgement) -> Result<Vec<i64>> {
        self.write(|db| alerts::acknowledge(db, alerts, acknowledgement))
    }

    fn epoch(&mut self) -> Result<String> {
        Ok(meta::read(self.beside()?)?.epoch)
    }

    fn is_rebuilding(&mut self) -> Result<bool> {
        meta::is_rebuilding(self.beside()?)
    }

    fn set_rebuilding(&mut self, rebuilding: bool) -> Result<()> {
        self.write(|db| meta::mark(db, meta::REBUILDING, rebuilding))
    }

    fn recovering(&mut self, _now: Timestamp) -> Result<Vec<String>> {
        Ok(if self.is_rebuilding()? { vec![machine_name()] } else { Vec::new() })
    }

    fn renew(&mut self, epoch: &str) -> Result<String> {
        self.write(|db| meta::renew(db, epoch))
    }

    fn sequences(&mut self) -> Result<HashMap<String, u64>> {
        sessions::sequences(self.beside()?)
    }

    fn install(&mut self, now: Timestamp) -> Result<()> {
        self.write(|db| meta::install(db, now))
    }
}

fn is_busy(error: &StoreError) -> bool {
    let StoreError::Sqlite(error) = error else { return false };
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// An unsigned count as SQLite keeps it.
fn to_sql(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A stored count.
fn from_sql(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
