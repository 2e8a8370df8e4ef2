//! Decides what budgets and breakers mean for a call, a response or a prompt.

use super::breaker::circuit::{Phase, Trip};
use super::budget::{BudgetState, OnLimit, Scope, Status, Unit};
use super::escalation::{Calls, Escalation, Hold, HoldCause, Restriction};
use super::protection;
use super::reservation::Refusal;
use super::throttle::SlotDenied;
use super::usage::Usage;

/// The agent that the decision is about.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The subagent; empty for the main agent.
    pub agent: &'a str,
    /// `main`, or the subagent's type.
    pub agent_type: &'a str,
    /// The model of its last response; empty if unknown.
    pub model: &'a str,
    /// The type of subagent that it wants to start, if any.
    pub spawns: Option<&'a str>,
}

/// The moment in a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before a tool call.
    BeforeCall,
    /// After a tool call.
    AfterCall,
    /// After all calls of a response, before the next request.
    AfterBatch,
    /// A prompt came in.
    Prompt,
    /// The conversation is about to be compacted.
    Compaction,
    /// The agent ended its turn.
    TurnEnd,
}

/// Why something is held back.
#[derive(Clone, Debug, PartialEq)]
pub enum HoldReason {
    /// A budget is past its limit.
    Budget(BudgetState),
    /// The agent's breaker is open.
    Circuit(Trip),
    /// The agent's breaker is half-open, and its probe is another call.
    Probing(Trip),
    /// The subagent did not get a slot.
    SlotDenied(SlotDenied),
    /// The call would change what guards the agent.
    Protected(protection::ProtectionReason),
    /// A budget has no room for the call of a platform.
    Quota(Box<Refusal>),
    /// The store is out of reach, and the budget of this name then denies calls of its platform.
    StoreDown(String),
}

/// What should happen.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Continue.
    Allow,
    /// Continue, but wrap up: something holds the agent back.
    WrapUp(HoldReason),
    /// Deny this call.
    Deny {
        /// The reason.
        reason: HoldReason,
        /// Responses left after the one with this call.
        left: u32,
    },
    /// Deny this call only; the caller is not held back.
    DenyCall(HoldReason),
    /// Stop the turn.
    Stop(HoldReason),
    /// Block the prompt or the compaction.
    Block(HoldReason),
}

/// The state of the caller's breaker.
#[derive(Clone, Copy, Debug)]
pub struct BreakerState<'a> {
    /// The phase.
    pub phase: &'a Phase,
    /// How often it was restarted.
    pub epoch: u32,
    /// Whether the breaker lets the current call through.
    pub admits: bool,
    /// Responses that it allows for wrapping up.
    pub wrap_up: u32,
}

/// What is known at the time of the decision.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a> {
    /// The budgets.
    pub states: &'a [BudgetState],
    /// The caller's breaker, if there is one.
    pub breaker: Option<BreakerState<'a>>,
    /// Why the requested subagent may not start.
    pub slot_denied: Option<SlotDenied>,
    /// Whether the prompt is from a person, as far as can be told at once.
    pub by_person: bool,
    /// The calls that the event is about.
    pub calls: &'a Calls,
}

impl<'a> Snapshot<'a> {
    /// The trip of an open breaker.
    fn open_breaker(&self) -> Option<(&'a Trip, BreakerState<'a>)> {
        let breaker = self.breaker?;
        match breaker.phase {
            Phase::Open { trip } => Some((trip, breaker)),
            _ => None,
        }
    }
}

/// Whether a budget concerns the caller. Budgets of a model or an agent type concern only matching callers.
pub fn concerns(state: &BudgetState, caller: &Caller) -> bool {
    match state.budget.scope {
        Scope::Model => state.value == caller.model,
        Scope::AgentType => state.value == caller.agent_type,
        // It holds back calls of the platform only.
        Scope::Platform => false,
        Scope::Session
        | Scope::Project
        | Scope::User
        | Scope::Team
        | Scope::TaskType
        | Scope::Member
        | Scope::Chain
        | Scope::History => true,
    }
}

/// The budgets that hold the caller back, the strictest last; among equals, the one furthest past its limit.
pub fn blocking<'a>(states: &'a [BudgetState], caller: &Caller) -> Vec<&'a BudgetState> {
    let mut held: Vec<&BudgetState> = states.iter().filter(|s| s.blocks() && concerns(s, caller)).collect();
    held.sort_by(|a, b| {
        let rank = |s: &BudgetState| (s.budget.on_limit == OnLimit::Stop, s.status() == Status::Exhausted);
        rank(a).cmp(&rank(b)).then(a.utilization().total_cmp(&b.utilization()))
    });
    held
}

/// The budget that holds back the subagent to be started.
pub fn blocking_spawn<'a>(states: &'a [BudgetState], caller: &Caller) -> Option<&'a BudgetState> {
    let spawns = caller.spawns?;
    let of_type = |s: &&BudgetState| s.budget.scope == Scope::AgentType && s.value == spawns;
    states.iter().find(|s| s.blocks() && of_type(s))
}

/// Whether anything holds back the caller, or the subagent that it wants to start.
pub fn is_held(states: &[BudgetState], caller: &Caller) -> bool {
    !blocking(states, caller).is_empty() || blocking_spawn(states, caller).is_some()
}

/// Decides, and updates the escalation.
pub fn judge(snapshot: &Snapshot, escalation: &mut Escalation, caller: &Caller, moment: Moment) -> Verdict {
    let budgets = blocking(snapshot.states, caller);
    // A budget is stricter than a breaker, which a person's prompt resets.
    let open = snapshot.open_breaker();
    let circuit = open.map(|(_, breaker)| {
        let cause = HoldCause::Breaker { epoch: breaker.epoch };
        Hold { cause, wrap_up: breaker.wrap_up, stops_at_once: false }
    });
    let holds: Vec<Hold> =
        circuit.into_iter().chain(budgets.iter().map(|state| Hold::from_budget(state))).collect();
    let reason = match (budgets.last(), open) {
        (Some(state), _) => HoldReason::Budget((*state).clone()),
        (None, Some((trip, _))) => HoldReason::Circuit(trip.clone()),
        (None, None) => {
            // A budget of another model or type may still hold back another agent.
            escalation.release(caller.agent, snapshot.states.iter().any(BudgetState::blocks));
            return if moment == Moment::BeforeCall { judge_call(snapshot, caller) } else { Verdict::Allow };
        }
    };
    let restriction = match moment {
        Moment::BeforeCall => escalation.on_call(caller.agent, &holds, snapshot.calls),
        Moment::AfterCall => escalation.on_call_end(caller.agent, &holds, snapshot.calls),
        Moment::AfterBatch => match escalation.on_batch(caller.agent, &holds, snapshot.calls) {
            None => return Verdict::WrapUp(reason),
            stop => stop,
        },
        Moment::Prompt => return judge_prompt(snapshot, escalation, &holds, reason),
        // A compaction costs a request, whoever asks for it. An agent in its wrap-up goes on without it.
        Moment::Compaction => return compaction(reason),
        Moment::TurnEnd => escalation.on_turn_end(caller.agent, &holds),
    };
    match restriction {
        None => Verdict::Allow,
        Some(Restriction::Deny { left }) => Verdict::Deny { reason, left },
        Some(Restriction::Stop) => Verdict::Stop(reason),
    }
}

/// A compaction while something holds the agent back. A breaker does not matter: a compaction makes no calls.
fn compaction(reason: HoldReason) -> Verdict {
    match reason {
        HoldReason::Budget(_) => Verdict::Block(reason),
        _ => Verdict::Allow,
    }
}

/// A prompt while something holds the main agent back. A breaker blocks it only if it stopped the session and no person
/// sent the prompt (a background agent that wakes the session, for example).
fn judge_prompt(
    snapshot: &Snapshot,
    escalation: &mut Escalation,
    holds: &[Hold],
    reason: HoldReason,
) -> Verdict {
    let stopped =
        snapshot.open_breaker().is_some_and(|(_, breaker)| escalation.is_stopped_by_breaker(breaker.epoch));
    match reason {
        HoldReason::Budget(_) => {
            escalation.on_blocked_prompt(holds);
            Verdict::Block(reason)
        }
        _ if stopped && !snapshot.by_person => Verdict::Block(reason),
        _ => Verdict::Allow,
    }
}

/// Judges one call of a caller that is not held back.
fn judge_call(snapshot: &Snapshot, caller: &Caller) -> Verdict {
    if let Some(BreakerState { phase: Phase::HalfOpen { trip, .. }, admits: false, .. }) = snapshot.breaker {
        return Verdict::DenyCall(HoldReason::Probing(trip.clone()));
    }
    if let Some(state) = blocking_spawn(snapshot.states, caller) {
        return Verdict::DenyCall(HoldReason::Budget(state.clone()));
    }
    snapshot.slot_denied.map_or(Verdict::Allow, |denied| Verdict::DenyCall(HoldReason::SlotDenied(denied)))
}

/// Sizes of the responses so far, to tell how close a limit is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ResponseSizes {
    /// The largest response so far, per class.
    pub largest: Usage,
    /// All tokens of the last response: after the cache expires, the next response writes all of it again.
    pub last_context: u64,
    /// The largest number of tool calls in one response.
    pub most_calls: u64,
    /// The dearest response so far, in nano-dollars.
    #[serde(default)]
    pub dearest: u64,
    /// What it would cost to write `last_context` to the prompt cache for an hour, in nano-dollars.
    #[serde(default)]
    pub rewrite: u64,
}

impl ResponseSizes {
    /// Merges later sizes.
    #[must_use]
    pub fn merge(self, later: Self) -> Self {
        Self {
            largest: self.largest.max(later.largest),
            last_context: if later.last_context > 0 { later.last_context } else { self.last_context },
            most_calls: self.most_calls.max(later.most_calls),
            dearest: self.dearest.max(later.dearest),
            rewrite: if later.last_context > 0 { later.rewrite } else { self.rewrite },
        }
    }
}

/// Whether the next response may cross a limit that concerns the caller; then waiting for the current response's line
/// is worthwhile. True if nothing was counted yet.
pub fn near_limit(states: &[BudgetState], sizes: &ResponseSizes, caller: &Caller) -> bool {
    let near = |state: &BudgetState| {
        let budget = &state.budget;
        let next = match budget.unit {
            Unit::Tokens => budget.count.tokens(sizes.largest).max(sizes.last_context),
            Unit::Requests => 1,
            Unit::ToolCalls => sizes.most_calls.max(1),
            Unit::Usd => sizes.dearest.max(sizes.rewrite),
            // No transcript says it, so waiting for a line is of no use before the limit.
            Unit::Percent => 0,
        };
        state.remaining() <= next
    };
    let acts = |s: &&BudgetState| {
        s.budget.mode == super::budget::Mode::Enforce
            && s.budget.on_limit != OnLimit::Warn
            && concerns(s, caller)
    };
    let mut concerned = states.iter().filter(acts).peekable();
    if sizes.last_context == 0 {
        return concerned.peek().is_some();
    }
    concerned.any(near)
}
