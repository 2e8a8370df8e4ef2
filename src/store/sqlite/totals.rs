//! The stored client totals.

use rusqlite::{Connection, params};

use super::{from_sql, to_sql};
use crate::domain::message::ClientTotal;
use crate::domain::time::Timestamp;
use crate::domain::usage::Usage;
use crate::store::{Result, StoreError};

/// Records a total of a session. A repeated total takes the end of the latest reading; once closed, it stays closed.
pub fn note(db: &Connection, session: i64, total: &ClientTotal) -> Result<()> {
    let mut insert = db.prepare_cached(
        "INSERT INTO client_totals (session, run, model, usage, at, until, nano_usd) VALUES (?,?,?,?,?,?,?) \
         ON CONFLICT DO UPDATE SET at = MIN(at, excluded.at), nano_usd = COALESCE(nano_usd, excluded.nano_usd), \
         until = COALESCE(MAX(until, excluded.until), until, excluded.until)",
    )?;
    let until = total.until.map(|t| t.0);
    let nano_usd = total.nano_usd.map(to_sql);
    let usage = to_text(&total.usage);
    insert.execute(params![session, total.run, total.model, usage, total.at.0, until, nano_usd])?;
    db.execute("UPDATE sessions SET settles = 1 WHERE id = ?", [session])?;
    Ok(())
}

/// The totals of a session.
pub fn session_totals(db: &Connection, session: i64) -> Result<Vec<ClientTotal>> {
    let mut query = db.prepare_cached(
        "SELECT run, model, usage, at, until, nano_usd FROM client_totals WHERE session = ?",
    )?;
    let mut rows = query.query([session])?;
    let mut totals = Vec::new();
    while let Some(row) = rows.next()? {
        let usage = from_text(&row.get::<_, String>(2)?)?;
        let until = row.get::<_, Option<i64>>(4)?.map(Timestamp);
        let (run, model, at) = (row.get(0)?, row.get(1)?, Timestamp(row.get(3)?));
        let nano_usd = row.get::<_, Option<i64>>(5)?.map(from_sql);
        totals.push(ClientTotal { run, model, usage, nano_usd, at, until });
    }
    Ok(totals)
}

/// Tokens by class as stored: `1,2,3,4,5`.
fn to_text(usage: &Usage) -> String {
    let Usage { input, output, cache_write_5m, cache_write_1h, cache_read } = *usage;
    let counts = [input, output, cache_write_5m, cache_write_1h, cache_read];
    counts.map(|count| to_sql(count).to_string()).join(",")
}

/// Parses the result of [`to_text`].
fn from_text(text: &str) -> Result<Usage> {
    let damaged = || StoreError::Damaged(format!("{text} is not a list of tokens by class"));
    let counts = text.split(',').map(|part| part.parse().map(from_sql));
    let counts: Vec<u64> = counts.collect::<std::result::Result<_, _>>().map_err(|_| damaged())?;
    let [input, output, cache_write_5m, cache_write_1h, cache_read] = counts[..] else {
        return Err(damaged());
    };
    Ok(Usage { input, output, cache_write_5m, cache_write_1h, cache_read })
}
