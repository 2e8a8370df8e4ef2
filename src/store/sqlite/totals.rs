//! The clients' own totals, as they are kept.

use rusqlite::{Connection, params};

use super::super::Result;
use super::super::ledger::counts;
use super::counters::{parse, text};
use super::from_sql;
use crate::domain::message::ClientTotal;
use crate::domain::time::Timestamp;
use crate::domain::usage::{Amount, Usage};

/// Notes a total of a session. The same one again ends where the last one ends; one that was closed stays closed.
pub fn note(db: &Connection, session: i64, total: &ClientTotal) -> Result<()> {
    let mut insert = db.prepare_cached(
        "INSERT INTO client_totals (session, run, model, usage, at, until) VALUES (?,?,?,?,?,?) \
         ON CONFLICT DO UPDATE SET at = MIN(at, excluded.at), \
         until = COALESCE(MAX(until, excluded.until), until, excluded.until)",
    )?;
    let usage = counts(&Amount { usage: total.usage, ..Amount::default() });
    let until = total.until.map(|t| t.0);
    insert.execute(params![session, total.run, total.model, text(&usage[..5]), total.at.0, until])?;
    db.execute("UPDATE sessions SET settles = 1 WHERE id = ?", [session])?;
    Ok(())
}

/// The totals of a session.
pub fn of(db: &Connection, session: i64) -> Result<Vec<ClientTotal>> {
    let mut query =
        db.prepare_cached("SELECT run, model, usage, at, until FROM client_totals WHERE session = ?")?;
    let mut rows = query.query([session])?;
    let mut totals = Vec::new();
    while let Some(row) = rows.next()? {
        let [input, output, cache_write_5m, cache_write_1h, cache_read] =
            parse::<5>(&row.get::<_, String>(2)?)?.map(from_sql);
        let usage = Usage { input, output, cache_write_5m, cache_write_1h, cache_read };
        let until = row.get::<_, Option<i64>>(4)?.map(Timestamp);
        let (run, model, at) = (row.get(0)?, row.get(1)?, Timestamp(row.get(3)?));
        totals.push(ClientTotal { run, model, usage, at, until });
    }
    Ok(totals)
}
