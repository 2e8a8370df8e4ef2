//! What happened in a session: denied calls, changes of breakers, alerts of its budgets, decisions.

use std::cmp::Reverse;

use super::text::{Clock, When, full_amount, shortened};
use crate::app::history::{Counted, Entry};
use crate::app::messages::replies::denial_reason;
use crate::app::messages::{alert_summary, trip_reason};
use crate::app::snapshot::Snapshot;
use crate::domain::event::{CircuitDecision, DenialReason, Event, EventData};
use crate::domain::operation::{Operation, OperationKind};

/// The most lines that are shown, the newest.
const MOST: usize = 200;

/// What happened, newest first.
pub struct EventLines {
    /// The lines.
    pub lines: Vec<EventLine>,
    /// How many of them are denied calls.
    pub denied: usize,
}

/// Something that happened.
pub struct EventLine {
    /// When.
    pub at: When,
    /// The agent; empty for what is about no agent.
    pub agent: String,
    /// The class of its badge.
    pub class: &'static str,
    /// What happened.
    pub what: &'static str,
    /// The details.
    pub text: String,
}

impl EventLines {
    /// These events of a session, with the alerts of its own budgets and the decisions about them.
    pub fn new<'s>(
        events: impl Iterator<Item = &'s Event>,
        snapshot: &'s Snapshot,
        session: &'s str,
        clock: &Clock,
    ) -> Self {
        let events = events.take(MOST).map(Entry::Event);
        let mut entries: Vec<Entry> = events.chain(snapshot.alerts_and_decisions_of(session)).collect();
        entries.sort_by_key(|entry| Reverse(entry.at()));
        entries.truncate(MOST);
        let is_denied = |entry: &&Entry| match entry {
            Entry::Event(event) => matches!(event.data, EventData::CallDenied(_)),
            Entry::Alert(_) | Entry::Decision(..) => false,
        };
        Self {
            denied: entries.iter().filter(is_denied).count(),
            lines: entries.iter().map(|entry| EventLine::new(entry, clock)).collect(),
        }
    }
}

impl EventLine {
    fn new(entry: &Entry, clock: &Clock) -> Self {
        let ((class, what, text), agent) = match entry {
            Entry::Event(event) => (of_event(&event.data), Some(&event.agent)),
            Entry::Alert(record) => {
                let alert = &record.alert;
                ((alert.level.name(), "Budget alert", alert_summary(alert)), None)
            }
            Entry::Decision(operation, counted) => (of_decision(operation, *counted), None),
        };
        let agent = agent.map_or("", |agent| if agent.is_empty() { "main" } else { agent });
        Self { at: When::new(clock, entry.at()), agent: shortened(agent, 18), class, what, text }
    }
}

/// The class of the badge, its text, and the details.
type Line = (&'static str, &'static str, String);

fn of_event(data: &EventData) -> Line {
    match data {
        EventData::CallDenied(denial) => {
            let what = if denial.stopped { "Denied, turn stopped" } else { "Call denied" };
            let reason = match &denial.reason {
                DenialReason::Circuit(trip) => {
                    format!("the circuit breaker was open: {}", trip_reason(trip))
                }
                other => denial_reason(other),
            };
            ("bad", what, format!("{}: {reason}", denial.tool))
        }
        EventData::CircuitWarning(trip) => ("warn", "Breaker warned", trip_reason(trip)),
        EventData::CircuitOpened(trip) => ("bad", "Breaker opened", trip_reason(trip)),
        EventData::CircuitWouldOpen(trip) => ("warn", "Breaker would have opened", trip_reason(trip)),
        EventData::CircuitHalfOpened(trip) => ("warn", "Breaker half-open", trip_reason(trip)),
        EventData::CircuitClosed(trip) => ("good", "Breaker closed", trip_reason(trip)),
        EventData::CircuitDecided { decision, by, reason, .. } => {
            let what = match decision {
                CircuitDecision::Acknowledge => "Breaker acknowledged",
                CircuitDecision::Reset => "Breaker reset",
            };
            ("", what, format!("{by}: {reason}"))
        }
        EventData::ConcurrencyThrottled(change) => {
            ("warn", "Subagents throttled", format!("from {} to {} at once", change.from, change.to))
        }
        EventData::ConcurrencyRestored(change) => {
            ("good", "Subagents restored", format!("from {} to {} at once", change.from, change.to))
        }
    }
}

fn of_decision(operation: &Operation, counted: Option<Counted>) -> Line {
    let Operation { budget, actor, reason, .. } = operation;
    let (what, more) = match operation.kind {
        OperationKind::Extend { amount } => {
            // An amount without a unit says nothing.
            let more = counted.map(|counted| format!(", {} more", full_amount(amount, counted.unit)));
            ("Budget extended", more.unwrap_or_default())
        }
        OperationKind::Reset { .. } => ("Budget reset", String::new()),
        OperationKind::Delete => ("Budget deleted", String::new()),
    };
    ("", what, format!("{budget}{more}; {actor}: {reason}"))
}
