//! `fusebox report`: what was used and what it cost, by period, session, model, project and more.

mod args;
mod ccusage;
mod csv;
mod figures;
mod overview;
mod selection;
mod table;

use std::path::PathBuf;

use anstyle::Style;
use clap::ValueEnum;

pub use self::args::ReportArgs;
use self::args::{CcusageShape, Kind, Order, SortField};
use self::table::{Emphasis, TableRow, TableStyle};
use super::render::{self, wrap};
use super::{Io, UsageError, import};
use crate::app::messages::amounts::grouped;
use crate::domain::money::nanos_from_usd;
use crate::ledger::import::Imported;
use crate::ledger::names::short_model;
use crate::ledger::report::blocks::burn;
use crate::ledger::report::calendar::Calendar;
use crate::ledger::report::json::ReportJson;
use crate::ledger::report::overview::{self as recent, Overview, OverviewJson};
use crate::ledger::report::read::{self, Column, ReadError, Record};
use crate::ledger::report::rows::{self, Grouping, Key, Row};
use crate::ledger::report::selection::{Report, Selection};
use crate::platform::Env;

/// The key in tables of records that have none.
const KEYLESS: &str = "(none)";

/// Explains the `+`.
const ESTIMATED: &str = "+ includes estimates of tokens, or of prices that are not in the price list";

/// Runs the command.
///
/// # Errors
/// Wrong use, a configuration that cannot be used, or a ledger that cannot be read.
pub fn run(args: &ReportArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let Some(kind) = args.kind else { return overview(args, env, io) };
    let mut selection = selection::selection(args, kind, env)?;
    if args.ccusage.is_some()
        && !matches!(kind.grouping(), Grouping::By(Column::Session))
        && !kind.grouping().is_period()
    {
        let given = kind.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        let error = format!(
            "ccusage has no report by {given}: use daily, weekly, monthly, session or blocks, or no --ccusage"
        );
        return Err(UsageError(error).into());
    }
    let (records, imported) = records(args, &selection.query(), &mut selection.calendar, env, io)?;
    let report = selection.report(records);
    if let Some(shape) = args.ccusage
        && let Some(json) = ccusage::report(shape, &report, &mut selection, env.now)
    {
        render::json(io.out, &json)?;
    } else if args.json {
        render::json(io.out, &ReportJson::new(&report.rows))?;
    } else if args.csv {
        csv::write(&report.rows, io.out)?;
    } else if report.rows.is_empty() {
        say_empty(args, &mut selection.calendar, imported.as_ref(), env, io)?;
    } else {
        print(args, kind, &report, &selection, env, io)?;
    }
    Ok(0)
}

fn overview(args: &ReportArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let needs_grouping = [
        ("--csv", args.csv),
        ("--ccusage", args.ccusage.is_some()),
        ("--since", args.since.is_some()),
        ("--until", args.until.is_some()),
        ("--last", args.last.is_some()),
        ("--breakdown", args.breakdown),
        ("--sort", args.sort.is_some()),
        ("--order", args.order.is_some()),
    ];
    if let Some((option, _)) = needs_grouping.iter().find(|(_, given)| *given) {
        let error = format!("{option} needs a grouping, such as `fusebox report daily {option} …`");
        return Err(
            UsageError(error.replace("--csv …", "--csv").replace("--breakdown …", "--breakdown")).into()
        );
    }
    let mut calendar = selection::calendar(args, env)?;
    let query = recent::query(&mut calendar, env.now);
    let (records, imported) = records(args, &query, &mut calendar, env, io)?;
    let overview = Overview::new(&records, &selection::filter(args), &mut calendar, env.now);
    if args.json {
        render::json(io.out, &OverviewJson::from(&overview))?;
    } else if overview.is_empty() {
        say_empty(args, &mut calendar, imported.as_ref(), env, io)?;
    } else {
        overview::print(&overview, &mut calendar, env.now, io.out)?;
    }
    Ok(0)
}

/// The records of the chosen ledgers, and what was imported first.
fn records(
    args: &ReportArgs,
    query: &read::Query,
    calendar: &mut Calendar,
    env: &Env,
    io: &mut Io,
) -> anyhow::Result<(Vec<Record>, Option<Imported>)> {
    if !args.ledger.is_empty() {
        return Ok((read::read(&args.ledger, query, calendar).map_err(wrong_use)?, None));
    }
    let imported = if args.no_import { None } else { import::import_new("this report", env, io)? };
    // No file: nothing has been recorded yet.
    let records = own_ledger(env).map(|file| read::read(&[file], query, calendar)).transpose()?;
    Ok((records.unwrap_or_default(), imported))
}

/// A file that was named and is no ledger is wrong use.
fn wrong_use(error: ReadError) -> anyhow::Error {
    match error {
        ReadError::Missing(_) | ReadError::Folder(_) | ReadError::NoLedger(_) => {
            UsageError(error.to_string()).into()
        }
        ReadError::Unreadable { .. } => error.into(),
    }
}

/// This machine's ledger, if there is one.
fn own_ledger(env: &Env) -> Option<PathBuf> {
    env.state_dir().map(|dir| dir.join(read::FILE)).filter(|file| file.exists())
}

/// Says that there is nothing to show, and why.
fn say_empty(
    args: &ReportArgs,
    calendar: &mut Calendar,
    imported: Option<&Imported>,
    env: &Env,
    io: &mut Io,
) -> anyhow::Result<()> {
    let files =
        if args.ledger.is_empty() { own_ledger(env).into_iter().collect() } else { args.ledger.clone() };
    let all = read::read(&files, &read::Query::default(), calendar)?;
    let why = match (all.is_empty(), selection::filter(args).unmatched(&all)) {
        (true, _) if !args.ledger.is_empty() => "Nothing is recorded in this ledger.".to_owned(),
        (true, _) => imported.map_or_else(
            || {
                "Nothing is recorded yet. `fusebox import` reads Claude Code's transcripts of this machine into the ledger."
                    .to_owned()
            },
            import::nothing_found,
        ),
        (false, Some(what)) => {
            let globs = if what == "model" { &args.model } else { &args.project };
            format!("No {what} matches {}.", globs.join(" or "))
        }
        (false, None) if args.kind.is_none() => {
            "Nothing was used in the last 30 days. `fusebox report monthly` shows all months.".to_owned()
        }
        (false, None) => "Nothing was used in that period, or no record matches the other options.".to_owned(),
    };
    io.line(&why)?;
    Ok(())
}

/// Prints the table.
fn print(
    args: &ReportArgs,
    kind: Kind,
    report: &Report,
    selection: &Selection,
    env: &Env,
    io: &mut Io,
) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    for row in &report.rows {
        let key = match &row.key {
            Key::Block(start) => selection.calendar.zone().local(*start).format("%Y-%m-%d %H:%M").to_string(),
            key => key.text().unwrap_or_else(|| KEYLESS.to_owned()),
        };
        lines.push(table_row(key, kind == Kind::Project, row));
        for (model, tally) in row.models.iter().filter(|_| args.breakdown && kind != Kind::Model) {
            lines.push(TableRow::new(short_model(model), *tally, Emphasis::Detail));
        }
    }
    let total = rows::total(&report.rows);
    lines.push(TableRow::new("total", total, Emphasis::Total));
    let has_models = kind != Kind::Model && !args.breakdown;
    let style = TableStyle {
        key: kind.header(),
        has_long_keys: matches!(kind, Kind::Session | Kind::Project),
        has_models,
    };
    write!(io.out, "{}", table::render(&lines, style, wrap::columns()))?;
    let dim = Style::new().dimmed();
    if total.is_estimated() {
        io.line(&format!("{dim}{ESTIMATED}{dim:#}"))?;
    }
    if let Some(line) = active_block(report, selection, env) {
        io.line(&format!("{dim}{line}{dim:#}"))?;
    }
    Ok(())
}

/// When the block that is being used ends, and what it will come to.
fn active_block(report: &Report, selection: &Selection, env: &Env) -> Option<String> {
    let block = report.blocks.iter().find(|block| block.is_active(env.now))?;
    let row = report.rows.iter().find(|row| row.key == Key::Block(block.start))?;
    let end = selection.calendar.zone().local(block.end()).format("%H:%M");
    let left = hours_and_minutes(block.end().millis_since(env.now));
    let rate = burn(*block, row.tally, env.now).map_or_else(String::new, |(_, projection)| {
        let tokens = grouped(projection.tokens);
        let more = if row.tally.is_estimated() { "+" } else { "" };
        let cost = figures::dollars(nanos_from_usd(projection.usd));
        format!(" At its rate so far it will reach {tokens} tokens, {cost}{more}.")
    });
    Some(format!("The current block ends at {end}, in {left}.{rate}"))
}

/// `4 h 42 min`, `5 min`, rounded up: while a block is active, it does not end in 0 min.
fn hours_and_minutes(ms: i64) -> String {
    let minutes = (ms + 59_999) / 60_000;
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

fn table_row(key: String, is_path: bool, row: &Row) -> TableRow {
    let models = row.models.iter().map(|(model, _)| model.to_string()).collect();
    TableRow { is_path, models, ..TableRow::new(&key, row.tally, Emphasis::Row) }
}
