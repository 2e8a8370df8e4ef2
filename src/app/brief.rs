//! What Fusebox says, to the agent and to the person.

use std::collections::BTreeMap;

use crate::config::Show;
use crate::domain::alert::BudgetAlert;
use crate::domain::breaker::circuit::{CircuitBreaker, Trip};
use crate::domain::breaker::policy::Policy;
use crate::domain::breaker::rules;
use crate::domain::budget::{BudgetState, Mode, OnLimit, Scope, Status, Unit};
use crate::domain::event::{ConcurrencyChange, Event, EventData};
use crate::domain::operation::OperationKind;
use crate::domain::prompt_command::USAGE;
use crate::domain::protection::{ProtectedKind, ProtectionReason};
use crate::domain::throttle::SlotDenied;
use crate::domain::verdict::HoldReason;
use crate::store::SessionTotal;

/// `1,234,567`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `82.31%`.
pub fn percent(state: &BudgetState) -> String {
    format!("{:.2}%", state.utilization() * 100.0)
}

/// `X / Y tokens (Z%)`.
pub fn share(state: &BudgetState) -> String {
    let (used, limit) = (grouped(state.used), grouped(state.limit()));
    format!("{used} / {limit} {} ({})", state.budget.unit.noun(), percent(state))
}

/// The lines for a prompt: the session's budget (as `show` says), and others once they are past a threshold.
pub fn prompt_lines(states: &[BudgetState], session: &str, show: Show) -> Vec<String> {
    let mut lines = Vec::new();
    for state in states {
        let own = state.budget.scope == Scope::Session && state.value == session;
        let past = state.status() > Status::Active;
        let shown = match show {
            Show::Never => false,
            Show::PastThreshold => past,
            Show::Always => own || past,
        };
        if !shown {
            continue;
        }
        let note = match state.status() {
            Status::Paused | Status::Exhausted => format!(", {}", state.status().name()),
            _ => String::new(),
        };
        let label = match (own, state.budget.name.as_str()) {
            (true, "session") => "Session budget".to_owned(),
            (true, name) => format!("Session budget {name}"),
            (false, name) => format!("Budget {name} ({} {})", state.budget.scope.name(), state.value),
        };
        lines.push(format!("{label}: {}{note}", share(state)));
    }
    lines
}

/// What is said of alerts: of each budget and value the highest one only; a jump over two thresholds says one thing.
pub fn alert_lines(alerts: &[BudgetAlert]) -> Vec<String> {
    let mut highest: BTreeMap<(&str, &str), &BudgetAlert> = BTreeMap::new();
    for alert in alerts {
        let of = highest.entry((&alert.budget, &alert.value)).or_insert(alert);
        if (alert.threshold, alert.used) >= (of.threshold, of.used) {
            *of = alert;
        }
    }
    highest.into_values().map(alert_line).collect()
}

fn alert_line(highest: &BudgetAlert) -> String {
    let BudgetAlert { budget, used, limit, unit, .. } = highest;
    let percent = if *limit == 0 { 100.0 } else { *used as f64 / *limit as f64 * 100.0 };
    let shadow = if highest.mode == Mode::Shadow { " (shadow)" } else { "" };
    let share = format!("{} of {} {}", grouped(*used), grouped(*limit), unit.noun());
    let then = match (highest.status() >= Status::Paused, highest.mode, highest.on_limit) {
        (false, _, _) => String::new(),
        (true, Mode::Shadow, OnLimit::Warn) | (true, Mode::Enforce, OnLimit::Warn) => {
            " It is over its limit.".into()
        }
        (true, Mode::Shadow, OnLimit::Pause) => " It would have paused here.".into(),
        (true, Mode::Shadow, OnLimit::Stop) => " It would have stopped here.".into(),
        (true, Mode::Enforce, _) => {
            let way = extension(budget, highest.scope, &highest.value, *unit, "N");
            format!(" It is over its limit: tool calls are denied from here on. To go on: {way}")
        }
    };
    format!("Fusebox: budget {budget}{shadow} has used {percent:.2}%: {share}.{then}")
}

/// Inputs of calls, shortened, by the signature of the call.
pub type Quotes = [(String, String)];

/// Why a tool call is denied, and what to do: for the agent. `left`: responses that it may still make.
pub fn denial(why: &HoldReason, left: u32, quotes: &Quotes) -> String {
    let close = match left {
        0 => "Do not call tools any more.".to_owned(),
        1 => "You have one more response: close your work in it without calling tools; say what is done and what is \
              left."
            .to_owned(),
        n => format!(
            "You have {n} more responses: close your work without calling tools; say what is done and what is left."
        ),
    };
    match why {
        HoldReason::Budget(state) => {
            format!("{} Tool calls are denied. {close} {}", over(state), way_on(state))
        }
        HoldReason::Circuit(trip) => format!("{} Tool calls are denied. {close}", tripped(trip, quotes)),
        HoldReason::Probing(_) | HoldReason::SlotDenied(_) | HoldReason::Protected(_) => {
            call_denial(why, quotes)
        }
    }
}

/// Why this one call is denied: for the agent that wanted to make it.
pub fn call_denial(why: &HoldReason, quotes: &Quotes) -> String {
    match why {
        HoldReason::Budget(state) => {
            format!("{} Subagents of this type are not started; go on without. {}", over(state), way_on(state))
        }
        HoldReason::Circuit(trip) => tripped(trip, quotes),
        HoldReason::Probing(_) => "Fusebox: the circuit breaker is half-open: one call at a time shows whether it goes better. Wait \
                            for the result of the other call before you make this one."
            .to_owned(),
        HoldReason::SlotDenied(crowded) => format!("Fusebox: {}", too_many(*crowded)),
        HoldReason::Protected(reason) => protection(reason),
    }
}

fn too_many(crowded: SlotDenied) -> String {
    match crowded {
        SlotDenied::Concurrency { live, throttled: true, .. } => format!(
            "tokens run low, so subagents work one at a time, and {live} work already. Start the next one when that has ended, \
             or do the work yourself."
        ),
        SlotDenied::Concurrency { live, max, .. } => format!(
            "{live} subagents work already, and at most {max} may at the same time. Start the next one when one of them has \
             ended, or do the work yourself."
        ),
        SlotDenied::Depth { max, .. } => {
            format!("subagents may be nested {max} deep, and this one would be deeper. Do the work yourself.")
        }
        SlotDenied::Total { max } => {
            format!(
                "this session has started {max} subagents, which is all that it may. Do the work yourself."
            )
        }
    }
}

/// What a call would do to Fusebox itself.
pub fn reaches_for(reason: &ProtectionReason) -> String {
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
        ProtectionReason::Command(command) => format!("`{command}` decides what guards you"),
        ProtectionReason::Hooks => "it would end Fusebox's hooks, or run them by hand".to_owned(),
        ProtectionReason::Client => {
            "it would start a client that Fusebox does not guard as it guards this one".to_owned()
        }
    }
}

/// Why such a call is denied: for the agent.
fn protection(reason: &ProtectionReason) -> String {
    let what = reaches_for(reason);
    format!(
        "Fusebox: this call is denied: {what}. That is for a person to do, in a terminal of their own: say what you need \
         and why, and go on without it. Reading is allowed."
    )
}

/// What the agent is told after a response that may be its last but one.
pub fn wrap_up(why: &HoldReason, quotes: &Quotes) -> String {
    let over = match why {
        HoldReason::Budget(state) => over(state),
        HoldReason::Circuit(trip) => tripped(trip, quotes),
        HoldReason::Probing(_) | HoldReason::SlotDenied(_) | HoldReason::Protected(_) => {
            return call_denial(why, quotes);
        }
    };
    format!(
        "{over} Tool calls are denied from here on. Close your work now without calling tools: say what is done and what is \
         left."
    )
}

/// Why a turn was stopped, or a prompt not answered: for the person. `attended`: one sits at this session's terminal,
/// and can go on by a prompt. (The agent is not told of prompts: it could not send one, and would only try.)
pub fn stop(why: &HoldReason, attended: bool, quotes: &Quotes) -> String {
    let state = match why {
        HoldReason::Budget(state) => state,
        HoldReason::Circuit(trip) => {
            let way = match attended {
                true => "Send a prompt to go on",
                false => {
                    "A person goes on with a prompt, or in a terminal with: fusebox circuit ack --reason \"…\""
                }
            };
            return format!("{} The turn was stopped. {way}.", tripped(trip, quotes));
        }
        HoldReason::Probing(_) | HoldReason::SlotDenied(_) | HoldReason::Protected(_) => {
            return call_denial(why, quotes);
        }
    };
    let text = format!("{} {}", over(state), way_on(state));
    if !attended {
        return text;
    }
    let name = &state.budget.name;
    let prompt = match state.status() {
        Status::Exhausted => format!("fusebox: reset {name} because …"),
        _ => format!("fusebox: extend {name} N because …"),
    };
    format!("{text}\nOr here, as a prompt: {prompt}")
}

/// What a breaker tripped on, and what the agent could do instead.
fn tripped(trip: &Trip, quotes: &Quotes) -> String {
    let instead = match trip.rule.as_str() {
        "iterations" => "Report to the person what is done and what is left.",
        "endless_wait" => "What is waited for may never come: say so, and ask.",
        "failing_storm" | "same_failure" => "Find out why it fails, or ask the person.",
        _ => "Do something else, or ask the person.",
    };
    format!("Fusebox: the circuit breaker is open: {}. {instead}", counted(trip, quotes))
}

/// What a rule counted: `the same call with the same result, 5 times in a row (Bash, "make test"; trips at 5)`.
fn counted(trip: &Trip, quotes: &Quotes) -> String {
    let count = trip.count.to_string();
    // A later version's rule is known by its name only.
    let says = rules::by_name(&trip.rule)
        .map_or_else(|| format!("{}: {count}", trip.rule), |rule| rule.description.replace("{n}", &count));
    let quoted = quotes.iter().find(|(signature, _)| *signature == trip.signature);
    let input = quoted
        .map_or_else(|| format!(", signature {}", trip.signature), |(_, input)| format!(", \"{input}\""));
    format!("{says} ({}{input}; trips at {})", trip.tool, trip.limit)
}

/// Why a breaker tripped, in short: for lists.
pub fn trip(trip: &Trip) -> String {
    counted(trip, &[])
}

/// What is said of an event; `None`: nothing.
pub fn event_line(event: &Event, quotes: &Quotes) -> Option<String> {
    let limits = |turn: &ConcurrencyChange| {
        format!("{:.2}% of throttle.hard_limit_tokens are used", turn.usage_percent)
    };
    Some(match &event.data {
        EventData::CircuitWarning(trip) if trip.rule == "iterations" => format!(
            "Fusebox: {} calls since the last prompt; the circuit breaker trips at {}. Come to an end, or say what is left.",
            trip.count, trip.limit
        ),
        EventData::CircuitWarning(trip) => format!(
            "Fusebox: this looks like a loop: {}. Once it has tripped, tool calls are denied. Do something else.",
            counted(trip, quotes)
        ),
        EventData::CircuitOpened(trip) => tripped(trip, quotes),
        EventData::CircuitWouldOpen(trip) => {
            format!("Fusebox (shadow): the circuit breaker would have tripped: {}.", counted(trip, quotes))
        }
        EventData::CircuitHalfOpened(_) => {
            "Fusebox: the circuit breaker is half-open: one call shows whether it goes better.".into()
        }
        EventData::CircuitClosed(_) => "Fusebox: the circuit breaker is closed again.".into(),
        EventData::ConcurrencyThrottled(turn) => {
            format!(
                "Fusebox: subagents work one at a time from here on ({} before): {}.",
                turn.from,
                limits(turn)
            )
        }
        EventData::ConcurrencyRestored(turn) => {
            format!("Fusebox: {} subagents may work at the same time again: {}.", turn.to, limits(turn))
        }
        EventData::CircuitDecided { .. } | EventData::CallDenied(_) => return None,
    })
}

/// The breaker's line for a prompt: `Circuit breaker: closed (12/1000 iterations)`. A prompt begins the breaker anew:
/// `before` is how it stood.
pub fn circuit_line(before: &CircuitBreaker, policy: &Policy, show: Show) -> Option<String> {
    let shown = match show {
        Show::Never => false,
        Show::PastThreshold => before.phase.trip().is_some(),
        Show::Always => true,
    };
    shown.then(|| {
        let was = before
            .phase
            .trip()
            .map_or_else(String::new, |trip| format!(", was {}: {}", before.phase.name(), trip.rule));
        format!("Circuit breaker: closed ({} iterations{was})", iterations(before.iterations, policy))
    })
}

/// `12/1000`, or `12` where there is no limit.
pub fn iterations(iterations: u64, policy: &Policy) -> String {
    match policy.limits.get("iterations") {
        Some(limit) => format!("{iterations}/{limit}"),
        None => iterations.to_string(),
    }
}

fn over(state: &BudgetState) -> String {
    let of = match state.budget.scope {
        Scope::Session => String::new(),
        scope => format!(" of {} {}", scope.name(), state.value),
    };
    format!("Fusebox: budget {}{of} is {}: {}.", state.budget.name, state.status().name(), share(state))
}

/// How a person goes on. In a terminal of their own: in the agent's shell the command refuses.
fn way_on(state: &BudgetState) -> String {
    let BudgetState { budget, value, .. } = state;
    let until = match state.window.end {
        Some(end) => format!(" (it starts afresh at {})", end.to_rfc3339()),
        None => String::new(),
    };
    let step = match state.status() {
        Status::Exhausted => reset(&budget.name, budget.scope, value),
        _ => extension(&budget.name, budget.scope, value, budget.unit, "N"),
    };
    let or = if state.budget.scope == Scope::Model { ", or chooses another model" } else { "" };
    format!("To go on, a person runs in a terminal: {step}{until}{or}")
}

/// The options that name a value of a scope.
fn target(scope: Scope, value: &str) -> String {
    match scope {
        Scope::Session => format!(" --session {value}"),
        _ => format!(" --value '{value}'"),
    }
}

/// The command that extends a budget by `amount`.
pub fn extension(name: &str, scope: Scope, value: &str, unit: Unit, amount: &str) -> String {
    let (of, unit) = (target(scope, value), unit.name().replace('_', "-"));
    format!("fusebox budget extend {name}{of} --{unit} {amount} --reason \"…\"")
}

/// The command that resets a budget.
pub fn reset(name: &str, scope: Scope, value: &str) -> String {
    format!("fusebox budget reset {name}{} --reason \"…\"", target(scope, value))
}

/// The command that takes a budget off a value.
pub fn deletion(name: &str, scope: Scope, value: &str) -> String {
    format!("fusebox budget delete {name}{} --reason \"…\"", target(scope, value))
}

/// What was decided, as part of a sentence.
pub fn decision(decision: &OperationKind) -> String {
    match decision {
        OperationKind::Extend { amount } => format!("extended by {}", grouped(*amount)),
        OperationKind::Reset { .. } => "reset".to_owned(),
        OperationKind::Delete => "deleted".to_owned(),
    }
}

/// What is missing, after a decision that was not enough.
pub fn still_held(state: &BudgetState) -> String {
    let name = &state.budget.name;
    if state.status() == Status::Exhausted {
        return format!("Budget {name} is past its hard limit still: reset it, or raise hard_limit.");
    }
    let missing = grouped((state.used - state.limit()).saturating_add(1));
    let noun = state.budget.unit.noun();
    format!("Budget {name} still holds the agent back: {missing} more {noun} are needed.")
}

/// The commands that a person can send as a prompt.
pub fn prompt_commands() -> String {
    let width = USAGE.iter().map(|(usage, _)| usage.len()).max().unwrap_or_default();
    let lines = USAGE.iter().map(|(usage, says)| format!("  {usage:width$}  {says}"));
    let head = "Fusebox answers these prompts itself, without a model call:".to_owned();
    std::iter::once(head).chain(lines).collect::<Vec<_>>().join("\n")
}

/// What a session used in all.
pub fn session_line(total: Option<&SessionTotal>) -> String {
    let Some(total) = total else { return "Nothing was counted in this session yet.".to_owned() };
    let usage = total.amount.usage;
    let parts = [
        (usage.input, "input"),
        (usage.output, "output"),
        (usage.cache_write_5m.saturating_add(usage.cache_write_1h), "cache writes"),
        (usage.cache_read, "cache reads"),
    ];
    let parts = parts.map(|(n, class)| format!("{} {class}", grouped(n))).join(" · ");
    let number = |n: u64, noun| format!("{} {noun}{}", grouped(n), if n == 1 { "" } else { "s" });
    let (requests, calls) = (total.amount.requests, total.amount.tool_calls);
    format!("This session: tokens: {parts}; {}, {}", number(requests, "request"), number(calls, "tool call"))
}

/// Where one budget stands.
pub fn budget_line(state: &BudgetState, session: &str) -> String {
    let of = match state.budget.scope {
        Scope::Session if state.value == session => String::new(),
        scope => format!(" ({} {})", scope.name(), state.value),
    };
    let until =
        state.window.end.map_or_else(String::new, |end| format!(", starts afresh at {}", end.to_rfc3339()));
    format!("  {}{of}: {}, {}{until}", state.budget.name, share(state), state.status().name())
}
