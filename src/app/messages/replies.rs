//! Answers to a person who asks for numbers or changes a budget.

use super::amounts::{dollars, grouped, number, quantity};
use super::forecasts::{limit_ahead, window_end};
use super::{share, trip_summary};
use crate::domain::budget::{BudgetState, Scope, Status, Unit};
use crate::domain::event::DenialReason;
use crate::domain::money::NANOS_PER_USD;
use crate::domain::operation::OperationKind;
use crate::domain::prompt_command::USAGE;
use crate::domain::throttle::SlotDenied;
use crate::store::SessionTotal;

/// Why a call was denied, with the numbers at that time.
pub fn denial_reason(reason: &DenialReason) -> String {
    match reason {
        DenialReason::Budget { budget, used, limit, unit, status, .. } => {
            format!(
                "budget {budget} was {status}: {} / {}",
                number(used.units(*unit), *unit),
                quantity(limit.units(*unit), *unit)
            )
        }
        DenialReason::Circuit(trip) => {
            format!("the circuit breaker was open: {}", trip_summary(trip))
        }
        DenialReason::Throttle(SlotDenied::Concurrency { live, max, throttled }) => {
            let low = if *throttled { " because tokens were running low" } else { "" };
            format!("as many subagents were running as may at once ({live} of {max}{low})")
        }
        DenialReason::Throttle(SlotDenied::Depth { depth, max }) => {
            format!("the subagent would have been nested {depth} deep (the maximum is {max})")
        }
        DenialReason::Throttle(SlotDenied::Total { max }) => {
            format!("the session had started as many subagents as it may ({max})")
        }
        DenialReason::Protection { protected } => format!("only a person may do this: {protected}"),
    }
}

/// What was done to a budget, as part of a sentence. `unit`: the budget's.
pub fn describe_operation(decision: &OperationKind, unit: Unit) -> String {
    match decision {
        OperationKind::Extend { amount } => format!("extended by {}", number(*amount, unit)),
        OperationKind::Reset { .. } => "reset".to_owned(),
        OperationKind::Delete => "deleted".to_owned(),
    }
}

/// What else is needed if a budget still blocks after it was changed.
pub fn still_blocked(state: &BudgetState) -> String {
    let name = &state.budget.name;
    if state.status() == Status::Exhausted && state.budget.unit == Unit::Percent {
        return format!("Budget {name} is still past its hard limit: raise hard_limit.");
    }
    if state.status() == Status::Exhausted {
        return format!("Budget {name} is still past its hard limit: reset it, or raise hard_limit.");
    }
    let missing = (state.used - state.limit()).saturating_add(1);
    let missing = match state.budget.unit {
        // The next cent: less would be shown as nothing.
        Unit::Usd => dollars(missing.next_multiple_of(NANOS_PER_USD / 100)),
        Unit::Percent => number(missing, Unit::Percent),
        unit => format!("{} more {}", grouped(missing), unit.noun()),
    };
    format!("Budget {name} still blocks the agent. Extend it by at least {missing}.")
}

/// The commands that a person can send as a prompt.
pub fn prompt_command_help() -> String {
    let width = USAGE.iter().map(|(usage, _)| usage.len()).max().unwrap_or_default();
    let lines = USAGE.iter().map(|(usage, says)| format!("  {usage:width$}  {says}"));
    let head = "Fusebox answers these prompts itself, without a model call:".to_owned();
    std::iter::once(head).chain(lines).collect::<Vec<_>>().join("\n")
}

/// What to do after the same command was sent again.
pub const REPEAT_ADVICE: &str = "If the command is still in the input box, clear the box (Ctrl+U) before you type your \
     next prompt. To make the same decision twice, begin the reason with a different word.";

/// The answer to a prompt that contains a command which was already answered.
pub fn left_in_box() -> String {
    "Fusebox: this prompt was not sent: it still contains a command that was already answered. Clear the input box \
     (Ctrl+U), and send your prompt again."
        .to_owned()
}

/// Tells the person why a prompt did not close the circuit breaker.
pub fn scheduled_words() -> String {
    "Fusebox: the agent scheduled this prompt, so it does not close the circuit breaker. If you typed it yourself, \
     send it again in other words."
        .to_owned()
}

/// The session's totals.
pub fn session_line(total: Option<&SessionTotal>) -> String {
    let Some(total) = total else { return "Nothing has been counted in this session yet.".to_owned() };
    let usage = total.amount.usage;
    let parts = [
        (usage.input, "input"),
        (usage.output, "output"),
        (usage.cache_write_5m.saturating_add(usage.cache_write_1h), "cache writes"),
        (usage.cache_read, "cache reads"),
    ];
    let parts = parts.map(|(n, class)| format!("{} {class}", grouped(n))).join(" · ");
    let count = |n: u64, noun| format!("{} {noun}{}", grouped(n), if n == 1 { "" } else { "s" });
    let (requests, calls) = (total.amount.requests, total.amount.tool_calls);
    let cost = dollars(total.amount.nano_usd);
    let estimated = if total.amount.nano_usd_estimated > 0 { "+" } else { "" };
    format!(
        "This session: {cost}{estimated}; tokens: {parts}; {}, {}",
        count(requests, "request"),
        count(calls, "tool call")
    )
}

/// The state of one budget.
pub fn budget_line(state: &BudgetState, session: &str) -> String {
    let of = match state.budget.scope {
        Scope::Session if state.value == session => String::new(),
        scope => format!(" ({} {})", scope.name(), state.value),
    };
    let until = window_end(state).map_or_else(String::new, |end| format!(", resets at {end}"));
    let ahead = limit_ahead(state).map_or_else(String::new, |ahead| format!("; {ahead}"));
    format!("  {}{of}: {}, {}{until}{ahead}", state.budget.name, share(state), state.status().name())
}
