//! Thresholds of a step: which budgets alert, and which alerts are made for it.

use super::keys::Keys;
use super::plan::{Alerting, Bound, Wanted};
use crate::domain::alert::BudgetAlert;
use crate::domain::budget::{Budget, BudgetState, Classes, Scope, Unit, threshold_units};
use crate::domain::time::Timestamp;
use crate::store::counts::CounterDelta;
use crate::store::{Result, StoreError};

/// A watched budget, with the counters that it looks at.
pub(super) struct Watched {
    /// Where it stands, but for what is counted.
    pub state: BudgetState,
    /// Number of the counter in the plan, and what it is of.
    pub counters: Vec<(usize, Scope)>,
}

/// What says whose alert it is.
pub(super) fn place(state: &BudgetState) -> String {
    let name = &state.budget.name;
    format!("{}:{name}|{}|{}", name.len(), state.window.start.0, state.value)
}

/// What is used of a budget before and after this step, if nobody else counts in between; `None`: nobody knows.
pub(super) fn expected(watched: &Watched, wanted: &[Wanted]) -> Option<(u64, u64)> {
    let (before, after) = wanted[own_counter(watched)].expected?;
    let used = |counts: CounterDelta| watched.state.budget.measure(&counts.amount());
    Some((used(before), used(after)))
}

fn own_counter(watched: &Watched) -> usize {
    watched.counters.iter().find(|(_, scope)| *scope != Scope::History).map_or(0, |(at, _)| *at)
}

/// The thresholds of a budget. `expected`: what is used of it before and after.
pub(super) fn alerting(
    keys: &Keys,
    watched: &Watched,
    expected: Option<(u64, u64)>,
    now: Timestamp,
) -> Result<Alerting> {
    let state = &watched.state;
    let limit = state.limit();
    let since = state.since.unwrap_or(state.window.start).0.to_string();
    let mut bounds = Vec::new();
    for threshold in &state.budget.thresholds {
        let units = threshold_units(*threshold, limit);
        // Others may count in between: what is close is expected, too.
        let is_far = |(before, after)| before >= units || units > after + units / 10;
        let mut bound = Bound { units, alert: None };
        if !expected.is_some_and(is_far) {
            let alert = BudgetAlert { used: 0, ..BudgetAlert::of(state, *threshold, now) };
            let alert = serde_json::to_string(&alert).map_err(|e| StoreError::Damaged(e.to_string()))?;
            let millionths = (threshold * 1e6).round().to_string();
            let raised = keys.raised(&[&place(state), &millionths, &limit.to_string(), &since]);
            bound.alert = Some((raised, alert));
        }
        bounds.push(bound);
    }
    let counter = own_counter(watched);
    let crosses = |(before, after)| bounds.iter().any(|b| before < b.units && b.units <= after);
    let may_cross = expected.is_none_or(crosses);
    Ok(Alerting { counter, may_cross, which: which(&state.budget), place: place(state), bounds })
}

/// Which counts a budget adds up (see [`Budget::measure`]): 1 for those.
fn which(budget: &Budget) -> CounterDelta {
    let none = CounterDelta::default();
    match budget.unit {
        Unit::Tokens => {
            let Classes { input, output, cache_write, cache_read } = budget.count;
            CounterDelta {
                input: input.into(),
                output: output.into(),
                cache_write_5m: cache_write.into(),
                cache_write_1h: cache_write.into(),
                cache_read: cache_read.into(),
                ..none
            }
        }
        Unit::Requests => CounterDelta { requests: 1, ..none },
        Unit::ToolCalls => CounterDelta { tool_calls: 1, ..none },
    }
}
