//! Settling a session with the client's own total: what stands on no line, and which estimates it replaces.
//!
//! The rest is charged to the last compaction that the total covers (a fork copies that line, so it counts once
//! everywhere); without one, to a message of its own, named after the run. The result depends on what is recorded,
//! not on the order of recording: it is worked out anew whenever a message from before the total changes.

use rusqlite::{Connection, params};

use super::super::Result;
use super::messages::{COLUMNS, Ledger, row};
use super::{from_sql, to_sql};
use crate::domain::message::{ClientTotal, Message, MessageKey, Settlement, Source, settle as domain_settle};
use crate::domain::time::Timestamp;
use crate::domain::usage::Usage;

/// Notes a client's total; of several for one run and model the largest in every class, and the latest end.
pub fn note(ledger: &Ledger, total: &ClientTotal) -> Result<()> {
    let known = totals(ledger.db, ledger.home)?
        .into_iter()
        .find(|t| (t.run, t.model.as_str()) == (total.run, total.model.as_str()));
    let merged = match known {
        None => total.clone(),
        // The later line of the run stands for it: its end is the one that counts.
        Some(known) if known.usage == total.usage || !total.usage.covers(known.usage) => ClientTotal {
            until: if known.usage == total.usage { latest_end(&known, total) } else { known.until },
            at: known.at.max(total.at),
            ..known
        },
        Some(_) => total.clone(),
    };
    let u = merged.usage;
    ledger.db.execute(
        "INSERT OR REPLACE INTO client_totals (session, run, model, input, output, cache_write_5m, cache_write_1h, \
         cache_read, at, until) VALUES (?,?,?,?,?,?,?,?,?,?)",
        params![
            ledger.home,
            merged.run,
            merged.model,
            to_sql(u.input),
            to_sql(u.output),
            to_sql(u.cache_write_5m),
            to_sql(u.cache_write_1h),
            to_sql(u.cache_read),
            merged.at.0,
            merged.until.map(|t| t.0)
        ],
    )?;
    Ok(())
}

/// The end of two readings of the same total: once closed it stays closed; a repeated line (2.1.330 writes the total
/// twice on `/clear`) ends where the last one ends.
fn latest_end(a: &ClientTotal, b: &ClientTotal) -> Option<Timestamp> {
    match (a.until, b.until) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    }
}

fn totals(db: &Connection, session: i64) -> Result<Vec<ClientTotal>> {
    let mut query = db.prepare_cached(
        "SELECT run, model, input, output, cache_write_5m, cache_write_1h, cache_read, at, until \
         FROM client_totals WHERE session = ?",
    )?;
    let rows = query.query_map([session], |r| {
        let count = |i: usize| r.get::<_, i64>(i).map(from_sql);
        let usage = Usage {
            input: count(2)?,
            output: count(3)?,
            cache_write_5m: count(4)?,
            cache_write_1h: count(5)?,
            cache_read: count(6)?,
        };
        let until = r.get::<_, Option<i64>>(8)?.map(Timestamp);
        Ok(ClientTotal { run: r.get(0)?, model: r.get(1)?, usage, at: Timestamp(r.get(7)?), until })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Settles the ledger's session, where a total covers a message dated from `changed_at` on.
pub fn settle(ledger: &mut Ledger, changed_at: Timestamp) -> Result<()> {
    for total in totals(ledger.db, ledger.home)? {
        if total.until.is_none_or(|until| changed_at < until) {
            settle_total(ledger, &total)?;
        }
    }
    Ok(())
}

fn settle_total(ledger: &mut Ledger, total: &ClientTotal) -> Result<()> {
    let covered = own_messages(ledger.db, ledger.home, total)?;
    let of = |source| covered.iter().filter(move |m: &&Message| m.source == source);
    let listed = of(Source::Response).fold(Usage::default(), |sum, m| sum.plus(m.recorded));
    let mut compactions: Vec<&Message> = of(Source::Compaction).collect();
    compactions.sort_by_key(|m| (m.at, m.key));
    let last = compactions.pop();
    let booked = compactions.iter().fold(Usage::default(), |sum, m| sum.plus(m.usage()));
    let Settlement::Unlisted(rest) = domain_settle(total.usage, listed, booked) else { return Ok(()) };
    for estimate in of(Source::Response).filter(|m| m.is_estimated()) {
        ledger.message(&Message { settled: true, ..estimate.clone() })?;
    }
    match last {
        Some(compaction) => ledger.set_exact(compaction, rest)?,
        None => {
            let key = MessageKey::of(&["run", &total.run.to_string(), &total.model]);
            let mut unlisted = Message::new(key, Source::Unlisted, total.at);
            unlisted.model.clone_from(&total.model);
            unlisted.stopped = true;
            rest != Usage::default() && ledger.set_exact(&unlisted, rest)?
        }
    };
    Ok(())
}

/// The messages of a session's own files that a total covers.
fn own_messages(db: &Connection, session: i64, total: &ClientTotal) -> Result<Vec<Message>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM messages WHERE id IN (SELECT message FROM memberships WHERE session = ? AND own = 1) \
         AND model = ? AND at < ?"
    );
    let mut query = db.prepare_cached(&sql)?;
    let until = total.until.map_or(i64::MAX, |t| t.0);
    let rows = query.query_map(params![session, total.model, until], |r| Ok(row(r)))?;
    rows.map(|message| message?).collect()
}
