//! Events of an agent besides its budgets: its breaker changed, subagents were throttled, a call was denied.
//!
//! Names, counts and hashes only: no input of a call and no result is in an event.

use serde::{Deserialize, Serialize};

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
    /// The session.
    pub session: String,
    /// The subagent; empty: the main agent.
    pub agent: String,
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub data: EventData,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EventData {
    /// One more repetition would trip the breaker.
    CircuitWarning(Trip),
    /// The breaker tripped.
    CircuitOpened(Trip),
    /// Would have tripped (shadow mode).
    CircuitWouldOpen(Trip),
    /// Its cooldown is over, or a person acknowledged it: one call is let through.
    CircuitHalfOpened(Trip),
    /// It closed: the probe succeeded, or a person reset it.
    CircuitClosed(Trip),
    /// A person decided about a breaker.
    CircuitDecided {
        /// What.
        decision: CircuitDecision,
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// Why it had tripped, if it had.
        trip: Option<Trip>,
    },
    /// From here on fewer subagents work at the same time.
    ConcurrencyThrottled(ConcurrencyChange),
    /// As many as before may work again.
    ConcurrencyRestored(ConcurrencyChange),
    /// A call was denied.
    CallDenied(Denial),
}

/// What a person decides about a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CircuitDecision {
    /// One call may show whether it works now.
    Acknowledge,
    /// It is closed.
    Reset,
}

/// A change of how many subagents may work at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConcurrencyChange {
    /// Before.
    pub from: u32,
    /// From here on.
    pub to: u32,
    /// Used ÷ hard limit, in percent with two decimals.
    pub usage_percent: f64,
}

/// A call that was denied, and the numbers of that moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Denial {
    /// Hash of its id.
    pub call: u64,
    /// Its tool.
    pub tool: String,
    /// Whether the turn was stopped with it.
    pub stopped: bool,
    /// Why.
    pub reason: DenialReason,
}

/// Why a call was denied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum DenialReason {
    /// A budget.
    Budget {
        /// Its name.
        budget: String,
        /// The value of its scope.
        value: String,
        /// Used then.
        used: u64,
        /// The limit in force then.
        limit: u64,
        /// The unit of both.
        unit: Unit,
        /// Its status then.
        status: String,
    },
    /// The circuit breaker.
    Circuit(Trip),
    /// There were too many subagents.
    Throttle(SlotDenied),
    /// It would have changed Fusebox itself.
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
            used: state.used,
            limit: state.limit(),
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

    /// Whether the agent is to be told: persons know what they decided.
    pub fn is_news(&self) -> bool {
        !matches!(self, Self::CircuitDecided { .. } | Self::CallDenied(_))
    }

    /// The call that it is about.
    pub fn call(&self) -> Option<u64> {
        match self {
            Self::CallDenied(denial) => Some(denial.call),
            _ => None,
        }
    }
}
