//! The traits of a store, as SQLite has them. Each method runs the statements of its subject in one step; those stand
//! under the same name in the file of that subject.

use std::collections::HashMap;
use std::path::PathBuf;

use super::files::{file_id, lock, move_aside};
use super::standings::OfSession;
use super::{
    LOG_BYTES, LOG_BYTES_IDLE, SqliteStore, alerts, counters, events, messages, meta, operations, sessions,
    standings,
};
use crate::domain::alert::{Acknowledgement, AlertRecord};
use crate::domain::breaker::circuit::Trip;
use crate::domain::budget::{BudgetState, Scope};
use crate::domain::event::{CircuitDecision, Event};
use crate::domain::operation::Operation;
use crate::domain::throttle::Slots;
use crate::domain::time::Timestamp;
use crate::platform::machine_name;
use crate::store::cache_file::lock_exclusive;
use crate::store::standing;
use crate::store::{
    Applied, Batch, CircuitRow, ClientProcess, Decide, Query, Record, Recover, Result, Session, SessionRow,
    SessionTotal, StoreKind, Watch,
};

impl Record for SqliteStore {
    fn apply(&mut self, batch: &Batch) -> Result<Applied> {
        self.write(|db| messages::apply(db, batch))
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

    fn note(&mut self, event: &Event) -> Result<()> {
        self.write(|db| events::note(db, event, false))
    }

    fn see(&mut self, session: &Session, now: Timestamp, ended: bool) -> Result<()> {
        self.write(|db| {
            sessions::see(db, session, now, ended)?;
            events::sweep(db, now)
        })
    }

    fn complete(&mut self, session: &str, seen: Timestamp) -> Result<()> {
        self.write(|db| sessions::complete(db, session, seen))
    }

    fn tidy(&mut self, idle: bool) -> Result<()> {
        self.empty_log(if idle { LOG_BYTES_IDLE } else { LOG_BYTES })
    }
}

impl Decide for SqliteStore {
    fn operate(&mut self, operation: &Operation, state: &BudgetState) -> Result<Option<BudgetState>> {
        let watch = [Watch { budget: state.budget.clone(), value: state.value.clone() }];
        self.write(|db| {
            operations::operate(db, operation, state)?;
            Ok(operations::states(db, &watch, operation.at)?.pop())
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
        self.write(|db| match sessions::number(db, session)? {
            Some(number) => {
                standing::decide(&mut OfSession { db, number, id: session }, agent, decision, by, now)
            }
            None => Ok(Vec::new()),
        })
    }

    fn acknowledge(&mut self, alerts: &[i64], acknowledgement: &Acknowledgement) -> Result<Vec<i64>> {
        self.write(|db| alerts::acknowledge(db, alerts, acknowledgement))
    }
}

impl Query for SqliteStore {
    fn kind(&self) -> StoreKind {
        StoreKind::Embedded
    }

    fn states(&mut self, watches: &[Watch], now: Timestamp) -> Result<Vec<BudgetState>> {
        // A write: counters that are missing are added up, and kept.
        self.write(|db| operations::states(db, watches, now))
    }

    fn states_before(&mut self, watches: &[Watch], moment: Timestamp) -> Result<Vec<BudgetState>> {
        self.read(|db| operations::states_before(db, watches, moment))
    }

    fn events(&mut self, session: Option<&str>, call: Option<u64>) -> Result<Vec<Event>> {
        self.read(|db| events::events(db, session, call))
    }

    fn circuits(&mut self, session: Option<&str>) -> Result<Vec<CircuitRow>> {
        self.read(|db| match session.map(|id| sessions::number(db, id)).transpose()? {
            Some(None) => Ok(Vec::new()),
            number => standings::circuits(db, number.flatten()),
        })
    }

    fn slots(&mut self, session: &str) -> Result<Slots> {
        self.read(|db| match sessions::number(db, session)? {
            Some(number) => standing::slots(&mut OfSession { db, number, id: session }),
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
}

impl Recover for SqliteStore {
    fn epoch(&mut self) -> Result<String> {
        self.read(|db| Ok(meta::read(db)?.epoch))
    }

    fn is_rebuilding(&mut self) -> Result<bool> {
        self.read(meta::is_rebuilding)
    }

    fn set_rebuilding(&mut self, rebuilding: bool) -> Result<()> {
        self.write(|db| meta::mark(db, meta::REBUILDING, rebuilding))
    }

    fn recovering(&mut self, _now: Timestamp) -> Result<Vec<String>> {
        Ok(if self.is_rebuilding()? { vec![machine_name()] } else { Vec::new() })
    }

    fn renew(&mut self, epoch: &str) -> Result<String> {
        self.write(|db| meta::renew(db, epoch))
    }

    fn sequences(&mut self) -> Result<HashMap<String, u64>> {
        self.read(sessions::sequences)
    }

    fn installed(&mut self) -> Result<Option<Timestamp>> {
        self.read(|db| Ok(meta::read(db)?.installed))
    }

    fn install(&mut self, now: Timestamp) -> Result<()> {
        self.write(|db| meta::install(db, now))
    }

    /// Renames its file, unless another process has put a new one in its place already.
    fn set_aside(self: Box<Self>, now: Timestamp) -> std::io::Result<Option<PathBuf>> {
        let Self { connection, path, file, .. } = *self;
        drop(connection);
        let _lock = lock(path.parent().unwrap_or(&path), lock_exclusive)?;
        if file.is_none() || file_id(&path) != file {
            return Ok(None);
        }
        move_aside(&path, now).map(Some)
    }
}
