//! The JSON for scripts: sessions, budgets, breakers, alerts, events and decisions.

use std::collections::BTreeMap;

use serde::Serialize;

use super::held_by::HeldBy;
use super::messages::{self, amounts};
use super::plan::{PlanForecast, PlanStatus, UnknownBudget};
use super::store_status::StoreStatus;
use crate::domain::alert::{AlertLevel, AlertRecord, BudgetAlert};
use crate::domain::amount::Count;
use crate::domain::breaker::circuit::CircuitBreaker;
use crate::domain::breaker::policy::Policy;
use crate::domain::budget::{BudgetState, Mode, OnLimit, Scope, Unit};
use crate::domain::event::{Event, EventData};
use crate::domain::money::usd;
use crate::domain::operation::{Operation, OperationKind};
use crate::domain::time::Timestamp;
use crate::domain::usage::Usage;
use crate::store::SessionTotal;

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
    /// Messages with an estimated charge (cut streams, compactions not yet in a client total, responses that no
    /// transcript shows).
    pub estimated_messages: u64,
    /// Whether hooks were told of responses that no transcript shows.
    pub incomplete: bool,
    /// Those responses, charged as estimates; included in `estimated_messages`.
    pub unseen_responses: u64,
    /// Responses that are not charged, because no transcript shows them and their calls have ids of earlier ones.
    pub uncharged_responses: u64,
    /// The budgets that concern the session.
    pub budgets: Vec<BudgetStatus>,
    /// Budgets in percent without a reading: they have no numbers, and allow everything.
    pub unknown_budgets: Vec<UnknownBudget>,
    /// What the client last said about the windows of the subscription.
    pub plan: PlanStatus,
    /// What it cost.
    pub cost: CostStatus,
    /// The main agent's circuit breaker; `null`: disabled.
    pub circuit: Option<CircuitStatus>,
    /// Subagents with calls, by id.
    pub agents: BTreeMap<String, AgentStatus>,
    /// Throttling of subagents; `null`: disabled, or the store is unreachable.
    pub throttle: Option<ThrottleStatus>,
    /// Whether a budget or the breaker stopped the session, and still blocks it.
    pub stopped: bool,
    /// The budgets past their limits, and what each denies.
    pub held_by: Vec<HeldBy>,
    /// The store.
    pub store: StoreStatus,
}

/// What a session cost, in dollars.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CostStatus {
    /// By Fusebox's count and prices.
    pub usd: f64,
    /// The estimated part of it: of estimated tokens, or of models without an exact price.
    pub estimated_usd: f64,
    /// By the client's own reckoning; `null`: it wrote none, or went on since.
    pub client_usd: Option<f64>,
    #[serde(skip)]
    total: SessionTotal,
}

impl CostStatus {
    /// What a session with this total cost.
    pub fn new(total: SessionTotal) -> Self {
        let amount = total.amount;
        Self {
            usd: usd(amount.nano_usd),
            estimated_usd: usd(amount.nano_usd_estimated),
            client_usd: total.client_nano_usd.map(usd),
            total,
        }
    }

    /// By Fusebox's count and prices, in nano-dollars.
    pub fn nanos(&self) -> u64 {
        self.total.amount.nano_usd
    }

    /// `$0.28`, with a `+` if a part is estimated, and the client's reckoning with the difference.
    pub fn text(&self) -> String {
        let ours = self.total.amount.nano_usd;
        let estimated = if self.total.amount.nano_usd_estimated > 0 { "+" } else { "" };
        let by_client = self.total.client_nano_usd.map_or_else(String::new, |theirs| {
            let sign = if ours < theirs { "+" } else { "-" };
            match ours.abs_diff(theirs) {
                // The client reckons in floating point.
                0..1000 => " · the client reckons the same".to_owned(),
                difference => {
                    let (theirs, difference) = (amounts::dollars(theirs), amounts::dollars(difference));
                    format!(" · the client reckons {theirs} ({sign}{difference})")
                }
            }
        });
        format!("{}{estimated}{by_client}", amounts::dollars(ours))
    }
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
    /// Why it tripped, for people; `null` if closed.
    pub reason: Option<String>,
    /// The rule that tripped.
    pub rule: Option<String>,
    /// Calls since a person's last prompt; `null`: only the store knows, and it is unreachable.
    pub iterations: Option<u64>,
    /// The maximum number; `null`: no limit.
    pub max_iterations: Option<u32>,
    /// Number of the call that tripped it, since a person's last prompt.
    pub tripped_at_call: Option<u64>,
    /// The tool of that call.
    pub tool: Option<String>,
    /// What the rule counted.
    pub count: Option<u32>,
    /// The count at which it trips.
    pub limit: Option<u32>,
    /// The first twelve hexadecimal digits of that call's signature.
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

/// Throttling of subagents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ThrottleStatus {
    /// Subagents that are working.
    pub live: u32,
    /// How many may currently work at the same time.
    pub max: u32,
    /// Whether that is fewer than configured, because tokens run low.
    pub throttled: bool,
    /// Subagents started by the session.
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
    pub unit: Unit,
    /// Window: `lifetime`, `day`, …
    pub window: String,
    /// Units used in the window.
    pub used: Count,
    /// Limit in force.
    pub limit: Count,
    /// Hard limit in force, if there is one.
    pub hard_limit: Option<Count>,
    /// Units added by extensions; included in `limit`.
    pub extension: Count,
    /// Units used before Fusebox watched; included in `used` and `limit`.
    pub history: Count,
    /// Units left until the limit.
    pub remaining: Count,
    /// Used ÷ limit.
    pub utilization: f64,
    /// `active`, `warning`, `paused`, `exhausted`.
    pub status: &'static str,
    /// `enforce` or `shadow`.
    pub mode: Mode,
    /// When the window ends (RFC 3339, UTC); `null`: never.
    pub resets_at: Option<String>,
    /// When the limit will be reached; only for a budget in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forecast: Option<PlanForecast>,
}

impl BudgetStatus {
    /// The status of a budget.
    pub fn from_state(state: &BudgetState) -> Self {
        let count = |units| Count::new(units, state.budget.unit);
        Self {
            name: state.budget.name.clone(),
            scope: state.budget.scope.name(),
            value: state.value.clone(),
            unit: state.budget.unit,
            window: state.budget.window.period.to_string(),
            used: count(state.used),
            limit: count(state.limit()),
            hard_limit: state.hard_limit().map(count),
            extension: count(state.extension),
            history: count(state.history),
            remaining: count(state.remaining()),
            utilization: state.utilization(),
            status: state.status().name(),
            mode: state.budget.mode,
            resets_at: state.window.end.map(Timestamp::to_rfc3339),
            forecast: state.budget.plan.map(|standing| PlanForecast::new(&standing, state.limit())),
        }
    }
}

/// An alert, in `alerts list`, `budget show` and for the person's command.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlertStatus {
    /// Number in the store.
    pub id: i64,
    /// When it was raised (RFC 3339, UTC).
    pub at: String,
    /// How urgent it is.
    pub level: AlertLevel,
    /// Name of the budget.
    pub budget: String,
    /// Scope of the budget.
    pub scope: Scope,
    /// Value of the scope.
    pub value: String,
    /// Start of the window (RFC 3339, UTC); `null` for a lifetime.
    pub window_start: Option<String>,
    /// The threshold passed, a fraction of the limit.
    pub threshold: f64,
    /// Units used when it was passed.
    pub used: Count,
    /// Limit in force at that time.
    pub limit: Count,
    /// Unit of `used` and `limit`.
    pub unit: Unit,
    /// `enforce` or `shadow`.
    pub mode: Mode,
    /// What the budget does at its limit.
    pub on_limit: OnLimit,
    /// The acknowledgement, if any.
    pub acknowledged: Option<Acknowledged>,
}

/// An event, in a session's `events` and for the person's command.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EventStatus {
    /// Number in the store.
    pub id: i64,
    /// When it happened (RFC 3339, UTC).
    pub at: String,
    /// The session.
    pub session: String,
    /// The subagent; empty for the main agent.
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

/// An acknowledgement of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Acknowledged {
    /// Who acknowledged it.
    pub by: String,
    /// When (RFC 3339, UTC).
    pub at: String,
    /// The reason, if given.
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

    /// The status of a new alert.
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
            used: Count::new(alert.used, alert.unit),
            limit: Count::new(alert.limit, alert.unit),
            unit: alert.unit,
            mode: alert.mode,
            on_limit: alert.on_limit,
            acknowledged: None,
        }
    }
}

/// A decision about a budget.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OperationStatus {
    /// Unique id.
    pub id: String,
    /// `extend`, `reset` or `delete`.
    pub kind: &'static str,
    /// Units added; only for `extend`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Count>,
    /// Name of the budget.
    pub budget: String,
    /// Value of the scope.
    pub value: String,
    /// Start of the window that it applies to (RFC 3339, UTC); `null` for a lifetime.
    pub window_start: Option<String>,
    /// The reason.
    pub reason: String,
    /// Who decided.
    pub actor: String,
    /// When it was decided (RFC 3339, UTC).
    pub at: String,
}

impl OperationStatus {
    /// The status of a recorded decision.
    /// `unit`: that of the budget.
    pub fn from_operation(operation: &Operation, unit: Unit) -> Self {
        let amount = match operation.kind {
            OperationKind::Extend { amount } => Some(Count::new(amount, unit)),
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

/// `None` for a window without a start.
fn window_start(start: Timestamp) -> Option<String> {
    (start.0 != i64::MIN).then(|| start.to_rfc3339())
}
