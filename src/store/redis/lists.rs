//! What is listed: alerts, events, breakers; and what people and hooks note about them.

use redis::Value;

use super::plan::{self, Plan, command};
use super::standings::{OfSession, pairs, read};
use super::workspace::Workspace;
use super::{DECIDED_S, RedisStore};
use crate::domain::alert::{Acknowledgement, AlertRecord, BudgetAlert};
use crate::domain::breaker::circuit::Trip;
use crate::domain::event::{CircuitDecision, Event};
use crate::domain::throttle::Slots;
use crate::domain::time::Timestamp;
use crate::store::standing;
use crate::store::{CircuitRow, Result, StoreError};

impl RedisStore {
    /// One command.
    pub(super) fn ask(&mut self, words: &[&str]) -> Result<Value> {
        let mut answers = self.link.commands(&self.keys, &[command(words)])?;
        Ok(answers.pop().unwrap_or(Value::Nil))
    }

    pub(super) fn texts(&mut self, words: &[&str]) -> Result<Vec<String>> {
        plan::list(self.ask(words)?)?.into_iter().map(plan::text).collect()
    }

    pub(super) fn confirm_shown(&mut self, alerts: &[i64], events: &[i64]) -> Result<()> {
        let mut commands: Vec<_> =
            alerts.iter().map(|id| command(&["SREM", &self.keys.unshown(), &id.to_string()])).collect();
        for id in events {
            if let Some(session) = self.claimed.get(id) {
                commands.push(command(&["HDEL", &self.keys.untold(session), &id.to_string()]));
            }
        }
        if !commands.is_empty() {
            self.link.commands(&self.keys, &commands)?;
        }
        Ok(())
    }

    pub(super) fn note(&mut self, event: &Event) -> Result<()> {
        let text = serde_json::to_string(event).map_err(|e| StoreError::Damaged(e.to_string()))?;
        let known = !event.what.is_news();
        let plan = Plan { events: vec![(text, event.agent.clone(), known)], ..Plan::default() };
        let frame = self.frame(&event.session, event.at, true);
        self.link.transact(&self.keys, &plan, &frame).map(drop)
    }

    pub(super) fn events(&mut self, session: Option<&str>, call: Option<u64>) -> Result<Vec<Event>> {
        let sessions = match session {
            Some(session) => vec![session.to_owned()],
            None => self.texts(&["SMEMBERS", &self.keys.evented()])?,
        };
        let commands: Vec<_> =
            sessions.iter().map(|id| command(&["HGETALL", &self.keys.events(id)])).collect();
        let mut all = Vec::new();
        for answer in self.in_turn(&commands)? {
            for (id, text) in pairs(answer)? {
                // One that a later version wrote is left to that one.
                let event = serde_json::from_slice::<Event>(&text).ok();
                let id = id.parse().unwrap_or(0);
                all.extend(event.map(|event| Event { id, ..event }));
            }
        }
        all.retain(|event| call.is_none() || event.what.call() == call);
        all.sort_by_key(|event| event.id);
        Ok(all)
    }

    /// Many commands, some at a time: Redis does nothing else meanwhile.
    pub(super) fn in_turn(&mut self, commands: &[Vec<String>]) -> Result<Vec<Value>> {
        let mut answers = Vec::with_capacity(commands.len());
        for some in commands.chunks(200) {
            answers.extend(self.link.commands(&self.keys, some)?);
        }
        Ok(answers)
    }

    pub(super) fn circuits(&mut self, session: Option<&str>) -> Result<Vec<CircuitRow>> {
        let sessions = match session {
            Some(session) => vec![session.to_owned()],
            None => self.session_ids()?,
        };
        let keys: Vec<String> = sessions.iter().map(|id| self.keys.standings(id)).collect();
        let commands: Vec<_> = keys.iter().map(|key| command(&["HGETALL", key])).collect();
        let mut rows = Vec::new();
        for ((session, key), answer) in sessions.iter().zip(&keys).zip(self.in_turn(&commands)?) {
            for (name, bytes) in pairs(answer)? {
                let Some(agent) = standing::agent_of(&name) else { continue };
                let (text, calls) = read(key, &bytes)?;
                let breaker = standing::breaker(&text, &calls);
                rows.push(CircuitRow { session: session.clone(), agent: agent.to_owned(), breaker });
            }
        }
        Ok(rows)
    }

    pub(super) fn decide_circuit(
        &mut self,
        session: &str,
        agent: Option<&str>,
        decision: CircuitDecision,
        by: (&str, &str),
        now: Timestamp,
    ) -> Result<Vec<(String, Option<Trip>)>> {
        self.in_step(session, now, |workspace| {
            standing::decide(&mut OfSession { workspace, id: session }, agent, decision, by, now)
        })
    }

    pub(super) fn slots(&mut self, session: &str) -> Result<Slots> {
        self.memory.forget();
        self.in_step(session, Timestamp(0), |workspace| {
            standing::slots(&mut OfSession { workspace, id: session })
        })
    }

    /// Makes a step and does it, again and again until what it takes for given is so.
    pub(super) fn in_step<T>(
        &mut self,
        session: &str,
        now: Timestamp,
        make: impl Fn(&mut Workspace) -> Result<T>,
    ) -> Result<T> {
        for _ in 0..super::ROUNDS {
            let mut workspace = Workspace::new(&self.keys, &self.memory, &mut self.link, &self.machine);
            let made = make(&mut workspace)?;
            let (plan, after) = workspace.finish()?;
            let frame = self.frame(session, now, true);
            match self.link.transact(&self.keys, &plan, &frame)? {
                plan::Reply::Given(actual) => self.memory.correct(plan.given.into_iter().zip(actual)),
                _ => {
                    after.into_iter().for_each(|(place, value)| self.memory.learn(place, value));
                    return Ok(made);
                }
            }
        }
        Err(StoreError::Contended)
    }

    pub(super) fn alerts(&mut self) -> Result<Vec<AlertRecord>> {
        let ids = self.texts(&["ZREVRANGE", &self.keys.alerts(), "0", "-1"])?;
        let mut commands = Vec::new();
        for id in &ids {
            let key = format!("{}{id}", self.keys.alert_prefix());
            commands.push(command(&["HMGET", &key, "alert", "used"]));
            commands.push(command(&["HGET", &self.keys.acknowledged(), id]));
        }
        let mut answers = self.in_turn(&commands)?.into_iter();
        let mut all = Vec::new();
        for id in ids {
            let found = plan::list(answers.next().unwrap_or(Value::Nil))?;
            let found = found.into_iter().map(plan::bytes).collect::<Result<Vec<_>>>()?;
            let acknowledged = plan::bytes(answers.next().unwrap_or(Value::Nil))?;
            let [Some(alert), used] = &found[..] else { continue };
            let used = used.as_ref().and_then(|used| std::str::from_utf8(used).ok()?.parse().ok());
            let alert: BudgetAlert = parse(alert)?;
            let alert = BudgetAlert { id: id.parse().unwrap_or(0), used: used.unwrap_or(0), ..alert };
            let acknowledged = acknowledged.map(|text| parse(&text)).transpose()?;
            all.push(AlertRecord { alert, acknowledged });
        }
        Ok(all)
    }

    pub(super) fn acknowledge(
        &mut self,
        alerts: &[i64],
        acknowledgement: &Acknowledgement,
    ) -> Result<Vec<i64>> {
        let text = serde_json::to_string(acknowledgement).map_err(|e| StoreError::Damaged(e.to_string()))?;
        let there: Vec<_> = alerts.iter().map(|id| command(&["EXISTS", &self.keys.alert(*id)])).collect();
        let there = self.in_turn(&there)?;
        let mut known = Vec::new();
        for (id, there) in alerts.iter().zip(there) {
            if plan::number(there)? > 0 && !known.contains(id) {
                known.push(*id);
            }
        }
        let key = self.keys.acknowledged();
        let mut commands: Vec<_> =
            known.iter().map(|id| command(&["HSETNX", &key, &id.to_string(), &text])).collect();
        commands.push(command(&["EXPIRE", &key, &DECIDED_S.to_string()]));
        let answers = self.in_turn(&commands)?;
        let mut done = Vec::new();
        for (id, answer) in known.into_iter().zip(answers) {
            if plan::number(answer)? > 0 {
                done.push(id);
            }
        }
        Ok(done)
    }
}

fn parse<T: serde::de::DeserializeOwned>(text: &[u8]) -> Result<T> {
    serde_json::from_slice(text).map_err(|e| StoreError::Damaged(format!("alerts: {e}")))
}
