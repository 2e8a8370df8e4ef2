//! Reports from the ledger. Each is made once, and kept until the ledger changes.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::NaiveDate;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;

use super::cache::Cache;
use super::problem::Problem;
use crate::domain::time::Timestamp;
use crate::domain::window::Zone;
use crate::ledger::report::calendar::Calendar;
use crate::ledger::report::json::ReportJson;
use crate::ledger::report::overview::{self, Overview, OverviewJson};
use crate::ledger::report::read::{self, Record};
use crate::ledger::report::rows::{Grouping, SortBy};
use crate::ledger::report::selection::{Filter, Selection};
use crate::platform::Env;

/// The most reports that are kept.
const MOST: usize = 64;

/// What a report shows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReportQuery {
    /// The name of the time zone.
    pub zone: Zone,
    /// Only projects that match this glob.
    pub project: Option<String>,
    /// Only models that match this glob.
    pub model: Option<String>,
    /// The rows; `None`: sums of recent periods.
    pub rows: Option<RowsQuery>,
}

/// The rows of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RowsQuery {
    /// What rows are.
    pub grouping: Grouping,
    /// The first day.
    pub since: Option<NaiveDate>,
    /// The last day.
    pub until: Option<NaiveDate>,
    /// What they are sorted by.
    pub sort_by: SortBy,
    /// Whether the last one comes first.
    pub descending: bool,
}

/// A report.
#[derive(Debug)]
pub enum Report {
    /// Rows.
    Rows {
        /// The report.
        report: ReportJson,
        /// Its rows as JSON, written once.
        rows: Vec<Box<RawValue>>,
    },
    /// Sums of recent periods.
    Overview(OverviewJson),
}

/// What reports depend on: how the ledger's files look, and the day in the report's zone.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    files: [(u64, i64, i64, u64); 2],
    today: Option<NaiveDate>,
}

/// The reports.
pub struct Reports {
    /// The ledger; `None`: there is no home folder.
    file: Option<PathBuf>,
    known: Cache<ReportQuery, State, Report>,
    /// A report of a large ledger takes much memory: one after the other.
    turn: Arc<Semaphore>,
}

impl Reports {
    /// The reports from this user's ledger.
    pub fn new(env: &Env) -> Self {
        Self {
            file: env.state_dir().map(|dir| dir.join(read::FILE)),
            known: Cache::new(MOST, true),
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// A report. While the ledger is being read again, the one before.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn get(&self, query: ReportQuery, now: Timestamp) -> Result<Arc<Report>, Problem> {
        let file = self.file.clone().filter(|file| file.exists());
        let today = query.rows.is_none().then(|| query.calendar().day(now));
        let state = State { files: file.as_deref().map(look).unwrap_or_default(), today };
        let (turn, asked) = (Arc::clone(&self.turn), query.clone());
        let make = async move {
            let _permit = turn.acquire_owned().await;
            let made = tokio::task::spawn_blocking(move || asked.report(file, now)).await;
            made.unwrap_or_else(|_| Err(Problem::unavailable("the report was interrupted")))
        };
        self.known.get(&query, state, make).await
    }
}

/// How the ledger's file and its log look: size, modification time, inode.
fn look(file: &Path) -> [(u64, i64, i64, u64); 2] {
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    [file, Path::new(&log)].map(|file| {
        let found = std::fs::metadata(file);
        found.map(|found| (found.len(), found.mtime(), found.mtime_nsec(), found.ino())).unwrap_or_default()
    })
}

impl ReportQuery {
    fn calendar(&self) -> Calendar {
        Calendar::new(self.zone.clone(), chrono::Weekday::Mon)
    }

    fn report(&self, file: Option<PathBuf>, now: Timestamp) -> Result<Report, Problem> {
        let read = |query: &read::Query, calendar: &mut Calendar| -> Result<Vec<Record>, Problem> {
            let files = file.as_slice();
            let records = files.first().map(|_| read::read(files, query, calendar)).transpose();
            let records = records.map_err(|error| Problem::unavailable(error.to_string()))?;
            Ok(records.unwrap_or_default())
        };
        let mut calendar = self.calendar();
        let filter = Filter::new(&self.project, &self.model);
        let Some(RowsQuery { grouping, since, until, sort_by, descending }) = self.rows else {
            let query = overview::query(&mut calendar, now);
            let records = read(&query, &mut calendar)?;
            let overview = Overview::new(&records, &filter, &mut calendar, now);
            return Ok(Report::Overview(OverviewJson::from(&overview)));
        };
        let mut selection = Selection {
            grouping,
            calendar,
            since,
            until,
            platform: None,
            last_rows: None,
            sort_by,
            descending,
            filter,
        };
        let records = read(&selection.query(), &mut selection.calendar)?;
        let report = ReportJson::new(&selection.report(records).rows);
        let rows: Result<_, _> = report.rows.iter().map(serde_json::value::to_raw_value).collect();
        Ok(Report::Rows { rows: rows.map_err(|error| Problem::unavailable(error.to_string()))?, report })
    }
}
