//! `fusebox circuit`: lists, shows, acknowledges and resets circuit breakers.

use anstyle::{AnsiColor, Style};
use comfy_table::Cell;
use serde::Serialize;

use super::render::{self, table};
use super::{Io, person_only, select};
use crate::app::circuit_decisions;
use crate::app::messages;
use crate::app::operate::Refusal;
use crate::app::session::SessionContext;
use crate::app::status::{CircuitStatus, EventStatus};
use crate::app::store_access::{self, StoreAccess};
use crate::domain::breaker::circuit::Phase;
use crate::domain::breaker::policy::Policy;
use crate::domain::event::{CircuitDecision, EventData};
use crate::platform::Env;
use crate::store::{CircuitRow, SessionRow};

/// List, show, acknowledge and reset circuit breakers, which stop agents that loop.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fusebox circuit list
  fusebox circuit show --session 3f2a
  fusebox circuit ack --reason \"the server is up again\"
  fusebox circuit reset --session 3f2a --reason \"a new approach\"")]
pub struct CircuitArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the breakers that are open or half-open; the most recent session comes first.
    #[command(after_help = "Examples:
  fusebox circuit list
  fusebox circuit list --all --json")]
    List {
        /// Include closed ones.
        #[arg(long)]
        all: bool,
        /// Write JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show the breakers of a session and their history.
    #[command(after_help = "Examples:
  fusebox circuit show --session 3f2a
  fusebox circuit show --agent main --json")]
    Show {
        #[command(flatten)]
        target: CircuitTarget,
    },
    /// Let an open breaker try one call: it closes if that call succeeds and is a different one.
    #[command(after_help = "Examples:
  fusebox circuit ack --reason \"the server is up again\"")]
    Ack {
        #[command(flatten)]
        target: CircuitTarget,
        /// The reason, stored with the decision.
        #[arg(long)]
        reason: String,
    },
    /// Close a breaker and clear its counts.
    #[command(after_help = "Examples:
  fusebox circuit reset --session 3f2a --reason \"a new approach\"")]
    Reset {
        #[command(flatten)]
        target: CircuitTarget,
        /// The reason, stored with the decision.
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, clap::Args)]
struct CircuitTarget {
    /// The session: an id, or the beginning of one. Default: the only live session.
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// The subagent, or `main`. Default: all agents of the session.
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// Write JSON.
    #[arg(long)]
    json: bool,
}

impl CircuitTarget {
    /// The agent as stored.
    fn agent(&self) -> Option<&str> {
        self.agent.as_deref().map(|agent| if agent == "main" { "" } else { agent })
    }
}

/// A breaker as JSON.
#[derive(Debug, Serialize)]
struct CircuitJson {
    session: String,
    agent: String,
    #[serde(flatten)]
    circuit: CircuitStatus,
}

/// A breaker that was acknowledged or reset, as JSON.
#[derive(Debug, Serialize)]
struct ChangedCircuitJson {
    session: String,
    agent: String,
    state: &'static str,
    rule: Option<String>,
}

/// The breakers of a session, as JSON.
#[derive(Debug, Serialize)]
struct SessionCircuitsJson {
    circuits: Vec<CircuitJson>,
    events: Vec<EventStatus>,
}

/// Runs the command.
///
/// # Errors
/// Unknown session, no open breaker, a refused command, an unusable store.
pub fn run(args: &CircuitArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    match &args.command {
        Command::List { all, json } => list(*all, *json, env, io),
        Command::Show { target } => show(target, env, io),
        Command::Ack { target, reason } => {
            person_only::refuse_in_agent(env, "fusebox circuit ack")?;
            decide(target, CircuitDecision::Acknowledge, reason, env, io)
        }
        Command::Reset { target, reason } => {
            person_only::refuse_in_agent(env, "fusebox circuit reset")?;
            decide(target, CircuitDecision::Reset, reason, env, io)
        }
    }
}

fn list(all: bool, json: bool, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let mut opened = select::open_current(env, io.err)?;
    let mut rows = circuits(&mut opened.store, None)?;
    rows.retain(|row| all || row.breaker.phase != Phase::Closed);
    let listed = circuits_json(&rows, &opened.config.breaker);
    if json {
        render::json(io.out, &listed)?;
    } else if listed.is_empty() {
        io.line("No circuit breaker is open.")?;
    } else {
        circuit_table(&listed).lines().try_for_each(|line| io.line(line))?;
    }
    Ok(0)
}

fn show(target: &CircuitTarget, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let mut store = select::open_current(env, io.err)?.store;
    let sessions = select::sessions(&mut store)?;
    let row = select::session_or_live(&sessions, target.session.as_deref(), env)?;
    let policy = session_policy(env, row);
    let mut rows = circuits(&mut store, Some(&row.session.id))?;
    rows.retain(|row| target.agent().is_none_or(|agent| row.agent == agent));
    let listed = circuits_json(&rows, &policy);
    let events = store.call(|store| store.events(Some(&row.session.id), None))?;
    let is_meant = |event: &EventStatus| {
        !matches!(event.what, EventData::ConcurrencyThrottled(_) | EventData::ConcurrencyRestored(_))
            && target.agent().is_none_or(|agent| event.agent == agent)
    };
    let events: Vec<EventStatus> = events.iter().map(EventStatus::from_event).filter(is_meant).collect();
    if target.json {
        return render::json(io.out, &SessionCircuitsJson { circuits: listed, events }).map(|()| 0);
    }
    if listed.is_empty() {
        io.line(&format!(
            "No calls of session {} have been counted yet: its breakers are closed.",
            row.session.id
        ))?;
    } else {
        circuit_table(&listed).lines().try_for_each(|line| io.line(line))?;
    }
    let dim = Style::new().dimmed();
    for event in &events {
        let agent = if event.agent.is_empty() { "main" } else { &event.agent };
        io.line(&format!("{dim}{}{dim:#}  {agent}: {}", event.at, event_line(&event.what)))?;
    }
    Ok(0)
}

/// An event as one line.
pub(super) fn event_line(what: &EventData) -> String {
    match what {
        EventData::CircuitWarning(trip) => format!("warned: {}", messages::trip_summary(trip)),
        EventData::CircuitOpened(trip) => format!("opened: {}", messages::trip_summary(trip)),
        EventData::CircuitWouldOpen(trip) => format!("would have opened: {}", messages::trip_summary(trip)),
        EventData::CircuitHalfOpened(_) => "half-open: its cooldown is over".into(),
        EventData::CircuitClosed(_) => "closed".into(),
        EventData::CircuitDecided { decision, by, reason, .. } => {
            let done = match decision {
                CircuitDecision::Acknowledge => "acknowledged",
                CircuitDecision::Reset => "reset",
            };
            format!("{done} by {by}: {reason}")
        }
        EventData::CallDenied(denial) => {
            let stopped = if denial.stopped { ", and the turn stopped" } else { "" };
            // A client may have named none.
            let to = if denial.tool.is_empty() { String::new() } else { format!(" to {}", denial.tool) };
            format!("a call{to} was denied{stopped}")
        }
        EventData::ConcurrencyThrottled(turn) | EventData::ConcurrencyRestored(turn) => {
            format!("subagents at once: {} → {}", turn.from, turn.to)
        }
    }
}

fn decide(
    target: &CircuitTarget,
    decision: CircuitDecision,
    reason: &str,
    env: &Env,
    io: &mut Io,
) -> anyhow::Result<u8> {
    let find = |io: &mut Io| {
        let mut store = select::open_current(env, io.err)?.store;
        let sessions = select::sessions(&mut store)?;
        let id = select::session_or_live(&sessions, target.session.as_deref(), env)?.session.id.clone();
        anyhow::Ok((store, id))
    };
    let (mut store, id) = find(io).map_err(select::with_unchanged)?;
    let done = circuit_decisions::decide_circuit(
        env,
        &mut store,
        &id,
        target.agent(),
        decision,
        (&env.user(), reason),
    )
    .map_err(|refusal| match refusal {
        Refusal::Store(error) => anyhow::Error::from(error),
        other => super::UsageError(other.to_string()).into(),
    })?;
    let state = match decision {
        CircuitDecision::Acknowledge => "half_open",
        CircuitDecision::Reset => "closed",
    };
    let changed = done.into_iter().map(|decided| ChangedCircuitJson {
        session: id.clone(),
        agent: decided.agent,
        state,
        rule: decided.trip.map(|trip| trip.rule),
    });
    let changed: Vec<ChangedCircuitJson> = changed.collect();
    if target.json {
        return render::json(io.out, &changed).map(|()| 0);
    }
    for one in &changed {
        let agent = if one.agent.is_empty() { "the main agent" } else { &one.agent };
        let was = one.rule.as_ref().map_or_else(String::new, |rule| format!(" (it had tripped on {rule})"));
        let now = match decision {
            CircuitDecision::Acknowledge => "half-open: the next call is a test",
            CircuitDecision::Reset => "closed",
        };
        io.line(&format!("The circuit breaker of {agent} in session {id} is {now}{was}."))?;
    }
    Ok(0)
}

fn circuits(store: &mut StoreAccess, session: Option<&str>) -> store_access::Result<Vec<CircuitRow>> {
    store.call(|store| store.circuits(session))
}

/// The policy of the session's hooks.
fn session_policy(env: &Env, row: &SessionRow) -> Policy {
    SessionContext::for_session(env, &row.session).config.breaker
}

fn circuits_json(rows: &[CircuitRow], policy: &Policy) -> Vec<CircuitJson> {
    let one = |row: &CircuitRow| CircuitJson {
        session: row.session.clone(),
        agent: if row.agent.is_empty() { "main".to_owned() } else { row.agent.clone() },
        circuit: CircuitStatus::new(&row.breaker, policy),
    };
    rows.iter().map(one).collect()
}

fn circuit_table(listed: &[CircuitJson]) -> String {
    let mut table = table::new_table(
        &["SESSION", "AGENT", "STATE", "ITERATIONS", "RULE", "TOOL", "COUNT", "SINCE"],
        &["ITERATIONS", "COUNT"],
    );
    for CircuitJson { session, agent, circuit } in listed {
        let show = |value: Option<String>| Cell::new(value.unwrap_or_default());
        table.add_row([
            Cell::new(table::truncate(session, 9)),
            Cell::new(table::truncate(agent, 12)),
            Cell::new(coloured(circuit.state)),
            show(render::iterations(circuit)),
            show(circuit.rule.clone()),
            show(circuit.tool.as_ref().map(|tool| table::truncate(tool, 24))),
            show(circuit.count.zip(circuit.limit).map(|(count, limit)| format!("{count}/{limit}"))),
            show(circuit.since.clone()),
        ]);
    }
    table::fit_to_terminal(&mut table).unwrap_or_else(|| circuit_lines(listed))
}

/// Lines for a narrow terminal: two per breaker.
fn circuit_lines(listed: &[CircuitJson]) -> String {
    let one = |CircuitJson { session, agent, circuit }: &CircuitJson| {
        let why = circuit.reason.as_ref().map_or_else(String::new, |reason| format!("\n  {reason}"));
        format!("{} {agent}  {}{why}\n", table::truncate(session, 9), coloured(circuit.state))
    };
    listed.iter().map(one).collect()
}

fn coloured(state: &str) -> String {
    let colour = match state {
        "open" => AnsiColor::Red,
        "half_open" => AnsiColor::Yellow,
        _ => AnsiColor::Green,
    };
    let style = Style::new().fg_color(Some(colour.into()));
    format!("{style}{state}{style:#}")
}
