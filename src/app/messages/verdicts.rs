//! Why a call, a turn or a prompt is held back, and what to do about it.

use super::amounts::quantity;
use super::forecasts::to_continue;
use super::{Excerpts, circuit_open, extend_command, label, reset_command, share};
use crate::domain::budget::{BudgetState, Scope, Status, Unit};
use crate::domain::protection::{ProtectedKind, ProtectionReason};
use crate::domain::reservation::Refusal;
use crate::domain::throttle::SlotDenied;
use crate::domain::verdict::HoldReason;

/// Tells the agent why its tool calls are denied, and what to do. `left`: responses that it may still make.
pub fn denial(why: &HoldReason, left: u32, excerpts: &Excerpts) -> String {
    let close = match left {
        0 => "Do not call any more tools.".to_owned(),
        1 => "You have one more response: use it to finish your work without calling tools, and say what is done and what is \
              left."
            .to_owned(),
        n => format!(
            "You have {n} more responses: use them to finish your work without calling tools, and say what is done and what is \
             left."
        ),
    };
    match why {
        HoldReason::Budget(state) => {
            format!("{} Tool calls are denied. {close} {}", budget_reached(state), how_to_continue(state))
        }
        HoldReason::Circuit(trip) => {
            format!("{} Tool calls are denied. {close}", circuit_open(trip, excerpts))
        }
        HoldReason::Probing(_)
        | HoldReason::SlotDenied(_)
        | HoldReason::Protected(_)
        | HoldReason::Quota(_)
        | HoldReason::StoreDown(_) => call_denial(why, excerpts),
    }
}

/// Tells the agent why this one call is denied.
pub fn call_denial(why: &HoldReason, excerpts: &Excerpts) -> String {
    match why {
        HoldReason::Budget(state) => {
            let (reached, step) = (budget_reached(state), how_to_continue(state));
            format!("{reached} Subagents of this type are not started: continue without them. {step}")
        }
        HoldReason::Circuit(trip) => circuit_open(trip, excerpts),
        HoldReason::Probing(_) => "Fusebox: the circuit breaker is half-open: only one test call is let through. Wait for its result \
                            before you make this call."
            .to_owned(),
        HoldReason::SlotDenied(slot_denied) => format!("Fusebox: {}", slot_denial(*slot_denied)),
        HoldReason::Protected(reason) => protection_denial(reason),
        HoldReason::Quota(refusal) => quota_refusal(refusal),
        HoldReason::StoreDown(budget) => format!(
            "Fusebox: this call is denied: the store cannot be reached, so nobody knows whether {} has room for it. \
             Continue without it, or try again later.",
            label(budget)
        ),
    }
}

/// Why a budget refuses what was asked for, with the numbers, and what to do.
pub fn quota_refusal(refusal: &Refusal) -> String {
    let Refusal { state, reserved, asked } = refusal;
    let amount = |units| quantity(units, state.budget.unit);
    let held = match reserved {
        0 => String::new(),
        reserved => format!(", and {} more are reserved", amount(*reserved)),
    };
    let (name, step) = (label(&state.budget.name), how_to_continue(state));
    format!(
        "Fusebox: {name} ({} {}) has no room for {}: {} used{held}. Continue without it. {step}",
        state.budget.scope.name(),
        state.value,
        amount(*asked),
        share(state)
    )
}

fn slot_denial(slot_denied: SlotDenied) -> String {
    match slot_denied {
        SlotDenied::Concurrency { live, throttled: true, .. } => format!(
            "tokens are running low, so only one subagent may run at a time; running now: {live}. Start the next one when none \
             is running, or do the work yourself."
        ),
        SlotDenied::Concurrency { live, max, .. } => format!(
            "as many subagents as may run at once are already running ({live} of {max}). Start the next one when one of them \
             has ended, or do the work yourself."
        ),
        SlotDenied::Depth { max, .. } => {
            format!(
                "subagents may be nested at most {max} deep, and this one would be deeper. Do the work yourself."
            )
        }
        SlotDenied::Total { max } => {
            format!("this session has started as many subagents as it may ({max}). Do the work yourself.")
        }
    }
}

/// What a protected call would do to Fusebox itself.
pub fn protected_effect(reason: &ProtectionReason) -> String {
    match reason {
        ProtectionReason::Path(ProtectedKind::State) => {
            "it would change Fusebox's store or journal".to_owned()
        }
        ProtectionReason::Path(ProtectedKind::Cache) => "it would change Fusebox's session caches".to_owned(),
        ProtectionReason::Path(ProtectedKind::Configuration) => {
            "it would change Fusebox's configuration".to_owned()
        }
        ProtectionReason::Path(ProtectedKind::Registration) => {
            "it would change the settings in which Fusebox's hooks are registered".to_owned()
        }
        ProtectionReason::Path(ProtectedKind::Executable) => {
            "it would change Fusebox's executables".to_owned()
        }
        ProtectionReason::Path(ProtectedKind::Tokens) => {
            "it would read or change the tokens of Fusebox's server".to_owned()
        }
        ProtectionReason::Command(command) => format!("`{command}` changes what limits you"),
        ProtectionReason::Hooks => "it would stop Fusebox's hooks, or run them by hand".to_owned(),
        ProtectionReason::Client => {
            "it would start a client that Fusebox does not guard in the same way as this one".to_owned()
        }
        ProtectionReason::Unreadable => {
            "its input cannot be read: it is nested too deeply, or contains a number out of range".to_owned()
        }
        ProtectionReason::ClientWith(name) => format!(
            "it would start a client with `{name}`, and Fusebox does not know whether that client would be guarded \
             like this one (without `{name}`, the call may be allowed)"
        ),
    }
}

/// Tells the agent why a protected call is denied.
fn protection_denial(reason: &ProtectionReason) -> String {
    let effect = protected_effect(reason);
    if *reason == ProtectionReason::Unreadable {
        return format!("Fusebox: this call is denied: {effect}. Make it with a simpler input.");
    }
    let reading =
        if *reason == ProtectionReason::Path(ProtectedKind::Tokens) { "" } else { " Reading is allowed." };
    format!(
        "Fusebox: this call is denied: {effect}. Only a person may do that, in their own terminal. Say what you need and why, \
         and continue without it.{reading}"
    )
}

/// Asks the agent to finish its work, after a response that may be its last but one.
pub fn wrap_up_request(why: &HoldReason, excerpts: &Excerpts) -> String {
    let reached = match why {
        HoldReason::Budget(state) => budget_reached(state),
        HoldReason::Circuit(trip) => circuit_open(trip, excerpts),
        HoldReason::Probing(_)
        | HoldReason::SlotDenied(_)
        | HoldReason::Protected(_)
        | HoldReason::Quota(_)
        | HoldReason::StoreDown(_) => {
            return call_denial(why, excerpts);
        }
    };
    format!(
        "{reached} Tool calls are now denied. Finish your work without calling tools, and say what is done and what is left."
    )
}

/// Tells the person why a turn was stopped or a prompt was blocked. `by_prompt`: a person at this session's terminal
/// can continue with a prompt. (The agent is not told about prompts: it cannot send one, and would only try.)
pub fn stop_reason(why: &HoldReason, by_prompt: bool, excerpts: &Excerpts) -> String {
    let state = match why {
        HoldReason::Budget(state) => state,
        HoldReason::Circuit(trip) => {
            let way = match by_prompt {
                true => "Send a prompt to continue",
                false => {
                    "To continue, a person sends a prompt, or runs in a terminal: fusebox circuit ack --reason \"…\""
                }
            };
            return format!("{} The turn was stopped. {way}.", circuit_open(trip, excerpts));
        }
        HoldReason::Probing(_)
        | HoldReason::SlotDenied(_)
        | HoldReason::Protected(_)
        | HoldReason::Quota(_)
        | HoldReason::StoreDown(_) => {
            return call_denial(why, excerpts);
        }
    };
    let text = format!("{} {}", budget_reached(state), how_to_continue(state));
    if !by_prompt {
        return text;
    }
    let name = &state.budget.name;
    let prompt = match state.status() {
        Status::Exhausted if state.budget.unit == Unit::Percent => return text,
        Status::Exhausted => format!("fusebox: reset {name} because …"),
        _ => format!("fusebox: extend {name} N because …"),
    };
    format!("{text}\nOr send this prompt: {prompt}")
}

/// What a budget that is past its limit denies, with the numbers, until when, and how a person can continue.
pub fn held_back(state: &BudgetState) -> String {
    let denied = match state.budget.scope {
        Scope::Platform => format!("calls of {}", state.value),
        Scope::Model => format!("tool calls of agents on {}", state.value),
        Scope::AgentType => format!("tool calls of agents of type {}", state.value),
        _ => "tool calls".to_owned(),
    };
    let (name, of) = (label(&state.budget.name), scope_value(state));
    format!("{denied} are denied by {name}{of}: {}. {}", share(state), how_to_continue(state))
}

/// The scope and its value in parentheses; empty for sessions.
fn scope_value(state: &BudgetState) -> String {
    match state.budget.scope {
        Scope::Session => String::new(),
        scope => format!(" ({} {})", scope.name(), state.value),
    }
}

fn budget_reached(state: &BudgetState) -> String {
    let of = scope_value(state);
    let reached = if state.status() == Status::Exhausted { "exhausted" } else { "reached" };
    format!("Fusebox: {}{of} {reached}: {}.", label(&state.budget.name), share(state))
}

/// How a person can continue: in their own terminal, because the command refuses to run in the agent's shell.
fn how_to_continue(state: &BudgetState) -> String {
    let BudgetState { budget, value, .. } = state;
    let until = to_continue(Some(state));
    let step = match state.status() {
        Status::Exhausted if budget.unit == Unit::Percent => {
            return format!("{until}, a person raises hard_limit in the configuration.");
        }
        Status::Exhausted => reset_command(&budget.name, budget.scope, value),
        _ => extend_command(&budget.name, budget.scope, value, budget.unit, "N"),
    };
    let or = if state.budget.scope == Scope::Model { "chooses another model, or " } else { "" };
    format!("{until}, a person {or}runs in a terminal: {step}")
}
