//! The JSON that scripts read: sessions, budgets, breakers, alerts, events and decisions.

use std::collections::BTreeMap;

use serde::Serialize;

use super::messages;
use super::store_status::StoreStatus;
use crate::domain::alert::{AlertLevel, AlertRecord, BudgetAlert};
use crate::domain::breaker::circuit::CircuitBreaker;
use crate::domain::breaker::policy::Policy;
use crate::domain::budget::{BudgetState, Mode, OnLimit, Scope, Unit};
use crate::domain::event::{Event, EventData};
use crate::domain::operation::{Operation, OperationKind};
use crate::domain::time::Timestamp;
use crate::domain::usage::Usage;

/// The status of a session.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SessionStatus {
    /// The client's session id.
    pub session: String,
    /// Tokens by class.
    pub tokens: Usage,
    /// Model responses.
    pub requests: u64,
    /// Tool calls.
    pub tool_calls: u64,
    /// Messages whose charge is an estimate (cut streams, compactions that the client has not totalled yet).
    pub estimated_messages: u64,
    /// The budgets that concern it.
    pub budgets: Vec<BudgetStatus>,
    /// The main agent's circuit breaker; `null`: it is switched off.
    pub circuit: Option<CircuitStatus>,
    /// Those of subagents, by their ids, as far as they have made calls.
    pub agents: BTreeMap<String, AgentStatus>,
    /// Subagents at work; `null`: they are not throttled, or the store is out of reach.
    pub throttle: Option<ThrottleStatus>,
    /// Whether a budget or the breaker stopped it, and still blocks it.
    pub stopped: bool,
    /// The store.
    pub store: StoreStatus,
}

/// The status of a subagent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AgentStatus {
    /// Its circuit breaker.
    pub circuit: CircuitStatus,
}

/// The circuit breaker of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CircuitStatus {
    /// `closed`, `open` or `half_open`.
    pub state: &'static str,
    /// Why it tripped, for people; `null`: it is closed.
    pub reason: Option<String>,
    /// The rule that tripped.
    pub rule: Option<String>,
    /// Calls since a person's last prompt; `null`: only the store knows, and it is out of reach.
    pub iterations: Option<u64>,
    /// The highest number allowed; `null`: no limit.
    pub max_iterations: Option<u32>,
    /// Calls since a person's last prompt when it tripped.
    pub tripped_at_call: Option<u64>,
    /// The tool of the last call then.
    pub tool: Option<String>,
    /// What the rule counted.
    pub count: Option<u32>,
    /// The count at which it trips.
    pub limit: Option<u32>,
    /// The first twelve hexadecimal digits of the last call's signature.
    pub signature: Option<String>,
    /// When it tripped (RFC 3339, UTC).
    pub since: Option<String>,
}

impl CircuitStatus {
    /// The status of `breaker`.
    pub fn new(breaker: &CircuitBreaker, policy: &Policy) -> Self {
        let trip = breaker.phase.trip();
        Self {
            state: breaker.phase.name(),
            reason: trip.map(messages::trip_summary),
            rule: trip.map(|trip| trip.rule.clone()),
            iterations: Some(breaker.iterations),
            max_iterations: policy.limits.get("iterations"),
            tripped_at_call: trip.map(|trip| trip.call),
            tool: trip.map(|trip| trip.tool.clone()),
            count: trip.map(|trip| trip.count),
            limit: trip.map(|trip| trip.limit),
            signature: trip.map(|trip| trip.signature.clone()),
            since: trip.map(|trip| trip.at.to_rfc3339()),
        }
    }
}

/// Subagents at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ThrottleStatus {
    /// How many work.
    pub live: u32,
    /// How many may work at the same time now.
    pub max: u32,
    /// Whether that is fewer than configured, because tokens run low.
    pub throttled: bool,
    /// How many the session has started.
    pub total: u32,
}

/// The status of a budget for one value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BudgetStatus {
    /// Name.
    pub name: String,
    /// Scope.
    pub scope: &'static str,
    /// Value of the scope.
    pub value: String,
    /// Unit of the numbers.
    pub unit: &'static str,
    /// Window: `lifetime`, `day`, …
    pub window: &'static str,
    /// Used in the window.
    pub used: u64,
    /// Limit in force.
    pub limit: u64,
    /// Hard limit in force, if there is one.
    pub hard_limit: Option<u64>,
    /// Added by extensions: part of `limit`.
    pub extension: u64,
    /// Held before Fusebox watched: part of `used` and of `limit`.
    pub history: u64,
    /// Left until the limit.
    pub remaining: u64,
    /// Used ÷ limit.
    pub utilization: f64,
    /// `active`, `warning`, `paused`, `exhausted`.
    pub status: &'static str,
    /// `enforce` or `shadow`.
    pub mode: Mode,
    /// When the window ends (RFC 3339, UTC); `null`: never.
    pub resets_at: Option<String>,
}

impl BudgetStatus {
    /// The status of a budget.
    pub fn from_state(state: &BudgetState) -> Self {
        Self {
            name: state.budget.name.clone(),
            scope: state.budget.scope.name(),
            value: state.value.clone(),
            unit: state.budget.unit.name(),
            window: state.budget.window.period.name(),
            used: state.used,
            limit: state.limit(),
            hard_limit: state.hard_limit(),
            extension: state.extension,
            history: state.history,
            remaining: state.remaining(),
            utilization: state.utilization(),
            status: state.status().name(),
            mode: state.budget.mode,
            resets_at: state.window.end.map(Timestamp::to_rfc3339),
        }
    }
}

/// An alert, as scripts read it: `alerts list`, `budget show`, and the person's command.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlertStatus {
    /// Number in the store.
    pub id: i64,
    /// When it was raised (RFC 3339, UTC).
    pub at: String,
    /// How urgent.
    pub level: AlertLevel,
    /// Name of the budget.
    pub budget: String,
    /// Scope of the budget.
    pub scope: Scope,
    /// Value of the scope.
    pub value: String,
    /// Start of the window (RFC 3339, UTC); `null`: a lifetime.
    pub window_start: Option<String>,
    /// The threshold passed, a fraction of the limit.
    pub threshold: f64,
    /// Used when it was passed.
    pub used: u64,
    /// Limit in force then.
    pub limit: u64,
    /// Unit of both.
    pub unit: Unit,
    /// `enforce` or `shadow`.
    pub mode: Mode,
    /// What the budget does at its limit.
    pub on_limit: OnLimit,
    /// Who acknowledged it; `null`: nobody yet.
    pub acknowledged: Option<Acknowledged>,
}

/// An event, as scripts read it: `events` of a session, and the person's command.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EventStatus {
    /// Number in the store.
    pub id: i64,
    /// When (RFC 3339, UTC).
    pub at: String,
    /// The session.
    pub session: String,
    /// The subagent; empty: the main agent.
    pub agent: String,
    /// What happened; times in it are milliseconds since 1970.
    #[serde(flatten)]
    pub what: EventData,
}

impl EventStatus {
    /// The status of an event.
    pub fn from_event(event: &Event) -> Self {
        let Event { id, session, agent, at, data: what } = event.clone();
        Self { id, at: at.to_rfc3339(), session, agent, what }
    }
}

/// Who acknowledged an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Acknowledged {
    /// Who.
    pub by: String,
    /// When (RFC 3339, UTC).
    pub at: String,
    /// Why, where they said so.
    pub reason: Option<String>,
}

impl AlertStatus {
    /// The status of a stored alert.
    pub fn from_record(record: &AlertRecord) -> Self {
        let acknowledged = record.acknowledged.clone().map(|a| Acknowledged {
            by: a.by,
            at: a.at.to_rfc3339(),
            reason: a.reason,
        });
        Self { acknowledged, ..Self::from_alert(&record.alert) }
    }

    /// The status of an alert that was raised just now.
    pub fn from_alert(alert: &BudgetAlert) -> Self {
        Self {
            id: alert.id,
            at: alert.at.to_rfc3339(),
            level: alert.level,
            budget: alert.budget.clone(),
            scope: alert.scope,
            value: alert.value.clone(),
            window_start: window_start(alert.window_start),
            threshold: alert.threshold,
            used: alert.used,
            limit: alert.limit,
            unit: alert.unit,
            mode: alert.mode,
            on_limit: alert.on_limit,
            acknowledged: None,
        }
    }
}

/// A decision, as scripts read it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OperationStatus {
    /// Unique.
    pub id: String,
    /// `extend`, `reset` or `delete`.
    pub kind: &'static str,
    /// Units added, by `extend`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<u64>,
    /// Name of the budget.
    pub budget: String,
    /// Value of its scope.
    pub value: String,
    /// Start of the window that it holds in (RFC 3339, UTC); `null`: a lifetime.
    pub window_start: Option<String>,
    /// Why.
    pub reason: String,
    /// Who.
    pub actor: String,
    /// When (RFC 3339, UTC).
    pub at: String,
}

impl OperationStatus {
    /// The status of a recorded decision.
    pub fn from_operation(operation: &Operation) -> Self {
        let amount = match operation.kind {
            OperationKind::Extend { amount } => Some(amount),
            OperationKind::Reset { .. } | OperationKind::Delete => None,
        };
        Self {
            id: operation.id.clone(),
            kind: operation.kind.name(),
            amount,
            budget: operation.budget.clone(),
            value: operation.value.clone(),
            window_start: window_start(operation.window_start),
            reason: operation.reason.clone(),
            actor: operation.actor.clone(),
            at: operation.at.to_rfc3339(),
        }
    }
}

/// `None` for a window without a beginning.
fn window_start(start: Timestamp) -> Option<String> {
    (start.0 != i64::MIN).then(|| start.to_rfc3339())
}
