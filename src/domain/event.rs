//! Events besides budget alerts: changes of a breaker, throttling, denied calls.
//!
//! Events contain names, counts and hashes only, never the input or result of a call.

use serde::{Deserialize, Serialize};

use super::amount::Count;
use super::breaker::circuit::{CircuitChange, Trip};
use super::budget::{BudgetState, Unit};
use super::throttle::SlotDenied;
use super::time::Timestamp;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Number in the store; 0 before it is stored.
    #[serde(default)]
    pub id: i64,
    /// The session id.
    pub session: String,
    /// The subagent id; empty for the main agent.
    pub agent: String,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub data: EventData,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EventData {
    /// One more repetition trips the breaker.
    CircuitWarning(Trip),
    /// The breaker tripped.
    CircuitOpened(Trip),
    /// Would have tripped (shadow mode).
    CircuitWouldOpen(Trip),
    /// The cooldown ended, or a person acknowledged the trip: one call is let through.
    CircuitHalfOpened(Trip),
    /// The probe succeeded, or a person reset the breaker.
    CircuitClosed(Trip),
    /// A person decided about a breaker.
    CircuitDecided {
        /// The decision.
        decision: CircuitDecision,
        /// Who decided.
        by: String,
        /// The reason given.
        reason: String,
        /// Why the breaker had tripped, if it had.
        trip: Option<Trip>,
    },
    /// Fewer subagents may work at the same time.
    ConcurrencyThrottled(ConcurrencyChange),
    /// The full number of subagents may work again.
    ConcurrencyRestored(ConcurrencyChange),
    /// A call was denied.
    CallDenied(Denial),
}

/// A person's decision about a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CircuitDecision {
    /// Lets one call through, to see whether it works now.
    Acknowledge,
    /// Closes the breaker.
    Reset,
}

/// A change in how many subagents may work at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConcurrencyChange {
    /// The number before.
    pub from: u32,
    /// The number from now on.
    pub to: u32,
    /// Used ÷ hard limit, in percent with two decimals.
    pub usage_percent: f64,
}

/// A denied call, with the numbers at that time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Denial {
    /// Hash of the call's id.
    pub call: u64,
    /// The tool.
    pub tool: String,
    /// Whether the turn was stopped as well.
    pub stopped: bool,
    /// The reason.
    pub reason: DenialReason,
}

/// Why a call was denied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum DenialReason {
    /// A budget.
    Budget {
        /// Name of the budget.
        budget: String,
        /// The scope value.
        value: String,
        /// Units used at that time.
        used: Count,
        /// The limit at that time.
        limit: Count,
        /// The unit of `used` and `limit`.
        unit: Unit,
        /// The budget's status at that time.
        status: String,
    },
    /// The circuit breaker.
    Circuit(Trip),
    /// Too many subagents.
    Throttle(SlotDenied),
    /// The call would have changed Fusebox itself.
    Protection {
        /// What is protected.
        protected: String,
    },
}

impl DenialReason {
    /// The budget in its current state.
    pub fn from_budget(state: &BudgetState) -> Self {
        Self::Budget {
            budget: state.budget.name.clone(),
            value: state.value.clone(),
            used: Count::new(state.used, state.budget.unit),
            limit: Count::new(state.limit(), state.budget.unit),
            unit: state.budget.unit,
            status: state.status().name().to_owned(),
        }
    }
}

impl EventData {
    /// The event for a change of a breaker.
    pub fn from_change(change: CircuitChange) -> Self {
        match change {
            CircuitChange::Warned(trip) => Self::CircuitWarning(trip),
            CircuitChange::Opened(trip) => Self::CircuitOpened(trip),
            CircuitChange::WouldOpen(trip) => Self::CircuitWouldOpen(trip),
            CircuitChange::HalfOpened(trip) => Self::CircuitHalfOpened(trip),
            CircuitChange::Closed(trip) => Self::CircuitClosed(trip),
        }
    }

    /// The name, as stored.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CircuitWarning(_) => "CIRCUIT_WARNING",
            Self::CircuitOpened(_) => "CIRCUIT_OPENED",
            Self::CircuitWouldOpen(_) => "CIRCUIT_WOULD_OPEN",
            Self::CircuitHalfOpened(_) => "CIRCUIT_HALF_OPENED",
            Self::CircuitClosed(_) => "CIRCUIT_CLOSED",
            Self::CircuitDecided { .. } => "CIRCUIT_DECIDED",
            Self::ConcurrencyThrottled(_) => "CONCURRENCY_THROTTLED",
            Self::ConcurrencyRestored(_) => "CONCURRENCY_RESTORED",
            Self::CallDenied(_) => "CALL_DENIED",
        }
    }

    /// Whether the agent should be told. Decisions are not news to the person who made them.
    pub fn is_news(&self) -> bool {
        !matches!(self, Self::CircuitDecided { .. } | Self::CallDenied(_))
    }

    /// Hash of the id of the call that the event is about.
    pub fn call(&self) -> Option<u64> {
        match self {
            Self::CallDenied(denial) => Some(denial.call),
            _ => None,
        }
    }
}
