//! The rows that the accounting works on: in memory, loaded from the ledger's file when needed, and saved to it
//! afterwards.

use std::rc::Rc;

use rusqlite::Connection;

use super::entry::{self, Entry, Place};
use super::key_map::{KeyMap, KeySet};
use super::load;
use super::rate_table::RateTable;
use super::sessions::SessionTable;
use crate::domain::counter::Attribution;
use crate::domain::message::{ClientTotal, Message, MessageKey, UsageSource};
use crate::domain::time::Timestamp;
use crate::prices::Prices;
use crate::store::Result;
use crate::store::ledger::{ChargedSession, CounterFamilies, Ledger, LedgerRows, StoredMessage, WithParent};
use crate::transcript::Fact;

/// Messages in memory after which they are forgotten, once saved: about a gigabyte.
const MAX_IN_MEMORY: usize = 1_000_000;

/// The rows.
pub struct ImportRows<'a> {
    pub(super) db: &'a Connection,
    pub(super) prices: &'a Prices,
    pub(super) messages: KeyMap<Entry>,
    /// Later lines of messages, by key.
    pub(super) copies: KeySet,
    /// Those that are not in the file yet.
    pub(super) new_copies: Vec<MessageKey>,
    /// Messages to be saved.
    pub(super) dirty: Vec<MessageKey>,
    pub(super) sessions: SessionTable,
    pub(super) rates: RateTable,
    /// Whether all messages of the file are in memory.
    pub(super) is_whole: bool,
    /// The session that is being read, and the first place that its lines name.
    reading: Option<(i64, Rc<Place>)>,
}

impl<'a> ImportRows<'a> {
    /// The rows of a file.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub fn load(db: &'a Connection, prices: &'a Prices) -> Result<Self> {
        let is_empty = |table: &str| {
            let sql = format!("SELECT NOT EXISTS (SELECT 1 FROM {table})");
            db.query_row(&sql, (), |r| r.get::<_, bool>(0))
        };
        Ok(Self {
            db,
            prices,
            messages: KeyMap::default(),
            copies: KeySet::default(),
            new_copies: Vec::new(),
            dirty: Vec::new(),
            sessions: SessionTable::load(db)?,
            rates: RateTable::load(db)?,
            is_whole: is_empty("cost_records")? && is_empty("unlisted_messages")?,
            reading: None,
        })
    }

    /// Records the facts of a part of one of a session's files. `born`: when the file was made. `places`: where the
    /// messages were written.
    ///
    /// # Errors
    /// The file of the ledger cannot be read, or is damaged.
    pub fn record(
        &mut self,
        session: &str,
        born: Timestamp,
        facts: &[Fact],
        places: &[Option<Rc<Place>>],
        now: Timestamp,
    ) -> Result<()> {
        let number = self.sessions.intern(self.db, session, Some(born))?;
        let settles = !self.sessions.get(self.db, number)?.totals.is_empty()
            || !self.sessions.forks_of(session).is_empty();
        self.reading = places.iter().flatten().next().map(|place| (number, Rc::clone(place)));
        let lineage = self.lineage(&number)?;
        // No counters: each record is one.
        let (families, prices) = (CounterFamilies::default(), self.prices);
        Ledger::new(self, &families, prices, (None, now), number, lineage).record(facts, settles)?;
        for (fact, place) in facts.iter().zip(places) {
            if let (Fact::Message(message), Some(place)) = (fact, place) {
                self.note_place(&message.key, number, place);
            }
        }
        Ok(())
    }

    /// Records later lines of messages. Returns those to record as facts: messages that are in the ledger by themselves.
    ///
    /// # Errors
    /// The file of the ledger cannot be read, or is damaged.
    pub fn record_copies(&mut self, keys: &[MessageKey]) -> Result<Vec<Fact>> {
        let mut known = Vec::new();
        for key in keys {
            if self.entry(key)?.is_some() {
                known.push(Fact::Message(entry::copy(*key)));
            } else if self.copies.insert(*key) {
                self.new_copies.push(*key);
            }
        }
        Ok(known)
    }

    /// Notes where a message was written. What the file of its own session says counts.
    fn note_place(&mut self, key: &MessageKey, session: i64, place: &Rc<Place>) {
        let Some(entry) = self.messages.get_mut(key) else { return };
        let is_better = session == entry.home && entry.place_from != session;
        if entry.place.is_none() || is_better {
            entry.place_from = session;
            if entry.place.as_ref() != Some(place) {
                entry.place = Some(Rc::clone(place));
                self.mark(key);
            }
        }
    }

    /// Gives a client's unlisted use the place of its session's first message: no line of its own names one.
    pub(super) fn place_unlisted(&mut self, key: &MessageKey) -> Result<()> {
        let unlisted = |entry: &Entry| entry.message.source == UsageSource::Unlisted;
        let Some(home) = self.messages.get(key).filter(|entry| unlisted(entry)).map(|entry| entry.home)
        else {
            return Ok(());
        };
        let keys = &self.sessions.get(self.db, home)?.keys;
        let own = keys.iter().filter_map(|key| self.messages.get(key));
        let placed = own.filter(|entry| entry.home == home && entry.place.is_some() && !unlisted(entry));
        let first = placed.min_by_key(|entry| (entry.message.at, entry.message.key));
        let place = first.and_then(|entry| entry.place.clone());
        if let (Some(place), Some(entry)) = (place, self.messages.get_mut(key)) {
            entry.place = Some(place);
        }
        Ok(())
    }

    /// The entry of a message, loaded if needed.
    fn entry(&mut self, key: &MessageKey) -> Result<Option<&mut Entry>> {
        if !self.is_whole && !self.messages.contains_key(key) && !self.copies.contains(key) {
            load::message(self, key)?;
        }
        Ok(self.messages.get_mut(key))
    }

    /// Puts an entry into memory, with its sessions.
    pub(super) fn insert(&mut self, entry: Entry) -> Result<()> {
        let key = entry.message.key;
        for session in entry.sessions() {
            self.sessions.get(self.db, session)?.keys.push(key);
        }
        self.messages.insert(key, entry);
        Ok(())
    }

    /// Marks a message to be saved.
    pub(super) fn mark(&mut self, key: &MessageKey) {
        if let Some(entry) = self.messages.get_mut(key).filter(|entry| !entry.is_dirty) {
            entry.is_dirty = true;
            self.dirty.push(*key);
        }
    }

    /// Loads all messages of a session.
    pub(super) fn load_session(&mut self, number: i64) -> Result<()> {
        if !self.is_whole && !self.sessions.get(self.db, number)?.is_whole {
            load::session(self, number)?;
            self.sessions.get(self.db, number)?.is_whole = true;
        }
        Ok(())
    }

    /// What was saved is in the file.
    pub fn note_saved(&mut self) -> Result<()> {
        self.sessions.note_saved();
        self.rates.note_saved();
        self.new_copies.clear();
        self.dirty.clear();
        if self.messages.len() + self.copies.len() > MAX_IN_MEMORY {
            *self = Self { is_whole: false, ..Self::load(self.db, self.prices)? };
        }
        Ok(())
    }
}

impl LedgerRows for ImportRows<'_> {
    type Session = i64;
    type Message = MessageKey;

    fn find_message(
        &mut self,
        key: &MessageKey,
        _: &[ChargedSession<i64>],
    ) -> Result<Option<StoredMessage<Self>>> {
        if self.entry(key)?.is_none() && self.copies.contains(key) {
            let (message, attribution) = (entry::copy(*key), Attribution::default());
            return Ok(Some(StoredMessage { key: *key, attribution, message, sessions: Vec::new() }));
        }
        let Some(entry) = self.messages.get(key) else { return Ok(None) };
        let mut sessions = Vec::with_capacity(1);
        for session in entry.sessions() {
            sessions.push(self.sessions.get(self.db, session)?.name.clone());
        }
        let (message, attribution) = (entry.message.clone(), Attribution::default());
        Ok(Some(StoredMessage { key: *key, attribution, message, sessions }))
    }

    fn insert_message(&mut self, message: &Message, session: &i64) -> Result<MessageKey> {
        if entry::is_copy(message) {
            self.copies.insert(message.key);
            self.new_copies.push(message.key);
        } else {
            let mut entry = Entry::new(message.clone(), *session);
            if let Some((reading, place)) = &self.reading
                && (message.source, session) == (UsageSource::Unlisted, reading)
            {
                entry.place = Some(Rc::clone(place));
            }
            self.insert(entry)?;
            self.mark(&message.key);
        }
        Ok(message.key)
    }

    fn update_message(&mut self, key: &MessageKey, message: &Message) -> Result<()> {
        // Copies have no entry, and stay what they are.
        if let Some(entry) = self.messages.get_mut(key) {
            entry.message = message.clone();
            self.mark(key);
        }
        Ok(())
    }

    fn attach(&mut self, key: &MessageKey, _: &Message, charged: &i64, _own: bool) -> Result<()> {
        let Some(entry) = self.messages.get(key) else { return Ok(()) };
        if entry.sessions().any(|session| session == *charged) {
            return Ok(());
        }
        let is_older = self.sessions.is_older(self.db, *charged, entry.home)?;
        self.sessions.get(self.db, *charged)?.keys.push(*key);
        if let Some(entry) = self.messages.get_mut(key) {
            let other = if is_older { std::mem::replace(&mut entry.home, *charged) } else { *charged };
            entry.others.push(other);
            entry.new_others.push(other);
        }
        self.mark(key);
        Ok(())
    }

    fn charged_session(&mut self, session: &i64) -> Result<WithParent<i64>> {
        let name = self.sessions.get(self.db, *session)?.name.clone();
        Ok((ChargedSession::new(*session, name, Attribution::default()), None))
    }

    fn note_origin(&mut self, session: &i64, origin: &str) -> Result<()> {
        let fork = self.sessions.get(self.db, *session)?.name.clone();
        self.sessions.note_fork(&fork, origin);
        Ok(())
    }

    fn note_total(&mut self, session: &i64, total: &ClientTotal) -> Result<()> {
        self.sessions.note_total(self.db, *session, total)
    }

    fn totals(&mut self, session: &i64) -> Result<Vec<ClientTotal>> {
        Ok(self.sessions.get(self.db, *session)?.totals.clone())
    }

    fn own_messages(&mut self, session: &i64) -> Result<Vec<Message>> {
        self.load_session(*session)?;
        let keys = &self.sessions.get(self.db, *session)?.keys;
        Ok(keys.iter().filter_map(|key| Some(self.messages.get(key)?.message.clone())).collect())
    }

    fn forks_of(&mut self, session: &i64) -> Result<Vec<i64>> {
        let origin = self.sessions.get(self.db, *session)?.name.clone();
        let mut found = Vec::new();
        for fork in self.sessions.forks_of(&origin) {
            found.extend(self.sessions.find(self.db, &fork)?);
        }
        Ok(found)
    }

    fn origins_of(&mut self, session: &i64) -> Result<Vec<i64>> {
        let fork = self.sessions.get(self.db, *session)?.name.clone();
        let mut found = Vec::new();
        for origin in self.sessions.origins_of(&fork) {
            found.extend(self.sessions.find(self.db, &origin)?);
        }
        Ok(found)
    }

    fn settling_holders(&mut self, key: &MessageKey, session: &i64) -> Result<Vec<i64>> {
        let Some(entry) = self.messages.get(key) else { return Ok(Vec::new()) };
        let mut holders = Vec::new();
        for other in entry.sessions().filter(|other| other != session) {
            if !self.sessions.get(self.db, other)?.totals.is_empty() {
                holders.push(other);
            }
        }
        Ok(holders)
    }
}
