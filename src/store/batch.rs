//! What one hook records, and what the store answers.

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
    /// The state of the budget after these operations, not yet counted, and the counters to read; `None`: it is deleted.
    /// `operations`: those in the window of `now`.
    pub fn resolve(
        &self,
        now: Timestamp,
        mut operations: Vec<Operation>,
    ) -> Option<(BudgetState, Vec<CounterKey>)> {
        let Self { budget, value } = self;
        let window = budget.window.at(now);
        // Operations that are replayed after a loss are stored after newer ones.
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
    /// The session whose files hold the facts.
    pub session: &'a Session,
    /// What was read.
    pub facts: &'a [Fact],
    /// The budgets to answer for.
    pub budgets: &'a [BudgetKey],
    /// Whether alerts may be raised (not for an import).
    pub alert: bool,
    /// Whether the caller can show alerts now: it gets those that were not shown yet, and must
    /// [confirm](super::Record::confirm_shown) them.
    pub claim: bool,
    /// When the session was last seen: now, for its own hooks. A process that reads another session passes that session's
    /// time, so that it does not count as active.
    pub seen: Timestamp,
    /// What was observed of the calling agent.
    pub observation: Option<AgentObservation<'a>>,
    /// Now.
    pub now: Timestamp,
}

/// What a hook observed of an agent, besides its messages.
#[derive(Clone, Debug)]
pub struct AgentObservation<'a> {
    /// The subagent; empty: the main agent.
    pub agent: &'a str,
    /// For the breaker: its policy, what was observed, and how often in a row the agent said its last text.
    pub calls: Option<(&'a Policy, CircuitInput<'a>, u32)>,
    /// A person sent a prompt, which asks for so many repetitions: every breaker of the session is reset.
    pub prompt: Option<u32>,
    /// For throttling.
    pub slots: Option<SlotObservation<'a>>,
}

/// What a hook observed of subagents.
#[derive(Clone, Debug)]
pub struct SlotObservation<'a> {
    /// The limits.
    pub limits: ThrottleLimits,
    /// What was observed.
    pub events: &'a [SlotEvent],
    /// When the session's client started: slots of an earlier client are free. `None`: not known.
    pub client_since: Option<Timestamp>,
    /// Counts the tokens that throttling goes by.
    pub meter: BudgetKey,
}

/// The breaker of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircuitRow {
    /// The session.
    pub session: String,
    /// The subagent; empty: the main agent.
    pub agent: String,
    /// Where it stands.
    pub breaker: CircuitBreaker,
}

/// The store's answer to a [`Batch`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Applied {
    /// The budgets after the batch; deleted ones are left out.
    pub states: Vec<BudgetState>,
    /// Alerts to show, oldest first.
    pub alerts: Vec<BudgetAlert>,
    /// Events to report to the agent, oldest first.
    pub events: Vec<Event>,
    /// The agent's breaker, where it was observed.
    pub circuit: Option<CircuitBreaker>,
    /// Why the subagent that was asked for may not start.
    pub slot_denied: Option<SlotDenied>,
    /// The id of the store, which changes when the store is reset.
    pub store_id: String,
    /// How many batches of this session the store recorded, this one included: orders the answers to parallel hooks.
    pub sequence: u64,
    /// How many of them this machine recorded.
    pub batch_sequence: BatchSequence,
}
