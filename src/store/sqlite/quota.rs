//! Reservations of calls.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, params};

use super::super::counts::CounterDelta;
use super::super::ledger::CounterChanges;
use super::super::quota::{QuotaRequest, QuotaResult, QuotaRows, ReservationName, run};
use super::super::{Result, StoreError};
use super::{alerts, counters, meta, operations};
use crate::domain::budget::{BudgetState, Scope};
use crate::domain::reservation::{Reservation, ReservationState};
use crate::domain::time::Timestamp;

/// Runs an action in one step: changes the counters, and raises the alerts.
pub fn apply(db: &Connection, request: &QuotaRequest, now: Timestamp) -> Result<QuotaResult> {
    let meta = meta::read(db)?;
    let families = request.budgets.iter().flat_map(|key| key.budget.counters());
    let families = counters::register_families(db, &meta, families)?;
    let budgets: Vec<_> = request.budgets.iter().collect();
    let watched = operations::watched_budgets(db, &budgets, now, &meta)?;
    let states: Vec<BudgetState> = watched.iter().map(|watched| watched.before.clone()).collect();
    let outcome = run(&mut Reservations(db), request, &states, now)?;
    let mut changes = CounterChanges::default();
    for (reservation, change) in &outcome.charges {
        changes.add_reservation(&families, reservation, change);
    }
    counters::write(db, &changes)?;
    for watched in &watched {
        alerts::raise(db, watched, &watched.after(&changes), now)?;
    }
    Ok(outcome.result)
}

/// The table of reservations.
struct Reservations<'a>(&'a Connection);

impl QuotaRows for Reservations<'_> {
    fn open(&mut self) -> Result<Vec<Reservation>> {
        open(self.0)
    }

    fn at(&mut self, slot: &str) -> Result<Option<Reservation>> {
        let mut query = self.0.prepare_cached("SELECT reservation FROM reservations WHERE slot = ?")?;
        let found = query.query_row([slot], |r| r.get::<_, String>(0)).optional()?;
        found.map(|text| parse(&text)).transpose()
    }

    fn put(&mut self, reservation: &Reservation) -> Result<()> {
        let text = serde_json::to_string(reservation).map_err(|e| StoreError::Damaged(e.to_string()))?;
        let open = (reservation.state == ReservationState::Open).then_some(1);
        let slot = ReservationName::Id(reservation.id.clone()).slot();
        let sql = "INSERT OR REPLACE INTO reservations (slot, at, open, reservation) VALUES (?,?,?,?)";
        self.0.execute(sql, params![slot, reservation.at.0, open, text])?;
        Ok(())
    }
}

/// The reservations that have not ended, oldest first.
pub fn open(db: &Connection) -> Result<Vec<Reservation>> {
    let mut query =
        db.prepare_cached("SELECT reservation FROM reservations WHERE open = 1 ORDER BY at, slot")?;
    let rows = query.query_map((), |r| r.get::<_, String>(0))?;
    rows.map(|text| parse(&text?)).collect()
}

/// A reservation.
pub fn find(db: &Connection, name: &ReservationName) -> Result<Option<Reservation>> {
    Reservations(db).find(name)
}

/// What reservations with this value charge from one moment to another. Nothing in scopes that do not count them.
pub fn add_up(db: &Connection, scope: Scope, value: &str, (from, end): (i64, i64)) -> Result<CounterDelta> {
    let mut sum = CounterDelta::default();
    if !matches!(scope, Scope::Platform | Scope::Chain) {
        return Ok(sum);
    }
    let mut query =
        db.prepare("SELECT reservation FROM reservations WHERE open IS NULL AND at >= ? AND at < ?")?;
    let rows = query.query_map([from, end], |r| r.get::<_, String>(0))?;
    for text in rows {
        let reservation = parse(&text?)?;
        if reservation.value(scope) == Some(value) {
            sum.add(&CounterDelta::from_amount(&reservation.charged()));
        }
    }
    Ok(sum)
}

/// The platforms or chains with calls since a moment; chains also with sessions.
pub fn values(db: &Connection, scope: Scope, since: Timestamp) -> Result<Vec<String>> {
    let mut values = BTreeSet::new();
    let mut query =
        db.prepare("SELECT reservation FROM reservations WHERE (open IS NULL OR open = 1) AND at >= ?")?;
    for text in query.query_map([since.0], |r| r.get::<_, String>(0))? {
        values.extend(parse(&text?)?.value(scope).map(str::to_owned));
    }
    if scope == Scope::Chain {
        let sql = "SELECT DISTINCT chain FROM sessions WHERE last_seen >= ? AND chain <> ''";
        let mut query = db.prepare(sql)?;
        let rows = query.query_map([since.0], |r| r.get(0))?;
        values.extend(rows.collect::<rusqlite::Result<Vec<String>>>()?);
    }
    Ok(values.into_iter().collect())
}

fn parse(text: &str) -> Result<Reservation> {
    serde_json::from_str(text).map_err(|e| StoreError::Damaged(format!("reservations: {e}")))
}
