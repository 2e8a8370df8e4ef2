//! Sessions: who they are charged to, when they were seen, what they used.

use std::collections::{BTreeSet, HashMap};

use redis::Value;

use super::charged::Charged;
use super::charging::intern;
use super::plan::command;
use super::recovery::see_machine;
use super::workspace::Workspace;
use super::{KEPT_S, RedisStore, plan};
use crate::domain::budget::Scope;
use crate::domain::time::Timestamp;
use crate::store::{ClientProcess, Own, Result, Session, SessionRow, SessionTotal, StoreError};

impl RedisStore {
    /// The ids of all sessions, last seen first.
    pub(super) fn session_ids(&mut self) -> Result<Vec<String>> {
        self.texts(&["ZREVRANGE", &self.keys.sessions(), "0", "-1"])
    }

    pub(super) fn sessions(&mut self) -> Result<Vec<SessionRow>> {
        let ids = self.session_ids()?;
        self.rows(&ids)
    }

    pub(super) fn session(&mut self, id: &str) -> Result<Option<SessionRow>> {
        Ok(self.rows(&[id.to_owned()])?.pop())
    }

    fn rows(&mut self, ids: &[String]) -> Result<Vec<SessionRow>> {
        let mut commands = Vec::new();
        for id in ids {
            commands.push(command(&["GET", &self.keys.session(id)]));
            commands.push(command(&["HMGET", &self.keys.live(id), "seen", "ended", "complete"]));
        }
        let mut answers = self.in_turn(&commands)?.into_iter();
        let (mut rows, machine) = (Vec::new(), self.machine.name());
        for id in ids {
            let charged = plan::bytes(answers.next().unwrap_or(Value::Nil))?;
            let live = plan::list(answers.next().unwrap_or(Value::Nil))?;
            let live = live.into_iter().map(plan::bytes).collect::<Result<Vec<_>>>()?;
            let Some(charged) = charged else { continue };
            let charged: Charged = serde_json::from_slice(&charged)
                .map_err(|e| StoreError::Damaged(format!("session {id}: {e}")))?;
            let time = |at: usize| {
                let text = live.get(at)?.as_ref()?;
                Some(Timestamp(std::str::from_utf8(text).ok()?.parse().ok()?))
            };
            let session = Session {
                id: id.clone(),
                transcript: None,
                project: charged.project,
                user: charged.user,
                team: charged.team,
                task_type: charged.task_type,
                parent: charged.parent,
                // Process ids mean something on their own machine only.
                client: charged.client.filter(|_| charged.machine.as_ref() == Some(&machine)),
            };
            let (last_seen, ended, complete) = (time(0).unwrap_or_default(), time(1), time(2).is_some());
            rows.push(SessionRow { session, last_seen, ended, complete });
        }
        Ok(rows)
    }

    pub(super) fn session_of_client(&mut self, client: ClientProcess) -> Result<Option<String>> {
        let key = self.keys.client(&self.machine.name(), client);
        let found = plan::bytes(self.ask(&["GET", &key])?)?;
        let Some(id) = found.map(|id| String::from_utf8_lossy(&id).into_owned()) else { return Ok(None) };
        // It may have been resumed in another client since.
        let is_there = self.session(&id)?.is_some_and(|row| row.session.client == Some(client));
        Ok(is_there.then_some(id))
    }

    pub(super) fn see(&mut self, session: &Session, now: Timestamp, ended: bool) -> Result<()> {
        self.in_step(&session.id, now, |workspace| see(workspace, session, now, ended))?;
        // What counts in a session must be known for as long as it goes on.
        let keys =
            [self.keys.totals(&session.id), self.keys.standings(&session.id), self.keys.settles(&session.id)];
        let mut words = vec![KEPT_S.to_string(), self.keys.data_prefix(), session.id.clone()];
        words.extend(keys);
        // Nor may the store get another name, or count from another moment on, while somebody uses it.
        words.extend([self.keys.epoch(), self.keys.families()]);
        let words: Vec<Vec<u8>> = words.into_iter().map(String::into_bytes).collect();
        self.link.refresh(&self.keys, &words)
    }

    pub(super) fn complete(&mut self, session: &str, seen: Timestamp) -> Result<()> {
        let (live, here) = (self.keys.live(session), self.machine.name());
        self.in_step(session, seen, |workspace| {
            // Whether all of it was read is known where its files are.
            let charged = workspace.charged(session)?.unwrap_or_default();
            if charged.machine.is_some_and(|machine| machine != here) {
                return Ok(());
            }
            if workspace.number_at(&live, "seen").is_some_and(|last| last <= seen.0) {
                workspace.put(&live, "complete", *b"1");
            }
            Ok(())
        })
    }

    pub(super) fn session_total(&mut self, session: &str) -> Result<Option<SessionTotal>> {
        if self.session(session)?.is_none() {
            return Ok(None);
        }
        let mut workspace = Workspace::new(&self.keys, &self.memory, &mut self.link, &self.machine);
        let mut total = SessionTotal::default();
        for stored in workspace.messages_of(session)? {
            total.amount = total.amount.plus(stored.c.amount());
            total.estimated_messages += u64::from(stored.e);
        }
        Ok(Some(total))
    }

    pub(super) fn sequences(&mut self) -> Result<HashMap<String, u64>> {
        let ids = self.session_ids()?;
        let commands: Vec<_> =
            ids.iter().map(|id| command(&["HGET", &self.keys.live(id), "sequence"])).collect();
        let answers = self.in_turn(&commands)?;
        let mut all = HashMap::new();
        for (id, answer) in ids.into_iter().zip(answers) {
            let sequence = plan::bytes(answer)?.and_then(|text| String::from_utf8(text).ok()?.parse().ok());
            all.insert(id, sequence.unwrap_or(0));
        }
        Ok(all)
    }

    pub(super) fn own_batches(&mut self) -> Result<HashMap<String, Own>> {
        let (ids, machine) = (self.session_ids()?, self.machine.name());
        let field = format!("sequence:{machine}");
        let commands: Vec<_> = ids.iter().map(|id| command(&["HGET", &self.keys.live(id), &field])).collect();
        let mut all = HashMap::new();
        for (id, answer) in ids.iter().zip(self.in_turn(&commands)?) {
            let batches = plan::bytes(answer)?.and_then(|text| String::from_utf8(text).ok()?.parse().ok());
            all.insert(id.clone(), Own::of(machine.clone(), batches.unwrap_or(0)));
        }
        Ok(all)
    }

    pub(super) fn values(&mut self, scope: Scope, since: Timestamp) -> Result<Vec<String>> {
        if matches!(scope, Scope::Model | Scope::AgentType) {
            let (key, scope) = (self.keys.values(), format!("{} ", scope.name()));
            let all = self.texts(&["ZRANGEBYSCORE", &key, &since.0.to_string(), "+inf"])?;
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

/// Notes that a session was seen: its client (a resumed session has a new one), its end. What it is charged to stays.
fn see(workspace: &mut Workspace, session: &Session, now: Timestamp, ended: bool) -> Result<()> {
    let id = intern(workspace, session, now)?;
    let mut charged = workspace.charged(&id)?.unwrap_or_default();
    let before = charged.clone();
    if let Some(client) = session.client {
        let machine = workspace.machine();
        let key = workspace.keys.client(&machine, client);
        (charged.client, charged.machine) = (Some(client), Some(machine));
        workspace.put(&key, "", id.clone().into_bytes());
    }
    // An old session that is resumed inside another one is that one's child from now on: it is no way out.
    if let Some(parent) = session.parent.clone().filter(|parent| *parent != id) {
        if workspace.charged(&parent)?.is_none() {
            let stub = Session { id: parent.clone(), parent: None, client: None, ..session.clone() };
            intern(workspace, &stub, now)?;
        }
        if charged.parent.as_ref() != Some(&parent) {
            (charged.parent, charged.parent_since) = (Some(parent), Some(now));
        }
    }
    if charged != before {
        workspace.charge(&id, charged)?;
    }
    let (live, sessions) = (workspace.keys.live(&id), workspace.keys.sessions());
    let last = workspace.number_at(&live, "seen");
    let seen = last.unwrap_or(i64::MIN).max(now.0).to_string();
    workspace.command("zset", &["ZADD", &sessions, "GT", &seen, &id]);
    let machine = workspace.machine();
    see_machine(workspace, &machine, now);
    workspace.command("hash", &["HSET", &live, "seen", &seen]);
    workspace.command("hash", &["HDEL", &live, "ended", "complete"]);
    if ended {
        workspace.command("hash", &["HSET", &live, "ended", &now.0.to_string()]);
    }
    Ok(())
}
