//! How far each agent of a session is escalated: the state behind deny, wrap-up and stop.
//!
//! Every level names its cause and lasts only as long as that cause. An extension, a reset, a new window or a changed
//! limit ends the cause or replaces it, so escalation restarts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::budget::{BudgetState, OnLimit};
use super::time::Timestamp;

/// What holds an agent back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HoldCause {
    /// A budget.
    Budget {
        /// Name of the budget.
        budget: String,
        /// Value of the scope.
        value: String,
        /// Start of the window.
        window_start: Timestamp,
        /// Operations on the budget so far.
        operations: u32,
        /// Configured limit plus extensions. History is left out: it raises usage and limit alike.
        limit: u64,
    },
    /// The agent's circuit breaker.
    Breaker {
        /// How often the breaker was restarted.
        epoch: u32,
    },
}

impl HoldCause {
    /// The cause for a budget in this state.
    pub fn from_budget(state: &BudgetState) -> Self {
        Self::Budget {
            budget: state.budget.name.clone(),
            value: state.value.clone(),
            window_start: state.window.start,
            operations: state.operations,
            limit: state.limit().saturating_sub(state.history),
        }
    }
}

/// Something that currently holds an agent back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The cause.
    pub cause: HoldCause,
    /// Responses that it allows for wrapping up.
    pub wrap_up: u32,
    /// Whether the turn is stopped at once.
    pub stops_at_once: bool,
}

impl Hold {
    /// The hold of a budget that is past its limit.
    pub fn from_budget(state: &BudgetState) -> Self {
        let stops_at_once = state.budget.on_limit == OnLimit::Stop;
        Self { cause: HoldCause::from_budget(state), wrap_up: state.budget.wrap_up, stops_at_once }
    }
}

/// How far one agent is escalated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EscalationLevel {
    /// The cause.
    pub cause: HoldCause,
    /// Responses left for wrapping up.
    pub left: u32,
    /// Whether a call was denied, or the agent was told to wrap up: the turn is cut short.
    pub cut_short: bool,
    /// Whether the agent was stopped.
    pub stopped: bool,
}

/// The levels of a session's agents, by id; the main agent's id is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Escalation(BTreeMap<String, EscalationLevel>);

/// What happens to an agent that is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restriction {
    /// The call is denied; the agent may continue with its wrap-up.
    Deny {
        /// Responses left after the one with this call.
        left: u32,
    },
    /// The turn is stopped.
    Stop,
}

/// Key of the main agent.
pub const MAIN_AGENT: &str = "";

impl Escalation {
    /// Whether the main agent was stopped by its breaker in this epoch.
    pub fn is_stopped_by_breaker(&self, epoch: u32) -> bool {
        self.stopped() == Some(&HoldCause::Breaker { epoch })
    }

    /// Whether no agent is held back.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Releases `agent`. `budgets`: whether a budget still holds back another agent.
    pub fn release(&mut self, agent: &str, budgets: bool) {
        self.0.retain(|of, level| match level.cause {
            HoldCause::Budget { .. } => budgets,
            HoldCause::Breaker { .. } => of != agent,
        });
    }

    /// The cause that stopped the session, if one did.
    pub fn stopped(&self) -> Option<&HoldCause> {
        self.0.get(MAIN_AGENT).filter(|level| level.stopped).map(|level| &level.cause)
    }

    /// The level of `agent`. `held`: everything that holds it back, the strictest last. The level stays while its cause
    /// is still in `held`, so two exceeded budgets do not refill each other's allowance.
    fn level(&mut self, agent: &str, held: &[Hold]) -> Option<&mut EscalationLevel> {
        let strictest = held.last()?;
        let holds = |cause: &HoldCause| held.iter().any(|hold| hold.cause == *cause);
        // If the main agent is stopped, so is the session: its subagents have nothing to wrap up for.
        let session_stopped = self.stopped().is_some_and(holds);
        let stops_at_once = held.iter().any(|hold| hold.stops_at_once);
        let fresh = || EscalationLevel {
            cause: strictest.cause.clone(),
            left: strictest.wrap_up,
            cut_short: false,
            stopped: false,
        };
        let level = self.0.entry(agent.to_owned()).or_insert_with(fresh);
        if !holds(&level.cause) {
            *level = fresh();
        }
        level.stopped |= session_stopped || stops_at_once;
        Some(level)
    }

    /// `agent` calls a tool while held back.
    pub fn on_call(&mut self, agent: &str, held: &[Hold]) -> Option<Restriction> {
        let level = self.level(agent, held)?;
        level.cut_short = true;
        Some(if level.stopped { Restriction::Stop } else { Restriction::Deny { left: level.left } })
    }

    /// All calls of a response of `agent` ended, and the next request is about to be sent. Uses up one response. `None`
    /// if the agent may continue.
    pub fn on_batch(&mut self, agent: &str, held: &[Hold]) -> Option<Restriction> {
        let level = self.level(agent, held)?;
        level.cut_short = true;
        if !level.stopped && level.left > 0 {
            level.left -= 1;
            return None;
        }
        level.stopped = true;
        Some(Restriction::Stop)
    }

    /// One call of `agent` ended. Stops only an agent that was already stopped.
    pub fn on_call_end(&mut self, agent: &str, held: &[Hold]) -> Option<Restriction> {
        self.level(agent, held)?.stopped.then_some(Restriction::Stop)
    }

    /// The main agent ended its turn. If its work was cut short, the session counts as stopped.
    pub fn on_turn_end(&mut self, held: &[Hold]) {
        if let Some(level) = self.level(MAIN_AGENT, held) {
            level.stopped |= level.cut_short;
        }
    }

    /// A prompt was blocked, so the session counts as stopped.
    pub fn on_blocked_prompt(&mut self, held: &[Hold]) {
        if let Some(level) = self.level(MAIN_AGENT, held) {
            level.stopped = true;
        }
    }
}
