//! The metrics, from the latest view of the store. `docs/metrics.md` describes them.
//!
//! No label is a session. A label has at most [`MAX_LABELS`] values; the rest is `other`. The store bounds those of
//! counters, so that they are the same on every server and never change.

use std::collections::{BTreeMap, BTreeSet};

use super::super::watcher::View;
use super::text::{Family, FamilyType};
use crate::app::snapshot::Snapshot;
use crate::domain::alert::AlertLevel;
use crate::domain::breaker::rules::RULES;
use crate::domain::scope::Scope;
use crate::store::counts::CLASSES;
use crate::store::metrics::{MAX_LABELS, MetricKind, MetricTotal, OTHER};

/// The classes of tokens among [`CLASSES`]: the first ones.
const TOKEN_CLASSES: usize = 5;

/// What denies calls.
const DENIERS: [&str; 4] = ["budget", "circuit", "throttle", "protection"];

/// All families, in a fixed order. `failures`: of hooks on this machine.
pub fn all(view: &View, failures: &BTreeMap<String, u64>) -> Vec<Family> {
    let mut all = vec![build_info(), store_up(view), store_reads(view), hook_failures(failures)];
    let snapshot = view.snapshot.as_deref();
    all.extend(usage(snapshot));
    all.extend(counters(snapshot));
    // What they say is about now.
    all.extend(gauges(snapshot.filter(|_| view.failure.is_none())));
    all
}

fn build_info() -> Family {
    let mut family = Family::new("build", FamilyType::Info, "The version of Fusebox that answers.");
    family.add(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    family
}

fn store_up(view: &View) -> Family {
    let mut family = Family::new("store_up", FamilyType::Gauge, "Whether the store answers: 1 or 0.");
    family.add(&[], u8::from(view.snapshot.is_some() && view.failure.is_none()));
    family
}

fn store_reads(view: &View) -> Family {
    let help = "How long this server's reads of the store took, since it started.";
    let mut family = Family::new("store_read_duration_seconds", FamilyType::Histogram, help);
    for (bound, reads) in view.reads.cumulative() {
        family.add_part("_bucket", &[("le", &bound)], reads);
    }
    let (count, seconds) = view.reads.count_and_seconds();
    family.add_part("_sum", &[], seconds);
    family.add_part("_count", &[], count);
    family
}

fn hook_failures(failures: &BTreeMap<String, u64>) -> Family {
    let help = "Failures of hooks on this machine, which the agent does not see.";
    let mut family = Family::new("hook_failures", FamilyType::Counter, help);
    for (hook, count) in failures {
        family.add(&[("hook", hook)], count);
    }
    family
}

/// What responses used, from the first one that was read.
fn usage(snapshot: Option<&Snapshot>) -> [Family; 4] {
    let counter = |name, help| Family::new(name, FamilyType::Counter, help);
    let mut tokens = counter("tokens_used", "Tokens of all sessions.");
    let mut cost = counter("cost_usd", "What the responses of all sessions cost, in US dollars.");
    let mut requests = counter("requests", "Model responses of all sessions.");
    let mut calls = counter("tool_iterations", "Tool calls of all sessions.");
    for total in snapshot.iter().flat_map(|snapshot| &snapshot.metrics) {
        let label = if total.label.is_empty() { "unknown" } else { &total.label };
        let peak = |class: &str| CLASSES.iter().position(|known| *known == class).map(|at| total.peaks[at]);
        match total.kind {
            MetricKind::Usage => {
                for (class, peak) in CLASSES.iter().zip(&total.peaks).take(TOKEN_CLASSES) {
                    tokens.add(&[("model", label), ("type", class)], peak);
                }
                cost.add(&[("model", label)], dollars(peak("nano_usd").unwrap_or_default()));
                requests.add(&[("model", label)], peak("requests").unwrap_or_default());
            }
            MetricKind::ToolCalls => calls.add(&[("agent_type", label)], total.peaks[0]),
            _ => {}
        }
    }
    [tokens, cost, requests, calls]
}

/// Nano-dollars as exact dollars.
fn dollars(nano_usd: i64) -> String {
    format!("{}.{:09}", nano_usd / 1_000_000_000, nano_usd % 1_000_000_000)
}

/// What happened, with 0 for what can be named before it happens: otherwise its first time would not be seen as an
/// increase.
fn counters(snapshot: Option<&Snapshot>) -> [Family; 4] {
    let counter = |name, help| Family::new(name, FamilyType::Counter, help);
    let mut alerts = counter("budget_alerts", "Alerts about budgets: a threshold was crossed.");
    let mut pauses = counter("budget_pauses", "How often a budget reached its limit.");
    let mut trips = counter("circuit_trips", "How often circuit breakers tripped.");
    let mut denials = counter("denials", "Denied calls.");
    let Some(snapshot) = snapshot else { return [alerts, pauses, trips, denials] };
    let budgets: Vec<&str> = snapshot.config.budgets.iter().map(|budget| budget.name.as_str()).collect();
    for (level, kind) in AlertLevel::ALL {
        for (budget, count) in with_zeros(&snapshot.metrics, MetricKind::Alerts(kind), &budgets) {
            alerts.add(&[("budget", budget), ("level", level)], count);
        }
    }
    for (budget, count) in with_zeros(&snapshot.metrics, MetricKind::Pauses, &budgets) {
        pauses.add(&[("budget", budget)], count);
    }
    let rules = RULES.map(|rule| rule.name);
    for (rule, count) in with_zeros(&snapshot.metrics, MetricKind::Trips, &rules) {
        trips.add(&[("rule", rule)], count);
    }
    for (by, count) in with_zeros(&snapshot.metrics, MetricKind::Denials, &DENIERS) {
        denials.add(&[("by", by)], count);
    }
    [alerts, pauses, trips, denials]
}

/// The totals of a kind by label, with 0 for those of `known` that have none, as long as there are not too many.
fn with_zeros<'a>(metrics: &'a [MetricTotal], kind: MetricKind, known: &[&'a str]) -> BTreeMap<&'a str, i64> {
    let of_kind = metrics.iter().filter(|total| total.kind == kind);
    let mut all: BTreeMap<&str, i64> = of_kind.map(|total| (total.label.as_str(), total.peaks[0])).collect();
    for label in known {
        if all.len() < MAX_LABELS {
            all.entry(label).or_insert(0);
        }
    }
    all
}

/// How things are now.
fn gauges(snapshot: Option<&Snapshot>) -> [Family; 2] {
    let help = "Used ÷ limit of a budget that something can be charged to now. Of sessions, the highest one.";
    let mut utilization = Family::new("budget_utilization", FamilyType::Gauge, help);
    let mut states = Family::new("circuit_state", FamilyType::Gauge, "Circuit breakers of live sessions.");
    let Some(snapshot) = snapshot else { return [utilization, states] };
    for ((budget, scope, value), highest) in utilizations(snapshot) {
        utilization.add(&[("budget", budget), ("scope", scope), ("value", value)], highest);
    }
    for state in ["closed", "half_open", "open"] {
        let live = snapshot.circuits.iter().filter(|circuit| circuit.is_live);
        states.add(
            &[("state", state)],
            live.filter(|circuit| circuit.row.breaker.phase.name() == state).count(),
        );
    }
    [utilization, states]
}

/// The highest utilization by budget, scope and value. The value is empty for sessions.
fn utilizations(snapshot: &Snapshot) -> BTreeMap<(&str, &'static str, &str), f64> {
    let active = || snapshot.budgets.iter().filter(|budget| budget.is_active).map(|budget| &budget.state);
    let of_session = |scope| matches!(scope, Scope::Session | Scope::History);
    // By name, so that the choice is the same every time.
    let mut budgets = BTreeSet::new();
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for state in active() {
        budgets.insert(state.budget.name.as_str());
        values.entry(&state.budget.name).or_default().insert(&state.value);
    }
    let own = |all: &BTreeSet<&'_ str>, one: &str| all.iter().take(MAX_LABELS).any(|known| *known == one);
    let mut highest = BTreeMap::new();
    for state in active() {
        let (name, scope) = (state.budget.name.as_str(), state.budget.scope);
        let budget = if own(&budgets, name) { name } else { OTHER };
        let value = match &*state.value {
            _ if of_session(scope) => "",
            value if values.get(name).is_some_and(|all| own(all, value)) => value,
            _ => OTHER,
        };
        let known = highest.entry((budget, scope.name(), value)).or_insert(0.0);
        *known = state.utilization().max(*known);
    }
    highest
}
