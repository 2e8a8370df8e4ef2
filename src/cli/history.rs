//! `fusebox history`: what happened in all sessions: breakers, denials, throttling, alerts, decisions about budgets.

use std::collections::BTreeMap;

use anstyle::Style;
use serde::Serialize;

use super::render::{self, table};
use super::{Io, circuit, select, values};
use crate::app::messages::amounts::{number, quantity};
use crate::app::messages::replies::{denial_reason, describe_operation};
use crate::app::status::{AlertStatus, EventStatus, OperationStatus};
use crate::config::Config;
use crate::domain::alert::{AlertRecord, BudgetAlert};
use crate::domain::budget::{Budget, Mode, Scope, Unit};
use crate::domain::event::{Event, EventData};
use crate::domain::operation::{Operation, OperationKind};
use crate::domain::time::Timestamp;
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

/// Something that happened.
enum Entry<'a> {
    Event(&'a Event),
    Alert(&'a AlertRecord),
    Decision(&'a Operation, Option<Counted>),
}

/// What a budget counts.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Counted {
    scope: Scope,
    unit: Unit,
}

/// An entry as JSON.
#[derive(Serialize)]
#[serde(untagged)]
enum EntryJson {
    Event(EventStatus),
    Alert {
        /// `BUDGET_ALERT`.
        event: &'static str,
        #[serde(flatten)]
        alert: AlertStatus,
    },
    Decision {
        /// `BUDGET_DECIDED`.
        event: &'static str,
        #[serde(flatten)]
        decision: OperationStatus,
        /// The unit of the amount; `null`: not known.
        unit: Option<Unit>,
    },
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
            let text = entry.text().replace(char::is_control, " ");
            io.line(&format!("{dim}{}{dim:#}  {text}", entry.at().to_rfc3339()))?;
        }
    }
    if shown.len() < all {
        writeln!(io.err, "Showing the last {} of {all}; --last 0 shows all.", shown.len())?;
    }
    Ok(0)
}

/// What each budget counts, by the configuration and its alerts. A budget that counted something else before is left out.
fn counted(config: &Config, alerts: &[AlertRecord]) -> BTreeMap<String, Counted> {
    let configured = config
        .budgets
        .iter()
        .map(|Budget { name, scope, unit, .. }| (name, Counted { scope: *scope, unit: *unit }));
    let alerted = alerts
        .iter()
        .map(|AlertRecord { alert, .. }| (&alert.budget, Counted { scope: alert.scope, unit: alert.unit }));
    let mut known: BTreeMap<String, Option<Counted>> = BTreeMap::new();
    for (name, counted) in configured.chain(alerted) {
        let before = known.entry(name.clone()).or_insert(Some(counted));
        *before = before.filter(|before| *before == counted);
    }
    known.into_iter().filter_map(|(name, counted)| Some((name, counted?))).collect()
}

impl Entry<'_> {
    fn at(&self) -> Timestamp {
        match self {
            Self::Event(event) => event.at,
            Self::Alert(record) => record.alert.at,
            Self::Decision(operation, _) => operation.at,
        }
    }

    fn json(&self) -> EntryJson {
        match self {
            Self::Event(event) => EntryJson::Event(EventStatus::from_event(event)),
            Self::Alert(record) => {
                EntryJson::Alert { event: "BUDGET_ALERT", alert: AlertStatus::from_record(record) }
            }
            Self::Decision(operation, counted) => {
                let unit = counted.map(|counted| counted.unit);
                let decision = OperationStatus::from_operation(operation, unit.unwrap_or(Unit::Tokens));
                // An amount without a unit says nothing.
                let amount = decision.amount.filter(|_| unit.is_some());
                let decision = OperationStatus { amount, ..decision };
                EntryJson::Decision { event: "BUDGET_DECIDED", decision, unit }
            }
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Event(event) => event_text(event),
            Self::Alert(record) => alert_text(&record.alert),
            Self::Decision(operation, counted) => decision_text(operation, *counted),
        }
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
