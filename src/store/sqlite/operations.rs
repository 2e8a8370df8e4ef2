//! Operations, and the states of watched budgets before and after a batch.

use rusqlite::{Connection, params};

use super::super::ledger::{CounterChanges, family_name};
use super::super::{BudgetKey, Result, StoreError};
use super::counters;
use super::meta::{self, StoreMeta};
use crate::domain::budget::BudgetState;
use crate::domain::counter::CounterKey;
use crate::domain::operation::{Operation, OperationKind};
use crate::domain::time::Timestamp;
use crate::domain::usage::Amount;

/// A watched budget before the batch, and its counters.
pub struct WatchedBudget {
    /// The budget before the batch.
    pub before: BudgetState,
    counters: Vec<(CounterKey, Amount)>,
}

impl WatchedBudget {
    /// The same budget after the batch.
    pub fn after(&self, changes: &CounterChanges) -> BudgetState {
        let moved = self
            .counters
            .iter()
            .map(|(key, amount)| (key.family.scope, changes.counter_change(key).apply_to(amount)));
        self.before.clone().with_counters(moved)
    }
}

/// The watched budgets now, except deleted ones.
pub fn watched_budgets(
    db: &Connection,
    budgets: &[&BudgetKey],
    now: Timestamp,
    meta: &StoreMeta,
) -> Result<Vec<WatchedBudget>> {
    let mut watched = Vec::with_capacity(budgets.len());
    for key in budgets {
        let operations = match meta.has_operations {
            true => window_operations(db, key, now)?,
            false => Vec::new(),
        };
        let Some((state, counters)) = key.resolve(now, operations) else { continue };
        let mut found = Vec::new();
        for counter in counters {
            let amount = counters::get(db, &counter, state.window.end, meta.installed)?;
            found.push((counter, amount));
        }
        let before = state.with_counters(found.iter().map(|(key, amount)| (key.family.scope, *amount)));
        watched.push(WatchedBudget { before, counters: found });
    }
    Ok(watched)
}

/// The states of budgets now.
pub fn states(db: &Connection, budgets: &[BudgetKey], now: Timestamp) -> Result<Vec<BudgetState>> {
    let meta = meta::read(db)?;
    counters::register_families(db, &meta, budgets.iter().flat_map(|key| key.budget.counters()))?;
    let budgets: Vec<&BudgetKey> = budgets.iter().collect();
    Ok(watched_budgets(db, &budgets, now, &meta)?.into_iter().map(|s| s.before).collect())
}

/// The states of budgets just before a moment.
pub fn states_before(db: &Connection, budgets: &[BudgetKey], moment: Timestamp) -> Result<Vec<BudgetState>> {
    let meta = meta::read(db)?;
    let mut states = Vec::new();
    for key in budgets {
        let mut operations = window_operations(db, key, moment)?;
        operations.retain(|operation| operation.at < moment);
        let Some((state, counters)) = key.resolve(moment, operations) else { continue };
        let mut found = Vec::new();
        for counter in counters {
            found.push((counter.family.scope, counters::add_up(db, &counter, Some(moment), meta.installed)?));
        }
        states.push(state.with_counters(found));
    }
    Ok(states)
}

/// The operations on a budget in the window of `now`.
fn window_operations(db: &Connection, key: &BudgetKey, now: Timestamp) -> Result<Vec<Operation>> {
    let BudgetKey { budget, value } = key;
    let mut query = db.prepare_cached(
        "SELECT operation FROM operations WHERE budget = ? AND value = ? AND window_start = ? ORDER BY seq",
    )?;
    let start = budget.window_at(now).start.0;
    let rows = query.query_map(params![budget.name, value, start], |r| r.get::<_, String>(0))?;
    rows.map(|text| parse(&text?)).collect()
}

fn parse(text: &str) -> Result<Operation> {
    serde_json::from_str(text).map_err(|e| StoreError::Damaged(format!("operations: {e}")))
}

/// Records an operation. Does nothing if its id is known. Thresholds that the budget is already past under its new
/// limit do not fire again: `state` is the budget after the operation. A deleted budget loses its counters.
pub fn add_operation(db: &Connection, operation: &Operation, state: &BudgetState) -> Result<()> {
    let text = serde_json::to_string(operation).map_err(|e| StoreError::Damaged(e.to_string()))?;
    let noted = db.execute(
        "INSERT OR IGNORE INTO operations (id, budget, value, window_start, operation) VALUES (?,?,?,?,?)",
        params![operation.id, operation.budget, operation.value, operation.window_start.0, text],
    )?;
    if noted == 0 {
        return Ok(());
    }
    meta::mark(db, "operations", true)?;
    // Alerts not shown yet refer to the old limit.
    db.execute(
        "UPDATE alerts SET shown = 1 WHERE budget = ? AND value = ? AND window_start = ? AND shown = 0",
        params![operation.budget, operation.value, operation.window_start.0],
    )?;
    if operation.kind == OperationKind::Delete {
        for family in state.budget.counters() {
            db.execute(
                "DELETE FROM counters WHERE spec = ? AND value = ? AND start = ?",
                params![family_name(&family), state.value, state.window.start.0],
            )?;
        }
    }
    Ok(())
}

/// Operations on a budget, or all, oldest first.
pub fn operations(db: &Connection, budget: Option<&str>) -> Result<Vec<Operation>> {
    let mut query =
        db.prepare("SELECT operation FROM operations WHERE ?1 IS NULL OR budget = ?1 ORDER BY seq")?;
    let rows = query.query_map([budget], |r| r.get::<_, String>(0))?;
    rows.map(|text| parse(&text?)).collect()
}
