//! Where budgets stand, and lists of what was recorded. What cannot be read is left out, and named among what is damaged.

use std::collections::BTreeSet;

use redis::Value;
use serde::de::DeserializeOwned;

use super::RedisStore;
use super::charged::Charged;
use super::counters::Keep;
use super::names::Shared;
use super::scripts::{command, list, optional, pairs, texts};
use super::standings::{self, OfSession};
use super::workspace::Workspace;
use crate::domain::alert::{AlertRecord, BudgetAlert};
use crate::domain::budget::{BudgetState, Scope};
use crate::domain::event::Event;
use crate::domain::operation::Operation;
use crate::domain::throttle::Slots;
use crate::domain::time::Timestamp;
use crate::store::{
    CircuitRow, ClientProcess, Query, Result, Session, SessionRow, SessionTotal, StoreKind, Watch, standing,
};

/// Members of a sorted set that are fetched at once.
const PAGE: usize = 1000;

impl Query for RedisStore {
    fn kind(&self) -> StoreKind {
        StoreKind::Shared
    }

    fn states(&mut self, watches: &[Watch], now: Timestamp) -> Result<Vec<BudgetState>> {
        let watches = Shared::of(watches);
        let (_, done, outcome) = self.step(None, &watches.watches, now)?;
        let states = outcome.watched.iter().map(|watched| watched.by(&done.counters));
        Ok(watches.named_here(states.collect()))
    }

    fn states_before(&mut self, watches: &[Watch], moment: Timestamp) -> Result<Vec<BudgetState>> {
        self.added_up(watches, moment, Some(moment), Keep::Nothing)
    }

    fn events(&mut self, session: Option<&str>, call: Option<u64>) -> Result<Vec<Event>> {
        let sessions = match session {
            Some(session) => vec![session.to_owned()],
            None => texts(self.scripts.command(&self.keys, &["SMEMBERS", &self.keys.evented()])?)?,
        };
        let commands: Vec<_> =
            sessions.iter().map(|id| command(&["HGETALL", &self.keys.events(id)])).collect();
        let mut all = Vec::new();
        for reply in self.scripts.commands(&self.keys, &commands)? {
            for (id, text) in pairs(reply)? {
                // One that a later version wrote is left to that one.
                let event = serde_json::from_str::<Event>(&text).ok();
                let id = id.parse().unwrap_or(0);
                all.extend(event.map(|event| Event { id, ..event }));
            }
        }
        all.retain(|event| call.is_none() || event.what.call() == call);
        all.sort_by_key(|event| event.id);
        Ok(all)
    }

    fn circuits(&mut self, session: Option<&str>) -> Result<Vec<CircuitRow>> {
        let sessions = match session {
            Some(session) => vec![session.to_owned()],
            None => self.session_ids()?,
        };
        let commands: Vec<_> =
            sessions.iter().map(|id| command(&["HGETALL", &self.keys.standings(id)])).collect();
        let mut rows = Vec::new();
        for (session, reply) in sessions.iter().zip(self.scripts.commands(&self.keys, &commands)?) {
            let kept = pairs(reply)?.into_iter().filter_map(|(name, text)| standings::read(name, &text));
            for (name, text, calls) in kept {
                let Some(agent) = standing::agent_of(&name) else { continue };
                let breaker = standing::breaker(&text, &calls);
                rows.push(CircuitRow { session: session.clone(), agent: agent.to_owned(), breaker });
            }
        }
        Ok(rows)
    }

    fn slots(&mut self, session: &str) -> Result<Slots> {
        self.in_step(session, |workspace| standing::slots(&mut OfSession { workspace, id: session }))
    }

    fn alerts(&mut self) -> Result<Vec<AlertRecord>> {
        let ids = self.members(&self.keys.alerts())?;
        let acknowledged = self.keys.acknowledged();
        let of =
            |id: &String| [command(&["GET", &self.keys.alert(id)]), command(&["HGET", &acknowledged, id])];
        let commands: Vec<_> = ids.iter().flat_map(of).collect();
        let mut replies = self.scripts.commands(&self.keys, &commands)?.into_iter();
        let mut all = Vec::new();
        for id in ids {
            let mut next = || replies.next().unwrap_or(Value::Nil);
            let (alert, acknowledged) = (next(), next());
            let key = self.keys.alert(&id);
            let Some(alert) = self.readable::<BudgetAlert>(&key, alert)? else { continue };
            let acknowledged = self.readable(&format!("{} {id}", self.keys.acknowledged()), acknowledged)?;
            let alert = BudgetAlert { id: id.parse().unwrap_or(0), ..alert };
            all.push(AlertRecord { alert, acknowledged });
        }
        Ok(all)
    }

    fn operations(&mut self, budget: Option<&str>) -> Result<Vec<Operation>> {
        let operated = self.keys.operated();
        let entries = texts(self.scripts.command(&self.keys, &["LRANGE", &operated, "0", "-1"])?)?;
        let entries = entries.iter().filter_map(|entry| serde_json::from_str::<(String, String)>(entry).ok());
        let mut entries: Vec<(String, String)> = entries.collect();
        // One that was told again, after its record could not be read, stands there twice.
        let mut seen = BTreeSet::new();
        entries.retain(|entry| seen.insert(entry.clone()));
        let commands: Vec<_> = entries.iter().map(|(key, _)| command(&["GET", key])).collect();
        let replies = self.scripts.commands(&self.keys, &commands)?;
        let mut all: Vec<Operation> = Vec::new();
        for ((key, id), reply) in entries.iter().zip(replies) {
            let known: Vec<Operation> = self.readable(key, reply)?.unwrap_or_default();
            all.extend(known.into_iter().filter(|operation| operation.id == *id));
        }
        all.retain(|operation| budget.is_none_or(|name| operation.budget == name));
        Ok(all)
    }

    fn session_total(&mut self, session: &str) -> Result<Option<SessionTotal>> {
        if self.session(session)?.is_none() {
            return Ok(None);
        }
        let mut workspace = Workspace::new(&self.keys, &self.machine, &self.memory, &mut self.scripts);
        let mut total = SessionTotal::default();
        for stored in workspace.messages_of(session)? {
            total.amount = total.amount.plus(stored.c.amount());
            total.estimated_messages += u64::from(stored.e);
        }
        let damaged = workspace.damaged();
        self.damaged.extend(damaged);
        Ok(Some(total))
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
        let Some(id) = optional(self.scripts.command(&self.keys, &["GET", &key])?)? else { return Ok(None) };
        // It may have been resumed in another client since.
        let is_there = self.session(&id)?.is_some_and(|row| row.session.client == Some(client));
        Ok(is_there.then_some(id))
    }

    fn values(&mut self, scope: Scope, since: Timestamp) -> Result<Vec<String>> {
        if matches!(scope, Scope::Model | Scope::AgentType) {
            let (key, scope) = (self.keys.values(), format!("{} ", scope.name()));
            let words = ["ZRANGEBYSCORE", &key, &since.0.to_string(), "+inf"];
            let all = texts(self.scripts.command(&self.keys, &words)?)?;
            let mut values: Vec<String> =
                all.iter().filter_map(|value| value.strip_prefix(&scope)).map(str::to_owned).collect();
            values.sort();
            return Ok(values);
        }
        let rows = self.sessions()?.into_iter().filter(|row| row.last_seen >= since);
        if matches!(scope, Scope::Session | Scope::History) {
            return Ok(rows.map(|row| row.session.id).collect());
        }
        let values = rows.filter_map(|row| row.session.home().value(scope).map(str::to_owned));
        let values: BTreeSet<String> = values.filter(|value| !value.is_empty()).collect();
        Ok(values.into_iter().collect())
    }
}

impl RedisStore {
    /// The ids of all sessions, last seen first.
    pub(super) fn session_ids(&mut self) -> Result<Vec<String>> {
        self.members(&self.keys.sessions())
    }

    /// The members of a sorted set, highest score first.
    fn members(&mut self, key: &str) -> Result<Vec<String>> {
        let mut all: Vec<String> = Vec::new();
        loop {
            let (first, last) = (all.len().to_string(), (all.len() + PAGE - 1).to_string());
            let page = texts(self.scripts.command(&self.keys, &["ZREVRANGE", key, &first, &last])?)?;
            let is_last = page.len() < PAGE;
            all.extend(page);
            if is_last {
                // Between two pages members move.
                let mut seen = BTreeSet::new();
                all.retain(|member| seen.insert(member.clone()));
                return Ok(all);
            }
        }
    }

    fn rows(&mut self, ids: &[String]) -> Result<Vec<SessionRow>> {
        let of = |id: &String| {
            let live = self.keys.live(id);
            [
                command(&["GET", &self.keys.session(id)]),
                command(&["HMGET", &live, "seen", "ended", "complete"]),
            ]
        };
        let commands: Vec<_> = ids.iter().flat_map(of).collect();
        let mut replies = self.scripts.commands(&self.keys, &commands)?.into_iter();
        let mut rows = Vec::new();
        for id in ids {
            let mut next = || replies.next().unwrap_or(Value::Nil);
            let (charged, live) = (next(), list(next())?);
            let Some(charged) = self.readable::<Charged>(&self.keys.session(id), charged)? else { continue };
            let mut times = live.into_iter().map(|value| {
                optional(value).ok().flatten().and_then(|text| text.parse().ok()).map(Timestamp)
            });
            let mut time = || times.next().flatten();
            let session = Session {
                id: id.clone(),
                transcript: None,
                project: charged.project,
                user: charged.user,
                team: charged.team,
                task_type: charged.task_type,
                parent: charged.parent,
                // Process ids mean something on their own machine only.
                client: charged.client.filter(|_| charged.machine.as_ref() == Some(&self.machine)),
            };
            let (last_seen, ended, complete) = (time().unwrap_or_default(), time(), time().is_some());
            rows.push(SessionRow { session, last_seen, ended, complete });
        }
        Ok(rows)
    }

    /// What a reply is, where it is JSON; else its key is noted as damaged.
    fn readable<T: DeserializeOwned>(&mut self, key: &str, reply: Value) -> Result<Option<T>> {
        let Some(text) = optional(reply)? else { return Ok(None) };
        let read = serde_json::from_str(&text).ok();
        if read.is_none() {
            self.damaged.insert(key.to_owned());
        }
        Ok(read)
    }
}
