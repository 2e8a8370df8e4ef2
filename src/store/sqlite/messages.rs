//! Recording a batch: messages are merged with what is known of them, counters move by the difference.

use std::collections::BTreeSet;
use std::rc::Rc;

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::super::{Applied, Batch, Result, StoreError, Watch};
use super::counters::{self, AMOUNT, Changes, Specs, columns};
use super::sessions::{self, Bearer, Home};
use super::{alerts, circuits, events, meta, operations, settle};
use crate::domain::counter::{self, Bearers};
use crate::domain::message::{Message, MessageKey, Source};
use crate::domain::time::Timestamp;
use crate::domain::usage::{Amount, Usage};
use crate::transcript::Fact;

/// One atomic step: record the facts, move the counters, raise the alerts, answer for the watched budgets.
pub fn apply(db: &Connection, batch: &Batch) -> Result<Applied> {
    let meta = meta::read(db)?;
    let observed = batch.observed.as_ref();
    let meter = observed.and_then(|seen| seen.throttle.as_ref()).map(|throttled| &throttled.meter);
    let watches: Vec<&Watch> = batch.watches.iter().chain(meter).collect();
    let specs = Specs::load(db, &meta, watches.iter().flat_map(|w| operations::specs(&w.budget)))?;
    let mut session = sessions::intern(db, batch.session, batch.seen)?;
    let before = operations::standings(db, &watches, batch.now, &meta)?;
    let lineage = std::mem::take(&mut session.lineage).into();
    let (changes, shared, installed) = (Changes::default(), Vec::new(), meta.installed);
    let mut ledger = Ledger { db, specs: &specs, installed, home: session.id, lineage, changes, shared };
    ledger.record(batch.facts, session.settles)?;
    ledger.changes.write(db)?;
    let mut states: Vec<_> = before.iter().map(|s| s.after(&ledger.changes)).collect();
    if batch.alert {
        for (standing, state) in before.iter().zip(&states) {
            alerts::raise(db, standing, state, batch.now)?;
        }
    }
    let raised = before.iter().zip(&states).any(|(b, s)| !s.crossed(b.before.used).is_empty());
    let alerts = if batch.claim && (meta.unshown || raised) {
        alerts::claim(db, &states, batch.now)?
    } else {
        Vec::new()
    };
    // The last one is no budget: it only says how far the tokens of the session are.
    let used = meter.and_then(|_| states.pop()).map_or(0, |state| state.used.saturating_sub(state.history));
    let number = (session.id, batch.session.id.as_str());
    let (mut circuit, mut crowded, mut is_news) = (None, None, meta.untold);
    if let Some(seen) = observed {
        let (breaker, news) = circuits::observe(db, number, seen, batch.now)?;
        (circuit, is_news) = (breaker, is_news || news);
        if let Some(throttled) = &seen.throttle {
            let (refused, news) = circuits::throttle(db, number, throttled, used, batch.now)?;
            (crowded, is_news) = (refused, is_news || news);
        }
    }
    let mut events = Vec::new();
    if let Some(seen) = observed.filter(|_| batch.claim && is_news) {
        events = events::claim(db, &batch.session.id, seen.agent, batch.now)?;
    }
    let sequence = sessions::advance(db, &session)?;
    Ok(Applied { states, alerts, events, circuit, crowded, epoch: meta.epoch, sequence })
}

/// The messages of one batch, going in.
pub struct Ledger<'a> {
    pub db: &'a Connection,
    specs: &'a Specs,
    installed: Option<Timestamp>,
    /// The session in whose files they stand.
    pub home: i64,
    lineage: Rc<[Bearer]>,
    changes: Changes,
    /// Numbers and times of changed messages that other sessions hold too.
    shared: Vec<(i64, Timestamp)>,
}

/// A stored message with its number, and who is charged for it.
struct Known {
    id: i64,
    home: Home,
    message: Message,
    sessions: Vec<String>,
}

impl Ledger<'_> {
    /// Records the facts. `settles`: there are totals already that they may be covered by.
    fn record(&mut self, facts: &[Fact], mut settles: bool) -> Result<()> {
        let mut earliest = None;
        for fact in facts {
            match fact {
                Fact::Message(message) => {
                    if self.message(message)? {
                        earliest = Some(earliest.map_or(message.at, |e: Timestamp| e.min(message.at)));
                    }
                }
                Fact::Origin(origin) => {
                    let sql = "INSERT OR IGNORE INTO forks (session, origin) VALUES (?, ?)";
                    self.db.execute(sql, params![self.home, origin])?;
                    self.db.execute("UPDATE sessions SET settles = 1 WHERE session = ?", [origin])?;
                }
                Fact::Total(total) => {
                    settle::note(self, total)?;
                    settles = true;
                    earliest = Some(Timestamp(i64::MIN));
                }
            }
        }
        match earliest {
            Some(at) if settles => settle::settle(self, at),
            _ => Ok(()),
        }
    }

    /// Merges one message in. Answers whether anything changed.
    pub fn message(&mut self, seen: &Message) -> Result<bool> {
        self.put(seen, |known| known.clone().merge(seen))
    }

    /// Puts a message of the session in place of what is known of it.
    pub fn replace(&mut self, message: &Message) -> Result<bool> {
        self.put(message, |_| message.clone())
    }

    /// What is known under a key.
    pub fn get(&self, key: &MessageKey) -> Result<Option<Message>> {
        Ok(self.known(key)?.map(|known| known.message))
    }

    /// What the session is called in [`Message::exact`].
    pub fn session_number(&self) -> u64 {
        MessageKey::of(&["session", &self.lineage[0].session]).short()
    }

    /// Works on another session for a while.
    pub fn within<T>(&mut self, session: i64, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if session == self.home {
            return work(self);
        }
        let lineage = sessions::lineage(self.db, session)?.into();
        let home = std::mem::replace(&mut self.home, session);
        let lineage = std::mem::replace(&mut self.lineage, lineage);
        let done = work(self);
        (self.home, self.lineage) = (home, lineage);
        done
    }

    /// Takes the changed messages that other sessions hold too.
    pub fn take_shared(&mut self) -> Vec<(i64, Timestamp)> {
        std::mem::take(&mut self.shared)
    }

    /// Puts in `new`, or what `update` makes of the message that is known under its key.
    fn put(&mut self, new: &Message, update: impl FnOnce(&Message) -> Message) -> Result<bool> {
        let known = self.known(&new.key)?;
        let new = known.as_ref().map_or_else(|| new.clone(), |known| update(&known.message));
        let lineage = Rc::clone(&self.lineage);
        let joining: Vec<&Bearer> = lineage.iter().filter(|b| new.at >= b.since).collect();
        let strangers: Vec<&&Bearer> = match &known {
            Some(known) => joining.iter().filter(|b| !known.sessions.contains(&b.session)).collect(),
            None => joining.iter().collect(),
        };
        if known.as_ref().is_some_and(|k| k.message == new) && strangers.is_empty() {
            return Ok(false);
        }
        let (id, home) = match &known {
            Some(known) => {
                if known.message != new {
                    self.update(known.id, &new)?;
                }
                (known.id, known.home.clone())
            }
            None => (self.insert(&new)?, self.home_of(self.home)?),
        };
        for bearer in &strangers {
            let own = bearer.id == self.home;
            let sql = "INSERT OR IGNORE INTO memberships (message, session, own) VALUES (?, ?, ?)";
            self.db.prepare_cached(sql)?.execute(params![id, bearer.id, own])?;
        }
        if let Some(known) = &known {
            if known.sessions.len() + strangers.len() > 1 {
                self.shared.push((id, new.at));
            }
            let sessions: Vec<&str> = known.sessions.iter().map(String::as_str).collect();
            self.count(&known.message, &known.home, sessions, -1);
        }
        let old = known.iter().flat_map(|k| &k.sessions).map(String::as_str);
        let sessions = old.chain(strangers.iter().map(|b| b.session.as_str())).collect();
        self.count(&new, &home, sessions, 1);
        Ok(true)
    }

    fn count(&mut self, message: &Message, home: &Home, sessions: Vec<&str>, sign: i64) {
        let bearers =
            Bearers { sessions, project: &home.project, user: &home.user, task_type: &home.task_type };
        let amount = message.amount();
        for (family, spec) in self.specs.iter() {
            let start = spec.rule.at(message.at).start;
            for value in counter::values(spec, message, &bearers, self.installed) {
                self.changes.add(family, value, start, message.at, &amount, sign);
            }
        }
    }

    /// The session that first brought a message decides to whom it is charged.
    fn home_of(&self, id: i64) -> Result<Home> {
        if let Some(bearer) = self.lineage.iter().find(|b| b.id == id) {
            return Ok(bearer.home.clone());
        }
        let mut query =
            self.db.prepare_cached("SELECT project, user, task_type FROM sessions WHERE id = ?")?;
        Ok(query
            .query_row([id], |r| Ok(Home { project: r.get(0)?, user: r.get(1)?, task_type: r.get(2)? }))?)
    }

    fn known(&self, key: &MessageKey) -> Result<Option<Known>> {
        let sql = format!("SELECT {COLUMNS}, id, home FROM messages WHERE key = ?");
        let mut query = self.db.prepare_cached(&sql)?;
        let found =
            query.query_row([&key.0[..]], |r| Ok((row(r), r.get(FIRST_FREE)?, r.get(FIRST_FREE + 1)?)));
        let Some((message, id, home)) = found.optional()? else { return Ok(None) };
        let mut query = self.db.prepare_cached(
            "SELECT s.session FROM memberships m JOIN sessions s ON s.id = m.session WHERE m.message = ?",
        )?;
        let sessions = query.query_map([id], |r| r.get(0))?.collect::<rusqlite::Result<_>>()?;
        Ok(Some(Known { id, home: self.home_of(home)?, message: message?, sessions }))
    }

    fn insert(&self, message: &Message) -> Result<i64> {
        let sql = format!(
            "INSERT INTO messages (key, source, home, model, agent, agent_type, at, estimated, tools, detail, {AMOUNT}) \
             VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
        );
        let c = columns(&message.amount());
        self.db.prepare_cached(&sql)?.execute(params![
            &message.key.0[..],
            message.source as i64,
            self.home,
            message.model,
            message.agent,
            message.agent_type,
            message.at.0,
            message.is_estimated(),
            tools_to_blob(&message.tools),
            Detail::of(message)?,
            c[0],
            c[1],
            c[2],
            c[3],
            c[4],
            c[5],
            c[6]
        ])?;
        Ok(self.db.last_insert_rowid())
    }

    fn update(&self, id: i64, message: &Message) -> Result<()> {
        let set = AMOUNT.split(", ").map(|c| format!("{c}=?")).collect::<Vec<_>>().join(", ");
        let sql = format!(
            "UPDATE messages SET {set}, model=?, agent=?, agent_type=?, at=?, estimated=?, tools=?, detail=? WHERE id=?"
        );
        let c = columns(&message.amount());
        self.db.prepare_cached(&sql)?.execute(params![
            c[0],
            c[1],
            c[2],
            c[3],
            c[4],
            c[5],
            c[6],
            message.model,
            message.agent,
            message.agent_type,
            message.at.0,
            message.is_estimated(),
            tools_to_blob(&message.tools),
            Detail::of(message)?,
            id
        ])?;
        Ok(())
    }
}

/// The columns that [`row`] reads.
pub const COLUMNS: &str = "input, output, cache_write_5m, cache_write_1h, cache_read, requests, tool_calls, key, source, \
     model, agent, agent_type, at, tools, detail";

/// Number of columns in [`COLUMNS`].
pub const FIRST_FREE: usize = 15;

/// A stored message.
pub fn row(row: &Row) -> Result<Message> {
    let amount: Amount = counters::amount(row, 0)?;
    let key: [u8; 16] = row.get(7)?;
    let source = match row.get::<_, i64>(8)? {
        0 => Source::Response,
        1 => Source::Compaction,
        _ => Source::Unlisted,
    };
    let mut message = Message::new(MessageKey(key), source, Timestamp(row.get(12)?));
    message.model = row.get(9)?;
    message.agent = row.get(10)?;
    message.agent_type = row.get(11)?;
    message.tools = tools_from_blob(&row.get::<_, Vec<u8>>(13)?);
    message.recorded = amount.usage;
    message.stopped = true;
    match row.get::<_, Option<String>>(14)? {
        None => Ok(message),
        Some(detail) => Detail::read(&detail).map(|detail| detail.put(message)),
    }
}

/// What the columns do not say: kept for messages that may still change in other ways than growing.
#[derive(Serialize, Deserialize)]
struct Detail {
    recorded: Usage,
    stopped: bool,
    error_followed: bool,
    settled: BTreeSet<u64>,
    exact: Vec<(u64, Usage)>,
    share: Vec<(u64, Usage)>,
    visible: Vec<(u64, u64)>,
}

impl Detail {
    fn of(message: &Message) -> Result<Option<String>> {
        let plain = message.stopped
            && !message.error_followed
            && message.settled.is_empty()
            && message.visible.is_empty();
        if plain && message.source == Source::Response {
            return Ok(None);
        }
        let detail = Self {
            recorded: message.recorded,
            stopped: message.stopped,
            error_followed: message.error_followed,
            settled: message.settled.clone(),
            exact: message.exact.iter().map(|(session, usage)| (*session, *usage)).collect(),
            share: message.share.iter().map(|(session, usage)| (*session, *usage)).collect(),
            visible: message.visible.iter().map(|(line, chars)| (*line, *chars)).collect(),
        };
        serde_json::to_string(&detail).map(Some).map_err(|e| StoreError::Damaged(e.to_string()))
    }

    fn read(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|e| StoreError::Damaged(format!("messages.detail: {e}")))
    }

    fn put(self, message: Message) -> Message {
        Message {
            recorded: self.recorded,
            stopped: self.stopped,
            error_followed: self.error_followed,
            settled: self.settled,
            exact: self.exact.into_iter().collect(),
            share: self.share.into_iter().collect(),
            visible: self.visible.into_iter().collect(),
            ..message
        }
    }
}

fn tools_to_blob(tools: &BTreeSet<u64>) -> Vec<u8> {
    tools.iter().flat_map(|id| id.to_le_bytes()).collect()
}

fn tools_from_blob(blob: &[u8]) -> BTreeSet<u64> {
    blob.chunks_exact(8).map(|c| c.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte))).collect()
}
