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

/// The calls that an event is about, which are of one response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Their ids; empty if the event has none.
    pub ids: Vec<u32>,
    /// Ids of calls that the transcript shows to be of earlier responses.
    pub earlier: Vec<u32>,
    /// When the event came.
    pub at: Timestamp,
}

/// What an event says about a response.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It asks for a call.
    Asked,
    /// One of its calls ended.
    CallEnded,
    /// All of its calls ended.
    Ended,
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
    /// Calls of a response that is not yet counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    open: Vec<u32>,
    /// Calls of the response that was counted last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    counted: Vec<u32>,
    /// When an event last said something new.
    #[serde(default)]
    seen_at: Timestamp,
}

/// How long the same event may be a duplicate, in milliseconds: hooks that are registered twice run at the same time.
/// Later, it is of another response with the same ids (some gateways repeat them).
const DUPLICATE_MS: u64 = 2_000;

/// If more calls than this come without a sign that their response has ended, it counts as ended.
const MAX_OPEN: usize = 64;

impl EscalationLevel {
    fn new(hold: &Hold) -> Self {
        Self {
            cause: hold.cause.clone(),
            left: hold.wrap_up,
            cut_short: false,
            stopped: false,
            open: Vec::new(),
            counted: Vec::new(),
            seen_at: Timestamp::default(),
        }
    }

    /// An event of a response. Each response uses up one of those left, whichever of its events come, and however
    /// often: it counts when all of its calls have ended, or else when a call of a later response comes. If none is
    /// left, the response is stopped at its first event.
    fn see(&mut self, calls: &Calls, stage: Stage) {
        let ended = stage == Stage::Ended;
        let has = |known: &[u32]| calls.ids.iter().any(|id| known.contains(id));
        let (is_open, at_once) = (has(&self.open), calls.at.0.abs_diff(self.seen_at.0) < DUPLICATE_MS);
        // No call is asked for after its response has ended: its id repeats.
        let is_duplicate = stage != Stage::Asked && at_once && !is_open && has(&self.counted);
        if is_duplicate || (calls.ids.is_empty() && !ended) {
            return;
        }
        let is_asked_again = stage == Stage::Asked && is_open && !at_once;
        // An id that was counted before stands for a response whose line came late.
        let is_later = |id: &u32| calls.earlier.contains(id) && !self.counted.contains(id);
        if is_asked_again || self.open.len() >= MAX_OPEN || self.open.iter().any(is_later) {
            self.count();
        }
        self.stopped |= self.left == 0;
        let new: Vec<u32> = calls.ids.iter().filter(|id| !self.open.contains(id)).copied().collect();
        if ended || !new.is_empty() {
            self.seen_at = calls.at;
        }
        self.open.extend(new);
        self.open.truncate(MAX_OPEN);
        if ended {
            self.count();
        }
    }

    fn count(&mut self) {
        self.left = self.left.saturating_sub(1);
        self.counted = std::mem::take(&mut self.open);
    }
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
        let level = self.0.entry(agent.to_owned()).or_insert_with(|| EscalationLevel::new(strictest));
        if !holds(&level.cause) {
            *level = EscalationLevel::new(strictest);
        }
        level.stopped |= session_stopped || stops_at_once;
        Some(level)
    }

    /// `agent` calls a tool while held back.
    pub fn on_call(&mut self, agent: &str, held: &[Hold], call: &Calls) -> Option<Restriction> {
        let level = self.level(agent, held)?;
        level.cut_short = true;
        level.see(call, Stage::Asked);
        Some(if level.stopped { Restriction::Stop } else { Restriction::Deny { left: level.left } })
    }

    /// All `calls` of a response of `agent` ended, and the next request is about to be sent. `None` if the agent may
    /// continue.
    pub fn on_batch(&mut self, agent: &str, held: &[Hold], calls: &Calls) -> Option<Restriction> {
        let level = self.level(agent, held)?;
        level.cut_short = true;
        level.see(calls, Stage::Ended);
        level.stopped.then_some(Restriction::Stop)
    }

    /// One call of `agent` ended.
    pub fn on_call_end(&mut self, agent: &str, held: &[Hold], call: &Calls) -> Option<Restriction> {
        let level = self.level(agent, held)?;
        level.see(call, Stage::CallEnded);
        level.stopped.then_some(Restriction::Stop)
    }

    /// `agent` ended its turn, and nothing may make it go on. If the main agent's work was cut short, the session
    /// counts as stopped.
    pub fn on_turn_end(&mut self, agent: &str, held: &[Hold]) -> Option<Restriction> {
        let level = self.level(agent, held)?;
        level.stopped |= level.cut_short && agent == MAIN_AGENT;
        Some(Restriction::Stop)
    }

    /// A prompt was blocked, so the session counts as stopped.
    pub fn on_blocked_prompt(&mut self, held: &[Hold]) {
        if let Some(level) = self.level(MAIN_AGENT, held) {
            level.stopped = true;
        }
    }
}
