//! `fusebox history`: what happened in all sessions: breakers, denials, throttling, alerts, decisions about budgets.

use anstyle::Style;

use super::render::{self, table};
use super::{Io, circuit, select, values};
use crate::app::history::{Counted, Entry, counted};
use crate::app::messages::amounts::{number, quantity};
use crate::app::messages::replies::{denial_reason, describe_operation};
use crate::domain::alert::BudgetAlert;
use crate::domain::budget::{Budget, Mode, Scope, Unit};
use crate::domain::event::{Event, EventData};
use crate::domain::operation::{Operation, OperationKind};
use crate::platform::Env;

/// Show what happened: breakers, denials, throttling, alerts, decisions about budgets.
#[derive(Debug, clap::Args)]
#[command(after_help = "Events of all sessions, the newest last. Times are UTC.

Examples:
  fusebox history
  fusebox history --last 20
  fusebox history --last 0 --json | jq '.[] | select(.event == \"CALL_DENIED\")'")]
pub struct HistoryArgs {
    /// Show the last N events; 0 for all that the store keeps.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = values::lines)]
    last: usize,
    /// Write JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// The configuration or the store cannot be used.
pub fn run(args: &HistoryArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let mut opened = select::open_current(env, io.err)?;
    let rows = select::sessions(&mut opened.store)?;
    select::catch_up(env, &opened.config, &rows, io.err)?;
    let (events, alerts, operations) = opened
        .store
        .call(|store| Ok((store.events(None, None)?, store.alerts()?, store.operations(None)?)))?;
    let counted = counted(&opened.config, &alerts);
    let mut entries: Vec<Entry> = events.iter().map(Entry::Event).collect();
    entries.extend(alerts.iter().rev().map(Entry::Alert));
    entries.extend(operations.iter().map(|done| Entry::Decision(done, counted.get(&done.budget).copied())));
    // Stable: what happened at the same time stays in the order of the store.
    entries.sort_by_key(Entry::at);
    let all = entries.len();
    let shown = if args.last == 0 { &entries[..] } else { &entries[all.saturating_sub(args.last)..] };
    if args.json {
        render::json(io.out, &shown.iter().map(Entry::json).collect::<Vec<_>>())?;
    } else if shown.is_empty() {
        io.line("Nothing has happened yet: no warning, no denial, no alert and no decision.")?;
    } else {
        let dim = Style::new().dimmed();
        for entry in shown {
            // Reasons may have several lines.
            let text = text(entry).replace(char::is_control, " ");
            io.line(&format!("{dim}{}{dim:#}  {text}", entry.at().to_rfc3339()))?;
        }
    }
    if shown.len() < all {
        writeln!(io.err, "Showing the last {} of {all}; --last 0 shows all.", shown.len())?;
    }
    Ok(0)
}

/// What happened, for people.
fn text(entry: &Entry) -> String {
    match entry {
        Entry::Event(event) => event_text(event),
        Entry::Alert(record) => alert_text(&record.alert),
        Entry::Decision(operation, counted) => decision_text(operation, *counted),
    }
}

/// `session 3f2a1b2c, main: the circuit breaker opened: …`.
fn event_text(event: &Event) -> String {
    let session = table::short_value(Scope::Session, &event.session);
    format!("session {session}, {}", agent_event_text(event))
}

/// `main: the circuit breaker opened: …`.
pub(super) fn agent_event_text(event: &Event) -> String {
    let line = circuit::event_line(&event.data);
    let what = match &event.data {
        EventData::CallDenied(denial) => format!("{line}: {}", denial_reason(&denial.reason)),
        EventData::ConcurrencyThrottled(_) | EventData::ConcurrencyRestored(_) => line,
        _ => format!("circuit breaker {line}"),
    };
    let agent = if event.agent.is_empty() { "main" } else { &event.agent };
    format!("{agent}: {what}")
}

/// `budget daily (user alice): passed 70% of 200,000 tokens (150,000 used)`.
pub(super) fn alert_text(alert: &BudgetAlert) -> String {
    let percent = (alert.threshold * 10_000.0).round() / 100.0;
    let shadow = if alert.mode == Mode::Shadow { " (shadow)" } else { "" };
    let (limit, used) = (quantity(alert.limit, alert.unit), number(alert.used, alert.unit));
    let budget = budget_text(&alert.budget, Some(alert.scope), &alert.value);
    format!("{budget}{shadow}: passed {percent}% of {limit} ({used} used)")
}

/// The text of a decision about this budget.
pub(super) fn budget_decision_text(operation: &Operation, budget: &Budget) -> String {
    decision_text(operation, Some(Counted { scope: budget.scope, unit: budget.unit }))
}

/// `budget daily (user alice): extended by 50,000 by bob: release day`.
fn decision_text(operation: &Operation, counted: Option<Counted>) -> String {
    let budget = budget_text(&operation.budget, counted.map(|counted| counted.scope), &operation.value);
    let what = match (&operation.kind, counted) {
        (OperationKind::Extend { .. }, None) => "extended".to_owned(),
        (kind, counted) => describe_operation(kind, counted.map_or(Unit::Tokens, |counted| counted.unit)),
    };
    format!("{budget}: {what} by {}: {}", operation.actor, operation.reason)
}

fn budget_text(name: &str, scope: Option<Scope>, value: &str) -> String {
    match scope {
        Some(scope) => format!("budget {name} ({} {})", scope.name(), table::short_value(scope, value)),
        None => format!("budget {name} ({value})"),
    }
}
