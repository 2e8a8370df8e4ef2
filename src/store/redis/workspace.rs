//! One step in the making: what it takes for given, and what it writes.

use std::collections::{BTreeMap, BTreeSet};

use redis::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Machine;
use super::charged::Charged;
use super::keys::Keys;
use super::link::Link;
use super::memory::Memory;
use super::messages::{Messages, Stored};
use super::plan::{self, Command, Content, Found, Place, Plan, SCORE};
use crate::domain::message::{ClientTotal, Message, MessageKey};
use crate::domain::time::Timestamp;
use crate::domain::usage::Usage;
use crate::store::ledger::{Bearer, Known, Records};
use crate::store::{Result, StoreError};

/// One step in the making.
pub struct Workspace<'a> {
    /// Names of keys.
    pub keys: &'a Keys,
    /// What to do.
    pub plan: Plan,
    /// Sessions that nobody has seen before.
    pub new: BTreeSet<String>,
    /// Sessions whose project is known now, and was not before.
    pub recharge: Vec<(String, String)>,
    /// Whether keys that are there live on from now: then everything is written.
    pub refreshes: bool,
    memory: &'a Memory,
    link: &'a mut Link,
    machine: &'a Machine,
    given: Found,
    written: BTreeMap<Place, Content>,
    /// To whom sessions are charged, as far as that was looked at.
    charged: BTreeMap<String, Option<Charged>>,
    /// Messages that were looked at, or brought.
    pub(super) messages: Messages,
    /// Values of scopes, with when something was last counted for them.
    pub(super) values: BTreeMap<String, i64>,
}

impl<'a> Workspace<'a> {
    /// A step that begins.
    pub fn new(keys: &'a Keys, memory: &'a Memory, link: &'a mut Link, machine: &'a Machine) -> Self {
        let (given, written) = (BTreeMap::new(), BTreeMap::new());
        let (plan, new, recharge) = (Plan::default(), BTreeSet::new(), Vec::new());
        Self {
            keys,
            memory,
            link,
            machine,
            given,
            written,
            charged: BTreeMap::new(),
            messages: Messages::default(),
            values: BTreeMap::new(),
            plan,
            new,
            recharge,
            refreshes: true,
        }
    }

    /// What stands at a place; nothing, as long as nobody knows better. The step takes it for given.
    pub fn at(&mut self, key: &str, field: &str) -> Option<Content> {
        let place = (key.to_owned(), field.to_owned());
        if let Some(value) = self.written.get(&place) {
            return Some(value.clone());
        }
        let known = self.memory.get(&place).cloned().flatten();
        self.given.entry(place).or_insert(known).clone()
    }

    /// The number at a place.
    pub fn number_at(&mut self, key: &str, field: &str) -> Option<i64> {
        self.at(key, field).and_then(|text| plan::number_in(&text))
    }

    /// The record under a key.
    pub fn record<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>> {
        self.at(key, "").map(|bytes| parse(key, &bytes)).transpose()
    }

    /// Puts something at a place.
    pub fn put(&mut self, key: &str, field: &str, value: impl Into<Content>) {
        self.written.insert((key.to_owned(), field.to_owned()), value.into());
    }

    /// Puts a record under a key.
    pub fn put_record(&mut self, key: &str, record: &impl Serialize) -> Result<()> {
        let bytes = serde_json::to_vec(record).map_err(|e| StoreError::Damaged(e.to_string()))?;
        self.put(key, "", bytes);
        Ok(())
    }

    /// Does something besides. Its key is of this kind; it lives on.
    pub fn command(&mut self, kind: &'static str, words: &[&str]) {
        self.plan.commands.push(Command { kind: Some(kind), words: plan::command(words) });
    }

    /// What stood at a place when a step last looked; the step does not take that for given.
    pub fn remembered(&self, place: &Place) -> Option<&[u8]> {
        self.memory.get(place)?.as_deref()
    }

    /// Asks now, of one moment.
    pub fn ask(&mut self, commands: &[Vec<String>]) -> Result<Vec<Value>> {
        self.link.commands(self.keys, commands)
    }

    /// Asks something of a session, and takes for given that no batch of it comes in between.
    pub fn ask_of(&mut self, session: &str, commands: &[Vec<String>]) -> Result<Vec<Value>> {
        let live = self.keys.live(session);
        let mut all = vec![vec!["HGET".into(), live.clone(), "sequence".into()]];
        all.extend_from_slice(commands);
        let mut answers = self.ask(&all)?.into_iter();
        let sequence = plan::bytes(answers.next().unwrap_or(Value::Nil))?;
        self.given.insert((live, "sequence".into()), sequence.map(Content::from));
        Ok(answers.collect())
    }

    /// What there is to do, and what stands then where it was looked at or written.
    pub fn finish(mut self) -> Result<(Plan, Found)> {
        self.write_messages()?;
        let mut after = self.given.clone();
        let values = std::mem::take(&mut self.values);
        if !values.is_empty() {
            let key = self.keys.values();
            let pairs: Vec<(String, String)> =
                values.into_iter().map(|(value, at)| (at.to_string(), value)).collect();
            let mut words = vec!["ZADD", &key, "GT"];
            words.extend(pairs.iter().flat_map(|(at, value)| [at.as_str(), value]));
            self.command("zset", &words);
            let scores =
                pairs.into_iter().map(|(at, value)| (format!("{SCORE}{value}"), at.into_bytes().into()));
            after.extend(scores.map(|(field, at)| ((key.clone(), field), Some(at))));
        }
        let written = std::mem::take(&mut self.written);
        for ((key, field), value) in &written {
            match field.as_str() {
                "" => self.plan.records.push((key.clone(), value.clone())),
                _ => self.plan.changed.push((key.clone(), field.clone(), value.clone())),
            }
        }
        after.extend(written.into_iter().map(|(place, value)| (place, Some(value))));
        self.plan.take_for_given(self.given);
        Ok((self.plan, after))
    }

    /// What this machine is called.
    pub fn machine(&self) -> String {
        self.machine.name()
    }

    /// To whom a session is charged.
    pub fn charged(&mut self, session: &str) -> Result<Option<Charged>> {
        if let Some(known) = self.charged.get(session) {
            return Ok(known.clone());
        }
        let charged: Option<Charged> = self.record(&self.keys.session(session))?;
        self.charged.insert(session.to_owned(), charged.clone());
        Ok(charged)
    }

    /// Charges a session so.
    pub fn charge(&mut self, session: &str, charged: Charged) -> Result<()> {
        self.put_record(&self.keys.session(session), &charged)?;
        self.charged.insert(session.to_owned(), Some(charged));
        Ok(())
    }
}

pub(super) fn parse<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| StoreError::Damaged(format!("{key}: {error}")))
}

impl Records for Workspace<'_> {
    type Session = String;
    type Message = MessageKey;

    fn known(&mut self, key: &MessageKey, lineage: &[Bearer<String>]) -> Result<Option<Known<Self>>> {
        let Some(stored) = self.stored(key)?.cloned() else { return Ok(None) };
        let home = match lineage.iter().find(|bearer| bearer.key == stored.h) {
            Some(bearer) => bearer.home.clone(),
            None => self.charged(&stored.h)?.unwrap_or_default().home(),
        };
        Ok(Some(Known { key: *key, home, message: stored.d, sessions: stored.s }))
    }

    fn insert(&mut self, message: &Message, home: &String) -> Result<MessageKey> {
        self.put_stored(Stored::of(message, home));
        self.note_values(message);
        Ok(message.key)
    }

    fn update(&mut self, key: &MessageKey, message: &Message) -> Result<()> {
        let Some(mut stored) = self.stored(key)?.cloned() else { return Ok(()) };
        stored.set(message);
        for session in &stored.s {
            self.list_message(session, message);
        }
        self.note_values(message);
        self.put_stored(stored);
        Ok(())
    }

    fn join(&mut self, key: &MessageKey, message: &Message, bearer: &String, own: bool) -> Result<()> {
        let Some(mut stored) = self.stored(key)?.cloned() else { return Ok(()) };
        stored.s.push(bearer.clone());
        if own {
            stored.o.push(bearer.clone());
        }
        self.list_message(bearer, message);
        self.put_stored(stored);
        Ok(())
    }

    fn lineage(&mut self, session: &String) -> Result<Vec<Bearer<String>>> {
        let mut line: Vec<Bearer<String>> = Vec::new();
        let mut next = Some((session.clone(), Timestamp(i64::MIN)));
        while let Some((id, since)) =
            next.filter(|(id, _)| line.len() < 16 && line.iter().all(|b| b.key != *id))
        {
            // Of one that is not known yet the step is made again.
            let charged = self.charged(&id)?.unwrap_or_default();
            let from = charged.parent_since.unwrap_or(Timestamp(i64::MIN));
            next = charged.parent.clone().map(|parent| (parent, since.max(from)));
            line.push(Bearer { key: id.clone(), session: id, since, home: charged.home() });
        }
        Ok(line)
    }

    fn note_origin(&mut self, session: &String, origin: &str) -> Result<()> {
        let (forks, origins) = (self.keys.forks(origin), self.keys.origins(session));
        self.command("set", &["SADD", &forks, session]);
        self.command("set", &["SADD", &origins, origin]);
        let settles = self.keys.settles(origin);
        self.put(&settles, "", *b"1");
        Ok(())
    }

    fn note_total(&mut self, session: &String, total: &ClientTotal) -> Result<()> {
        let mut totals = self.totals(session)?;
        let same = |known: &&mut ClientTotal| {
            (known.run, &known.model, known.usage) == (total.run, &total.model, total.usage)
        };
        match totals.iter_mut().find(same) {
            Some(known) => {
                known.at = known.at.min(total.at);
                known.until = known.until.max(total.until);
            }
            None => totals.push(total.clone()),
        }
        // Of two that say as much the last one counts: always the same, whoever was recorded first.
        totals.sort_by_key(|t| {
            let Usage { input, output, cache_write_5m, cache_write_1h, cache_read } = t.usage;
            (t.run, t.model.clone(), [input, output, cache_write_5m, cache_write_1h, cache_read])
        });
        let (key, settles) = (self.keys.totals(session), self.keys.settles(session));
        self.put(&settles, "", *b"1");
        self.put_record(&key, &totals)
    }

    fn totals(&mut self, session: &String) -> Result<Vec<ClientTotal>> {
        let key = self.keys.totals(session);
        Ok(self.record(&key)?.unwrap_or_default())
    }

    fn own_messages(&mut self, session: &String, model: &str) -> Result<Vec<Message>> {
        let all = self.messages_of(session)?.into_iter();
        Ok(all.filter(|stored| stored.o.contains(session) && stored.m == model).map(|s| s.d).collect())
    }

    fn forks_of(&mut self, session: &String) -> Result<Vec<String>> {
        let key = self.keys.forks(session);
        self.members(session, key)
    }

    fn origins_of(&mut self, session: &String) -> Result<Vec<String>> {
        let key = self.keys.origins(session);
        self.members(session, key)
    }

    fn settling_holders(&mut self, key: &MessageKey, session: &String) -> Result<Vec<String>> {
        let holders = self.stored(key)?.map(|stored| stored.o.clone()).unwrap_or_default();
        let mut settling = Vec::new();
        for holder in holders.into_iter().filter(|id| id != session) {
            if !self.totals(&holder)?.is_empty() {
                settling.push(holder);
            }
        }
        Ok(settling)
    }
}

impl Workspace<'_> {
    /// The other members of a set that `session` has, those that this step adds included.
    fn members(&mut self, session: &str, key: String) -> Result<Vec<String>> {
        let answer = self.ask_of(session, &[vec!["SMEMBERS".into(), key.clone()]])?.pop();
        let mut members: BTreeSet<String> =
            plan::list(answer.unwrap_or(Value::Nil))?.into_iter().map(plan::text).collect::<Result<_>>()?;
        let added = self.plan.commands.iter().map(|command| &command.words);
        members.extend(
            added.filter(|words| words[0] == "SADD" && words[1] == key).map(|words| words[2].clone()),
        );
        members.remove(session);
        Ok(members.into_iter().collect())
    }
}
