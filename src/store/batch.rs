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
    /// Where the budget stands by what people decided about it, but for what is counted, and its counters; `None`: it is
    /// deleted. `operations`: those on it in the window of `now`.
    pub fn resolve(
        &self,
        now: Timestamp,
        mut operations: Vec<Operation>,
    ) -> Option<(BudgetState, Vec<CounterKey>)> {
        let Self { budget, value } = self;
        let window = budget.window.at(now);
        // One that is told again after a loss comes after what was decided since.
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
    /// The session in whose files the facts stand.
    pub session: &'a Session,
    /// What was read.
    pub facts: &'a [Fact],
    /// The budgets to answer for.
    pub budgets: &'a [BudgetKey],
    /// Whether alerts may be raised (not for an import).
    pub alert: bool,
    /// Whether the caller can show alerts now: it gets those that nobody has shown, and must
    /// [`Record::confirm_shown`](super::Record::confirm_shown) them.
    pub claim: bool,
    /// When the session was seen: now, by its own hooks. Whoever reads on in somebody else's session says when that one
    /// was seen, and does not wake it.
    pub seen: Timestamp,
    /// What was seen of the agent that calls.
    pub observation: Option<AgentObservation<'a>>,
    /// Now.
    pub now: Timestamp,
}

/// What a hook saw of an agent, besides its messages.
#[derive(Clone, Debug)]
pub struct AgentObservation<'a> {
    /// The subagent; empty: the main agent.
    pub agent: &'a str,
    /// For the breaker: its numbers, what was seen, and how often the agent's last text was said running.
    pub calls: Option<(&'a Policy, CircuitInput<'a>, u32)>,
    /// A person sent a prompt, which asks for so many repetitions: every breaker of the session begins anew.
    pub prompt: Option<u32>,
    /// For throttling.
    pub slots: Option<SlotObservation<'a>>,
}

/// What a hook saw of subagents.
#[derive(Clone, Debug)]
pub struct SlotObservation<'a> {
    /// What is allowed.
    pub limits: ThrottleLimits,
    /// What was seen.
    pub events: &'a [SlotEvent],
    /// When the session's client started: slots of one before it are free. `None`: not known.
    pub client_since: Option<Timestamp>,
    /// The tokens that count.
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

/// What the store answers to a [`Batch`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Applied {
    /// The watched budgets after the batch; deleted ones are left out.
    pub states: Vec<BudgetState>,
    /// Alerts to show, oldest first.
    pub alerts: Vec<BudgetAlert>,
    /// Events of the agent to tell, oldest first.
    pub events: Vec<Event>,
    /// The agent's breaker, where it was observed.
    pub circuit: Option<CircuitBreaker>,
    /// Why the subagent that was asked for may not start.
    pub slot_denied: Option<SlotDenied>,
    /// Which store this is: an id that changes when the store is created anew.
    pub store_id: String,
    /// How many batches of this session the store recorded, this one included: orders what parallel hooks were told.
    pub sequence: u64,
    /// How many of them this machine recorded.
    pub batch_sequence: BatchSequence,
}
