//! Reservations of calls. The open ones are in one record, which every step expects to be unchanged.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::alerts::put_alerts;
use super::counters::{CounterNames, resolve};
use super::step::parse_counts;
use super::unit_of_work::UnitOfWork;
use super::{RETENTION_S, RedisStore};
use crate::domain::budget::Scope;
use crate::domain::reservation::{Reservation, ReservationState};
use crate::domain::time::Timestamp;
use crate::platform::store_clock;
use crate::store::counts::CounterDelta;
use crate::store::ledger::{CounterChanges, CounterFamilies};
use crate::store::quota::{QuotaRequest, QuotaResult, QuotaRows, ReservationName, run};
use crate::store::{Query, Quota, Result};

/// A reservation as stored; `counters.lua` reads it.
#[derive(Serialize, Deserialize)]
struct ReservationRecord {
    /// What it charges.
    #[serde(rename = "c")]
    counts: CounterDelta,
    #[serde(rename = "d")]
    reservation: Reservation,
}

impl Quota for RedisStore {
    fn store_time(&mut self, local: Timestamp) -> Result<Timestamp> {
        // Users from before reservations may not ask for the time.
        match self.scripts.command::<(i64, i64)>(&self.keys, &["TIME"]) {
            Ok((seconds, micros)) => Ok(store_clock(Timestamp(seconds * 1000 + micros / 1000))),
            Err(error) if error.is_denied() => Ok(local),
            Err(error) => Err(error),
        }
    }

    fn quota(&mut self, request: &QuotaRequest, now: Timestamp) -> Result<QuotaResult> {
        loop {
            let found = self.in_step("", |work| prepare(work, request, now))?;
            match found {
                Some(result) => return Ok(result),
                // Computes the counters that are missing.
                None => drop(self.states(request.budgets, now)?),
            }
        }
    }

    fn open_reservations(&mut self) -> Result<Vec<Reservation>> {
        self.in_step("", |work| work.open())
    }

    fn reservation(&mut self, name: &ReservationName) -> Result<Option<Reservation>> {
        self.in_step("", |work| work.find(name))
    }
}

impl RedisStore {
    /// The platforms or chains of the reservations made since a moment.
    pub(super) fn values_of_reservations(&mut self, scope: Scope, since: Timestamp) -> Result<Vec<String>> {
        let words = ["ZRANGEBYSCORE", &self.keys.reservations(), &since.0.to_string(), "+inf"];
        let ids: Vec<String> = self.scripts.command(&self.keys, &words)?;
        let keys = ids.iter().map(|id| self.keys.reservation(id)).collect();
        let stored = self.records::<ReservationRecord>(keys)?.into_iter().flatten();
        let values: BTreeSet<String> =
            stored.filter_map(|stored| stored.reservation.value(scope).map(str::to_owned)).collect();
        Ok(values.into_iter().collect())
    }
}

/// Prepares an action. `None`: a counter is missing, and nothing was prepared.
fn prepare(work: &mut UnitOfWork, request: &QuotaRequest, now: Timestamp) -> Result<Option<QuotaResult>> {
    let names = CounterNames::read(work);
    let wanted = request.budgets.iter().flat_map(|key| key.budget.counters());
    let mut families = CounterFamilies::from_names(names.families.keys());
    if !families.register(wanted).is_empty() {
        return Ok(None);
    }
    let mut before = Vec::new();
    for key in request.budgets {
        let Some((state, counters)) = resolve(work, key, now, None) else { continue };
        let mut amounts = Vec::new();
        for counter in &counters {
            let read = names.counter_read(work.keys, counter, state.window.end);
            let stored = work.get(&read.key, &read.since);
            let counts = stored.and_then(|text| parse_counts(&String::from_utf8_lossy(&text)).ok());
            let Some(counts) = counts else { return Ok(None) };
            amounts.push((counter.family.scope, counts.amount()));
        }
        before.push((state.with_counters(amounts.iter().copied()), counters, amounts));
    }
    let states: Vec<_> = before.iter().map(|(state, ..)| state.clone()).collect();
    let outcome = run(work, request, &states, now)?;
    let mut changes = CounterChanges::default();
    for (reservation, change) in &outcome.charges {
        changes.add_reservation(&families, reservation, change);
    }
    for (moved, change) in changes.iter() {
        let key = names.key(work.keys, &moved.family, &moved.value, moved.start);
        work.step.moves.entry(key).or_default().push((moved.at, *change));
    }
    for (state, counters, amounts) in before {
        let moved = counters
            .iter()
            .zip(amounts)
            .map(|(key, (scope, amount))| (scope, changes.counter_change(key).apply_to(&amount)));
        let after = state.clone().with_counters(moved.collect::<Vec<_>>());
        put_alerts(work, &after, state.used, now)?;
    }
    Ok(Some(outcome.result))
}

impl QuotaRows for UnitOfWork<'_> {
    fn open(&mut self) -> Result<Vec<Reservation>> {
        Ok(self.get_record(&self.keys.open_reservations(), "").unwrap_or_default())
    }

    fn at(&mut self, slot: &str) -> Result<Option<Reservation>> {
        let stored: Option<ReservationRecord> = self.get_record(&self.keys.reservation(slot), "");
        Ok(stored.map(|stored| stored.reservation))
    }

    fn put(&mut self, reservation: &Reservation) -> Result<()> {
        let (keys, id) = (self.keys, &reservation.id);
        let mut open = self.open()?;
        open.retain(|one| one.id != *id);
        if reservation.state == ReservationState::Open {
            open.push(reservation.clone());
        }
        self.put_record(&keys.open_reservations(), "", &open)?;
        let counts = CounterDelta::from_amount(&reservation.charged());
        let record = ReservationRecord { counts, reservation: reservation.clone() };
        let slot = ReservationName::Id(id.clone()).slot();
        self.put_record(&keys.reservation(&slot), "", &record)?;
        let (all, at) = (keys.reservations(), reservation.at);
        self.write(&["ZADD", &all, &at.0.to_string(), &slot]);
        let old = at.plus_millis(-RETENTION_S * 1000).0.to_string();
        self.write(&["ZREMRANGEBYSCORE", &all, "-inf", &old]);
        Ok(())
    }
}
