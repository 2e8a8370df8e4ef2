//! Operations, and where a watched budget stands before and after a batch.

use rusqlite::{Connection, params};

use super::super::ledger::{Changes, family};
use super::super::{Result, StoreError, Watch};
use super::counters;
use super::meta::{self, Meta};
use crate::domain::budget::BudgetState;
use crate::domain::counter::CounterKey;
use crate::domain::operation::{Decision, Operation};
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
    for watch in watches {
        let operations = match meta.operations {
            true => of_window(db, watch, now)?,
            false => Vec::new(),
        };
        let Some((state, counters)) = watch.decided(now, operations) else { continue };
        let mut found = Vec::new();
        for key in counters {
            let amount = counters::get(db, &key, state.window.end, meta.installed)?;
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
    for watch in watches {
        let mut operations = of_window(db, watch, moment)?;
        operations.retain(|operation| operation.at < moment);
        let Some((state, counters)) = watch.decided(moment, operations) else { continue };
        let mut found = Vec::new();
        for key in counters {
            found.push((key.spec.scope, counters::add_up(db, &key, Some(moment), meta.installed)?));
        }
        states.push(state.counting(found));
    }
    Ok(states)
}

/// The operations on a budget in the window of `now`.
fn of_window(db: &Connection, watch: &Watch, now: Timestamp) -> Result<Vec<Operation>> {
    let Watch { budget, value } = watch;
    let mut query = db.prepare_cached(
        "SELECT operation FROM operations WHERE budget = ? AND value = ? AND window_start = ? ORDER BY seq",
    )?;
    let start = budget.window.at(now).start.0;
    let rows = query.query_map(params![budget.name, value, start], |r| r.get::<_, String>(0))?;
    rows.map(|text| parse(&text?)).collect()
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
