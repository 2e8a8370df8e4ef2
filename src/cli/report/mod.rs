//! `fusebox report`: what was used and what it cost, by period, session, model, project and more.

mod ccusage;
mod csv;
mod figures;
mod json;
mod overview;
mod selection;
mod table;

use std::path::PathBuf;

use anstyle::Style;
use chrono::Weekday;
use clap::ValueEnum;

use self::overview::Overview;
use self::selection::{Filter, Report, Selection};
use self::table::{Emphasis, TableRow, TableStyle};
use super::render::{self, wrap};
use super::{Io, UsageError};
use crate::ledger::report::blocks::burn;
use crate::ledger::report::read::{self, Column, Record};
use crate::ledger::report::rows::{self, Grouping, Key, Row};
use crate::platform::Env;

/// The key in tables of records that have none.
const KEYLESS: &str = "(none)";

/// Show what was used and what it cost.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without a grouping: today, this week and this month, and this month by model and by project.
What is new in the transcripts is read first. A + marks sums that contain estimates.

Examples:
  fusebox report
  fusebox report daily --last 7 --breakdown
  fusebox report project --since 2026-11-01 --sort tokens
  fusebox report monthly --project 'api-*' --csv > invoice.csv
  fusebox report session --json | jq '.rows[0]'
  fusebox report daily --json --ccusage         for scripts written for ccusage"
)]
pub struct ReportArgs {
    /// What to group by.
    #[arg(value_enum, value_name = "GROUPING")]
    kind: Option<Kind>,
    /// The first day, as YYYY-MM-DD or YYYYMMDD.
    #[arg(long, value_name = "DATE")]
    since: Option<String>,
    /// The last day.
    #[arg(long, value_name = "DATE")]
    until: Option<String>,
    /// Only the N rows that were used last.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    last: Option<u32>,
    /// The time zone of days, such as Europe/Berlin [default: this machine's].
    #[arg(long, short = 'z', value_name = "ZONE")]
    timezone: Option<String>,
    /// The first day of weeks [default: monday; sunday with --ccusage].
    #[arg(long, value_enum, value_name = "DAY", hide_possible_values = true)]
    start_of_week: Option<StartOfWeek>,
    /// Only projects that match: the whole path, or its last folder. May be repeated.
    #[arg(long, value_name = "GLOB")]
    project: Vec<String>,
    /// Only models that match. May be repeated.
    #[arg(long, value_name = "GLOB")]
    model: Vec<String>,
    /// Show the models of each row.
    #[arg(long, short)]
    breakdown: bool,
    /// Sort by key, dollars or tokens [default: key for periods and agents, otherwise usd].
    #[arg(long, value_enum, value_name = "FIELD")]
    sort: Option<SortField>,
    /// Ascending or descending [default: asc for keys, otherwise desc].
    #[arg(long, value_enum, value_name = "ORDER")]
    order: Option<Order>,
    /// Write JSON.
    #[arg(long, short)]
    json: bool,
    /// With --json: the shape of `ccusage claude` (or `all`: of `ccusage`), for daily, weekly, monthly, session and blocks.
    #[arg(
        long,
        value_enum,
        value_name = "SHAPE",
        requires = "json",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "claude"
    )]
    ccusage: Option<CcusageShape>,
    /// Write CSV: a line for each key and model.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Read these ledgers instead of this machine's. A record in several of them counts once.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    ledger: Vec<PathBuf>,
    /// Do not read what is new in the transcripts first.
    #[arg(long)]
    no_import: bool,
}

/// The groupings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Days.
    Daily,
    /// Weeks.
    Weekly,
    /// Months.
    Monthly,
    /// Five-hour blocks.
    Blocks,
    /// Sessions.
    Session,
    /// Models.
    Model,
    /// Projects.
    Project,
    /// Branches.
    Branch,
    /// Types of agents, the main one first.
    Agent,
    /// Platforms: Claude Code, and those of recorded calls.
    Platform,
    /// Chains of recorded calls.
    Chain,
    /// Tasks.
    Task,
}

impl Kind {
    fn grouping(self) -> Grouping {
        match self {
            Self::Daily => Grouping::Day,
            Self::Weekly => Grouping::Week,
            Self::Monthly => Grouping::Month,
            Self::Blocks => Grouping::Block,
            Self::Model => Grouping::Model,
            Self::Project => Grouping::Project,
            Self::Session => Grouping::By(Column::Session),
            Self::Branch => Grouping::By(Column::Branch),
            Self::Agent => Grouping::By(Column::AgentType),
            Self::Platform => Grouping::By(Column::Platform),
            Self::Chain => Grouping::By(Column::Chain),
            Self::Task => Grouping::By(Column::Task),
        }
    }

    /// The header of the table's first column.
    fn header(self) -> &'static str {
        match self {
            Self::Daily => "DAY",
            Self::Weekly => "WEEK OF",
            Self::Monthly => "MONTH",
            Self::Blocks => "BLOCK",
            Self::Session => "SESSION",
            Self::Model => "MODEL",
            Self::Project => "PROJECT",
            Self::Branch => "BRANCH",
            Self::Agent => "AGENT",
            Self::Platform => "PLATFORM",
            Self::Chain => "CHAIN",
            Self::Task => "TASK",
        }
    }
}

/// The first day of weeks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StartOfWeek {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl From<StartOfWeek> for Weekday {
    fn from(day: StartOfWeek) -> Self {
        match day {
            StartOfWeek::Monday => Self::Mon,
            StartOfWeek::Tuesday => Self::Tue,
            StartOfWeek::Wednesday => Self::Wed,
            StartOfWeek::Thursday => Self::Thu,
            StartOfWeek::Friday => Self::Fri,
            StartOfWeek::Saturday => Self::Sat,
            StartOfWeek::Sunday => Self::Sun,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SortField {
    Key,
    Usd,
    Tokens,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Order {
    Asc,
    Desc,
}

/// The shapes of ccusage's JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CcusageShape {
    /// Of `ccusage claude daily --json` and so on.
    Claude,
    /// Of `ccusage daily --json` and so on.
    All,
}

/// Runs the command.
///
/// # Errors
/// Wrong use, or a ledger that cannot be read.
pub fn run(args: &ReportArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let Some(kind) = args.kind else { return overview(args, env, io) };
    let mut selection = Selection::new(args, kind, env)?;
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
    let records = records(args, &selection.query(), env, io)?;
    let report = selection.report(&records);
    if let Some(shape) = args.ccusage
        && let Some(json) = ccusage::report(shape, &report, &mut selection, env.now)
    {
        render::json(io.out, &json)?;
    } else if args.json {
        render::json(io.out, &json::ReportJson::new(&report.rows))?;
    } else if args.csv {
        csv::write(&report.rows, io.out)?;
    } else if report.rows.is_empty() {
        say_empty(args, env, io)?;
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
    let records = records(args, &overview::query(&mut calendar, env.now), env, io)?;
    let overview = Overview::new(&records, &Filter::new(args), &mut calendar, env.now);
    if args.json {
        overview.json(io.out)?;
    } else if overview.is_empty() {
        say_empty(args, env, io)?;
    } else {
        overview.print(&mut calendar, env.now, io.out)?;
    }
    Ok(0)
}

/// The records of the chosen ledgers.
fn records(args: &ReportArgs, query: &read::Query, env: &Env, io: &mut Io) -> anyhow::Result<Vec<Record>> {
    if !args.ledger.is_empty() {
        return Ok(read::read(&args.ledger, query)?);
    }
    if !args.no_import {
        import_new(env, io)?;
    }
    // No file: nothing has been recorded yet.
    match own_ledger(env) {
        Some(file) => Ok(read::read(&[file], query)?),
        None => Ok(Vec::new()),
    }
}

/// Imports what is new in the transcripts into this machine's ledger.
fn import_new(_env: &Env, _io: &mut Io) -> anyhow::Result<()> {
    // `fusebox import` brings the function to call.
    Ok(())
}

/// This machine's ledger, if there is one.
fn own_ledger(env: &Env) -> Option<PathBuf> {
    env.state_dir().map(|dir| dir.join(read::FILE)).filter(|file| file.exists())
}

/// Says that there is nothing to show, and why.
fn say_empty(args: &ReportArgs, env: &Env, io: &mut Io) -> anyhow::Result<()> {
    let files =
        if args.ledger.is_empty() { own_ledger(env).into_iter().collect() } else { args.ledger.clone() };
    let is_empty = read::read(&files, &read::Query::default())?.is_empty();
    io.line(match (is_empty, args.kind) {
        (true, _) if !args.ledger.is_empty() => "Nothing is recorded in this ledger.",
        (true, _) => {
            "Nothing is recorded yet. `fusebox import` reads Claude Code's transcripts of this machine into the ledger."
        }
        (false, None) => "Nothing was used in the last 30 days. `fusebox report monthly` shows all months.",
        (false, Some(_)) => "Nothing was used in that period, or no record matches the other options.",
    })?;
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
        lines.push(table_row(key, row, Emphasis::Row));
        // A row of one model is its own breakdown, but a list of rows is easier to read if all have one.
        for (model, tally) in row.models.iter().filter(|_| args.breakdown && kind != Kind::Model) {
            let key = figures::short_model(model).to_owned();
            lines.push(TableRow { key, models: Vec::new(), tally: *tally, emphasis: Emphasis::Detail });
        }
    }
    let total = rows::total(&report.rows);
    lines.push(TableRow {
        key: "total".to_owned(),
        models: Vec::new(),
        tally: total,
        emphasis: Emphasis::Total,
    });
    let has_models = kind != Kind::Model && !args.breakdown;
    let style = TableStyle { key: kind.header(), has_paths: kind == Kind::Project, has_models };
    write!(io.out, "{}", table::render(&lines, style, wrap::columns()))?;
    let dim = Style::new().dimmed();
    if total.is_estimated() {
        io.line(&format!(
            "{dim}+ contains estimates: of tokens, or of the price of a model without a known one{dim:#}"
        ))?;
    }
    if let Some(line) = active_block(report, selection, env) {
        io.line(&format!("{dim}{line}{dim:#}"))?;
    }
    Ok(())
}

/// What the block that is being used will come to.
fn active_block(report: &Report, selection: &Selection, env: &Env) -> Option<String> {
    let block = report.blocks.iter().find(|block| block.is_active(env.now))?;
    let row = report.rows.iter().find(|row| row.key == Key::Block(block.start))?;
    let end = selection.calendar.zone().local(block.end()).format("%H:%M");
    let left = render::age(block.end().millis_since(env.now));
    let rate = burn(*block, row.tally, env.now).map_or_else(String::new, |(_, projection)| {
        let tokens = crate::app::messages::grouped(projection.tokens);
        format!("; at this rate {tokens} tokens and ${:.2} by then", projection.usd)
    });
    Some(format!("the last block is active until {end} ({left} left){rate}"))
}

fn table_row(key: String, row: &Row, emphasis: Emphasis) -> TableRow {
    let models = row.models.iter().map(|(model, _)| model.to_string()).collect();
    TableRow { key, models, tally: row.tally, emphasis }
}
