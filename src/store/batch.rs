//! What one hook records, and the store's answer.

use super::batch_sequence::BatchSequence;
use super::session::Session;
use crate::domain::alert::BudgetAlert;
use crate::domain::breaker::circuit::{CircuitBreaker, CircuitInput};
use crate::domain::breaker::policy::Policy;
use crate::domain::budget::{Budget, BudgetState};
use crate::domain::counter::CounterKey;
use crate::domain::event::Event;
use crate::domain::operation::{Adjustment, Operation};
use crate::domain::throttle::{SlotDenied, SlotEvent, ThrottleLimits};
use crate::domain::time::Timestamp;
use crate::prices::Prices;
use crate::transcript::Fact;

/// A budget for one value of its scope.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetKey {
    /// The budget.
    pub budget: Budget,
    /// The value.
    pub value: String,
}

impl BudgetKey {
    /// The state of the budget after these operations, not yet counted, and the counters to read. `None` if it is
    /// deleted. `operations`: those in the window of `now`.
    pub fn resolve(
        &self,
        now: Timestamp,
        mut operations: Vec<Operation>,
    ) -> Option<(BudgetState, Vec<CounterKey>)> {
        let Self { budget, value } = self;
        let window = budget.window_at(now);
        // Operations restored after a loss may be stored after newer ones.
        operations.sort_by_key(|operation| operation.at);
        let effect = Adjustment::from_operations(operations.iter().map(|operation| operation.kind));
        if effect.deleted {
            return None;
        }
        let since = effect.since.unwrap_or(window.start).max(window.start);
        let of = |family| CounterKey { family, value: value.clone(), start: window.start, since };
        let counters = budget.counters().into_iter().map(of).collect();
        Some((BudgetState::new(budget, value, window).adjusted(&effect), counters))
    }
}

/// What one hook records.
#[derive(Debug)]
pub struct Batch<'a> {
    /// The session whose files contain the facts.
    pub session: &'a Session,
    /// The facts that were read.
    pub facts: &'a [Fact],
    /// The budgets to return.
    pub budgets: &'a [BudgetKey],
    /// Whether to raise alerts (not for imports).
    pub alert: bool,
    /// Whether the caller can show alerts now. It gets those not shown yet, and must
    /// [confirm](super::Record::confirm_shown) them.
    pub claim: bool,
    /// When the session was last seen: now, for its own hooks. A process that reads another session passes that
    /// session's time, so that the session does not count as active.
    pub seen: Timestamp,
    /// Observations of the calling agent.
    pub observation: Option<AgentObservation<'a>>,
    /// The current time.
    pub now: Timestamp,
    /// The prices for messages that are recorded for the first time.
    pub prices: &'a Prices,
}

/// A hook's observations of an agent, besides its messages.
#[derive(Clone, Debug)]
pub struct AgentObservation<'a> {
    /// The subagent; empty for the main agent.
    pub agent: &'a str,
    /// For the breaker: its policy, the observation, and how many times in a row the agent wrote its last text.
    pub calls: Option<(&'a Policy, CircuitInput<'a>, u32)>,
    /// A person sent a prompt that asks for this many repetitions: resets every breaker of the session.
    pub prompt: Option<u32>,
    /// For throttling.
    pub slots: Option<SlotObservation<'a>>,
}

/// A hook's observations of subagents.
#[derive(Clone, Debug)]
pub struct SlotObservation<'a> {
    /// The limits.
    pub limits: ThrottleLimits,
    /// The observations.
    pub events: &'a [SlotEvent],
    /// When the session's client started; slots from before are freed. `None`: unknown.
    pub client_since: Option<Timestamp>,
    /// The budget that counts the session's tokens for throttling.
    pub meter: BudgetKey,
}

/// The breaker of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircuitRow {
    /// The session.
    pub session: String,
    /// The subagent; empty for the main agent.
    pub agent: String,
    /// The breaker.
    pub breaker: CircuitBreaker,
}

/// The store's answer to a [`Batch`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Applied {
    /// The budgets after the batch, except deleted ones.
    pub states: Vec<BudgetState>,
    /// Alerts to show, oldest first.
    pub alerts: Vec<BudgetAlert>,
    /// Events to report to the agent, oldest first.
    pub events: Vec<Event>,
    /// The agent's breaker, if it was observed.
    pub circuit: Option<CircuitBreaker>,
    /// Why the requested subagent may not start.
    pub slot_denied: Option<SlotDenied>,
    /// The id of the store. Changes when the store is reset.
    pub store_id: String,
    /// Batches of this session in the store, including this one: orders the answers to parallel hooks.
    pub sequence: u64,
    /// Batches of this session from this machine.
    pub batch_sequence: BatchSequence,
}
