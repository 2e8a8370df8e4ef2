//! Loads messages from the ledger's file.

use std::rc::Rc;

use rusqlite::{OptionalExtension, Row};

use super::entry::{self, Columns, Entry, Place, Stored};
use super::rows::ImportRows;
use crate::domain::message::{Message, MessageKey};
use crate::domain::time::Timestamp;
use crate::domain::usage::Usage;
use crate::store::{Result, StoreError};

/// `kind` of a later line of a message.
pub const COPY: i64 = 0;

/// `kind` of a message that charges nothing.
pub const FREE: i64 = 1;

/// `kind` of a purged message.
pub const PURGED: i64 = 2;

/// The columns that [`read_message`] reads by name.
pub(super) const MESSAGE: &str = "source, model, agent, agent_type, at, input_tokens, output_tokens, cache_write_5m, \
     cache_write_1h, cache_read, tools, detail";

const PLACE: &str = "rates, project, branch, session FROM cost_records WHERE source <> 'call' AND ";

const UNLISTED: &str = "SELECT key, kind, session, message, rates FROM unlisted_messages WHERE ";

/// Loads one message, if the file has it.
pub fn message(rows: &mut ImportRows, key: &MessageKey) -> Result<()> {
    let db = rows.db;
    let mut query = db.prepare_cached(&format!("SELECT task_id, {MESSAGE}, {PLACE} task_id = ?"))?;
    if let Some(record) = query.query_row([key.hex()], |row| Ok(read_record(row))).optional()? {
        return insert_record(rows, record?);
    }
    let mut query = db.prepare_cached(&format!("{UNLISTED} key = ?"))?;
    match query.query_row([&key.0[..]], read_unlisted).optional()? {
        Some(found) => insert_unlisted(rows, found),
        None => Ok(()),
    }
}

/// Loads all messages of a session that are not in memory yet.
pub fn session(rows: &mut ImportRows, number: i64) -> Result<()> {
    let db = rows.db;
    let name = rows.sessions.get(db, number)?.name.clone();
    let mut query = db.prepare_cached(&format!("SELECT task_id, {MESSAGE}, {PLACE} session = ?"))?;
    let mut found = query.query([name])?;
    while let Some(row) = found.next()? {
        insert_record(rows, read_record(row)?)?;
    }
    let mut query = db.prepare_cached(&format!("{UNLISTED} session = ?"))?;
    let mut found = query.query([number])?;
    while let Some(row) = found.next()? {
        insert_unlisted(rows, read_unlisted(row)?)?;
    }
    let mut query = db.prepare_cached("SELECT key FROM memberships WHERE session = ?")?;
    let keys = query.query_map([number], |row| row.get(0))?.collect::<rusqlite::Result<Vec<[u8; 16]>>>()?;
    for key in keys.into_iter().map(MessageKey) {
        if !rows.messages.contains_key(&key) {
            message(rows, &key)?;
        }
    }
    Ok(())
}

/// A record: its message, session, rates and place.
struct Record {
    message: Message,
    session: String,
    rates: Option<i64>,
    place: Option<Place>,
}

fn read_record(row: &Row) -> Result<Record> {
    let id: String = row.get("task_id")?;
    let mut key = [0; 16];
    hex::decode_to_slice(&id, &mut key)
        .map_err(|_| StoreError::Damaged(format!("the message of record {id} has no key")))?;
    let message = read_message(row, MessageKey(key))?;
    let project: Option<String> = row.get("project")?;
    let branch: Option<String> = row.get("branch")?;
    let place = project.map(|project| Place { project, branch: branch.unwrap_or_default() });
    let session: Option<String> = row.get("session")?;
    Ok(Record { message, session: session.unwrap_or_default(), rates: row.get("rates")?, place })
}

/// The message of a record, without its rates.
pub(super) fn read_message(row: &Row, key: MessageKey) -> Result<Message> {
    let count =
        |column: &str| Ok::<_, rusqlite::Error>(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0));
    let columns = Columns {
        key,
        source: entry::source_named(&row.get::<_, String>("source")?),
        model: row.get("model")?,
        agent: row.get("agent")?,
        agent_type: row.get::<_, Option<String>>("agent_type")?.unwrap_or_default(),
        at: Timestamp(row.get("at")?),
        usage: Usage {
            input: count("input_tokens")?,
            output: count("output_tokens")?,
            cache_write_5m: count("cache_write_5m")?,
            cache_write_1h: count("cache_write_1h")?,
            cache_read: count("cache_read")?,
        },
        tools: entry::tools_from_blob(row.get("tools")?),
    };
    Ok(match row.get::<_, Option<String>>("detail")? {
        Some(detail) => Message { tools: columns.tools.clone(), ..entry::from_json(&detail)? },
        None => columns.into_message(),
    })
}

fn insert_record(rows: &mut ImportRows, record: Record) -> Result<()> {
    if rows.messages.contains_key(&record.message.key) {
        return Ok(());
    }
    let home = rows.sessions.intern(rows.db, &record.session, None)?;
    let mut entry = Entry::new(record.message, home);
    entry.message.rates = record.rates.map(|number| rows.rates.rates(number));
    entry.stored = Stored::Listed;
    entry.place = record.place.map(Rc::new);
    insert(rows, entry)
}

/// Key, kind, session, message and rates.
type Unlisted = ([u8; 16], i64, Option<i64>, Option<String>, Option<i64>);

fn read_unlisted(row: &Row) -> rusqlite::Result<Unlisted> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
}

fn insert_unlisted(rows: &mut ImportRows, (key, kind, session, message, rates): Unlisted) -> Result<()> {
    let key = MessageKey(key);
    if rows.messages.contains_key(&key) {
        return Ok(());
    }
    let (Some(home), Some(message)) = (session, message) else {
        rows.copies.insert(key);
        return Ok(());
    };
    let mut entry = Entry::new(entry::from_json(&message)?, home);
    entry.message.rates = rates.map(|number| rows.rates.rates(number));
    (entry.stored, entry.is_purged) = (Stored::Unlisted, kind == PURGED);
    insert(rows, entry)
}

/// Adds the sessions beside the entry's own.
fn insert(rows: &mut ImportRows, mut entry: Entry) -> Result<()> {
    let mut query = rows.db.prepare_cached("SELECT session FROM memberships WHERE key = ?")?;
    let others = query.query_map([&entry.message.key.0[..]], |row| row.get(0))?;
    entry.others = others.collect::<rusqlite::Result<_>>()?;
    let home = entry.home;
    entry.others.retain(|other| *other != home);
    rows.insert(entry)
}
