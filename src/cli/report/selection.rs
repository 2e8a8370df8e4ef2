//! What a report is to show, from the command line.

use chrono::{Datelike, Days, Months, NaiveDate, Weekday};
use wildmatch::WildMatch;

use super::figures::short_model;
use super::{CcusageShape, Kind, Order, ReportArgs, SortField};
use crate::cli::UsageError;
use crate::domain::time::Timestamp;
use crate::domain::window::Zone;
use crate::ledger::report::blocks::Block;
use crate::ledger::report::calendar::{Calendar, month_of};
use crate::ledger::report::read::{Query, Record};
use crate::ledger::report::rows::{self, Grouping, Key, Row, SortBy};
use crate::platform::Env;
use crate::zoneinfo;

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
    projects: Vec<WildMatch>,
    models: Vec<WildMatch>,
}

impl Filter {
    /// The filter of these options.
    pub fn new(args: &ReportArgs) -> Self {
        let globs = |texts: &[String]| texts.iter().map(|text| WildMatch::new(text)).collect();
        Self { projects: globs(&args.project), models: globs(&args.model) }
    }

    /// Whether a record is selected. A glob matches the whole path of a project or its last folder, and the whole name of a
    /// model or its short form.
    pub fn selects(&self, record: &Record) -> bool {
        let project = record.project.as_deref().unwrap_or_default();
        let folder = project.rsplit('/').next().unwrap_or_default();
        let is_any = |globs: &[WildMatch], names: [&str; 2]| {
            globs.is_empty() || globs.iter().any(|glob| names.iter().any(|name| glob.matches(name)))
        };
        is_any(&self.projects, [project, folder])
            && is_any(&self.models, [&record.model, short_model(&record.model)])
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
        let query = Query { column: self.grouping.column(), from, before, platform: self.platform };
        // Where a block starts depends on what came before it.
        if self.grouping == Grouping::Block { Query { from: None, before: None, ..query } } else { query }
    }

    /// The report of the records that the query returned.
    pub fn report(&mut self, records: &[Record]) -> Report {
        let (mut found, mut blocks) = (Vec::new(), Vec::new());
        if self.grouping == Grouping::Block {
            (found, blocks) = rows::group_by_block(records, |record| self.filter.selects(record));
            found.retain(|row| match row.key {
                Key::Block(start) => self.is_in_range(start),
                _ => false,
            });
        } else {
            let selected: Vec<Record> =
                records.iter().filter(|record| self.filter.selects(record)).cloned().collect();
            found.extend(rows::group(&selected, self.grouping, &mut self.calendar));
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
    match name {
        Some(name) if name != "local" => zoneinfo::zone(name).map_err(|error| {
            UsageError(format!(
                "--timezone: {name}: {error}; use a name such as Europe/Berlin, UTC, or local"
            ))
        }),
        _ => {
            let tz = env.var("TZ");
            zoneinfo::local(tz).map_err(|error| {
                let tz = tz.unwrap_or_default();
                UsageError(format!("TZ: {tz}: {error}; name a zone with --timezone, such as Europe/Berlin"))
            })
        }
    }
}

/// A date as YYYY-MM-DD or YYYYMMDD.
fn date(option: &str, text: Option<&str>) -> Result<Option<NaiveDate>, UsageError> {
    let Some(text) = text else { return Ok(None) };
    let parts = match text.len() {
        8 => [text.get(..4), text.get(4..6), text.get(6..)],
        10 if text.get(4..5) == Some("-") && text.get(7..8) == Some("-") => {
            [text.get(..4), text.get(5..7), text.get(8..)]
        }
        _ => [None; 3],
    };
    let number = |part: Option<&str>| {
        part.filter(|part| part.bytes().all(|b| b.is_ascii_digit()))?.parse::<u32>().ok()
    };
    let found = match parts.map(number) {
        [Some(year), Some(month), Some(day)] => NaiveDate::from_ymd_opt(year.cast_signed(), month, day),
        _ => None,
    };
    let refused = || UsageError(format!("{option}: {text:?} is not a date: write YYYY-MM-DD or YYYYMMDD"));
    found.map(Some).ok_or_else(refused)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_forms_of_dates_are_taken() {
        let parse = |text: &str| date("--since", Some(text)).map(|date| date.map(|date| date.to_string()));
        for (text, taken) in
            [("2026-11-30", "2026-11-30"), ("20261130", "2026-11-30"), ("20240229", "2024-02-29")]
        {
            assert_eq!(parse(text).ok().flatten().as_deref(), Some(taken), "{text}");
        }
        for text in [
            "",
            "2026-11",
            "2026-13-01",
            "2026-11-31",
            "20261131",
            "2026/11/30",
            "30.11.2026",
            "today",
            "2026-1-3",
            "+0261130",
            "2026-11-3é",
            "2026-11-30T00:00:00Z",
            " 20261130",
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.starts_with("--since: ") && error.ends_with("YYYY-MM-DD or YYYYMMDD"), "{error}");
            assert_eq!(error.lines().count(), 1);
        }
    }
}
