//! The states of budgets, and lists of recorded data. Unreadable records are left out, and listed as damaged.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;

use super::RedisStore;
use super::agent_state_fields::{Hash, RedisAgentStates, parse_state};
use super::scripts::{command, decode, parse};
use super::session_record::SessionRecord;
use crate::domain::alert::{Acknowledgement, AlertRecord, BudgetAlert};
use crate::domain::budget::{BudgetState, Scope};
use crate::domain::event::Event;
use crate::domain::operation::Operation;
use crate::domain::throttle::Slots;
use crate::domain::time::Timestamp;
use crate::store::ledger::LedgerRows;
use crate::store::metrics::MetricTotal;
use crate::store::shared_names::SharedNames;
use crate::store::{
    BudgetKey, CircuitRow, ClientProcess, Query, Result, Session, SessionRow, SessionTotal, StoreKind,
    agent_states,
};

/// Members of a sorted set per request.
const PAGE: usize = 1000;

impl Query for RedisStore {
    fn kind(&self) -> StoreKind {
        StoreKind::Shared
    }

    fn states(&mut self, budgets: &[BudgetKey], now: Timestamp) -> Result<Vec<BudgetState>> {
        let names = SharedNames::new(budgets);
        let (_, done, outcome) = self.step(None, &names.budgets, now)?;
        let states = outcome.watched.iter().map(|watched| watched.state_by(&done.counters));
        Ok(names.with_local_names(states.collect()))
    }

    fn states_before(&mut self, budgets: &[BudgetKey], moment: Timestamp) -> Result<Vec<BudgetState>> {
        self.recounted_states(budgets, moment, Some(moment), false)
    }

    fn events(&mut self, session: Option<&str>, call: Option<u64>) -> Result<Vec<Event>> {
        let sessions = match session {
            Some(session) => vec![session.to_owned()],
            None => self.scripts.command(&self.keys, &["SMEMBERS", &self.keys.sessions_with_events()])?,
        };
        let mut all = Vec::new();
        let kept = self.hashes(sessions.iter().map(|id| self.keys.events(id)).collect())?;
        for (id, text) in kept.into_iter().flatten() {
            // Skip events from a later version.
            let event = serde_json::from_slice::<Event>(&text).ok();
            let id = id.parse().unwrap_or(0);
            all.extend(event.map(|event| Event { id, ..event }));
        }
        all.retain(|event| call.is_none() || event.data.call() == call);
        all.sort_by_key(|event| event.id);
        Ok(all)
    }

    fn circuits(&mut self, session: Option<&str>) -> Result<Vec<CircuitRow>> {
        let sessions = session.map_or_else(|| self.session_ids(), |id| Ok(vec![id.to_owned()]))?;
        let all = self.hashes(sessions.iter().map(|id| self.keys.states(id)).collect())?;
        let of = |(session, kept): (&String, Hash)| {
            let kept = kept.into_iter().filter_map(|(name, text)| parse_state(name, &text));
            agent_states::circuit_rows(session, kept)
        };
        Ok(sessions.iter().zip(all).flat_map(of).collect())
    }

    fn slots(&mut self, session: &str) -> Result<Slots> {
        self.in_step(session, |work| agent_states::slots(&mut RedisAgentStates { work, id: session }))
    }

    fn alerts(&mut self) -> Result<Vec<AlertRecord>> {
        let ids = self.members(&self.keys.alerts())?;
        let alerts = self.records::<BudgetAlert>(ids.iter().map(|id| self.keys.alert(id)).collect())?;
        let known: Hash = self.scripts.command(&self.keys, &["HGETALL", &self.keys.acknowledged()])?;
        let all = ids.iter().zip(alerts).filter_map(|(id, alert)| {
            let alert = BudgetAlert { id: id.parse().unwrap_or(0), ..alert? };
            // An older acknowledgement is of an earlier alert with this number.
            let acknowledged = known.get(id).and_then(|text| serde_json::from_slice(text).ok());
            let acknowledged = acknowledged.filter(|known: &Acknowledgement| known.at >= alert.at);
            Some(AlertRecord { alert, acknowledged })
        });
        Ok(all.collect())
    }

    fn operations(&mut self, budget: Option<&str>) -> Result<Vec<Operation>> {
        let operated = self.keys.operation_log();
        let entries: Vec<Vec<u8>> = self.scripts.command(&self.keys, &["LRANGE", &operated, "0", "-1"])?;
        let entries =
            entries.iter().filter_map(|entry| serde_json::from_slice::<(String, String)>(entry).ok());
        // An operation repeated because its record was unreadable is listed twice.
        let mut seen = BTreeSet::new();
        let entries: Vec<(String, String)> = entries.filter(|entry| seen.insert(entry.clone())).collect();
        // Each record has all operations on a budget's value in a window: it is read once.
        let keys: Vec<String> =
            entries.iter().map(|(key, _)| key).collect::<BTreeSet<_>>().into_iter().cloned().collect();
        let records = self.records::<Vec<Operation>>(keys.clone())?;
        let mut known: BTreeMap<(String, String), Operation> = BTreeMap::new();
        for (key, operations) in keys.into_iter().zip(records) {
            let named = operations.unwrap_or_default().into_iter();
            known.extend(named.map(|operation| ((key.clone(), operation.id.clone()), operation)));
        }
        let mut all: Vec<Operation> = entries.iter().filter_map(|entry| known.remove(entry)).collect();
        all.retain(|operation| budget.is_none_or(|name| operation.budget == name));
        Ok(all)
    }

    fn session_total(&mut self, session: &str) -> Result<Option<SessionTotal>> {
        if self.session(session)?.is_none() {
            return Ok(None);
        }
        let (messages, totals) = self
            .in_step(session, |work| Ok((work.messages_of(session)?, work.totals(&session.to_owned())?)))?;
        let messages = messages.iter().map(|stored| (&stored.message, stored.counts.amount()));
        Ok(Some(SessionTotal::new(messages, &totals)))
    }

    fn sessions(&mut self) -> Result<Vec<SessionRow>> {
        let ids = self.session_ids()?;
        self.rows(&ids)
    }

    fn session(&mut self, id: &str) -> Result<Option<SessionRow>> {
        Ok(self.rows(&[id.to_owned()])?.pop())
    }

    fn session_of_client(&mut self, client: ClientProcess) -> Result<Option<String>> {
        let key = self.keys.client(&self.machine, client);
        let id: Option<String> = self.scripts.command(&self.keys, &["GET", &key])?;
        let Some(id) = id else { return Ok(None) };
        // The session may have been resumed in another client.
        let is_there = self.session(&id)?.is_some_and(|row| row.session.client == Some(client));
        Ok(is_there.then_some(id))
    }

    fn values(&mut self, scope: Scope, since: Timestamp) -> Result<Vec<String>> {
        if matches!(scope, Scope::Model | Scope::AgentType) {
            let (key, scope) = (self.keys.values(), format!("{} ", scope.name()));
            let words = ["ZRANGEBYSCORE", &key, &since.0.to_string(), "+inf"];
            let all: Vec<String> = self.scripts.command(&self.keys, &words)?;
            let values: BTreeSet<&str> = all.iter().filter_map(|value| value.strip_prefix(&scope)).collect();
            return Ok(values.into_iter().map(str::to_owned).collect());
        }
        if scope == Scope::Platform {
            return self.values_of_reservations(scope, since);
        }
        let rows = self.sessions()?.into_iter().filter(|row| row.last_seen >= since);
        if matches!(scope, Scope::Session | Scope::History) {
            return Ok(rows.map(|row| row.session.id).collect());
        }
        let values = rows.filter_map(|row| row.session.attribution().value(scope).map(str::to_owned));
        let mut values: BTreeSet<String> = values.filter(|value| !value.is_empty()).collect();
        if scope == Scope::Chain {
            values.extend(self.values_of_reservations(scope, since)?);
        }
        Ok(values.into_iter().collect())
    }

    fn metrics(&mut self) -> Result<Vec<MetricTotal>> {
        let rows: Hash = self.scripts.command(&self.keys, &["HGETALL", &self.keys.metrics()])?;
        Ok(MetricTotal::parse_all(rows))
    }
}

impl RedisStore {
    /// The ids of all sessions, most recently seen first.
    pub(super) fn session_ids(&mut self) -> Result<Vec<String>> {
        self.members(&self.keys.sessions())
    }

    /// The members of a sorted set, highest score first.
    fn members(&mut self, key: &str) -> Result<Vec<String>> {
        let mut all: Vec<String> = Vec::new();
        loop {
            let (first, last) = (all.len().to_string(), (all.len() + PAGE - 1).to_string());
            let page: Vec<String> = self.scripts.command(&self.keys, &["ZREVRANGE", key, &first, &last])?;
            let is_last = page.len() < PAGE;
            all.extend(page);
            if is_last {
                // Members can move between two pages.
                let mut seen = BTreeSet::new();
                all.retain(|member| seen.insert(member.clone()));
                return Ok(all);
            }
        }
    }

    fn rows(&mut self, ids: &[String]) -> Result<Vec<SessionRow>> {
        let charged = self.records::<SessionRecord>(ids.iter().map(|id| self.keys.session(id)).collect())?;
        let times =
            ids.iter().map(|id| command(&["HMGET", &self.keys.live(id), "seen", "ended", "complete"]));
        let times = self.scripts.commands(&self.keys, &times.collect::<Vec<_>>())?;
        let mut rows = Vec::new();
        for ((id, charged), times) in ids.iter().zip(charged).zip(times) {
            // A session counts even if its record is unreadable.
            let is_damaged = self.damaged.contains(&self.keys.session(id));
            let Some(charged) = charged.or_else(|| is_damaged.then(SessionRecord::default)) else { continue };
            let mut session = Session { id: id.clone(), ..charged.session };
            // Process ids are only valid on their own machine.
            session.client = session.client.filter(|_| charged.machine.as_ref() == Some(&self.machine));
            let times: [Option<Vec<u8>>; 3] = decode(times)?;
            let [last_seen, ended, complete] = times.map(|text| parse(&text?).map(Timestamp));
            let (last_seen, complete) = (last_seen.unwrap_or_default(), complete.is_some());
            rows.push(SessionRow { session, last_seen, ended, complete });
        }
        Ok(rows)
    }

    /// The hashes under these keys.
    fn hashes(&mut self, keys: Vec<String>) -> Result<Vec<Hash>> {
        let get: Vec<_> = keys.iter().map(|key| command(&["HGETALL", key])).collect();
        self.scripts.commands(&self.keys, &get)?.into_iter().map(decode).collect()
    }

    /// The records under these keys. Those that are not JSON are recorded as damaged.
    pub(super) fn records<T: DeserializeOwned>(&mut self, keys: Vec<String>) -> Result<Vec<Option<T>>> {
        let get: Vec<_> = keys.iter().map(|key| command(&["GET", key])).collect();
        let mut records = Vec::new();
        for (key, reply) in keys.into_iter().zip(self.scripts.commands(&self.keys, &get)?) {
            let bytes: Option<Vec<u8>> = decode(reply)?;
            let record = bytes.as_ref().and_then(|bytes| serde_json::from_slice(bytes).ok());
            if bytes.is_some() && record.is_none() {
                self.damaged.insert(key);
            }
            records.push(record);
        }
        Ok(records)
    }
}
