//! The traits of a store, as Redis has them. Each method stands under the same name in the file of its subject.

use std::collections::HashMap;
use std::path::PathBuf;

use super::RedisStore;
use crate::domain::alert::{Acknowledgement, AlertRecord};
use crate::domain::breaker::circuit::Trip;
use crate::domain::budget::{BudgetState, Scope};
use crate::domain::event::{CircuitDecision, Event};
use crate::domain::operation::Operation;
use crate::domain::throttle::Slots;
use crate::domain::time::Timestamp;
use crate::store::{
    Applied, Batch, CircuitRow, ClientProcess, Decide, Own, Query, Record, Recover, Result, Session,
    SessionRow, SessionTotal, StoreKind, Watch,
};

impl Record for RedisStore {
    fn apply(&mut self, batch: &Batch) -> Result<Applied> {
        self.apply(batch)
    }

    fn reach(&mut self) -> Result<()> {
        self.link.reach()
    }

    fn confirm_shown(&mut self, alerts: &[i64], events: &[i64]) -> Result<()> {
        self.confirm_shown(alerts, events)
    }

    fn note(&mut self, event: &Event) -> Result<()> {
        self.note(event)
    }

    fn see(&mut self, session: &Session, now: Timestamp, ended: bool) -> Result<()> {
        self.see(session, now, ended)
    }

    fn complete(&mut self, session: &str, seen: Timestamp) -> Result<()> {
        self.complete(session, seen)
    }

    fn tidy(&mut self, _idle: bool) -> Result<()> {
        Ok(())
    }
}

impl Decide for RedisStore {
    fn operate(&mut self, operation: &Operation, state: &BudgetState) -> Result<Option<BudgetState>> {
        self.operate(operation, state)
    }

    fn decide_circuit(
        &mut self,
        session: &str,
        agent: Option<&str>,
        decision: CircuitDecision,
        by: (&str, &str),
        now: Timestamp,
    ) -> Result<Vec<(String, Option<Trip>)>> {
        self.decide_circuit(session, agent, decision, by, now)
    }

    fn acknowledge(&mut self, alerts: &[i64], acknowledgement: &Acknowledgement) -> Result<Vec<i64>> {
        self.acknowledge(alerts, acknowledgement)
    }
}

impl Query for RedisStore {
    fn kind(&self) -> StoreKind {
        StoreKind::Shared
    }

    fn states(&mut self, watches: &[Watch], now: Timestamp) -> Result<Vec<BudgetState>> {
        self.states(watches, now)
    }

    fn states_before(&mut self, watches: &[Watch], moment: Timestamp) -> Result<Vec<BudgetState>> {
        self.states_before(watches, moment)
    }

    fn events(&mut self, session: Option<&str>, call: Option<u64>) -> Result<Vec<Event>> {
        self.events(session, call)
    }

    fn circuits(&mut self, session: Option<&str>) -> Result<Vec<CircuitRow>> {
        self.circuits(session)
    }

    fn slots(&mut self, session: &str) -> Result<Slots> {
        self.slots(session)
    }

    fn alerts(&mut self) -> Result<Vec<AlertRecord>> {
        self.alerts()
    }

    fn operations(&mut self, budget: Option<&str>) -> Result<Vec<Operation>> {
        self.operations(budget)
    }

    fn session_total(&mut self, session: &str) -> Result<Option<SessionTotal>> {
        self.session_total(session)
    }

    fn sessions(&mut self) -> Result<Vec<SessionRow>> {
        self.sessions()
    }

    fn session(&mut self, id: &str) -> Result<Option<SessionRow>> {
        self.session(id)
    }

    fn session_of_client(&mut self, client: ClientProcess) -> Result<Option<String>> {
        self.session_of_client(client)
    }

    fn values(&mut self, scope: Scope, since: Timestamp) -> Result<Vec<String>> {
        self.values(scope, since)
    }
}

impl Recover for RedisStore {
    fn epoch(&mut self) -> Result<String> {
        self.epoch()
    }

    fn is_rebuilding(&mut self) -> Result<bool> {
        self.is_rebuilding()
    }

    fn set_rebuilding(&mut self, rebuilding: bool) -> Result<()> {
        self.set_rebuilding(rebuilding)
    }

    fn recovering(&mut self, now: Timestamp) -> Result<Vec<String>> {
        self.recovering(now)
    }

    fn renew(&mut self, epoch: &str) -> Result<String> {
        self.renew(epoch)
    }

    fn sequences(&mut self) -> Result<HashMap<String, u64>> {
        self.sequences()
    }

    fn own_batches(&mut self) -> Result<HashMap<String, Own>> {
        self.own_batches()
    }

    fn count_anew(&mut self, watches: &[Watch], now: Timestamp) -> Result<()> {
        self.count_anew(watches, now)
    }

    fn installed(&mut self) -> Result<Option<Timestamp>> {
        self.installed()
    }

    fn install(&mut self, now: Timestamp) -> Result<()> {
        self.install(now)
    }

    fn set_aside(self: Box<Self>, _now: Timestamp) -> std::io::Result<Option<PathBuf>> {
        // Others use it, and can say more of it.
        Ok(None)
    }
}
