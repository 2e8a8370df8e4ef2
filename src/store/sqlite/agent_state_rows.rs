//! Breakers and slots of sessions, as named rows.

use rusqlite::{Connection, OptionalExtension, params};

use super::super::agent_states::{self, AgentStates};
use super::super::{CircuitRow, Result};
use super::events;
use crate::domain::breaker::history::CallHistory;
use crate::domain::event::Event;
use crate::domain::message::MessageKey;

/// The breakers and slots of one session.
pub struct SqliteAgentStates<'a> {
    /// The database.
    pub db: &'a Connection,
    /// The session's number.
    pub number: i64,
    /// The session id.
    pub id: &'a str,
}

impl AgentStates for SqliteAgentStates<'_> {
    fn session(&self) -> &str {
        self.id
    }

    fn get(&mut self, name: &str) -> Result<Option<(String, Vec<u8>)>> {
        let mut query = self.db.prepare_cached("SELECT standing, calls FROM standings WHERE id=?")?;
        let row = query.query_row([key(self.number, name)], |r| {
            let text = r.get_ref(0)?.as_str().unwrap_or_default().to_owned();
            Ok((text, r.get_ref(1)?.as_blob().unwrap_or_default().to_vec()))
        });
        Ok(row.optional()?)
    }

    fn put(&mut self, name: &str, text: &str, calls: &[u8]) -> Result<()> {
        let (db, key) = (self.db, key(self.number, name));
        // An update that keeps the row's length writes only the changed pages, and moves none.
        let mut update = db.prepare_cached("UPDATE standings SET standing=?,calls=? WHERE id=?")?;
        if update.execute(params![text, calls, key])? == 0 {
            let sql = "INSERT INTO standings VALUES (?,?,?,?,?)";
            db.execute(sql, params![key, self.number, name, text, calls])?;
        }
        Ok(())
    }

    fn all(&mut self) -> Result<Vec<(String, String, Vec<u8>)>> {
        let sql = "SELECT name, standing, calls FROM standings WHERE session = ? ORDER BY name";
        let mut query = self.db.prepare(sql)?;
        let rows = query.query_map([self.number], |r| {
            Ok((r.get(0)?, r.get(1)?, r.get_ref(2)?.as_blob().unwrap_or_default().to_vec()))
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn record_event(&mut self, event: &Event, known: bool) -> Result<()> {
        events::record_event(self.db, event, known)
    }
}

/// The schema version that introduced ids.
pub const VERSION: usize = 4;

/// Migrates the rows of schema version 3, which had neither ids nor a ring of calls.
pub fn migrate_rows(db: &Connection) -> Result<()> {
    let mut query = db.prepare("SELECT session, name, standing, calls FROM standings_of_3")?;
    let mut rows = query.query(())?;
    while let Some(row) = rows.next()? {
        let (session, name, text): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let calls = CallHistory::from_ordered_bytes(row.get_ref(3)?.as_blob().unwrap_or_default()).to_bytes();
        let sql = "INSERT INTO standings VALUES (?,?,?,?,?)";
        db.execute(sql, params![key(session, &name), session, name, text, calls])?;
    }
    drop(rows);
    drop(query);
    db.execute_batch("DROP TABLE standings_of_3")?;
    Ok(())
}

fn key(session: i64, name: &str) -> i64 {
    MessageKey::from_parts(&["standing", &session.to_string(), name]).short().cast_signed()
}

/// The breakers of a session, or all.
pub fn circuits(db: &Connection, session: Option<i64>) -> Result<Vec<CircuitRow>> {
    let mut query = db.prepare(
        "SELECT s.session, c.name, c.standing, c.calls FROM standings c JOIN sessions s ON s.id = c.session \
         WHERE ?1 IS NULL OR c.session = ?1 ORDER BY s.last_seen DESC, s.id DESC, c.name",
    )?;
    let mut rows = query.query([session])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(1)?;
        let Some(agent) = agent_states::agent_of_name(&name) else { continue };
        let calls = row.get_ref(3)?.as_blob().unwrap_or_default();
        let breaker = agent_states::parse_breaker(&row.get::<_, String>(2)?, calls);
        found.push(CircuitRow { session: row.get(0)?, agent: agent.to_owned(), breaker });
    }
    Ok(found)
}
