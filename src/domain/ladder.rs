//! How far each agent of a session was told off: the state behind deny, wrap-up and stop.
//!
//! Every entry names its cause and holds only while that cause holds. An extension, a reset, a new window or a
//! changed limit is another cause, or none: the ladder begins anew.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::budget::{BudgetState, OnLimit};
use super::time::Timestamp;

/// What holds an agent back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cause {
    /// A budget.
    Budget {
        /// Name of the budget.
        budget: String,
        /// Value of its scope.
        value: String,
        /// Start of its window.
        window_start: Timestamp,
        /// Operations on it so far.
        operations: u32,
        /// Limit as configured and extended. (What a session held before counts on both sides.)
        limit: u64,
    },
    /// The agent's circuit breaker.
    Breaker {
        /// How often a person began it anew.
        epoch: u32,
    },
}

impl Cause {
    /// The cause that `state` is.
    pub fn of(state: &BudgetState) -> Self {
        Self::Budget {
            budget: state.budget.name.clone(),
            value: state.value.clone(),
            window_start: state.window.start,
            operations: state.operations,
            limit: state.limit().saturating_sub(state.history),
        }
    }
}

/// Something that holds an agent back now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// What.
    pub cause: Cause,
    /// Responses that it leaves to close the work.
    pub wrap_up: u32,
    /// Whether the turn is stopped at once.
    pub at_once: bool,
}

impl Hold {
    /// The hold that a budget is, which is past its limit.
    pub fn of(state: &BudgetState) -> Self {
        let at_once = state.budget.on_limit == OnLimit::Stop;
        Self { cause: Cause::of(state), wrap_up: state.budget.wrap_up, at_once }
    }
}

/// Where one agent stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rung {
    /// Why.
    pub cause: Cause,
    /// Responses that it may still make to close its work.
    pub left: u32,
    /// A call of it was denied, or it was told to close its work: the turn is cut short.
    pub cut_short: bool,
    /// It was stopped.
    pub stopped: bool,
}

/// The agents of a session, by id; the main agent's is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ladder(BTreeMap<String, Rung>);

/// What an agent may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// This call is denied; the agent may go on to close its work.
    Deny {
        /// Responses left after the one that made this call.
        left: u32,
    },
    /// The turn ends.
    Stop,
}

/// Key of the main agent.
pub const MAIN: &str = "";

impl Ladder {
    /// Whether the main agent was stopped by its breaker, as it was begun anew so often.
    pub fn is_stopped_by_breaker(&self, epoch: u32) -> bool {
        self.stopped() == Some(&Cause::Breaker { epoch })
    }

    /// Whether nobody is held back.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Nothing holds `agent` back. `budgets`: whether one still holds somebody else back.
    pub fn release(&mut self, agent: &str, budgets: bool) {
        self.0.retain(|of, rung| match rung.cause {
            Cause::Budget { .. } => budgets,
            Cause::Breaker { .. } => of != agent,
        });
    }

    /// The cause that stopped the session, if one did.
    pub fn stopped(&self) -> Option<&Cause> {
        self.0.get(MAIN).filter(|rung| rung.stopped).map(|rung| &rung.cause)
    }

    /// Where `agent` stands. `held`: all that holds it back, the strictest last. A rung stays while its cause is among
    /// them: two budgets past their limits do not refill each other's allowance.
    fn rung(&mut self, agent: &str, held: &[Hold]) -> Option<&mut Rung> {
        let strictest = held.last()?;
        let holds = |cause: &Cause| held.iter().any(|hold| hold.cause == *cause);
        // A stopped main agent is a stopped session: its subagents have nothing to close their work for.
        let session_stopped = self.stopped().is_some_and(holds);
        let at_once = held.iter().any(|hold| hold.at_once);
        let fresh = || Rung {
            cause: strictest.cause.clone(),
            left: strictest.wrap_up,
            cut_short: false,
            stopped: false,
        };
        let rung = self.0.entry(agent.to_owned()).or_insert_with(fresh);
        if !holds(&rung.cause) {
            *rung = fresh();
        }
        rung.stopped |= session_stopped || at_once;
        Some(rung)
    }

    /// `agent` calls a tool while it is held back.
    pub fn call(&mut self, agent: &str, held: &[Hold]) -> Option<Step> {
        let rung = self.rung(agent, held)?;
        rung.cut_short = true;
        Some(if rung.stopped { Step::Stop } else { Step::Deny { left: rung.left } })
    }

    /// All calls of one response of `agent` are over, and the next request would go out: one response less is left.
    /// `None`: it may make it.
    pub fn batch(&mut self, agent: &str, held: &[Hold]) -> Option<Step> {
        let rung = self.rung(agent, held)?;
        rung.cut_short = true;
        if !rung.stopped && rung.left > 0 {
            rung.left -= 1;
            return None;
        }
        rung.stopped = true;
        Some(Step::Stop)
    }

    /// One call of `agent` is over: it stops here only if it was stopped already.
    pub fn after_call(&mut self, agent: &str, held: &[Hold]) -> Option<Step> {
        self.rung(agent, held)?.stopped.then_some(Step::Stop)
    }

    /// The main agent ended its turn. If its work was cut short, the session counts as stopped.
    pub fn turn_ended(&mut self, held: &[Hold]) {
        if let Some(rung) = self.rung(MAIN, held) {
            rung.stopped |= rung.cut_short;
        }
    }

    /// A prompt is not answered: nothing more is done in this session.
    pub fn prompt_blocked(&mut self, held: &[Hold]) {
        if let Some(rung) = self.rung(MAIN, held) {
            rung.stopped = true;
        }
    }
}
