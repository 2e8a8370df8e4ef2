//! Saves what changed in memory to the ledger's file.

use std::collections::BTreeSet;

use chrono::SecondsFormat;
use rusqlite::{Connection, Statement, params};

use super::TRANSCRIPT_PLATFORM;
use super::entry::{self, Entry, Place, Stored};
use super::load::{COPY, FREE, PURGED};
use super::quarter_hours;
use super::rows::ImportRows;
use super::sessions::LedgerSession;
use crate::domain::message::Message;
use crate::domain::money::usd;
use crate::domain::time::Timestamp;
use crate::domain::usage::Usage;
use crate::store::Result;

/// How many records an import added and changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// New records.
    pub added: u64,
    /// Records that were there, and changed.
    pub changed: u64,
}

impl ImportRows<'_> {
    /// Writes what changed, within a transaction. [`Self::note_saved`] must follow its commit.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&mut self) -> Result<Saved> {
        let (db, mut saved) = (self.db, Saved::default());
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.sort_unstable();
        let mut touched = BTreeSet::new();
        let mut save = db.prepare_cached(SAVE_RECORD)?;
        let mut attach =
            db.prepare_cached("INSERT OR IGNORE INTO memberships (session, key) VALUES (?, ?)")?;
        for key in &dirty {
            self.place_unlisted(key)?;
            let Some(entry) = self.messages.get_mut(key) else { continue };
            // A message without a model may get one: its first price is that of the model.
            let rates = entry.message.rates.unwrap_or_default();
            let number = self.rates.number(rates);
            let session = &self.sessions.get(db, entry.home)?.name;
            touched.extend(entry.sessions());
            let before = entry.stored;
            entry.stored = if entry.is_listed() {
                save_record(&mut save, entry, number, session)?;
                Stored::Listed
            } else {
                save_unlisted(db, entry, number)?;
                Stored::Unlisted
            };
            match (before, entry.stored) {
                (Stored::Listed, Stored::Listed) => saved.changed += 1,
                (_, Stored::Listed) => {
                    saved.added += 1;
                    remove(db, "DELETE FROM unlisted_messages WHERE key = ?", &key.0[..], before)?;
                }
                (Stored::Listed, _) => {
                    saved.changed += 1;
                    remove(db, "DELETE FROM cost_records WHERE task_id = ?", key.hex(), before)?;
                }
                _ => {}
            }
            for other in entry.new_others.drain(..) {
                attach.execute(params![other, &key.0[..]])?;
            }
            entry.is_dirty = false;
        }
        self.dirty = dirty;
        let mut insert =
            db.prepare_cached("INSERT OR IGNORE INTO unlisted_messages (key, kind) VALUES (?, ?)")?;
        self.new_copies.sort_unstable();
        for key in &self.new_copies {
            insert.execute(params![&key.0[..], COPY])?;
        }
        for session in touched {
            self.load_session(session)?;
            let LedgerSession { name, keys, .. } = self.sessions.get(db, session)?;
            let entries = keys.iter().filter_map(|key| self.messages.get(key));
            quarter_hours::replace(db, name, entries.filter(|entry| entry.home == session))?;
        }
        self.sessions.save(db)?;
        self.rates.save(db)?;
        Ok(saved)
    }
}

fn remove(db: &Connection, sql: &str, key: impl rusqlite::ToSql, before: Stored) -> Result<()> {
    if before != Stored::No {
        db.prepare_cached(sql)?.execute([key])?;
    }
    Ok(())
}

/// Writes a record, or replaces what it says.
const SAVE_RECORD: &str = "INSERT INTO cost_records (task_id, platform, model, input_tokens, output_tokens, cost_usd, timestamp, \
     cost_nanos, at, cache_write_5m, cache_write_1h, cache_read, requests, tool_calls, web_searches, session, project, branch, \
     agent, agent_type, source, usage_estimated, price_estimated, rates, tools, detail) \
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (task_id) DO UPDATE SET \
     platform = excluded.platform, model = excluded.model, input_tokens = excluded.input_tokens, \
     output_tokens = excluded.output_tokens, cost_usd = excluded.cost_usd, timestamp = excluded.timestamp, \
     cost_nanos = excluded.cost_nanos, at = excluded.at, cache_write_5m = excluded.cache_write_5m, \
     cache_write_1h = excluded.cache_write_1h, cache_read = excluded.cache_read, requests = excluded.requests, \
     tool_calls = excluded.tool_calls, web_searches = excluded.web_searches, session = excluded.session, \
     project = excluded.project, branch = excluded.branch, agent = excluded.agent, agent_type = excluded.agent_type, \
     source = excluded.source, usage_estimated = excluded.usage_estimated, price_estimated = excluded.price_estimated, \
     rates = excluded.rates, tools = excluded.tools, detail = excluded.detail";

fn save_record(save: &mut Statement, entry: &Entry, rates: i64, session: &str) -> Result<()> {
    let message = &entry.message;
    let amount = message.amount();
    let Usage { input, output, cache_write_5m, cache_write_1h, cache_read } = message.usage();
    let place = entry.place.as_deref();
    save.execute(params![
        message.key.hex(),
        TRANSCRIPT_PLATFORM,
        entry::model_name(message),
        to_sql(input),
        to_sql(output),
        usd(amount.nano_usd),
        timestamp(message.at),
        to_sql(amount.nano_usd),
        message.at.0,
        to_sql(cache_write_5m),
        to_sql(cache_write_1h),
        to_sql(cache_read),
        to_sql(amount.requests),
        to_sql(amount.tool_calls),
        to_sql(message.web_searches),
        session,
        place.map(|place| &place.project),
        place.and_then(Place::branch),
        message.agent,
        message.agent_type,
        entry::source_name(message.source),
        message.is_estimated(),
        message.rates.is_some_and(|rates| rates.is_estimate),
        rates,
        entry::tools_to_blob(&message.tools),
        entry::detail(message)?,
    ])?;
    Ok(())
}

/// Saves a message that has no record.
pub(super) fn save_unlisted(db: &Connection, entry: &Entry, rates: i64) -> Result<()> {
    let mut insert = db.prepare_cached(
        "INSERT OR REPLACE INTO unlisted_messages (key, kind, session, message, rates) VALUES (?, ?, ?, ?, ?)",
    )?;
    let key = &entry.message.key.0[..];
    if entry::is_copy(&entry.message) {
        insert.execute(params![key, COPY, None::<i64>, None::<String>, None::<i64>])?;
    } else {
        let kind = if entry.is_purged { PURGED } else { FREE };
        insert.execute(params![
            key,
            kind,
            entry.home,
            entry::to_json(&Message { rates: None, ..entry.message.clone() })?,
            rates
        ])?;
    }
    Ok(())
}

/// An unsigned count as an SQLite integer.
pub(super) fn to_sql(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A moment as text: RFC 3339 in UTC, to the millisecond.
pub(super) fn timestamp(at: Timestamp) -> String {
    at.utc().to_rfc3339_opts(SecondsFormat::Millis, true)
}
