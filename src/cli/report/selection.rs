//! What a report is to show, from the command line.

use super::{CcusageShape, Kind, Order, ReportArgs, SortField};
use crate::cli::{UsageError, values};
use crate::domain::time::Timestamp;
use crate::domain::window::Zone;
use crate::ledger::names::{ModelGlob, ProjectGlob};
use crate::ledger::report::blocks::Block;
use crate::ledger::report::calendar::{Calendar, month_of};
use crate::ledger::report::read::{Query, Record};
use crate::ledger::report::rows::{self, Grouping, Key, Row, SortBy};
use crate::platform::Env;
use crate::zoneinfo;
use chrono::{Datelike, Days, Months, NaiveDate, Weekday};

/// The platform of messages of Claude Code.
pub const CLAUDE_CODE: &str = "claude-code";

/// A selection of records, and how to group and sort them.
pub struct Selection {
    /// What rows are.
    pub grouping: Grouping,
    /// The time zone, and the first day of weeks.
    pub calendar: Calendar,
    since: Option<NaiveDate>,
    until: Option<NaiveDate>,
    platform: Option<&'static str>,
    last_rows: Option<usize>,
    sort_by: SortBy,
    /// Whether the last row comes first.
    pub descending: bool,
    filter: Filter,
}

/// The rows of a report.
pub struct Report {
    /// The rows.
    pub rows: Vec<Row>,
    /// The blocks, if rows are blocks: also those that no row shows.
    pub blocks: Vec<Block>,
}

/// Selects records by project and model. Without globs, all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    projects: Vec<ProjectGlob>,
    models: Vec<ModelGlob>,
}

impl Filter {
    /// The filter of these options.
    pub fn new(args: &ReportArgs) -> Self {
        Self {
            projects: args.project.iter().map(|glob| ProjectGlob::new(glob)).collect(),
            models: args.model.iter().map(|glob| ModelGlob::new(glob)).collect(),
        }
    }

    /// Whether a record is selected.
    pub fn selects(&self, record: &Record) -> bool {
        self.is_of_project(record) && self.is_of_model(record)
    }

    fn is_of_project(&self, record: &Record) -> bool {
        let project = record.project.as_deref().unwrap_or_default();
        self.projects.is_empty() || self.projects.iter().any(|glob| glob.matches(project))
    }

    fn is_of_model(&self, record: &Record) -> bool {
        self.models.is_empty() || self.models.iter().any(|glob| glob.matches(&record.model))
    }

    /// The option that selects none of these records by itself, such as a misspelt project.
    pub fn unmatched(&self, records: &[Record]) -> Option<&'static str> {
        let none = |is_of: fn(&Self, &Record) -> bool| !records.iter().any(|record| is_of(self, record));
        if none(Self::is_of_project) {
            return Some("project");
        }
        none(Self::is_of_model).then_some("model")
    }
}

impl Selection {
    /// The selection of these options for a report of this kind.
    ///
    /// # Errors
    /// An option has a value that cannot be used.
    pub fn new(args: &ReportArgs, kind: Kind, env: &Env) -> Result<Self, UsageError> {
        let grouping = kind.grouping();
        let mut since = date("--since", args.since.as_deref())?;
        let until = date("--until", args.until.as_deref())?;
        if let (Some(since), Some(until)) = (since, until)
            && since > until
        {
            return Err(UsageError(format!("--since {since} is after --until {until}: swap them")));
        }
        let mut calendar = calendar(args, env)?;
        // ccusage counts back from today, also where nothing was used.
        let counts_periods = args.ccusage.is_some() && grouping.is_period() && grouping != Grouping::Block;
        if let Some(n) = args.last
            && counts_periods
        {
            let first = first_of_last(grouping, &mut calendar, n, env.now);
            since = Some(since.map_or(first, |since| since.max(first)));
        }
        let sort_by = match args.sort {
            Some(SortField::Key) => SortBy::Key,
            Some(SortField::Usd) => SortBy::Usd,
            Some(SortField::Tokens) => SortBy::Tokens,
            None if grouping.is_period() || kind == Kind::Agent => SortBy::Key,
            None => SortBy::Usd,
        };
        Ok(Self {
            grouping,
            calendar,
            since,
            until,
            platform: args.ccusage.is_some().then_some(CLAUDE_CODE),
            last_rows: args.last.filter(|_| !counts_periods).map(|n| n as usize),
            sort_by,
            descending: args.order.map_or(sort_by != SortBy::Key, |order| order == Order::Desc),
            filter: Filter::new(args),
        })
    }

    /// What to read from the ledger.
    pub fn query(&self) -> Query {
        let from = self.since.map(|date| self.calendar.start_of(date));
        let before = self.until.map(|date| self.calendar.end_of(date));
        // Where a block starts depends on the moments of all records.
        let one_by_one = self.grouping == Grouping::Block;
        let range = if one_by_one { (None, None) } else { (from, before) };
        Query {
            column: self.grouping.column(),
            from: range.0,
            before: range.1,
            platform: self.platform,
            one_by_one,
        }
    }

    /// The report of the records that the query returned.
    pub fn report(&mut self, mut records: Vec<Record>) -> Report {
        let (mut found, mut blocks) = (Vec::new(), Vec::new());
        if self.grouping == Grouping::Block {
            (found, blocks) = rows::group_by_block(&records, |record| self.filter.selects(record));
            found.retain(|row| match row.key {
                Key::Block(start) => self.is_in_range(start),
                _ => false,
            });
        } else {
            records.retain(|record| self.filter.selects(record));
            found.extend(rows::group(&records, self.grouping, &mut self.calendar));
        }
        if let Some(n) = self.last_rows {
            found = rows::keep_last(found, n);
            let first = found.iter().map(|row| row.first).min();
            blocks.retain(|block| first.is_none_or(|first| block.last >= first));
        }
        rows::sort(&mut found, self.grouping, self.sort_by, self.descending);
        Report { rows: found, blocks }
    }

    /// Whether the date of a moment lies between `--since` and `--until`.
    pub fn is_in_range(&mut self, at: Timestamp) -> bool {
        let date = self.calendar.day(at);
        self.since.is_none_or(|since| since <= date) && self.until.is_none_or(|until| date <= until)
    }
}

/// The calendar of these options.
///
/// # Errors
/// The time zone is not known here.
pub fn calendar(args: &ReportArgs, env: &Env) -> Result<Calendar, UsageError> {
    // ccusage's weeks of Claude Code start on Sunday, those of all agents on Monday.
    let usual = if args.ccusage == Some(CcusageShape::Claude) { Weekday::Sun } else { Weekday::Mon };
    Ok(Calendar::new(zone(args.timezone.as_deref(), env)?, args.start_of_week.map_or(usual, Into::into)))
}

/// The zone of `--timezone`; `local` is the default.
fn zone(name: Option<&str>, env: &Env) -> Result<Zone, UsageError> {
    const USE: &str = "use a name such as Europe/Berlin, UTC, or local";
    match name {
        Some("") => Err(UsageError(format!("--timezone is empty: {USE}"))),
        Some(name) if !name.eq_ignore_ascii_case("local") => zoneinfo::zone_in_any_case(name)
            .map_err(|error| UsageError(format!("--timezone: {name}: {error}; {USE}"))),
        _ => {
            let tz = env.var("TZ");
            zoneinfo::local(tz).map_err(|error| {
                let tz = tz.unwrap_or_default();
                UsageError(format!("TZ: {tz}: {error}; name a zone with --timezone, such as Europe/Berlin"))
            })
        }
    }
}

/// The day that an option names.
fn date(option: &str, text: Option<&str>) -> Result<Option<NaiveDate>, UsageError> {
    let day = text.map(|text| values::day(text).map_err(|why| (text, why))).transpose();
    day.map_err(|(text, why)| UsageError(format!("{option}: {text:?}: {why}")))
}

/// The first day of the last `n` periods, of which the last contains `now`.
fn first_of_last(grouping: Grouping, calendar: &mut Calendar, n: u32, now: Timestamp) -> NaiveDate {
    let (today, earlier) = (calendar.day(now), u64::from(n.saturating_sub(1)));
    let first = match grouping {
        Grouping::Week => calendar.week_of(today).checked_sub_days(Days::new(earlier.saturating_mul(7))),
        Grouping::Month => month_of(today).checked_sub_months(Months::new(n.saturating_sub(1))),
        _ => today.checked_sub_days(Days::new(earlier)),
    };
    first.filter(|date| date.year() > 0).unwrap_or(NaiveDate::MIN)
}
