//! What Fusebox says, to the agent and to the person.

use std::collections::BTreeMap;

use crate::config::Show;
use crate::domain::alert::BudgetAlert;
use crate::domain::budget::{BudgetState, Mode, OnLimit, Scope, Status, Unit};

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
            let way = extension(budget, highest.scope, &highest.value, *unit);
            format!(" It is over its limit: tool calls are denied from here on. To go on: {way}")
        }
    };
    format!("Fusebox: budget {budget}{shadow} has used {percent:.2}%: {share}.{then}")
}

/// Why a tool call is denied, and what to do: for the agent.
pub fn denial(state: &BudgetState, left: u32) -> String {
    let close = match left {
        0 => "Do not call tools any more.".to_owned(),
        1 => "You have one more response: close your work in it without calling tools; say what is done and what is \
              left."
            .to_owned(),
        n => format!(
            "You have {n} more responses: close your work without calling tools; say what is done and what is left."
        ),
    };
    format!("{} Tool calls are denied. {close} {}", over(state), way_on(state))
}

/// Why a subagent is not started: for the agent that wanted to.
pub fn spawn_denial(state: &BudgetState) -> String {
    format!("{} Subagents of this type are not started; go on without. {}", over(state), way_on(state))
}

/// What the agent is told after a response that may be its last but one.
pub fn wrap_up(state: &BudgetState) -> String {
    format!(
        "{} Tool calls are denied from here on. Close your work now without calling tools: say what is done and what is \
         left.",
        over(state)
    )
}

/// Why a turn was stopped, or a prompt not answered: for the person.
pub fn stop(state: &BudgetState) -> String {
    format!("{} {}", over(state), way_on(state))
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
    let of = target(budget.scope, value);
    let until = match state.window.end {
        Some(end) => format!(" (it starts afresh at {})", end.to_rfc3339()),
        None => String::new(),
    };
    let step = match state.status() {
        Status::Exhausted => format!("fusebox budget reset {}{of} --reason \"…\"", budget.name),
        _ => extension(&budget.name, budget.scope, value, budget.unit),
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

/// The command that extends a budget.
fn extension(name: &str, scope: Scope, value: &str, unit: Unit) -> String {
    let (of, unit) = (target(scope, value), unit.name().replace('_', "-"));
    format!("fusebox budget extend {name}{of} --{unit} N --reason \"…\"")
}
