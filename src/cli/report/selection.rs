//! What a report is to show, from the command line.

use super::{CcusageShape, Kind, Order, ReportArgs, SortField};
use crate::cli::{UsageError, values};
use crate::domain::time::Timestamp;
use crate::domain::window::Zone;
use crate::ledger::report::calendar::{Calendar, month_of};
use crate::ledger::report::rows::{Grouping, SortBy};
use crate::ledger::report::selection::{Filter, Selection};
use crate::platform::Env;
use crate::zoneinfo;
use chrono::{Datelike, Days, Months, NaiveDate, Weekday};

/// The platform of messages of Claude Code.
pub const CLAUDE_CODE: &str = "claude-code";

/// The filter of these options.
pub fn filter(args: &ReportArgs) -> Filter {
    Filter::new(&args.project, &args.model)
}

/// The selection of these options for a report of this kind.
///
/// # Errors
/// An option has a value that cannot be used.
pub fn selection(args: &ReportArgs, kind: Kind, env: &Env) -> Result<Selection, UsageError> {
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
    Ok(Selection {
        grouping,
        calendar,
        since,
        until,
        platform: args.ccusage.is_some().then_some(CLAUDE_CODE),
        last_rows: args.last.filter(|_| !counts_periods).map(|n| n as usize),
        sort_by,
        descending: args.order.map_or(sort_by != SortBy::Key, |order| order == Order::Desc),
        filter: filter(args),
    })
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
