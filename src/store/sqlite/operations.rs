//! Operations, and where a watched budget stands before and after a batch.

use rusqlite::{Connection, params};

use super::super::ledger::{Changes, family};
use super::super::{Result, StoreError, Watch};
use super::counters;
use super::meta::{self, Meta};
use crate::domain::budget::BudgetState;
use crate::domain::counter::CounterKey;
use crate::domain::operation::{Decision, Effect, Operation};
use crate::domain::time::Timestamp;
use crate::domain::usage::Amount;

/// A watched budget before the batch, with the counters that it looks at.
pub struct Standing {
    /// The budget before the batch.
    pub before: BudgetState,
    counters: Vec<(CounterKey, Amount)>,
}

impl Standing {
    /// The same budget after the batch.
    pub fn after(&self, changes: &Changes) -> BudgetState {
        let moved =
            self.counters.iter().map(|(key, amount)| (key.spec.scope, changes.of(key).apply_to(amount)));
        self.before.clone().counting(moved)
    }
}

/// Where the watched budgets stand now; deleted ones are left out.
pub fn standings(db: &Connection, watches: &[&Watch], now: Timestamp, meta: &Meta) -> Result<Vec<Standing>> {
    let mut standings = Vec::with_capacity(watches.len());
    for Watch { budget, value } in watches {
        let window = budget.window.at(now);
        let effect = match meta.operations {
            true => effect(db, &budget.name, value, window.start, |_| true)?,
            false => Effect::default(),
        };
        if effect.deleted {
            continue;
        }
        let since = effect.since.unwrap_or(window.start).max(window.start);
        let state = BudgetState::fresh(budget, value, window).decided(&effect);
        let mut found = Vec::new();
        for spec in budget.counters() {
            let key = CounterKey { spec, value: value.clone(), start: window.start, since };
            let amount = counters::get(db, &key, window.end, meta.installed)?;
            found.push((key, amount));
        }
        let before = state.counting(found.iter().map(|(key, amount)| (key.spec.scope, *amount)));
        standings.push(Standing { before, counters: found });
    }
    Ok(standings)
}

/// Where the watched budgets stand, without recording anything.
pub fn states(db: &Connection, watches: &[Watch], now: Timestamp) -> Result<Vec<BudgetState>> {
    let meta = meta::read(db)?;
    counters::specs(db, &meta, watches.iter().flat_map(|w| w.budget.counters()))?;
    let watches: Vec<&Watch> = watches.iter().collect();
    Ok(standings(db, &watches, now, &meta)?.into_iter().map(|s| s.before).collect())
}

/// Where the watched budgets stood just before a moment.
pub fn states_before(db: &Connection, watches: &[Watch], moment: Timestamp) -> Result<Vec<BudgetState>> {
    let meta = meta::read(db)?;
    let mut states = Vec::new();
    for Watch { budget, value } in watches {
        let window = budget.window.at(moment);
        let until = |operation: &Operation| operation.at < moment;
        let effect = effect(db, &budget.name, value, window.start, until)?;
        if effect.deleted {
            continue;
        }
        let since = effect.since.unwrap_or(window.start).max(window.start);
        let mut found = Vec::new();
        for spec in budget.counters() {
            let scope = spec.scope;
            let key = CounterKey { spec, value: value.clone(), start: window.start, since };
            found.push((scope, counters::add_up(db, &key, Some(moment), meta.installed)?));
        }
        states.push(BudgetState::fresh(budget, value, window).decided(&effect).counting(found));
    }
    Ok(states)
}

/// What the operations on a value in a window come to, those that are meant.
fn effect(
    db: &Connection,
    budget: &str,
    value: &str,
    window_start: Timestamp,
    is_meant: impl Fn(&Operation) -> bool,
) -> Result<Effect> {
    let mut query = db.prepare_cached(
        "SELECT operation FROM operations WHERE budget = ? AND value = ? AND window_start = ? ORDER BY seq",
    )?;
    let rows = query.query_map(params![budget, value, window_start.0], |r| r.get::<_, String>(0))?;
    let mut operations: Vec<Operation> = rows.map(|text| parse(&text?)).collect::<Result<_>>()?;
    // One that is told again after a loss comes after what was decided since.
    operations.sort_by_key(|operation| operation.at);
    Ok(Effect::of(operations.iter().filter(|o| is_meant(o)).map(|o| o.decision)))
}

fn parse(text: &str) -> Result<Operation> {
    serde_json::from_str(text).map_err(|e| StoreError::Damaged(format!("operations: {e}")))
}

/// Records an operation; one with a known id changes nothing. Thresholds that the budget is already past under its
/// new limit do not fire again: `state` is the budget after the operation. A deleted budget loses its counters.
pub fn operate(db: &Connection, operation: &Operation, state: &BudgetState) -> Result<()> {
    let text = serde_json::to_string(operation).map_err(|e| StoreError::Damaged(e.to_string()))?;
    let noted = db.execute(
        "INSERT OR IGNORE INTO operations (id, budget, value, window_start, operation) VALUES (?,?,?,?,?)",
        params![operation.id, operation.budget, operation.value, operation.window_start.0, text],
    )?;
    if noted == 0 {
        return Ok(());
    }
    meta::mark(db, "operations", true)?;
    // Alerts that nobody saw speak of a limit that is no longer in force.
    db.execute(
        "UPDATE alerts SET shown = 1 WHERE budget = ? AND value = ? AND window_start = ? AND shown = 0",
        params![operation.budget, operation.value, operation.window_start.0],
    )?;
    if operation.decision == Decision::Delete {
        for spec in state.budget.counters() {
            db.execute(
                "DELETE FROM counters WHERE spec = ? AND value = ? AND start = ?",
                params![family(&spec), state.value, state.window.start.0],
            )?;
        }
    }
    Ok(())
}

/// Operations on a budget, oldest first; all of them without a name.
pub fn operations(db: &Connection, budget: Option<&str>) -> Result<Vec<Operation>> {
    let mut query =
        db.prepare("SELECT operation FROM operations WHERE ?1 IS NULL OR budget = ?1 ORDER BY seq")?;
    let rows = query.query_map([budget], |r| r.get::<_, String>(0))?;
    rows.map(|text| parse(&text?)).collect()
}
