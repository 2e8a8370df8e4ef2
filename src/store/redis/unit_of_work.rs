//! A step in preparation: what it reads and writes.

use std::collections::BTreeMap;

use redis::{FromRedisValue, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::keys::Keys;
use super::ledger::MessageRecord;
use super::read_cache::ReadCache;
use super::scripts::{Scripts, command, decode, parse};
use super::session_record::SessionRecord;
use super::step::{FieldKey, FieldValues, Step};
use crate::domain::event::Event;
use crate::domain::message::{Message, MessageKey};
use crate::store::counts::CounterDelta;
use crate::store::metrics::MetricChanges;
use crate::store::{Result, StoreError};

/// Messages cached for the next step, which is likely to read them: the lines of a message are close together.
const MAX_CACHED: usize = 3;

/// A step in preparation.
pub struct UnitOfWork<'a> {
    /// Names of keys.
    pub keys: &'a Keys,
    /// This machine.
    pub machine: &'a str,
    pub step: Step,
    cache: &'a ReadCache,
    scripts: &'a mut Scripts,
    written: BTreeMap<FieldKey, String>,
    /// Messages that were read (`None`: missing).
    messages: BTreeMap<MessageKey, Option<Box<MessageRecord>>>,
    changed: Vec<MessageKey>,
    values: BTreeMap<String, i64>,
}

impl<'a> UnitOfWork<'a> {
    /// An empty step.
    pub fn new(keys: &'a Keys, machine: &'a str, cache: &'a ReadCache, scripts: &'a mut Scripts) -> Self {
        let (step, written, messages, changed, values) = Default::default();
        Self { keys, machine, step, cache, scripts, written, messages, changed, values }
    }

    /// The cached value of a field. The step expects it to be current.
    pub fn get(&mut self, key: &str, field: &str) -> Option<Vec<u8>> {
        let field = (key.to_owned(), field.to_owned());
        if let Some(value) = self.written.get(&field) {
            return Some(value.clone().into_bytes());
        }
        let cache = self.cache;
        self.step.expected.entry(field).or_insert_with_key(|field| cache.get(field)).clone()
    }

    /// The number in a field.
    pub fn get_number(&mut self, key: &str, field: &str) -> Option<i64> {
        parse(&self.get(key, field)?)
    }

    /// The JSON in a field. An unreadable value is quarantined, and counts as missing.
    pub fn get_record<T: DeserializeOwned>(&mut self, key: &str, field: &str) -> Option<T> {
        let bytes = self.get(key, field)?;
        serde_json::from_slice(&bytes).map_err(|_| self.quarantine(key, field, &bytes)).ok()
    }

    /// Keeps an unreadable value for inspection.
    fn quarantine(&mut self, key: &str, field: &str, bytes: &[u8]) {
        let text: String = String::from_utf8_lossy(bytes).chars().take(1000).collect();
        let damaged = self.keys.damaged();
        self.write(&["HSETNX", &damaged, format!("{key} {field}").trim_end(), &text]);
    }

    /// Sets a field.
    pub fn put(&mut self, key: &str, field: &str, value: impl Into<String>) {
        self.written.insert((key.to_owned(), field.to_owned()), value.into());
    }

    /// Sets a field to JSON.
    pub fn put_record(&mut self, key: &str, field: &str, record: &impl Serialize) -> Result<()> {
        self.put(key, field, to_json(record)?);
        Ok(())
    }

    /// Adds a write command.
    pub fn write(&mut self, words: &[&str]) {
        self.step.writes.push(command(words));
    }

    /// Stores an event of a session. `is_news`: its agent should be told.
    pub fn record_event(&mut self, event: &Event, is_news: bool) -> Result<()> {
        let (last, session) = (self.keys.event_number(), &event.session);
        let number = (self.get_number(&last, "").unwrap_or(0) + 1).to_string();
        self.put(&last, "", number.clone());
        self.put_record(&self.keys.events(session), &number, event)?;
        self.write(&["SADD", &self.keys.sessions_with_events(), session]);
        self.step.metrics.extend(MetricChanges::of_event(&event.data));
        if is_news {
            self.put(&self.keys.untold_events(session), &number, event.agent.clone());
            self.step.news.insert(event.agent.clone());
        }
        Ok(())
    }

    /// Runs a read command about a session, and expects that no batch of it is recorded before this step.
    pub fn query_session<T: FromRedisValue>(&mut self, session: &str, words: &[&str]) -> Result<T> {
        let live = self.keys.live(session);
        let replies =
            self.scripts.commands(self.keys, &[command(&["HGET", &live, "sequence"]), command(words)])?;
        let (sequence, reply) = decode(Value::Array(replies))?;
        self.step.expected.insert((live, "sequence".into()), sequence);
        Ok(reply)
    }

    /// The members of a session's set, including those added by this step, without the session itself.
    pub fn members(&mut self, session: &str, key: &str) -> Result<Vec<String>> {
        let mut members: Vec<String> = self.query_session(session, &["SMEMBERS", key])?;
        let added = self.step.writes.iter().filter(|words| words[0] == "SADD" && words[1] == key);
        members.extend(added.map(|words| words[2].clone()));
        members.sort();
        members.dedup();
        members.retain(|member| member != session);
        Ok(members)
    }

    /// The record of a session.
    pub fn session_record(&mut self, session: &str) -> Option<SessionRecord> {
        self.get_record(&self.keys.session(session), "")
    }

    /// A message as stored, or as changed by this step.
    pub fn message(&mut self, key: &MessageKey) -> Option<&MessageRecord> {
        if !self.messages.contains_key(key) {
            let at = self.keys.message(&key.hex());
            let stored: Option<MessageRecord> = self.get_record(&at, "");
            let is_it = |stored: &MessageRecord| stored.message.key == *key;
            self.messages.insert(*key, stored.filter(is_it).map(Box::new));
        }
        self.messages.get(key).and_then(Option::as_deref)
    }

    /// Replaces a message.
    pub fn put_message(&mut self, stored: MessageRecord) {
        let key = stored.message.key;
        self.changed.retain(|changed| *changed != key);
        self.changed.push(key);
        self.messages.insert(key, Some(Box::new(stored)));
    }

    /// Records that a message counts in a session, and when its model and agent type were last counted.
    pub fn list_message(&mut self, session: &str, message: &Message) {
        let (list, at) = (self.keys.messages_of(session), message.at.0.to_string());
        self.write(&["ZADD", &list, &at, &message.key.hex()]);
        for (scope, value) in [("model", &message.model), ("agent_type", &message.agent_type)] {
            if !value.is_empty() {
                let latest = self.values.entry(format!("{scope} {value}")).or_insert(message.at.0);
                *latest = message.at.0.max(*latest);
            }
        }
    }

    /// The messages of a session, as changed by this step.
    pub fn messages_of(&mut self, session: &str) -> Result<Vec<MessageRecord>> {
        let list = self.keys.messages_of(session);
        let listed: Vec<String> = self.query_session(session, &["ZRANGE", &list, "0", "-1"])?;
        let keys: Vec<String> = listed.iter().map(|hex| self.keys.message(hex)).collect();
        let get: Vec<_> = keys.iter().map(|key| command(&["GET", key])).collect();
        let mut found = BTreeMap::new();
        for (key, reply) in keys.iter().zip(self.scripts.commands(self.keys, &get)?) {
            let Some(bytes) = decode::<Option<Vec<u8>>>(reply)? else { continue };
            match serde_json::from_slice::<MessageRecord>(&bytes) {
                Ok(stored) => drop(found.insert(stored.message.key, stored)),
                Err(_) => self.quarantine(key, "", &bytes),
            }
        }
        // Include messages missing from the list; this step repairs it.
        let seen = self.messages.values().filter_map(Option::as_deref);
        found.extend(seen.map(|stored| (stored.message.key, stored.clone())));
        Ok(found.into_values().filter(|stored| stored.sessions.iter().any(|id| id == session)).collect())
    }

    /// Corrects the stored counts of a session's messages, which scripts read.
    pub fn correct_counts(&mut self, session: &str) -> Result<()> {
        let is_wrong = |m: &MessageRecord| m.counts != CounterDelta::from_amount(&m.message.amount());
        for MessageRecord { message, .. } in self.messages_of(session)?.into_iter().filter(is_wrong) {
            // The step then expects the message to be unchanged, in case another session's hook changes it meanwhile.
            if let Some(mut stored) = self.message(&message.key).cloned() {
                stored.set(&stored.message.clone());
                self.put_message(stored);
            }
        }
        Ok(())
    }

    /// The step, and values for the next one.
    pub fn finish(mut self) -> Result<(Step, FieldValues)> {
        let changed = std::mem::take(&mut self.changed);
        for key in &changed {
            if let Some(stored) = self.messages.remove(key).flatten() {
                self.put_record(&self.keys.message(&key.hex()), "", &stored)?;
            }
        }
        let values = self.keys.values();
        for (value, at) in std::mem::take(&mut self.values) {
            self.write(&["ZADD", &values, "GT", &at.to_string(), &value]);
        }
        let mut after = self.step.expected.clone();
        for ((key, field), value) in self.written {
            self.step.writes.push(match field.as_str() {
                "" => command(&["SET", &key, &value]),
                field => command(&["HSET", &key, field, &value]),
            });
            after.insert((key, field), Some(value.into_bytes()));
        }
        let latest: Vec<String> =
            changed.iter().rev().take(MAX_CACHED).map(|key| self.keys.message(&key.hex())).collect();
        let keys = self.keys;
        after.retain(|(key, _), _| !keys.is_message(key) || latest.contains(key));
        Ok((self.step, after))
    }
}

/// A record as JSON.
pub fn to_json(record: &impl Serialize) -> Result<String> {
    serde_json::to_string(record).map_err(|error| StoreError::Damaged(error.to_string()))
}
