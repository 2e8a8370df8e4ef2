//! The client's totals of a session: kept, and applied anew whenever something that they cover changes.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, params};

use super::super::Result;
use super::counters::{columns, counts, text};
use super::from_sql;
use super::messages::{COLUMNS, Ledger, row};
use crate::domain::message::{ClientTotal, Message, MessageKey, Source};
use crate::domain::settlement;
use crate::domain::time::Timestamp;
use crate::domain::usage::{Amount, Usage};

/// How many sessions one change is followed to: a fork's totals cover what its parent's say of a compaction.
const MAX_SESSIONS: usize = 64;

/// Notes a client's total. The same total again (2.1.330 writes it twice on `/clear`) ends where the last one ends; one
/// that was closed stays closed.
pub fn note(ledger: &Ledger, total: &ClientTotal) -> Result<()> {
    let mut insert = ledger.db.prepare_cached(
        "INSERT INTO client_totals (session, run, model, usage, at, until) VALUES (?,?,?,?,?,?) \
         ON CONFLICT DO UPDATE SET at = MIN(at, excluded.at), \
         until = COALESCE(MAX(until, excluded.until), until, excluded.until)",
    )?;
    let usage = columns(&Amount { usage: total.usage, ..Amount::default() });
    let until = total.until.map(|t| t.0);
    insert.execute(params![ledger.home, total.run, total.model, text(&usage[..5]), total.at.0, until])?;
    ledger.db.execute("UPDATE sessions SET settles = 1 WHERE id = ?", [ledger.home])?;
    Ok(())
}

fn totals(db: &Connection, session: i64) -> Result<Vec<ClientTotal>> {
    let mut query =
        db.prepare_cached("SELECT run, model, usage, at, until FROM client_totals WHERE session = ?")?;
    let mut rows = query.query([session])?;
    let mut totals = Vec::new();
    while let Some(row) = rows.next()? {
        let [input, output, cache_write_5m, cache_write_1h, cache_read] =
            counts::<5>(&row.get::<_, String>(2)?)?.map(from_sql);
        let usage = Usage { input, output, cache_write_5m, cache_write_1h, cache_read };
        let until = row.get::<_, Option<i64>>(4)?.map(Timestamp);
        let (run, model, at) = (row.get(0)?, row.get(1)?, Timestamp(row.get(3)?));
        totals.push(ClientTotal { run, model, usage, at, until });
    }
    Ok(totals)
}

/// Settles the ledger's session, where a total covers a message dated from `changed_at` on, and then the sessions whose
/// totals cover what that changed.
pub fn settle(ledger: &mut Ledger, changed_at: Timestamp) -> Result<()> {
    let mut open = BTreeMap::from([(ledger.home, changed_at)]);
    // What came into these files stands in no file of their forks, and is in their totals all the same.
    open.extend(forks_of(ledger.db, ledger.home)?.into_iter().map(|fork| (fork, changed_at)));
    for _ in 0..MAX_SESSIONS {
        let Some((session, at)) = open.pop_first() else { break };
        ledger.within(session, |ledger| settle_session(ledger, at))?;
        for (message, at) in ledger.take_shared() {
            for other in others(ledger.db, message, session)? {
                let earliest = open.entry(other).or_insert(at);
                *earliest = at.min(*earliest);
            }
        }
    }
    Ok(())
}

/// The other sessions in whose files a message stands, if they have totals.
fn others(db: &Connection, message: i64, session: i64) -> Result<Vec<i64>> {
    let mut query = db.prepare_cached(
        "SELECT session FROM memberships m WHERE message = ? AND own = 1 AND session <> ? \
         AND EXISTS (SELECT 1 FROM client_totals t WHERE t.session = m.session)",
    )?;
    let rows = query.query_map([message, session], |r| r.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn settle_session(ledger: &mut Ledger, changed_at: Timestamp) -> Result<()> {
    let totals = totals(ledger.db, ledger.home)?;
    if totals.iter().all(|t| t.until.is_some_and(|until| changed_at >= until)) {
        return Ok(());
    }
    let models: BTreeSet<&str> = totals.iter().map(|t| t.model.as_str()).collect();
    for model in models {
        let of_model: Vec<ClientTotal> = totals.iter().filter(|t| t.model == model).cloned().collect();
        let mut own = own_messages(ledger.db, ledger.home, model)?;
        let runs: BTreeSet<MessageKey> = of_model.iter().map(settlement::run_key).collect();
        for run in runs {
            if own.iter().all(|m| m.key != run) {
                own.extend(ledger.get(&run)?);
            }
        }
        let elsewhere = of_origins(ledger.db, ledger.home, model, &own)?;
        let settled = settlement::settle(ledger.session_number(), &of_model, own.clone(), &elsewhere);
        // What is named after a run belongs to every session with a total of it, changed or not.
        for message in settled.iter().filter(|m| m.source == Source::Unlisted || !own.contains(m)) {
            ledger.replace(message)?;
        }
    }
    Ok(())
}

/// The sessions that were forked from this one.
fn forks_of(db: &Connection, session: i64) -> Result<Vec<i64>> {
    let mut query = db.prepare_cached(
        "SELECT session FROM forks WHERE origin = (SELECT session FROM sessions WHERE id = ?1) AND session <> ?1",
    )?;
    let rows = query.query_map([session], |r| r.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// What a fork's total holds of the sessions that it was forked from, and its own files do not: their subagents. A fork
/// begins with the last total that its origin had written; what that covers is meant, up to the fork's own beginning.
fn of_origins(db: &Connection, session: i64, model: &str, own: &[Message]) -> Result<Vec<Message>> {
    let mut query = db.prepare_cached(
        "SELECT s.id FROM forks f JOIN sessions s ON s.session = f.origin WHERE f.session = ?1 AND s.id <> ?1",
    )?;
    let origins: Vec<i64> = query.query_map([session], |r| r.get(0))?.collect::<rusqlite::Result<_>>()?;
    let mut seen: BTreeSet<MessageKey> = own.iter().map(|m| m.key).collect();
    let mut elsewhere = Vec::new();
    for origin in origins {
        let theirs = own_messages(db, origin, model)?;
        let common: BTreeSet<MessageKey> = theirs.iter().map(|m| m.key).collect();
        let begin = own.iter().filter(|m| !common.contains(&m.key)).map(|m| m.at).min();
        let begin = begin.unwrap_or(Timestamp(i64::MAX));
        let written = totals(db, origin)?.into_iter().filter(|t| t.model == model && t.at < begin);
        let Some(base) = written.max_by_key(|t| (t.usage.total(), t.at)) else { continue };
        let covered = |m: &Message| m.at < begin && base.until.is_none_or(|until| m.at < until);
        let missing = theirs.into_iter().filter(|m| covered(m) && m.source != Source::Unlisted);
        elsewhere.extend(missing.filter(|m| seen.insert(m.key)));
    }
    Ok(elsewhere)
}

/// The messages of one model in a session's own files.
fn own_messages(db: &Connection, session: i64, model: &str) -> Result<Vec<Message>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM messages WHERE id IN (SELECT message FROM memberships WHERE session = ? AND own = 1) \
         AND model = ?"
    );
    let mut query = db.prepare_cached(&sql)?;
    let rows = query.query_map(params![session, model], |r| Ok(row(r)))?;
    rows.map(|message| message?).collect()
}
