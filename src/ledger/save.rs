//! Saves what changed in memory to the ledger's file.

use std::collections::BTreeSet;

use chrono::SecondsFormat;
use rusqlite::{Connection, named_params, params};

use super::TRANSCRIPT_PLATFORM;
use super::entry::{self, Columns, Entry, Stored};
use super::load::{COPY, FREE, PURGED};
use super::quarter_hours;
use super::rows::ImportRows;
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
                save_record(db, entry, number, session)?;
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
            let mut insert =
                db.prepare_cached("INSERT OR IGNORE INTO memberships (session, key) VALUES (?, ?)")?;
            for other in entry.new_others.drain(..) {
                insert.execute(params![other, &key.0[..]])?;
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
            quarter_hours::refresh(db, &self.sessions.get(db, session)?.name)?;
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

fn save_record(db: &Connection, entry: &Entry, rates: i64, session: &str) -> Result<()> {
    const INSERT: &str = "INSERT INTO cost_records (task_id, platform, model, input_tokens, output_tokens, cost_usd, \
         timestamp, cost_nanos, at, cache_write_5m, cache_write_1h, cache_read, requests, tool_calls, web_searches, \
         session, project, branch, agent, agent_type, source, usage_estimated, price_estimated, rates, tools, detail) \
         VALUES (:task_id, :platform, :model, :input, :output, :usd, :timestamp, :nanos, :at, :short, :long, :read, \
         :requests, :tool_calls, :web_searches, :session, :project, :branch, :agent, :agent_type, :source, \
         :usage_estimated, :price_estimated, :rates, :tools, :detail)";
    const UPDATE: &str = "UPDATE cost_records SET platform = :platform, model = :model, input_tokens = :input, \
         output_tokens = :output, cost_usd = :usd, timestamp = :timestamp, cost_nanos = :nanos, at = :at, \
         cache_write_5m = :short, cache_write_1h = :long, cache_read = :read, requests = :requests, \
         tool_calls = :tool_calls, web_searches = :web_searches, session = :session, project = :project, \
         branch = :branch, agent = :agent, agent_type = :agent_type, source = :source, usage_estimated = :usage_estimated, \
         price_estimated = :price_estimated, rates = :rates, tools = :tools, detail = :detail WHERE task_id = :task_id";
    let message = &entry.message;
    let (columns, amount) = (Columns::of(message), message.amount());
    let nanos = amount.nano_usd;
    let Usage { input, output, cache_write_5m, cache_write_1h, cache_read } = columns.usage;
    let place = entry.place.as_deref();
    let sql = if entry.stored == Stored::Listed { UPDATE } else { INSERT };
    db.prepare_cached(sql)?.execute(named_params! {
        ":task_id": columns.key.hex(),
        ":platform": TRANSCRIPT_PLATFORM,
        ":model": columns.model,
        ":input": to_sql(input),
        ":output": to_sql(output),
        ":usd": usd(nanos),
        ":timestamp": timestamp(columns.at),
        ":nanos": to_sql(nanos),
        ":at": columns.at.0,
        ":short": to_sql(cache_write_5m),
        ":long": to_sql(cache_write_1h),
        ":read": to_sql(cache_read),
        ":requests": to_sql(amount.requests),
        ":tool_calls": to_sql(amount.tool_calls),
        ":web_searches": to_sql(message.web_searches),
        ":session": session,
        ":project": place.map(|place| &place.project),
        ":branch": place.map(|place| &place.branch).filter(|branch| !branch.is_empty()),
        ":agent": columns.agent,
        ":agent_type": columns.agent_type,
        ":source": entry::source_name(columns.source),
        ":usage_estimated": message.is_estimated(),
        ":price_estimated": message.rates.is_some_and(|rates| rates.is_estimate),
        ":rates": rates,
        ":tools": entry::tools_to_blob(&columns.tools),
        ":detail": entry::detail(message)?,
    })?;
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
