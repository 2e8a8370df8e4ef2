//! `fusebox quota status` and `summary`: where platforms stand.

use std::collections::BTreeMap;

use anstyle::Style;
use serde::Serialize;

use super::super::render::{bar, fit, table};
use super::super::select::{self, ConfiguredStore};
use super::super::{Io, render, values};
use super::request::{amount_text, ensure_known};
use crate::app::messages::amounts::{duration, number, quantity};
use crate::app::quota::{OpenReservation, PlatformStatus, QuotaBudget, Quotas};
use crate::domain::amount::Count;
use crate::domain::budget::{Mode, OnLimit, Unit};
use crate::domain::time::Timestamp;
use crate::domain::window::Zone;
use crate::platform::Env;
use crate::zoneinfo;

/// Show each platform: used, reserved and available, and the next reset.
#[derive(Debug, clap::Args)]
#[command(after_help = "Times are local; in JSON, UTC.

Examples:
  fusebox quota status
  fusebox quota status --platform gemini --json | jq '.[].budgets[].available'")]
pub struct StatusArgs {
    /// Only this platform.
    #[arg(long, value_name = "NAME", value_parser = values::name)]
    platform: Option<String>,
    /// Write JSON.
    #[arg(long)]
    json: bool,
}

/// Show one line for each platform: the budget that is used most.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fusebox quota summary
  fusebox quota summary --json | jq '.gemini.available'")]
pub struct SummaryArgs {
    /// Write JSON.
    #[arg(long)]
    json: bool,
}

/// Runs `fusebox quota status`.
///
/// # Errors
/// The platform is not known, or the store cannot be used.
pub fn status(args: &StatusArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let (platforms, now) = read(args.platform.as_deref(), env, io)?;
    if args.json {
        render::json(io.out, &platforms)?;
        return Ok(0);
    }
    if platforms.is_empty() {
        io.line(NO_PLATFORMS)?;
    }
    let when = When { now, zone: local_zone(env) };
    for (at, platform) in platforms.iter().enumerate() {
        if at > 0 {
            writeln!(io.out)?;
        }
        print_platform(platform, &when, io)?;
    }
    Ok(0)
}

const NO_PLATFORMS: &str =
    "No platforms: add a [[budget]] with scope = \"platform\" and match = NAME to the configuration.";

/// Where the platforms stand, and the time by the store's clock.
fn read(only: Option<&str>, env: &Env, io: &mut Io) -> anyhow::Result<(Vec<PlatformStatus>, Timestamp)> {
    let ConfiguredStore { config, mut store } = select::open_current(env, io.err)?;
    let read = store.call(|store| {
        let mut quotas = Quotas::new(store, &config, env.now)?;
        Ok((quotas.status(only)?, quotas.now()))
    })?;
    match only {
        // It may have calls, although nothing counts it any more.
        Some(only) if read.0.is_empty() => ensure_known(&config, only).map(|()| read),
        _ => Ok(read),
    }
}

/// Now, and the zone of times for people.
struct When {
    now: Timestamp,
    zone: Zone,
}

impl When {
    /// `Wed 2 Dec 01:00`
    fn date(&self, at: Timestamp) -> String {
        self.zone.local(at).format("%a %-d %b %H:%M").to_string()
    }

    /// `in 3 h`
    fn ahead(&self, at: Timestamp) -> String {
        match at.millis_since(self.now) {
            ..=0 => "now".to_owned(),
            ms => format!("in {}", duration(ms)),
        }
    }
}

/// The zone of this machine; UTC if it is not known here.
pub fn local_zone(env: &Env) -> Zone {
    zoneinfo::local(env.var("TZ")).or_else(|_| zoneinfo::local(None)).unwrap_or_else(|_| Zone::utc())
}

fn print_platform(platform: &PlatformStatus, when: &When, io: &mut Io) -> anyhow::Result<()> {
    let bold = Style::new().bold();
    io.line(&format!("{bold}{}{bold:#}", fit::fit(&platform.platform, 60)))?;
    if platform.budgets.is_empty() {
        io.line("  no budget counts it")?;
    }
    let widest = platform.budgets.iter().map(|budget| fit::width(&budget.state.budget.name)).max();
    let widest = widest.unwrap_or_default().min(16);
    for budget in &platform.budgets {
        print_budget(budget, widest, when, io)?;
    }
    if let [_, ..] = platform.reservations[..] {
        io.line(&format!("  {}", render::counted(platform.reservations.len(), "open reservation")))?;
    }
    const SHOWN: usize = 10;
    for one in platform.reservations.iter().take(SHOWN) {
        io.line(&format!("    {}", reservation_text(one, when)))?;
    }
    let more = platform.reservations.len().saturating_sub(SHOWN);
    if more > 0 {
        io.line(&format!("    … and {more} more; --json lists all"))?;
    }
    Ok(())
}

fn print_budget(budget: &QuotaBudget, widest: usize, when: &When, io: &mut Io) -> anyhow::Result<()> {
    let (state, dim) = (&budget.state, Style::new().dimmed());
    let unit = state.budget.unit;
    let (used, limit) = (short(state.used, unit), quantity(state.limit(), unit));
    let bar = bar::bar(state.utilization());
    let name = fit::left(&state.budget.name, widest);
    writeln!(io.out, "  {name}  {bar} {:>7.2}%  {used} / {limit}", budget.percent_used)?;
    let mut parts = vec![
        format!("reserved {}", short(budget.reserved_units, unit)),
        format!("available {}", short(budget.available_units(), unit)),
    ];
    if !budget.alerts_triggered.is_empty() {
        parts.push(format!("passed {}", percents(&budget.alerts_triggered)));
    }
    if state.budget.mode == Mode::Shadow {
        parts.push("shadow".to_owned());
    } else if state.budget.on_limit == OnLimit::Warn {
        parts.push("only warns".to_owned());
    }
    parts.push(match state.window.end {
        Some(end) => format!("resets {} ({})", when.date(end), when.ahead(end)),
        None => "never resets".to_owned(),
    });
    // The numbers are in the first line; a narrow terminal gets the rest in several.
    let indent = widest + 4;
    let columns = render::wrap::columns().unwrap_or(render::wrap::DEFAULT_COLUMNS);
    for line in join_parts(&parts, columns.saturating_sub(indent)) {
        writeln!(io.out, "{}{dim}{line}{dim:#}", " ".repeat(indent))?;
    }
    Ok(())
}

/// Lines of parts, each with as many as fit these columns.
fn join_parts(parts: &[String], columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        match lines.last_mut() {
            Some(line) if fit::width(line) + 3 + fit::width(part) <= columns => {
                *line = format!("{line} · {part}");
            }
            _ => lines.push(part.clone()),
        }
    }
    lines
}

/// A count without its unit; of dollars, nothing is `$0.00`.
fn short(count: u64, unit: Unit) -> String {
    if unit == Unit::Usd { render::usd(count) } else { number(count, unit) }
}

/// `50%, 80%`
fn percents(thresholds: &[f64]) -> String {
    thresholds.iter().map(|threshold| format!("{threshold}%")).collect::<Vec<_>>().join(", ")
}

fn reservation_text(one: &OpenReservation, when: &When) -> String {
    let amount = amount_text(&one.amount);
    let expires = Timestamp::parse(&one.expires_at).unwrap_or(when.now);
    let mut parts = vec![format!("{}  {amount}", one.id), format!("expires {}", when.ahead(expires))];
    // Without a chain of its own, a call belongs to the chain of its session.
    let chain = Some(one.chain.as_str()).filter(|chain| *chain != one.session);
    let named = [("key", one.key.as_deref()), ("chain", chain), ("session", Some(one.session.as_str()))];
    let named =
        named.into_iter().filter_map(|(what, name)| Some((what, name.filter(|name| !name.is_empty())?)));
    parts.extend(named.map(|(what, name)| format!("{what} {}", fit::fit(name, 40))));
    if !one.counts {
        parts.push("from before, no longer counts".to_owned());
    }
    parts.join(" · ")
}

/// The summary of a platform.
#[derive(Serialize)]
struct SummaryJson {
    /// The name of the budget.
    budget: String,
    used: Count,
    limit: Count,
    /// Limit − used.
    remaining: Count,
    /// Limit − used − reserved.
    available: Count,
    percent_used: f64,
    alerts_triggered: Vec<f64>,
    reserved: Count,
    unit: Unit,
    resets_at: Option<String>,
}

impl SummaryJson {
    fn new(budget: &QuotaBudget) -> Self {
        let status = &budget.status;
        Self {
            budget: budget.state.budget.name.clone(),
            used: status.used,
            limit: status.limit,
            remaining: status.remaining,
            available: budget.available,
            percent_used: budget.percent_used,
            alerts_triggered: budget.alerts_triggered.clone(),
            reserved: budget.reserved,
            unit: status.unit,
            resets_at: status.resets_at.clone(),
        }
    }
}

/// Runs `fusebox quota summary`.
///
/// # Errors
/// The store cannot be used.
pub fn summary(args: &SummaryArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let (platforms, now) = read(None, env, io)?;
    let fullest = |platform: &PlatformStatus| {
        let by_use =
            |a: &&QuotaBudget, b: &&QuotaBudget| a.state.utilization().total_cmp(&b.state.utilization());
        // The first of those that are equally full.
        platform.budgets.iter().rev().max_by(by_use).cloned()
    };
    let of = |platform: &PlatformStatus| Some((platform.platform.clone(), fullest(platform)?));
    let all: BTreeMap<String, QuotaBudget> = platforms.iter().filter_map(of).collect();
    if args.json {
        let all: BTreeMap<&String, SummaryJson> =
            all.iter().map(|(platform, budget)| (platform, SummaryJson::new(budget))).collect();
        render::json(io.out, &all)?;
        return Ok(0);
    }
    if all.is_empty() {
        io.line(NO_PLATFORMS)?;
        return Ok(0);
    }
    let when = When { now, zone: local_zone(env) };
    let row = |(platform, budget): (&String, &QuotaBudget)| {
        let (state, unit) = (&budget.state, budget.state.budget.unit);
        vec![
            fit::fit(platform, 20),
            format!("{:.2}%", budget.percent_used),
            short(state.used, unit),
            short(state.limit(), unit),
            short(budget.reserved_units, unit),
            short(budget.available_units(), unit),
            unit.noun().to_owned(),
            percents(&budget.alerts_triggered),
            state.window.end.map_or_else(|| "never".to_owned(), |end| when.ahead(end)),
        ]
    };
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    let header = ["PLATFORM", "%", "USED", "LIMIT", "RESERVED", "LEFT", "UNIT", "ALERTS", "RESETS"];
    write!(
        io.out,
        "{}",
        table::table_or_lines(&header, &["%", "USED", "LIMIT", "RESERVED", "LEFT"], &rows, 2)
    )?;
    Ok(0)
}
