//! The one place that decides: what the budgets mean for a call, a response or a prompt.

use super::budget::{BudgetState, OnLimit, Scope, Status, Unit};
use super::ladder::{Ladder, Step};
use super::protection::Reason;
use super::usage::Usage;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The subagent; empty for the main agent.
    pub agent: &'a str,
    /// `main`, or the subagent's type.
    pub agent_type: &'a str,
    /// The model that answered it last; empty where that is not known.
    pub model: &'a str,
    /// The type of subagent that it wants to start, if that is what it asks for.
    pub spawns: Option<&'a str>,
}

/// The moment in a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before a tool call.
    BeforeCall,
    /// After a tool call.
    AfterCall,
    /// After all calls of a response: the last moment before the next request.
    AfterBatch,
    /// A prompt came in.
    Prompt,
    /// The agent ended its turn.
    TurnEnd,
}

/// What is to happen.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Nothing stands against it.
    Allow,
    /// It may go on, but is over the limit: it should close its work.
    WrapUp(BudgetState),
    /// This call is denied; so many responses are left after the one that made it.
    Deny {
        /// Why.
        state: BudgetState,
        /// Responses left.
        left: u32,
    },
    /// This one call is denied, because the subagent that it would start is held back; the caller is not.
    DenySpawn(BudgetState),
    /// The turn ends.
    Stop(BudgetState),
    /// The prompt is not answered.
    Block(BudgetState),
    /// This one call is denied, because it would change what guards the agent.
    Protect(Reason),
}

/// Whether a budget concerns the caller: a model's or an agent type's only who is of it; all others everybody.
pub fn concerns(state: &BudgetState, caller: &Caller) -> bool {
    match state.budget.scope {
        Scope::Model => state.value == caller.model,
        Scope::AgentType => state.value == caller.agent_type,
        _ => true,
    }
}

/// The budgets that hold the caller back, the strictest last; of equals the one furthest past its limit.
pub fn blocking<'a>(states: &'a [BudgetState], caller: &Caller) -> Vec<&'a BudgetState> {
    let mut held: Vec<&BudgetState> = states.iter().filter(|s| s.blocks() && concerns(s, caller)).collect();
    held.sort_by(|a, b| {
        let rank = |s: &BudgetState| (s.budget.on_limit == OnLimit::Stop, s.status() == Status::Exhausted);
        rank(a).cmp(&rank(b)).then(a.utilization().total_cmp(&b.utilization()))
    });
    held
}

/// The budget that holds back the subagent that the caller wants to start.
pub fn blocking_spawn<'a>(states: &'a [BudgetState], caller: &Caller) -> Option<&'a BudgetState> {
    let spawns = caller.spawns?;
    let of_type = |s: &&BudgetState| s.budget.scope == Scope::AgentType && s.value == spawns;
    states.iter().find(|s| s.blocks() && of_type(s))
}

/// Whether anything stands against the caller, or against the subagent that it wants to start.
pub fn is_held(states: &[BudgetState], caller: &Caller) -> bool {
    !blocking(states, caller).is_empty() || blocking_spawn(states, caller).is_some()
}

/// Decides, and moves the ladder.
pub fn judge(states: &[BudgetState], ladder: &mut Ladder, caller: &Caller, moment: Moment) -> Verdict {
    let held = blocking(states, caller);
    let Some(strictest) = held.last().copied().cloned() else {
        // Another agent may still be held back by a budget of its model or type.
        if !states.iter().any(BudgetState::blocks) {
            ladder.clear();
        }
        return match blocking_spawn(states, caller) {
            Some(state) if moment == Moment::BeforeCall => Verdict::DenySpawn(state.clone()),
            _ => Verdict::Allow,
        };
    };
    let step = match moment {
        Moment::BeforeCall => ladder.call(caller.agent, &held),
        Moment::AfterCall => ladder.after_call(caller.agent, &held),
        Moment::AfterBatch => match ladder.batch(caller.agent, &held) {
            None => return Verdict::WrapUp(strictest),
            stop => stop,
        },
        Moment::Prompt => {
            ladder.prompt_blocked(&held);
            return Verdict::Block(strictest);
        }
        Moment::TurnEnd => {
            if caller.agent.is_empty() {
                ladder.turn_ended(&held);
            }
            None
        }
    };
    match step {
        None => Verdict::Allow,
        Some(Step::Deny { left }) => Verdict::Deny { state: strictest, left },
        Some(Step::Stop) => Verdict::Stop(strictest),
    }
}

/// What is known of the size of responses, to tell how close a limit is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sizes {
    /// The largest response so far, class by class.
    pub largest: Usage,
    /// All tokens of the last response: after a cache expiry the next one writes all of it anew.
    pub last_context: u64,
    /// The most tool calls in one response.
    pub most_calls: u64,
}

/// Whether the next response may cross a limit that concerns the caller. Then it is worth waiting for the line of
/// the response that is being acted on. Where nothing was counted yet, nothing is known: that is near too.
pub fn near_limit(states: &[BudgetState], sizes: &Sizes, caller: &Caller) -> bool {
    let near = |state: &BudgetState| {
        let budget = &state.budget;
        let next = match budget.unit {
            Unit::Tokens => budget.count.of(sizes.largest).max(sizes.last_context),
            Unit::Requests => 1,
            Unit::ToolCalls => sizes.most_calls.max(1),
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
