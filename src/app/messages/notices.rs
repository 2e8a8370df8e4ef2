//! The prompt line, alerts, and events of the breaker and the throttle.

use std::collections::BTreeMap;

use super::amounts::{grouped, number, quantity};
use super::forecasts::{limit_ahead, time_left, to_continue, window_end};
use super::{Excerpts, circuit_open, extend_command, iterations, label, share, trip_details};
use crate::config::PromptLineMode;
use crate::domain::alert::BudgetAlert;
use crate::domain::breaker::circuit::CircuitBreaker;
use crate::domain::breaker::policy::Policy;
use crate::domain::budget::{BudgetState, Mode, OnLimit, Scope, Status, Unit};
use crate::domain::event::{ConcurrencyChange, Event, EventData};
use crate::store::unseen::FIRST_RESPONSE;

/// The budget lines of a prompt: the session's own budgets according to `mode`, others once they have passed a
/// threshold.
pub fn prompt_lines(states: &[BudgetState], session: &str, mode: PromptLineMode) -> Vec<String> {
    let mut lines = Vec::new();
    for state in states {
        let own = state.budget.scope == Scope::Session && state.value == session;
        let past = state.status() > Status::Active;
        let shown = match mode {
            PromptLineMode::Never => false,
            PromptLineMode::PastThreshold => past,
            PromptLineMode::Always => own || past,
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
        let ahead = limit_ahead(state).map_or_else(String::new, |ahead| format!("; {ahead}"));
        let is_reached = state.status() >= Status::Paused;
        let end = match (time_left(state), window_end(state).filter(|_| is_reached)) {
            (Some(left), _) => format!(", resets {left}"),
            (None, Some(end)) => format!(", resets at {end}"),
            (None, None) => String::new(),
        };
        lines.push(format!("{label}: {}{note}{end}{ahead}", share(state)));
    }
    lines
}

/// The breaker's line of a prompt: `Circuit breaker: closed (12/1000 iterations)`. `before`: its state before the
/// prompt, which resets it.
pub fn circuit_line(before: &CircuitBreaker, policy: &Policy, mode: PromptLineMode) -> Option<String> {
    let shown = match mode {
        PromptLineMode::Never => false,
        PromptLineMode::PastThreshold => before.phase.trip().is_some(),
        PromptLineMode::Always => true,
    };
    shown.then(|| {
        let was = before
            .phase
            .trip()
            .map_or_else(String::new, |trip| format!(", was {}: {}", before.phase.name(), trip.rule));
        format!("Circuit breaker: closed ({} iterations{was})", iterations(before.iterations, policy))
    })
}

/// The transcripts lack responses. `what`: the file, and what is wrong with it.
pub fn incomplete(what: &str) -> String {
    format!(
        "Fusebox: this session's count is incomplete: {what}. Each response that no transcript shows is charged as \
         much as the largest one so far ({} tokens before one is known), and the limits apply to these estimates. \
         `fusebox doctor` says what to do.",
        grouped(FIRST_RESPONSE.total())
    )
}

/// One line per budget and value with alerts. If several thresholds were passed, only the highest is shown. `states`: the
/// budgets now.
pub fn alert_lines(alerts: &[BudgetAlert], states: &[BudgetState]) -> Vec<String> {
    let mut highest: BTreeMap<(&str, &str), &BudgetAlert> = BTreeMap::new();
    for alert in alerts {
        let of = highest.entry((&alert.budget, &alert.value)).or_insert(alert);
        if (alert.threshold, alert.used) >= (of.threshold, of.used) {
            *of = alert;
        }
    }
    let line = |alert: &BudgetAlert| {
        let state = states.iter().find(|s| s.budget.name == alert.budget && s.value == alert.value);
        alert_line(alert, state)
    };
    highest.into_values().map(line).collect()
}

/// `state`: the budget now, if it is known.
fn alert_line(highest: &BudgetAlert, state: Option<&BudgetState>) -> String {
    let ahead = state.and_then(limit_ahead);
    let BudgetAlert { budget, used, limit, unit, .. } = highest;
    let percent = if *limit == 0 { 100.0 } else { *used as f64 / *limit as f64 * 100.0 };
    let shadow = if highest.mode == Mode::Shadow { " (shadow)" } else { "" };
    let (label, share) = (label(budget), format!("{} of {}", number(*used, *unit), quantity(*limit, *unit)));
    let is_platform = highest.scope == Scope::Platform;
    let then = match (highest.status() >= Status::Paused, highest.mode, highest.on_limit) {
        (false, _, _) => String::new(),
        (true, Mode::Shadow, OnLimit::Warn) | (true, Mode::Enforce, OnLimit::Warn) => {
            let end =
                state.and_then(window_end).map_or_else(String::new, |end| format!(", and resets at {end}"));
            format!(" It is over its limit{end}.")
        }
        (true, Mode::Shadow, _) if is_platform => " In enforce mode its calls would now be denied.".into(),
        (true, Mode::Shadow, OnLimit::Pause) => {
            " In enforce mode it would have paused the session here.".into()
        }
        (true, Mode::Shadow, OnLimit::Stop) => {
            " In enforce mode it would have stopped the session here.".into()
        }
        (true, Mode::Enforce, _) => {
            let way = extend_command(budget, highest.scope, &highest.value, *unit, "N");
            let continued = to_continue(state);
            let denied = if is_platform { "Its calls" } else { "Tool calls" };
            format!(" It is over its limit. {denied} are now denied. {continued}: {way}")
        }
    };
    match unit {
        // A percentage of a percentage would only confuse.
        Unit::Percent => format!(
            "Fusebox: {label}{shadow}: {} used, the limit is {}{}.{then}",
            number(*used, *unit),
            number(*limit, *unit),
            ahead.map_or_else(String::new, |ahead| format!("; {ahead}"))
        ),
        _ => format!("Fusebox: {label}{shadow} is {percent:.2}% used: {share}.{then}"),
    }
}

/// The line for an event; `None` if it is not shown.
pub fn event_line(event: &Event, excerpts: &Excerpts) -> Option<String> {
    let limits = |turn: &ConcurrencyChange| {
        format!("{:.2}% of throttle.hard_limit_tokens is used", turn.usage_percent)
    };
    Some(match &event.data {
        EventData::CircuitWarning(trip) if trip.rule == "iterations" => format!(
            "Fusebox: {} calls since the last prompt; the circuit breaker trips at {}. Finish your work, or say what is left.",
            trip.count, trip.limit
        ),
        EventData::CircuitWarning(trip) => format!(
            "Fusebox: this looks like a loop: {}. If the circuit breaker trips, tool calls are denied. Try something else.",
            trip_details(trip, excerpts)
        ),
        EventData::CircuitOpened(trip) => circuit_open(trip, excerpts),
        EventData::CircuitWouldOpen(trip) => {
            format!(
                "Fusebox (shadow): the circuit breaker would have tripped: {}.",
                trip_details(trip, excerpts)
            )
        }
        EventData::CircuitHalfOpened(_) => {
            "Fusebox: the circuit breaker is half-open: one test call is let through.".into()
        }
        EventData::CircuitClosed(_) => "Fusebox: the circuit breaker is closed again.".into(),
        EventData::ConcurrencyThrottled(turn) => {
            format!("Fusebox: subagents now run one at a time ({} before): {}.", turn.from, limits(turn))
        }
        EventData::ConcurrencyRestored(turn) => {
            format!("Fusebox: up to {} subagents may run at once again: {}.", turn.to, limits(turn))
        }
        EventData::CircuitDecided { .. } | EventData::CallDenied(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::budget::Budget;
    use crate::domain::time::Timestamp;
    use crate::domain::window::{Period, WindowRule};

    /// What is said of a budget of ten requests of this scope, at its limit.
    fn said(scope: Scope, mode: Mode, on_limit: OnLimit, period: Period) -> String {
        let window = WindowRule { period, ..WindowRule::LIFETIME };
        let (unit, name) = (Unit::Requests, "b".to_owned());
        let budget = Budget { name, scope, unit, limit: 10, window, mode, on_limit, ..Budget::placeholder() };
        let now = Timestamp(90_000);
        let state = BudgetState { used: 10, ..BudgetState::new(&budget, "gemini", budget.window_at(now)) };
        let alert = BudgetAlert::new(&state, 1.0, now);
        alert_lines(&[alert], &[state]).concat()
    }

    #[test]
    fn an_alert_at_the_limit_names_the_reset() {
        let minute = Period::Every(1);
        let command = "fusebox budget extend b --value 'gemini' --requests N --reason \"…\"";
        let used = "is 100.00% used: 10 of 10 requests. ";
        assert_eq!(
            said(Scope::User, Mode::Enforce, OnLimit::Pause, minute),
            format!(
                "Fusebox: budget b {used}It is over its limit. Tool calls are now denied. It resets at \
                 1970-01-01T00:02:00Z. To continue before that: {command}"
            )
        );
        assert_eq!(
            said(Scope::User, Mode::Enforce, OnLimit::Stop, Period::Lifetime),
            format!(
                "Fusebox: budget b {used}It is over its limit. Tool calls are now denied. To continue: {command}"
            )
        );
        assert_eq!(
            said(Scope::User, Mode::Enforce, OnLimit::Warn, Period::Day),
            format!("Fusebox: budget b {used}It is over its limit, and resets at 1970-01-02T00:00:00Z.")
        );
    }

    #[test]
    fn a_budget_of_a_platform_denies_its_calls_only() {
        let enforced = said(Scope::Platform, Mode::Enforce, OnLimit::Stop, Period::Day);
        assert!(
            enforced.contains("It is over its limit. Its calls are now denied. It resets at 1970-01-02"),
            "{enforced}"
        );
        let shadow = said(Scope::Platform, Mode::Shadow, OnLimit::Pause, Period::Day);
        assert!(shadow.ends_with("In enforce mode its calls would now be denied."), "{shadow}");
    }
}
