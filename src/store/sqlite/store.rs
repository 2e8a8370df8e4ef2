//! Implements the store traits for SQLite. Each method runs the statements of one file in one step.

use std::collections::HashMap;
use std::path::PathBuf;

use super::agent_state_rows::SqliteAgentStates;
use super::files::{file_id, lock, quarantine};
use super::{
    LOG_BYTES, LOG_BYTES_IDLE, SqliteStore, agent_state_rows, alerts, counters, events, messages, meta,
    metrics, operations, quota, sessions,
};
use crate::domain::alert::{Acknowledgement, AlertRecord, BudgetAlert};
use crate::domain::breaker::circuit::Trip;
use crate::domain::budget::{BudgetState, Scope};
use crate::domain::event::{CircuitDecision, Event};
use crate::domain::operation::Operation;
use crate::domain::reservation::Reservation;
use crate::domain::throttle::Slots;
use crate::domain::time::Timestamp;
use crate::platform::machine_fingerprint;
use crate::store::agent_states;
use crate::store::cache_file::lock_exclusive;
use crate::store::metrics::MetricTotal;
use crate::store::quota::{QuotaRequest, QuotaResult, ReservationName};
use crate::store::{
    Applied, Batch, BudgetKey, CircuitRow, ClientProcess, Decide, Query, Quota, Record, Recover, Result,
    Session, SessionRow, SessionTotal, StoreKind,
};

impl Record for SqliteStore {
    fn apply(&mut self, batch: &Batch) -> Result<Applied> {
        self.write(|db| messages::apply(db, batch))
    }

    fn claim_alerts(&mut self, budgets: &[BudgetState], now: Timestamp) -> Result<Vec<BudgetAlert>> {
        self.write(|db| alerts::claim(db, budgets, now))
    }

    fn confirm_shown(&mut self, alerts: &[i64], events: &[i64]) -> Result<()> {
        self.write(|db| {
            if !alerts.is_empty() {
                alerts::confirm_shown(db, alerts)?;
            }
            if !events.is_empty() {
                events::confirm_shown(db, events)?;
            }
            Ok(())
        })
    }

    fn record_event(&mut self, event: &Event) -> Result<()> {
        self.write(|db| events::record_event(db, event, false))
    }

    fn touch_session(&mut self, session: &Session, now: Timestamp, ended: bool) -> Result<()> {
        self.write(|db| {
            sessions::touch_session(db, session, now, ended)?;
            events::sweep(db, now)
        })
    }

    fn mark_complete(&mut self, session: &str, seen: Timestamp) -> Result<()> {
        self.write(|db| sessions::mark_complete(db, session, seen))
    }

    fn maintain(&mut self, idle: bool) -> Result<()> {
        self.empty_log(if idle { LOG_BYTES_IDLE } else { LOG_BYTES })
    }
}

impl Decide for SqliteStore {
    fn add_operation(&mut self, operation: &Operation, state: &BudgetState) -> Result<Option<BudgetState>> {
        let key = [BudgetKey { budget: state.budget.clone(), value: state.value.clone() }];
        self.write(|db| {
            operations::add_operation(db, operation, state)?;
            Ok(operations::states(db, &key, operation.at)?.pop())
        })
    }

    fn decide_circuit(
        &mut self,
        session: &str,
        agent: Option<&str>,
        decision: CircuitDecision,
        by: (&str, &str),
        now: Timestamp,
    ) -> Result<Vec<(String, Option<Trip>)>> {
        self.write(|db| match sessions::session_number(db, session)? {
            Some(number) => agent_states::decide(
                &mut SqliteAgentStates { db, number, id: session },
                agent,
                decision,
                by,
                now,
            ),
            None => Ok(Vec::new()),
        })
    }

    fn acknowledge(&mut self, alerts: &[i64], acknowledgement: &Acknowledgement) -> Result<Vec<i64>> {
        self.write(|db| alerts::acknowledge(db, alerts, acknowledgement))
    }
}

impl Quota for SqliteStore {
    fn store_time(&mut self, local: Timestamp) -> Result<Timestamp> {
        Ok(local)
    }

    fn quota(&mut self, request: &QuotaRequest, now: Timestamp) -> Result<QuotaResult> {
        self.write(|db| quota::apply(db, request, now))
    }

    fn open_reservations(&mut self) -> Result<Vec<Reservation>> {
        self.read(quota::open)
    }

    fn reservation(&mut self, name: &ReservationName) -> Result<Option<Reservation>> {
        self.read(|db| quota::find(db, name))
    }
}

impl Query for SqliteStore {
    fn kind(&self) -> StoreKind {
        StoreKind::Embedded
    }

    fn states(&mut self, budgets: &[BudgetKey], now: Timestamp) -> Result<Vec<BudgetState>> {
        // A write, because missing counters are computed and stored.
        self.write(|db| operations::states(db, budgets, now))
    }

    fn states_before(&mut self, budgets: &[BudgetKey], moment: Timestamp) -> Result<Vec<BudgetState>> {
        self.read(|db| operations::states_before(db, budgets, moment))
    }

    fn events(&mut self, session: Option<&str>, call: Option<u64>) -> Result<Vec<Event>> {
        self.read(|db| events::events(db, session, call))
    }

    fn recent_events(&mut self, most: usize) -> Result<Vec<Event>> {
        self.read(|db| events::recent_events(db, most))
    }

    fn circuits(&mut self, session: Option<&str>) -> Result<Vec<CircuitRow>> {
        self.read(|db| match session.map(|id| sessions::session_number(db, id)).transpose()? {
            Some(None) => Ok(Vec::new()),
            number => agent_state_rows::circuits(db, number.flatten()),
        })
    }

    fn slots(&mut self, session: &str) -> Result<Slots> {
        self.read(|db| match sessions::session_number(db, session)? {
            Some(number) => agent_states::slots(&mut SqliteAgentStates { db, number, id: session }),
            None => Ok(Slots::default()),
        })
    }

    fn alerts(&mut self) -> Result<Vec<AlertRecord>> {
        self.read(alerts::alerts)
    }

    fn operations(&mut self, budget: Option<&str>) -> Result<Vec<Operation>> {
        self.read(|db| operations::operations(db, budget))
    }

    fn session_total(&mut self, session: &str) -> Result<Option<SessionTotal>> {
        self.read(|db| sessions::session_total(db, session))
    }

    fn sessions(&mut self) -> Result<Vec<SessionRow>> {
        self.read(sessions::sessions)
    }

    fn session(&mut self, id: &str) -> Result<Option<SessionRow>> {
        self.read(|db| sessions::session(db, id))
    }

    fn session_of_client(&mut self, client: ClientProcess) -> Result<Option<String>> {
        self.read(|db| sessions::session_of_client(db, client))
    }

    fn values(&mut self, scope: Scope, since: Timestamp) -> Result<Vec<String>> {
        self.read(|db| counters::values(db, scope, since))
    }

    fn metrics(&mut self) -> Result<Vec<MetricTotal>> {
        self.read(metrics::metrics)
    }
}

impl Recover for SqliteStore {
    fn store_id(&mut self) -> Result<String> {
        self.read(|db| Ok(meta::read(db)?.store_id))
    }

    fn is_rebuilding(&mut self) -> Result<bool> {
        self.read(meta::is_rebuilding)
    }

    fn set_rebuilding(&mut self, rebuilding: bool) -> Result<()> {
        self.write(|db| meta::mark(db, meta::REBUILDING, rebuilding))
    }

    fn rebuilding_machines(&mut self, _now: Timestamp) -> Result<Vec<String>> {
        Ok(if self.is_rebuilding()? { vec![machine_fingerprint()] } else { Vec::new() })
    }

    fn reset_store(&mut self, store_id: &str) -> Result<String> {
        self.write(|db| meta::reset_store(db, store_id))
    }

    fn sequences(&mut self) -> Result<HashMap<String, u64>> {
        self.read(sessions::sequences)
    }

    fn installed_at(&mut self) -> Result<Option<Timestamp>> {
        self.read(|db| Ok(meta::read(db)?.installed))
    }

    fn note_installation(&mut self, now: Timestamp) -> Result<()> {
        self.write(|db| meta::note_installation(db, now))
    }

    /// Renames its file, unless another process has already replaced it.
    fn quarantine(self: Box<Self>, now: Timestamp) -> std::io::Result<Option<PathBuf>> {
        let Self { connection, path, file, .. } = *self;
        drop(connection);
        let _lock = lock(path.parent().unwrap_or(&path), lock_exclusive)?;
        if file.is_none() || file_id(&path) != file {
            return Ok(None);
        }
        quarantine(&path, now).map(Some)
    }
}
