//! Events: stored in the step that creates them, reported once by a hook of the agent that they are about.

use rusqlite::{Connection, params};

use super::super::metrics::MetricChanges;
use super::super::{CLAIM_MS, Result, StoreError};
use super::{meta, metrics};
use crate::domain::event::Event;
use crate::domain::time::Timestamp;

/// How long events are kept, in milliseconds (90 days).
const RETENTION_MS: i64 = 90 * 24 * 3600 * 1000;

/// Stores an event. `known`: it need not be reported.
pub fn record_event(db: &Connection, event: &Event, known: bool) -> Result<()> {
    let text = serde_json::to_string(event).map_err(|e| StoreError::Damaged(e.to_string()))?;
    let known = known || !event.data.is_news();
    // Hashes are unsigned, SQLite's integers are signed: keep the bits.
    let call = event.data.call().map(u64::cast_signed);
    db.execute(
        "INSERT INTO events (call, at, event, untold) VALUES (?,?,?,?)",
        params![call, event.at.0, text, (!known).then_some(0)],
    )?;
    if !known {
        meta::mark(db, meta::UNTOLD_EVENTS, true)?;
    }
    metrics::add(db, &MetricChanges::of_event(&event.data))
}

/// Claims the events of an agent that were neither reported nor claimed. (Events of the whole session are reported to
/// the main agent.)
pub fn claim(db: &Connection, session: &str, agent: &str, now: Timestamp) -> Result<Vec<Event>> {
    let latest = now.plus_millis(2 * CLAIM_MS).0;
    let sql = "SELECT id, event FROM events WHERE untold NOT BETWEEN ? AND ? ORDER BY id";
    let mut claimed = query_events(db, sql, params![now.0 + 1, latest])?;
    claimed.retain(|event| event.session == session && event.agent == agent);
    for event in &claimed {
        let until = now.plus_millis(CLAIM_MS).0;
        db.execute("UPDATE events SET untold = ? WHERE id = ?", params![until, event.id])?;
    }
    Ok(claimed)
}

/// Marks these events as reported.
pub fn confirm_shown(db: &Connection, events: &[i64]) -> Result<()> {
    for id in events {
        db.execute("UPDATE events SET untold = NULL WHERE id = ?", [id])?;
    }
    if !db.query_row("SELECT EXISTS (SELECT 1 FROM events WHERE untold IS NOT NULL)", (), |r| r.get(0))? {
        meta::mark(db, meta::UNTOLD_EVENTS, false)?;
    }
    Ok(())
}

/// Events, oldest first: of a session, about a call, or all.
pub fn events(db: &Connection, session: Option<&str>, call: Option<u64>) -> Result<Vec<Event>> {
    let sql = "SELECT id, event FROM events WHERE (?1 IS NULL OR call = ?1) AND (?2 IS NULL OR instr(event, ?2)) \
               ORDER BY id";
    // Only what contains the session's id is parsed.
    let id = session.and_then(|session| serde_json::to_string(session).ok());
    let mut all = query_events(db, sql, params![call.map(u64::cast_signed), id])?;
    all.retain(|event| session.is_none_or(|session| event.session == session));
    Ok(all)
}

/// The newest events, newest first.
pub fn recent_events(db: &Connection, most: usize) -> Result<Vec<Event>> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    query_events(db, "SELECT id, event FROM events ORDER BY id DESC LIMIT ?", [most])
}

fn query_events(db: &Connection, sql: &str, parameters: impl rusqlite::Params) -> Result<Vec<Event>> {
    let mut query = db.prepare(sql)?;
    let rows = query.query_map(parameters, |r| Ok((r.get(0)?, r.get::<_, String>(1)?)))?;
    let mut all = Vec::new();
    for row in rows {
        let (id, text) = row?;
        // Skip events from a later version.
        all.extend(serde_json::from_str::<Event>(&text).map(|event| Event { id, ..event }));
    }
    Ok(all)
}

/// Deletes old events.
pub fn sweep(db: &Connection, now: Timestamp) -> Result<()> {
    db.execute("DELETE FROM events WHERE at < ?", [now.plus_millis(-RETENTION_MS).0])?;
    Ok(())
}
