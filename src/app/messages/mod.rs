//! The texts for the agent and the person. [`verdicts`]: why a call, a turn or a prompt is held back. [`notices`]: the
//! prompt line, alerts and events. [`replies`]: answers to a person's commands. [`forecasts`]: what is ahead of a budget
//! in percent. [`status_line`]: the status line. This file has shared functions.

pub mod amounts;
pub mod bar;
pub mod forecasts;
pub mod notices;
pub mod replies;
pub mod status_line;
pub mod verdicts;

use self::amounts::{number, quantity};
use crate::domain::alert::BudgetAlert;
use crate::domain::breaker::circuit::Trip;
use crate::domain::breaker::policy::Policy;
use crate::domain::breaker::rules;
use crate::domain::budget::{BudgetState, Scope, Unit};

/// Excerpts of tool inputs, by the signatures of calls. Used in the answer to the client, never stored.
#[derive(Clone, Debug, Default)]
pub struct Excerpts(Vec<(String, String)>);

impl FromIterator<(String, String)> for Excerpts {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(excerpts: I) -> Self {
        Self(excerpts.into_iter().collect())
    }
}

impl Excerpts {
    /// The excerpt of the call with this signature.
    fn get(&self, signature: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == signature).map(|(_, input)| input.as_str())
    }
}

/// `82.31%`.
pub fn percent(state: &BudgetState) -> String {
    format!("{:.2}%", state.utilization() * 100.0)
}

/// `session budget` for the built-in budget, otherwise `budget NAME`.
pub fn label(name: &str) -> String {
    if name == "session" { "session budget".to_owned() } else { format!("budget {name}") }
}

/// `X / Y tokens (Z%)`; for percent, `X% / Y%`.
pub fn share(state: &BudgetState) -> String {
    let unit = state.budget.unit;
    if unit == Unit::Percent {
        return format!("{} / {}", number(state.used, unit), number(state.limit(), unit));
    }
    format!("{} / {} ({})", number(state.used, unit), quantity(state.limit(), unit), percent(state))
}

/// `12/1000`, or `12` if there is no limit.
pub fn iterations(iterations: u64, policy: &Policy) -> String {
    match policy.limits.get("iterations") {
        Some(limit) => format!("{iterations}/{limit}"),
        None => iterations.to_string(),
    }
}

/// Says what a breaker tripped on, and what the agent could do instead.
fn circuit_open(trip: &Trip, excerpts: &Excerpts) -> String {
    let advice = rules::by_name(&trip.rule).map(|rule| format!(" {}", rule.advice)).unwrap_or_default();
    format!("Fusebox: the circuit breaker is open: {}.{advice}", trip_details(trip, excerpts))
}

/// What a rule counted: `the same call with the same result, 5 times in a row (Bash, "make test"; trips at 5)`.
fn trip_details(trip: &Trip, excerpts: &Excerpts) -> String {
    let input = excerpts
        .get(&trip.signature)
        .map_or_else(|| format!(", signature {}", trip.signature), |input| format!(", \"{input}\""));
    trip_text(trip, &input)
}

fn trip_text(trip: &Trip, input: &str) -> String {
    let count = trip.count.to_string();
    // A rule of a later version has no description.
    let says = rules::by_name(&trip.rule)
        .map_or_else(|| format!("{}: {count}", trip.rule), |rule| rule.description.replace("{n}", &count));
    format!("{says} ({}{input}; trips at {})", trip.tool, trip.limit)
}

/// Why a breaker tripped, without an excerpt of the input.
pub fn trip_summary(trip: &Trip) -> String {
    trip_details(trip, &Excerpts::default())
}

/// The same without the call's signature, which tells people nothing.
pub fn trip_reason(trip: &Trip) -> String {
    trip_text(trip, "")
}

/// What an alert says: `session passed 80% of 200,000 tokens (160,512 used)`.
pub fn alert_summary(alert: &BudgetAlert) -> String {
    let [limit, used] = [alert.limit, alert.used].map(|units| quantity(units, alert.unit));
    let percent = (alert.threshold * 100.0).round();
    format!("{} passed {percent}% of {limit} ({used} used)", alert.budget)
}

/// The command that extends a budget by `amount`.
pub fn extend_command(name: &str, scope: Scope, value: &str, unit: Unit, amount: &str) -> String {
    let (of, unit) = (target_options(scope, value), unit.name().replace('_', "-"));
    format!("fusebox budget extend {name}{of} --{unit} {amount} --reason \"…\"")
}

/// The command that resets a budget.
pub fn reset_command(name: &str, scope: Scope, value: &str) -> String {
    format!("fusebox budget reset {name}{} --reason \"…\"", target_options(scope, value))
}

/// The command that stops applying a budget to a value.
pub fn delete_command(name: &str, scope: Scope, value: &str) -> String {
    format!("fusebox budget delete {name}{} --reason \"…\"", target_options(scope, value))
}

/// The options that select a value of a scope.
fn target_options(scope: Scope, value: &str) -> String {
    match scope {
        Scope::Session => format!(" --session {value}"),
        _ => format!(" --value '{value}'"),
    }
}
