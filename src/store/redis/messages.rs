//! Messages of one step: as they stand in the store, as the step leaves them, and what lists them.
//!
//! A workspace holds its messages, and each of them is read through it: the two files are one thing in two parts.

use std::collections::{BTreeMap, BTreeSet};

use redis::Value;
use serde::{Deserialize, Serialize};

use super::plan::{self, SCORE};
use super::workspace::{Workspace, parse};
use crate::domain::message::{Message, MessageKey};
use crate::store::Result;
use crate::store::counts::CounterDelta;

/// Milliseconds of a minute.
const MINUTE_MS: i64 = 60_000;

/// A message as it is kept; `add_up.lua` reads `h`, `m`, `t` and `c`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stored {
    /// The session that first brought it.
    pub h: String,
    /// The sessions that it counts in.
    pub s: Vec<String>,
    /// Those of them in whose files it stands.
    pub o: Vec<String>,
    /// Its model.
    pub m: String,
    /// Its agent's type.
    pub t: String,
    /// What it counts.
    pub c: CounterDelta,
    /// Whether that is an estimate.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub e: bool,
    /// The message.
    pub d: Message,
}

impl Stored {
    /// A message that nobody has seen before, brought by a session; it counts in none yet.
    pub fn of(message: &Message, home: &str) -> Self {
        Self {
            h: home.to_owned(),
            s: Vec::new(),
            o: Vec::new(),
            m: message.model.clone(),
            t: message.agent_type.clone(),
            c: CounterDelta::of(&message.amount()),
            e: message.is_estimated(),
            d: message.clone(),
        }
    }

    /// Lets it be this reading of the message.
    pub fn set(&mut self, message: &Message) {
        (self.m, self.t) = (message.model.clone(), message.agent_type.clone());
        (self.c, self.e, self.d) =
            (CounterDelta::of(&message.amount()), message.is_estimated(), message.clone());
    }
}

/// Messages that a step looked at (`None`: there is none), and those of them that it changed.
#[derive(Debug, Default)]
pub struct Messages {
    known: BTreeMap<MessageKey, Option<Box<Stored>>>,
    changed: BTreeSet<MessageKey>,
}

impl Workspace<'_> {
    /// A message as it stands, or as this step leaves it.
    pub(super) fn stored(&mut self, key: &MessageKey) -> Result<Option<&Stored>> {
        if !self.messages.known.contains_key(key) {
            let stored = self.record(&self.keys.message(key))?;
            self.messages.known.insert(*key, stored);
        }
        Ok(self.messages.known.get(key).and_then(Option::as_deref))
    }

    /// Leaves a message so.
    pub(super) fn put_stored(&mut self, stored: Stored) {
        let key = stored.d.key;
        self.messages.changed.insert(key);
        self.messages.known.insert(key, Some(Box::new(stored)));
    }

    /// Puts the messages that changed where they stand.
    pub(super) fn write_messages(&mut self) -> Result<()> {
        let Messages { known, changed } = std::mem::take(&mut self.messages);
        for stored in changed.iter().filter_map(|key| known.get(key)?.as_deref()) {
            self.put_record(&self.keys.message(&stored.d.key), stored)?;
        }
        Ok(())
    }

    /// Notes that a message counts in a session.
    pub(super) fn list_message(&mut self, session: &str, message: &Message) {
        let list = self.keys.messages_of(session);
        self.plan.listed.push((list, message.at.0, message.key.hex()));
    }

    /// Lets the messages of a session count what they are: counts stand beside each, for scripts.
    pub fn mend_counts(&mut self, session: &str) -> Result<()> {
        for mut stored in self.messages_of(session)? {
            let (message, before) = (stored.d.clone(), stored.c);
            stored.set(&message);
            if stored.c != before {
                self.put_stored(stored);
            }
        }
        Ok(())
    }

    /// The messages that count in a session.
    pub fn messages_of(&mut self, session: &str) -> Result<Vec<Stored>> {
        let list = vec!["ZRANGE".into(), self.keys.messages_of(session), "0".into(), "-1".into()];
        let answer = self.ask_of(session, &[list])?.pop().unwrap_or(Value::Nil);
        let prefix = self.keys.message_prefix();
        let names = plan::list(answer)?.into_iter().map(plan::text).collect::<Result<Vec<_>>>()?;
        let keys: Vec<String> = names.iter().map(|hex| format!("{prefix}{hex}")).collect();
        let mut found = BTreeMap::new();
        for chunk in keys.chunks(500) {
            let command = std::iter::once("MGET".to_owned()).chain(chunk.iter().cloned()).collect();
            let values = plan::list(self.ask(&[command])?.pop().unwrap_or(Value::Nil))?;
            for (key, value) in chunk.iter().zip(values) {
                let stored = plan::bytes(value)?.map(|bytes| parse::<Stored>(key, &bytes)).transpose()?;
                found.extend(stored.map(|stored| (stored.d.key, stored)));
            }
        }
        // As this very step leaves them, and what it brought.
        let Messages { known, changed } = &self.messages;
        let changed = changed.iter().filter_map(|key| known.get(key)?.as_deref());
        let of_session = changed.filter(|stored| stored.s.iter().any(|id| id == session));
        found.extend(of_session.map(|stored| (stored.d.key, stored.clone())));
        Ok(found.into_values().collect())
    }

    /// Notes when something was last counted for a message's model and agent's type, and for any: once a minute, for windows
    /// begin with whole ones.
    pub(super) fn note_values(&mut self, message: &Message) {
        let at = message.at.0;
        let key = self.keys.values();
        // Nothing is dated later than what stands there: so counters that are kept from then on have missed nothing.
        let end = at.saturating_add(MINUTE_MS - 1 - at.rem_euclid(MINUTE_MS));
        let mut values = vec![("any".to_owned(), end)];
        for (scope, value) in [("model", &message.model), ("agent_type", &message.agent_type)] {
            values.extend((!value.is_empty()).then(|| (format!("{scope} {value}"), at)));
        }
        for (value, at) in values {
            let known = self.remembered(&(key.clone(), format!("{SCORE}{value}")));
            let known = known.and_then(plan::number_in);
            let minute = |at: i64| at.div_euclid(MINUTE_MS);
            if self.refreshes || known.is_none_or(|known| minute(known) < minute(at)) {
                let latest = self.values.entry(value).or_insert(at);
                *latest = (*latest).max(at);
            }
        }
    }
}
