//! `fusebox cost task`, `chain`, `platforms` and `summary`.

use serde::Serialize;

use super::super::render::{self, counted_many, table, usd_or_more};
use super::super::{Io, UsageError, import, values};
use crate::app;
use crate::app::messages::amounts::grouped;
use crate::domain::time::Timestamp;
use crate::ledger::import::Imported;
use crate::ledger::{CostTotals, PlatformTotals, TaskRecord};
use crate::platform::Env;

/// A day, in milliseconds.
const DAY_MS: i64 = 24 * 3600 * 1000;

/// Show the cost of one task.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fusebox cost task t1
  fusebox cost task t1 --json | jq '.cost_usd'")]
pub struct TaskArgs {
    /// The task.
    #[arg(value_name = "ID")]
    id: String,
    /// Write JSON.
    #[arg(long)]
    json: bool,
}

/// Show the cost of a chain, with its tasks.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fusebox cost chain release
  fusebox cost chain release --json | jq '.tasks[].task_id'")]
pub struct ChainArgs {
    /// The chain.
    #[arg(value_name = "ID")]
    id: String,
    /// Write JSON.
    #[arg(long)]
    json: bool,
}

/// Show the cost of each platform.
#[derive(Debug, clap::Args)]
#[command(after_help = "What is new in the history is imported first. A + marks a sum with estimates.

Examples:
  fusebox cost platforms
  fusebox cost platforms --since 2026-11-01 --json")]
pub struct PlatformsArgs {
    /// Only from this time on: a date (its start in UTC), or an RFC 3339 time.
    #[arg(long, value_name = "DATE", value_parser = values::time)]
    since: Option<Timestamp>,
    /// Write JSON.
    #[arg(long)]
    json: bool,
}

/// Show the records, tokens and cost of each platform on one day.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "What is new in the history is imported first. A record is a recorded call, or a message of a transcript. Days are \
UTC. A + marks a sum with estimates.

Examples:
  fusebox cost summary
  fusebox cost summary --date 2026-11-22 --json"
)]
pub struct SummaryArgs {
    /// The day; today if it is left out.
    #[arg(long, value_name = "DATE", value_parser = values::day_start)]
    date: Option<Timestamp>,
    /// Write JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct TaskJson<'a> {
    task: &'a str,
    #[serde(flatten)]
    totals: CostTotals,
    records: Vec<TaskRecord>,
}

#[derive(Serialize)]
struct ChainJson<'a> {
    chain: &'a str,
    #[serde(flatten)]
    totals: ChainTotals,
    tasks: Vec<TaskRecord>,
}

/// The sum of a chain, without the number of tasks, which are listed.
#[derive(Serialize)]
struct ChainTotals {
    input: u64,
    output: u64,
    tokens: u64,
    cost_usd: f64,
    price_estimated: bool,
}

#[derive(Serialize)]
struct PlatformsJson {
    since: Option<String>,
    platforms: Vec<PlatformTotals>,
    total: CostTotals,
}

#[derive(Serialize)]
struct SummaryJson {
    date: String,
    platforms: Vec<PlatformTotals>,
    total: CostTotals,
}

/// Runs `cost task`.
///
/// # Errors
/// An unknown task, or the ledger cannot be read.
pub fn task(args: &TaskArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let (totals, records) = app::import::read_ledger(env)?.task(&args.id)?;
    if records.is_empty() {
        return Err(UsageError(format!("the ledger has no task {}", args.id)).into());
    }
    if args.json {
        render::json(io.out, &TaskJson { task: &args.id, totals, records })?;
        return Ok(0);
    }
    show_records(&format!("task {}", args.id), &totals, &records, io)
}

/// Runs `cost chain`.
///
/// # Errors
/// An unknown chain, or the ledger cannot be read.
pub fn chain(args: &ChainArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let (totals, tasks) = app::import::read_ledger(env)?.chain(&args.id)?;
    if tasks.is_empty() {
        return Err(UsageError(format!("the ledger has no chain {}", args.id)).into());
    }
    if args.json {
        let CostTotals { input, output, tokens, cost_usd, price_estimated, .. } = totals;
        let totals = ChainTotals { input, output, tokens, cost_usd, price_estimated };
        render::json(io.out, &ChainJson { chain: &args.id, totals, tasks })?;
        return Ok(0);
    }
    show_records(&format!("chain {}", args.id), &totals, &tasks, io)
}

fn show_records(what: &str, totals: &CostTotals, records: &[TaskRecord], io: &mut Io) -> anyhow::Result<u8> {
    let cost = usd_or_more(totals.cost_nanos, totals.is_estimated());
    io.line(&format!("{what}: {}, {cost}", counted_many(totals.tokens, "token")))?;
    let numbers = ["INPUT", "OUTPUT", "COST"];
    let header = ["TIME", "TASK", "PLATFORM", "MODEL", "INPUT", "OUTPUT", "COST"];
    let cells = |record: &TaskRecord| {
        vec![
            record.timestamp.clone(),
            table::truncate(&record.task_id, 32),
            record.platform.clone(),
            record.model.clone(),
            grouped(record.input_tokens),
            grouped(record.output_tokens),
            usd_or_more(record.cost_nanos, record.price_estimated),
        ]
    };
    let rows: Vec<Vec<String>> = records.iter().map(cells).collect();
    write!(io.out, "{}", table::table_or_lines(&header, &numbers, &rows, 2))?;
    Ok(0)
}

/// Runs `cost platforms`.
///
/// # Errors
/// The configuration or the ledger cannot be used.
pub fn platforms(args: &PlatformsArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let imported = import::import_for("these sums", env, io)?;
    let platforms = app::import::read_ledger(env)?.platforms(args.since, None)?;
    let total = sum(&platforms);
    if args.json {
        let since = args.since.map(Timestamp::to_rfc3339);
        render::json(io.out, &PlatformsJson { since, platforms, total })?;
        return Ok(0);
    }
    if platforms.is_empty() {
        return say_empty(&imported, env, io);
    }
    show_platforms(&platforms, &total, io)
}

/// Runs `cost summary`.
///
/// # Errors
/// The configuration or the ledger cannot be used.
pub fn summary(args: &SummaryArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let imported = import::import_for("these sums", env, io)?;
    let start = args.date.unwrap_or(Timestamp(env.now.0.div_euclid(DAY_MS) * DAY_MS));
    let platforms = app::import::read_ledger(env)?.platforms(Some(start), Some(start.plus_millis(DAY_MS)))?;
    let (total, date) = (sum(&platforms), start.utc().format("%Y-%m-%d").to_string());
    if args.json {
        render::json(io.out, &SummaryJson { date, platforms, total })?;
        return Ok(0);
    }
    io.line(&format!("{date} (UTC)"))?;
    if platforms.is_empty() {
        return say_empty(&imported, env, io);
    }
    show_platforms(&platforms, &total, io)
}

/// Says that there is nothing to show, and why.
fn say_empty(imported: &Imported, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    io.line(&match app::import::read_ledger(env)?.platforms(None, None)?.is_empty() {
        true => import::nothing_found(imported),
        false => "Nothing was used in that time.".to_owned(),
    })?;
    Ok(0)
}

fn sum(platforms: &[PlatformTotals]) -> CostTotals {
    platforms.iter().fold(CostTotals::default(), |sum, platform| sum.plus(&platform.totals))
}

fn show_platforms(platforms: &[PlatformTotals], total: &CostTotals, io: &mut Io) -> anyhow::Result<u8> {
    let header = ["PLATFORM", "RECORDS", "TOKENS", "COST"];
    let mut rows = table::new_table(&header, &header[1..]);
    let all = platforms.iter().map(|platform| (platform.platform.as_str(), &platform.totals));
    for (name, totals) in all.chain([("total", total)]) {
        rows.add_row([
            name.to_owned(),
            grouped(totals.tasks),
            grouped(totals.tokens),
            usd_or_more(totals.cost_nanos, totals.is_estimated()),
        ]);
    }
    write!(io.out, "{}", table::to_trimmed_text(&rows))?;
    Ok(0)
}
