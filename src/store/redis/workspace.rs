//! One step in the making: what it takes for given, and what it writes.

use std::collections::BTreeMap;

use redis::{FromRedisValue, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::charged::Charged;
use super::keys::Keys;
use super::ledger::Stored;
use super::memory::Memory;
use super::scripts::{Scripts, command, parsed, read};
use super::step::{Found, Place, Step};
use crate::domain::event::Event;
use crate::domain::message::{Message, MessageKey};
use crate::store::counts::CounterDelta;
use crate::store::{Result, StoreError};

/// Messages of a step that the next one is likely to look at: lines of a message follow each other.
const LATEST: usize = 3;

/// One step in the making.
pub struct Workspace<'a> {
    /// Names of keys.
    pub keys: &'a Keys,
    /// This machine.
    pub machine: &'a str,
    pub step: Step,
    memory: &'a Memory,
    scripts: &'a mut Scripts,
    written: BTreeMap<Place, String>,
    /// Messages that were looked at (`None`: there is none).
    messages: BTreeMap<MessageKey, Option<Box<Stored>>>,
    changed: Vec<MessageKey>,
    values: BTreeMap<String, i64>,
}

impl<'a> Workspace<'a> {
    /// A step that begins.
    pub fn new(keys: &'a Keys, machine: &'a str, memory: &'a Memory, scripts: &'a mut Scripts) -> Self {
        let (step, written, messages, changed, values) = Default::default();
        Self { keys, machine, step, memory, scripts, written, messages, changed, values }
    }

    /// What stands at a place; nothing, as long as nobody knows better. The step takes it for given.
    pub fn at(&mut self, key: &str, field: &str) -> Option<Vec<u8>> {
        let place = (key.to_owned(), field.to_owned());
        if let Some(value) = self.written.get(&place) {
            return Some(value.clone().into_bytes());
        }
        let memory = self.memory;
        self.step.given.entry(place).or_insert_with_key(|place| memory.get(place)).clone()
    }

    /// The number at a place.
    pub fn number_at(&mut self, key: &str, field: &str) -> Option<i64> {
        parsed(&self.at(key, field)?)
    }

    /// What stands at a place, as JSON. What cannot be read is set aside, and taken to be missing.
    pub fn record<T: DeserializeOwned>(&mut self, key: &str, field: &str) -> Option<T> {
        let bytes = self.at(key, field)?;
        let read = serde_json::from_slice(&bytes).ok();
        if read.is_none() {
            self.set_aside(key, field, &bytes);
        }
        read
    }

    /// Keeps what stands at a place, and cannot be read, for whoever looks into it.
    fn set_aside(&mut self, key: &str, field: &str, bytes: &[u8]) {
        let text: String = String::from_utf8_lossy(bytes).chars().take(1000).collect();
        let damaged = self.keys.damaged();
        self.write(&["HSETNX", &damaged, format!("{key} {field}").trim_end(), &text]);
    }

    /// Puts something at a place.
    pub fn put(&mut self, key: &str, field: &str, value: impl Into<String>) {
        self.written.insert((key.to_owned(), field.to_owned()), value.into());
    }

    /// Puts JSON at a place.
    pub fn put_record(&mut self, key: &str, field: &str, record: &impl Serialize) -> Result<()> {
        self.put(key, field, to_json(record)?);
        Ok(())
    }

    /// Writes something besides.
    pub fn write(&mut self, words: &[&str]) {
        self.step.writes.push(command(words));
    }

    /// Keeps an event of a session. `is_news`: its agent has to be told.
    pub fn note(&mut self, event: &Event, is_news: bool) -> Result<()> {
        let (last, session) = (self.keys.event_number(), &event.session);
        let number = (self.number_at(&last, "").unwrap_or(0) + 1).to_string();
        self.put(&last, "", number.clone());
        self.put_record(&self.keys.events(session), &number, event)?;
        self.write(&["SADD", &self.keys.evented(), session]);
        if is_news {
            self.put(&self.keys.untold(session), &number, event.agent.clone());
            self.step.news.insert(event.agent.clone());
        }
        Ok(())
    }

    /// Asks something of a session, and takes for given that no batch of it comes in between.
    pub fn ask_of<T: FromRedisValue>(&mut self, session: &str, words: &[&str]) -> Result<T> {
        let live = self.keys.live(session);
        let replies =
            self.scripts.commands(self.keys, &[command(&["HGET", &live, "sequence"]), command(words)])?;
        let (sequence, reply) = read(Value::Array(replies))?;
        self.step.given.insert((live, "sequence".into()), sequence);
        Ok(reply)
    }

    /// The members of a set that `session` has, those that this step adds included, without itself.
    pub fn members(&mut self, session: &str, key: &str) -> Result<Vec<String>> {
        let mut members: Vec<String> = self.ask_of(session, &["SMEMBERS", key])?;
        let added = self.step.writes.iter().filter(|words| words[0] == "SADD" && words[1] == key);
        members.extend(added.map(|words| words[2].clone()));
        members.sort();
        members.dedup();
        members.retain(|member| member != session);
        Ok(members)
    }

    /// To whom a session is charged.
    pub fn charged(&mut self, session: &str) -> Option<Charged> {
        self.record(&self.keys.session(session), "")
    }

    /// A message as it stands, or as this step leaves it.
    pub fn stored(&mut self, key: &MessageKey) -> Option<&Stored> {
        if !self.messages.contains_key(key) {
            let at = self.keys.message(&key.hex());
            let stored: Option<Stored> = self.record(&at, "");
            let is_it = |stored: &Stored| stored.d.key == *key;
            self.messages.insert(*key, stored.filter(is_it).map(Box::new));
        }
        self.messages.get(key).and_then(Option::as_deref)
    }

    /// Leaves a message so.
    pub fn put_stored(&mut self, stored: Stored) {
        let key = stored.d.key;
        self.changed.retain(|changed| *changed != key);
        self.changed.push(key);
        self.messages.insert(key, Some(Box::new(stored)));
    }

    /// Notes that a message counts in a session, and when something was last counted for its model and its agent's type.
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

    /// The messages that count in a session, as this step leaves them.
    pub fn messages_of(&mut self, session: &str) -> Result<Vec<Stored>> {
        let list = self.keys.messages_of(session);
        let listed: Vec<String> = self.ask_of(session, &["ZRANGE", &list, "0", "-1"])?;
        let keys: Vec<String> = listed.iter().map(|hex| self.keys.message(hex)).collect();
        let get: Vec<_> = keys.iter().map(|key| command(&["GET", key])).collect();
        let mut found = BTreeMap::new();
        for (key, reply) in keys.iter().zip(self.scripts.commands(self.keys, &get)?) {
            let Some(bytes) = read::<Option<Vec<u8>>>(reply)? else { continue };
            match serde_json::from_slice::<Stored>(&bytes) {
                Ok(stored) => drop(found.insert(stored.d.key, stored)),
                Err(_) => self.set_aside(key, "", &bytes),
            }
        }
        // Those that this step only looked at may be missing in the list, which it makes whole.
        let seen = self.messages.values().filter_map(Option::as_deref);
        found.extend(seen.map(|stored| (stored.d.key, stored.clone())));
        Ok(found.into_values().filter(|stored| stored.s.iter().any(|id| id == session)).collect())
    }

    /// Lets the messages of a session count what they are: counts stand beside each, for scripts.
    pub fn correct_counts(&mut self, session: &str) -> Result<()> {
        let is_wrong = |stored: &Stored| stored.c != CounterDelta::of(&stored.d.amount());
        for Stored { d: message, .. } in self.messages_of(session)?.into_iter().filter(is_wrong) {
            // Taken for given as it is, where another session's hook changes it meanwhile.
            if let Some(mut stored) = self.stored(&message.key).cloned() {
                stored.set(&stored.d.clone());
                self.put_stored(stored);
            }
        }
        Ok(())
    }

    /// The step, and what stands then where it looked or wrote, as far as that is of use to the next one.
    pub fn finish(mut self) -> Result<(Step, Found)> {
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
        let mut after = self.step.given.clone();
        for ((key, field), value) in self.written {
            self.step.writes.push(match field.as_str() {
                "" => command(&["SET", &key, &value]),
                field => command(&["HSET", &key, field, &value]),
            });
            after.insert((key, field), Some(value.into_bytes()));
        }
        let latest: Vec<String> =
            changed.iter().rev().take(LATEST).map(|key| self.keys.message(&key.hex())).collect();
        let keys = self.keys;
        after.retain(|(key, _), _| !keys.is_message(key) || latest.contains(key));
        Ok((self.step, after))
    }
}

/// A record as JSON.
pub fn to_json(record: &impl Serialize) -> Result<String> {
    serde_json::to_string(record).map_err(|error| StoreError::Damaged(error.to_string()))
}
