//! `fusebox status`: shows sessions and their budgets.

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::render::{self, counted, counted_many, table};
use super::watch::{self, Layout};
use super::{Io, last_known, select};
use crate::app::last_known::LastKnown;
use crate::app::messages::amounts::grouped;
use crate::app::messages::forecasts;
use crate::app::process_tree;
use crate::app::report;
use crate::app::status::SessionStatus;
use crate::app::store_status::StoreStatus;
use crate::domain::budget::BudgetState;
use crate::platform::Env;
use crate::store::SessionRow;

/// Show sessions and their budgets.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Transcripts are first read to the end, so the numbers are current. A stopped `claude -p` exits 0: check with --check.

Examples:
  fusebox status                          live sessions, or the most recent one
  fusebox status --session 3f2a           one session, by the start of its id
  fusebox status --session ID --json      for scripts
  fusebox status --session ID --check     exit code 3 if it was stopped
  fusebox status --watch 10               again every 10 seconds, until Ctrl-C"
)]
pub struct StatusArgs {
    /// A session id, or the beginning of one.
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Show all known sessions.
    #[arg(long, conflicts_with = "session")]
    all: bool,
    /// Write JSON: an object with --session, otherwise a list.
    #[arg(long)]
    json: bool,
    /// Exit with 3 if a session shown was stopped by a budget or its circuit breaker, and is still blocked.
    #[arg(long)]
    check: bool,
    /// Print it again at each interval, until Ctrl-C: in place in a terminal, otherwise one after the other, in JSON one
    /// document a line. Default: every 2 seconds.
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        default_missing_value = "2",
        conflicts_with = "check",
        value_parser = clap::value_parser!(u32).range(1..=86_400)
    )]
    watch: Option<u32>,
}

/// A session and its status.
pub struct SessionReport {
    /// The session.
    pub row: SessionRow,
    /// The JSON for scripts.
    pub status: SessionStatus,
    /// Its budgets.
    pub states: Vec<BudgetState>,
}

/// Runs the command.
///
/// # Errors
/// Unknown session, an unusable configuration or store.
pub fn run(args: &StatusArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    match args.watch {
        Some(seconds) => {
            let layout = if args.json { Layout::Lines } else { Layout::Blocks };
            watch::watch(seconds, layout, env, io, |env, io| run_once(args, env, io))
        }
        None => run_once(args, env, io),
    }
}

fn run_once(args: &StatusArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let reports = match query_store(args, env, io) {
        Ok(reports) => reports,
        Err(error) => query_last_known(args, &last_known::read_last_known(env, error, io)?, env)?,
    };
    if args.json {
        let list: Vec<&SessionStatus> = reports.iter().map(|report| &report.status).collect();
        match (&args.session, list.first()) {
            (Some(_), Some(only)) => write_json(args, only, io)?,
            _ => write_json(args, &list, io)?,
        }
    } else if reports.is_empty() {
        io.line("No sessions yet. Start a Claude Code session; `fusebox init` registers the hooks that Fusebox needs.")?;
    } else {
        for (i, report) in reports.iter().enumerate() {
            if i > 0 {
                writeln!(io.out)?;
            }
            show(report, env, io)?;
        }
        if let Some(report) = reports.first() {
            print_recovering(&report.status.store, io)?;
        }
    }
    let stopped = reports.iter().any(|report| report.status.stopped);
    Ok(if args.check && stopped { 3 } else { 0 })
}

/// Writes JSON: on one line, if more will follow.
fn write_json(args: &StatusArgs, value: &impl Serialize, io: &mut Io) -> anyhow::Result<()> {
    match args.watch {
        Some(_) => Ok(writeln!(io.out, "{}", serde_json::to_string(value)?)?),
        None => render::json(io.out, value),
    }
}

/// The status from the store, after catching up on all sessions.
fn query_store(args: &StatusArgs, env: &Env, io: &mut Io) -> anyhow::Result<Vec<SessionReport>> {
    let mut opened = select::open_current(env, io.err)?;
    let rows = select::sessions(&mut opened.store)?;
    let named = args.session.as_deref().map(|id| select::find_session(&rows, id)).transpose()?;
    let chosen = sessions_to_show(args, named, &rows, env);
    // First, because budgets may be shared between sessions.
    let read = rows.iter().filter(|row| !row.complete || chosen.contains(row));
    select::catch_up_in(env, &opened.config, read, io.err)?;
    let mut reports = Vec::new();
    for row in chosen {
        let (status, states) = report::session_status(env, row)?;
        reports.push(SessionReport { row: row.clone(), status, states });
    }
    Ok(reports)
}

/// The status that this machine knows.
fn query_last_known(args: &StatusArgs, known: &LastKnown, env: &Env) -> anyhow::Result<Vec<SessionReport>> {
    let rows = known.rows();
    let named = args.session.as_deref().map(|id| last_known::find_session(&rows, id)).transpose()?;
    let of = |row: &SessionRow| {
        known.session(row).map(|(status, states)| SessionReport { row: row.clone(), status, states })
    };
    Ok(sessions_to_show(args, named, &rows, env).into_iter().filter_map(of).collect())
}

/// The sessions to show: the named one, all, the live ones, or else the last one.
fn sessions_to_show<'r>(
    args: &StatusArgs,
    named: Option<&'r SessionRow>,
    rows: &'r [SessionRow],
    env: &Env,
) -> Vec<&'r SessionRow> {
    match named {
        Some(row) => vec![row],
        None if args.all => rows.iter().collect(),
        None => {
            let live: Vec<&SessionRow> =
                rows.iter().filter(|row| process_tree::is_live(row, env.now)).collect();
            if live.is_empty() { rows.iter().take(1).collect() } else { live }
        }
    }
}

fn show(SessionReport { row, status, states }: &SessionReport, env: &Env, io: &mut Io) -> anyhow::Result<()> {
    let (bold, dim) = (Style::new().bold(), Style::new().dimmed());
    let state = match (status.stopped, process_tree::is_live(row, env.now)) {
        (true, _) => {
            let red = Style::new().fg_color(Some(AnsiColor::Red.into())).bold();
            format!("{red}stopped{red:#}")
        }
        (false, true) => "live".to_owned(),
        (false, false) => format!("{dim}ended{dim:#}"),
    };
    writeln!(io.out, "{bold}Session {}{bold:#}  {state}", status.session)?;
    writeln!(io.out, "  {dim}{}{dim:#}", row.session.project)?;
    let t = status.tokens;
    let tokens = [
        ("input", t.input),
        ("output", t.output),
        ("cache writes", t.cache_write_5m + t.cache_write_1h),
        ("cache reads", t.cache_read),
    ];
    let named = |(name, n): &(&str, u64)| format!("{} {name}", grouped(*n));
    io.line(&format!("  tokens: {}", tokens.iter().map(named).collect::<Vec<_>>().join(" · ")))?;
    writeln!(io.out, "  {} requests · {} tool calls", grouped(status.requests), grouped(status.tool_calls))?;
    io.line(&format!("  cost: {}", status.cost.text()))?;
    for what in missing_responses(status) {
        let yellow = Style::new().fg_color(Some(AnsiColor::Yellow.into())).bold();
        io.line(&format!("  {yellow}incomplete{yellow:#}: {what}. `fusebox doctor` says what to do"))?;
    }
    let n = status.estimated_messages.saturating_sub(status.unseen_responses);
    if n > 0 {
        io.line(&format!(
            "  {dim}{n} of the messages are estimates: streams that were cut off, or compactions without a total yet{dim:#}"
        ))?;
    }
    for line in circuit_lines(status) {
        io.line(&format!("  {line}"))?;
    }
    for line in table::budgets(states).lines() {
        writeln!(io.out, "  {line}")?;
    }
    for held in &status.held_by {
        let red = Style::new().fg_color(Some(AnsiColor::Red.into()));
        io.line(&format!("  {red}held back{red:#}: {}", held.why))?;
    }
    for line in last_known::offline_notes(status, states) {
        io.line(&format!("  {dim}{line}{dim:#}"))?;
    }
    for (state, end) in states.iter().filter_map(|state| Some((state, forecasts::window_end(state)?))) {
        let pace = forecasts::pace(state).map_or_else(String::new, |pace| format!("; {pace}"));
        io.line(&format!("  {dim}{} resets at {end}{pace}{dim:#}", state.budget.name))?;
    }
    for unknown in &status.unknown_budgets {
        io.line(&format!("  {dim}{}{dim:#}", unknown.line()))?;
    }
    Ok(())
}

/// What transcripts lack, and what is charged for it.
fn missing_responses(status: &SessionStatus) -> Vec<String> {
    let responses = |n| counted_many(n, "response");
    let mut found = Vec::new();
    if status.unseen_responses > 0 {
        let unseen = responses(status.unseen_responses);
        found.push(format!("no transcript shows {unseen}, so estimates are charged"));
    }
    if status.uncharged_responses > 0 {
        let uncharged = responses(status.uncharged_responses);
        found.push(format!(
            "at least {uncharged} with repeated tool call ids cannot be charged, because no transcript shows them"
        ));
    }
    found
}

/// Prints a notice if some machines have not refilled the store yet.
pub fn print_recovering(store: &StoreStatus, io: &mut Io) -> anyhow::Result<()> {
    let StoreStatus { kind, recovering, .. } = store;
    if recovering.is_empty() {
        return Ok(());
    }
    let yellow = Style::new().fg_color(Some(AnsiColor::Yellow.into())).bold();
    let (machines, have) = (recovering.join(", "), if recovering.len() == 1 { "has" } else { "have" });
    io.line(&format!("{yellow}recovering{yellow:#}: the {kind} store lost something, and {} {have} not read their transcripts \
         again ({machines}). Run `fusebox status` there. Shared budgets may count too little until then",
        counted(recovering.len(), "machine")))?;
    Ok(())
}

/// The main agent's circuit breaker, and those of subagents that are held back.
fn circuit_lines(status: &SessionStatus) -> Vec<String> {
    let main = status.circuit.iter().map(|circuit| ("main", circuit));
    let agents = status.agents.iter().map(|(agent, of)| (agent.as_str(), &of.circuit));
    // Only subagents that are held back: there may be many.
    let shown = main.chain(agents.filter(|(_, circuit)| circuit.state != "closed"));
    let mut lines: Vec<String> = shown
        .map(|(agent, circuit)| {
            let iterations =
                render::iterations(circuit).map_or_else(String::new, |made| format!(" ({made} iterations)"));
            let of = if agent == "main" { String::new() } else { format!(" of {agent}") };
            let why = circuit.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
            format!("circuit breaker{of}: {}{iterations}{why}", circuit.state)
        })
        .collect();
    if let Some(throttle) = status.throttle {
        let low = if throttle.throttled { " because tokens are running low" } else { "" };
        lines.push(format!("subagents: {} running, at most {} at once{low}", throttle.live, throttle.max));
    }
    lines
}
