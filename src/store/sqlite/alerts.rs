//! Alerts: raised in the step that crosses a threshold, shown once, acknowledged once.

use rusqlite::{Connection, params};
use serde::de::DeserializeOwned;

use super::super::metrics::MetricChanges;
use super::super::{CLAIM_MS, Result, StoreError};
use super::operations::WatchedBudget;
use super::{meta, metrics};
use crate::domain::alert::{Acknowledgement, AlertRecord, BudgetAlert};
use crate::domain::budget::BudgetState;
use crate::domain::time::Timestamp;

/// Stores alerts for the thresholds that this step crossed.
pub fn raise(db: &Connection, watched: &WatchedBudget, after: &BudgetState, now: Timestamp) -> Result<()> {
    for threshold in after.crossed(watched.before.used) {
        let alert = BudgetAlert::new(after, threshold, now);
        let text = serde_json::to_string(&alert).map_err(|e| StoreError::Damaged(e.to_string()))?;
        let raised = db.execute(
            "INSERT OR IGNORE INTO alerts (budget, value, window_start, threshold, in_force, since, alert, claimed_until, \
             shown) VALUES (?,?,?,?,?,?,?,0,0)",
            params![
                alert.budget,
                alert.value,
                alert.window_start.0,
                (threshold * 1e6).round() as i64,
                super::to_sql(alert.limit),
                after.since.unwrap_or(after.window.start).0,
                text
            ],
        )?;
        if raised > 0 {
            meta::mark(db, "unshown", true)?;
            metrics::add(db, &MetricChanges::of_alert(&alert))?;
        }
    }
    Ok(())
}

/// Claims the alerts of these budgets that were neither shown nor claimed.
pub fn claim(db: &Connection, states: &[BudgetState], now: Timestamp) -> Result<Vec<BudgetAlert>> {
    let mut query = db.prepare_cached(
        "SELECT id, alert FROM alerts WHERE budget = ? AND value = ? AND window_start = ? AND shown = 0 \
         AND claimed_until NOT BETWEEN ? AND ? ORDER BY id",
    )?;
    let until = now.plus_millis(CLAIM_MS).0;
    // A claim that ends much later than a new one would was made before the clock was set back, and is void. (Slightly
    // later: by a hook that started after this one, and was faster.)
    let latest = now.plus_millis(2 * CLAIM_MS).0;
    let mut claimed = Vec::new();
    for state in states {
        let key = params![state.budget.name, state.value, state.window.start.0, now.0 + 1, latest];
        let mut rows = query.query(key)?;
        while let Some(row) = rows.next()? {
            claimed.push(BudgetAlert { id: row.get(0)?, ..parse(&row.get::<_, String>(1)?)? });
        }
    }
    for alert in &claimed {
        db.execute("UPDATE alerts SET claimed_until = ? WHERE id = ?", params![until, alert.id])?;
    }
    Ok(claimed)
}

/// Marks these alerts as shown.
pub fn confirm_shown(db: &Connection, alerts: &[i64]) -> Result<()> {
    for id in alerts {
        db.execute("UPDATE alerts SET shown = 1 WHERE id = ?", [id])?;
    }
    if !db.query_row("SELECT EXISTS (SELECT 1 FROM alerts WHERE shown = 0)", (), |r| r.get(0))? {
        meta::mark(db, "unshown", false)?;
    }
    Ok(())
}

/// All alerts, newest first.
pub fn alerts(db: &Connection) -> Result<Vec<AlertRecord>> {
    let mut query = db.prepare("SELECT id, alert, acknowledged FROM alerts ORDER BY id DESC")?;
    let mut rows = query.query(())?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let alert = BudgetAlert { id: row.get(0)?, ..parse(&row.get::<_, String>(1)?)? };
        let acknowledged = row.get::<_, Option<String>>(2)?.map(|text| parse(&text)).transpose()?;
        all.push(AlertRecord { alert, acknowledged });
    }
    Ok(all)
}

/// Acknowledges those of `alerts` that are not acknowledged yet. Returns their ids.
pub fn acknowledge(db: &Connection, alerts: &[i64], acknowledgement: &Acknowledgement) -> Result<Vec<i64>> {
    let text = serde_json::to_string(acknowledgement).map_err(|e| StoreError::Damaged(e.to_string()))?;
    let mut note = db.prepare("UPDATE alerts SET acknowledged = ? WHERE id = ? AND acknowledged IS NULL")?;
    let mut done = Vec::new();
    for id in alerts {
        if note.execute(params![text, id])? > 0 {
            done.push(*id);
        }
    }
    Ok(done)
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| StoreError::Damaged(format!("alerts: {e}")))
}
