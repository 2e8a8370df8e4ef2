//! Reads records from ledger files.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row, ToSql};

use super::calendar::Calendar;
use super::tally::Tally;
use crate::domain::money::NANOS_PER_USD;
use crate::domain::time::Timestamp;
use crate::domain::usage::Usage;
use crate::ledger::calls::CALL;
use crate::ledger::quarter_hours::{self, AGENT_TYPE};

/// Name of the ledger's file in the state folder.
pub const FILE: &str = "ledger.db";

/// How long to wait for a process that writes, in milliseconds.
const BUSY_MS: u64 = 5000;

/// The records, as a source of [`Records::read_from`].
const RECORDS: &str =
    "SELECT *, at AS first, at AS last, 1 AS records, 0 AS dollars, cost_nanos AS nanos FROM cost_records";

/// The sums, with the columns that records have.
const SUMS: &str = "SELECT *, 'claude-code' AS platform, 'response' AS source, NULL AS agent, NULL AS chain_id, NULL AS task, \
     NULL AS task_id FROM quarter_hours";

/// A text that many records share.
pub type Name = Arc<str>;

/// What reports need of one record of the ledger, or of the sum of those of a quarter of an hour that have all texts in
/// common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When the response began; of a sum, the first one.
    pub first: Timestamp,
    /// The same; of a sum, the last one.
    pub last: Timestamp,
    /// How many records it is the sum of.
    pub records: u64,
    /// The model, as the response names it.
    pub model: Name,
    /// The project's folder.
    pub project: Option<Name>,
    /// The value of the query's column.
    pub value: Option<Name>,
    /// What it adds to a sum.
    pub tally: Tally,
}

/// A column that records are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Column {
    /// The session's id.
    Session,
    /// The branch.
    Branch,
    /// The type of the agent: `main` for the session's own agent, `subagent` for one without a type; recorded calls have
    /// none.
    AgentType,
    /// The platform: `claude-code`, or that of a recorded call.
    Platform,
    /// The chain of a recorded call.
    Chain,
    /// The task.
    Task,
}

impl Column {
    /// As an SQL expression. Empty text is no value.
    fn expression(self) -> &'static str {
        match self {
            Self::Session => "NULLIF(session, '')",
            Self::Branch => "NULLIF(branch, '')",
            Self::AgentType => AGENT_TYPE,
            Self::Platform => "platform",
            Self::Chain => "NULLIF(chain_id, '')",
            Self::Task => "NULLIF(task, '')",
        }
    }
}

/// Which records to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// The column for [`Record::value`].
    pub column: Option<Column>,
    /// Only records at or after this moment.
    pub from: Option<Timestamp>,
    /// Only records before this moment.
    pub before: Option<Timestamp>,
    /// Only records of this platform.
    pub platform: Option<&'static str>,
    /// Not in sums.
    pub one_by_one: bool,
}

/// A ledger that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file that was named does not exist.
    #[error("the ledger {} does not exist", .0.display())]
    Missing(PathBuf),
    /// A folder was named.
    #[error("{} is a folder: name a file, such as {}", .0.display(), .0.join(FILE).display())]
    Folder(PathBuf),
    /// Another file was named.
    #[error("{} is not a Fusebox ledger", .0.display())]
    NoLedger(PathBuf),
    /// The file is damaged, or may not be read.
    #[error("the ledger {} cannot be read: {problem}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl ReadError {
    /// What an error of SQLite means.
    fn new(path: &Path, error: rusqlite::Error) -> Self {
        let path = path.to_owned();
        if let Err(error) = std::fs::File::open(&path) {
            let problem = match error.kind() {
                ErrorKind::PermissionDenied => "permission denied. Make it readable".to_owned(),
                _ => error.to_string(),
            };
            return Self::Unreadable { path, problem };
        }
        match error {
            // It has no such column.
            rusqlite::Error::SqlInputError { .. } => Self::NoLedger(path),
            rusqlite::Error::SqliteFailure(code, Some(problem)) => {
                let is_other = code.code == ErrorCode::NotADatabase || problem.starts_with("no such table");
                if is_other { Self::NoLedger(path) } else { Self::Unreadable { path, problem } }
            }
            error => Self::Unreadable { path, problem: error.to_string() },
        }
    }
}

/// The records of all these files. A record that is in several files, by its `task_id`, counts once: the most complete
/// version of it. Those of one file may come as sums, each of one day of `calendar`.
///
/// # Errors
/// One of the files does not exist or cannot be read.
pub fn read(files: &[PathBuf], query: &Query, calendar: &mut Calendar) -> Result<Vec<Record>, ReadError> {
    for path in files {
        if !path.exists() {
            return Err(ReadError::Missing(path.clone()));
        }
        if path.is_dir() {
            return Err(ReadError::Folder(path.clone()));
        }
    }
    if let ([path], false) = (files, query.one_by_one) {
        let sums = read_sums(path, query).map_err(|error| ReadError::new(path, error))?;
        // Otherwise the zone begins its days within a quarter, as Liberia's did until 1972.
        let mut is_of_one_day = |sum: &Record| calendar.day(sum.first) == calendar.day(sum.last);
        if let Some(sums) = sums.filter(|sums| sums.iter().all(&mut is_of_one_day)) {
            return Ok(sums);
        }
    }
    let mut records = Records { ids: (files.len() > 1).then(HashMap::new), ..Records::default() };
    for path in files {
        let read = open(path).and_then(|db| records.read_from(&db, RECORDS, query));
        read.map_err(|error| ReadError::new(path, error))?;
    }
    Ok(records.all)
}

/// The sums of a file, and the calls that they do not contain. `None`: an earlier version wrote it, without sums.
fn read_sums(path: &Path, query: &Query) -> rusqlite::Result<Option<Vec<Record>>> {
    let db = open(path)?;
    let version: u32 = db.query_row("PRAGMA user_version", (), |row| row.get(0))?;
    if (version as usize) < quarter_hours::VERSION {
        return Ok(None);
    }
    let mut records = Records::default();
    records.read_from(&db, SUMS, query)?;
    records.read_from(&db, &format!("{RECORDS} WHERE source = '{CALL}'"), query)?;
    Ok(Some(records.all))
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(std::time::Duration::from_millis(BUSY_MS))?;
    Ok(db)
}

/// The records read so far.
#[derive(Default)]
struct Records {
    names: Names,
    /// Positions in `all` by `task_id`; `None`: one file has no id twice.
    ids: Option<HashMap<String, usize>>,
    all: Vec<Record>,
}

impl Records {
    /// Reads from [`RECORDS`] or [`SUMS`].
    fn read_from(&mut self, db: &Connection, source: &str, query: &Query) -> rusqlite::Result<()> {
        let mut conditions = Vec::new();
        let mut values: Vec<&dyn ToSql> = Vec::new();
        if let Some(from) = &query.from {
            conditions.push("last >= ?");
            values.push(&from.0);
        }
        if let Some(before) = &query.before {
            conditions.push("first < ?");
            values.push(&before.0);
        }
        if let Some(platform) = &query.platform {
            conditions.push("platform = ?");
            values.push(platform);
        }
        let condition = if conditions.is_empty() { "1".to_owned() } else { conditions.join(" AND ") };
        let sql = format!(
            "SELECT first, last, records, model, NULLIF(project, ''), {}, input_tokens, output_tokens, cache_write_5m, \
             cache_write_1h, cache_read, requests, dollars, nanos, usage_estimated, price_estimated, task_id \
             FROM ({source}) WHERE {condition}",
            query.column.map_or("NULL", Column::expression),
        );
        let mut statement = db.prepare(&sql)?;
        let mut rows = statement.query(&values[..])?;
        while let Some(row) = rows.next()? {
            let record = self.record(row)?;
            self.add(record, row)?;
        }
        Ok(())
    }

    fn record(&mut self, row: &Row) -> rusqlite::Result<Record> {
        let count = |column: usize| -> rusqlite::Result<u64> {
            Ok(row.get::<_, Option<i64>>(column)?.and_then(|n| u64::try_from(n).ok()).unwrap_or(0))
        };
        let usage = Usage {
            input: count(6)?,
            output: count(7)?,
            cache_write_5m: count(8)?,
            cache_write_1h: count(9)?,
            cache_read: count(10)?,
        };
        let tally = Tally {
            usage,
            requests: count(11)?,
            nanos: count(12)?.saturating_mul(NANOS_PER_USD).saturating_add(count(13)?),
            has_estimated_usage: count(14)? > 0,
            has_estimated_price: count(15)? > 0,
        };
        Ok(Record {
            first: Timestamp(row.get(0)?),
            last: Timestamp(row.get(1)?),
            records: count(2)?,
            model: self.names.of(row.get_ref(3)?).unwrap_or_else(|| "".into()),
            project: self.names.of(row.get_ref(4)?),
            value: self.names.of(row.get_ref(5)?),
            tally,
        })
    }

    fn add(&mut self, record: Record, row: &Row) -> rusqlite::Result<()> {
        let Some(ids) = &mut self.ids else {
            self.all.push(record);
            return Ok(());
        };
        match ids.entry(row.get(16)?) {
            Entry::Vacant(free) => {
                free.insert(self.all.len());
                self.all.push(record);
            }
            // A ledger that was written earlier may know less of a response. The choice depends on the records only, so the
            // order of the files makes no difference.
            Entry::Occupied(known) => {
                let size = |record: &Record| (record.tally.usage.total(), record.tally.nanos, record.first);
                let known = &mut self.all[*known.get()];
                if size(&record) > size(known) {
                    *known = record;
                }
            }
        }
        Ok(())
    }
}

/// Texts, each stored once.
#[derive(Default)]
struct Names(HashSet<Name>);

impl Names {
    /// The text of a column; `None` for NULL.
    fn of(&mut self, value: ValueRef) -> Option<Name> {
        let (ValueRef::Text(bytes) | ValueRef::Blob(bytes)) = value else { return None };
        let text = std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed);
        if let Some(known) = self.0.get(&*text) {
            return Some(Arc::clone(known));
        }
        let name = Name::from(&*text);
        self.0.insert(Arc::clone(&name));
        Some(name)
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
