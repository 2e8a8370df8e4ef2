//! Counters: read, computed if missing, changed by batches.

use rusqlite::{Connection, Row, params};

use super::super::counts::{CLASSES, CounterDelta, InvalidCounts};
use super::super::ledger::{CounterChanges, CounterFamilies, CounterMove, family_name};
use super::super::{Result, StoreError};
use super::messages::HELD;
use super::meta::{self, FAMILY, StoreMeta};
use super::quota;
use crate::domain::budget::Scope;
use crate::domain::counter::{CounterFamily, CounterKey};
use crate::domain::time::Timestamp;
use crate::domain::usage::Amount;

/// SQL for the value of [`Scope::Member`] in the table of sessions.
const MEMBER: &str = "team || '/' || user";

/// SQL for the sums of an amount's columns, under the column names that [`amount`] reads.
pub fn sums(table: &str) -> String {
    CLASSES.map(|class| format!("SUM({table}.{class}) AS {class}")).join(", ")
}

/// Reads an amount's columns by name.
pub fn amount(row: &Row) -> rusqlite::Result<Amount> {
    let count = |class: &str| row.get::<_, Option<i64>>(class).map(|n| n.unwrap_or(0));
    let counts = CounterDelta {
        input: count("input")?,
        output: count("output")?,
        cache_write_5m: count("cache_write_5m")?,
        cache_write_1h: count("cache_write_1h")?,
        cache_read: count("cache_read")?,
        requests: count("requests")?,
        tool_calls: count("tool_calls")?,
        nano_usd: count("nano_usd")?,
        nano_usd_estimated: count("nano_usd_estimated")?,
    };
    Ok(counts.amount())
}

/// The known families, and the wanted ones, which are registered if new.
pub fn register_families(
    db: &Connection,
    meta: &StoreMeta,
    wanted: impl IntoIterator<Item = CounterFamily>,
) -> Result<CounterFamilies> {
    let mut families = CounterFamilies::from_names(&meta.families);
    for name in families.register(wanted) {
        meta::mark(db, &format!("{FAMILY}{name}"), true)?;
    }
    Ok(families)
}

/// Reads the counters of a family, value and window.
pub const SELECT: &str = "SELECT since, amount FROM counters WHERE spec=? AND value=? AND start=?";

/// Changes a counter.
pub const UPDATE: &str = "UPDATE counters SET amount=? WHERE spec=? AND value=? AND start=? AND since=?";

/// Adds a counter.
pub const INSERT: &str = "INSERT INTO counters (spec, value, start, since, amount) VALUES (?,?,?,?,?)";

/// The counters of one window: their start and value.
fn rows(db: &Connection, family: &str, value: &str, start: i64) -> Result<Vec<(i64, CounterDelta)>> {
    let mut query = db.prepare_cached(SELECT)?;
    let rows = query.query_map(params![family, value, start], |r| Ok((r.get(0)?, r.get::<_, String>(1)?)))?;
    rows.map(|row| {
        let (since, text) = row?;
        let counts = text.parse().map_err(|error: InvalidCounts| StoreError::Damaged(error.to_string()))?;
        Ok((since, counts))
    })
    .collect()
}

/// Reads or computes one counter. `end`: end of its window.
pub fn get(
    db: &Connection,
    key: &CounterKey,
    end: Option<Timestamp>,
    installed: Option<Timestamp>,
) -> Result<Amount> {
    let family = family_name(&key.family);
    let found =
        rows(db, &family, &key.value, key.start.0)?.into_iter().find(|(since, _)| *since == key.since.0);
    if let Some((_, counts)) = found {
        return Ok(counts.amount());
    }
    let sum = add_up(db, key, end, installed)?;
    db.execute(
        INSERT,
        params![family, key.value, key.start.0, key.since.0, CounterDelta::from_amount(&sum).to_string()],
    )?;
    Ok(sum)
}

/// Computes a counter from the messages before `end`.
pub fn add_up(
    db: &Connection,
    key: &CounterKey,
    end: Option<Timestamp>,
    installed: Option<Timestamp>,
) -> Result<Amount> {
    // Columns are named after scopes.
    let (scope, name) = (key.family.scope, key.family.scope.name());
    let (from, matches) = match scope {
        Scope::Session | Scope::History => (
            "memberships JOIN messages m ON m.id = memberships.message",
            "memberships.session = (SELECT id FROM sessions WHERE session = ?1)".to_owned()
                + if scope == Scope::History { HELD } else { "" },
        ),
        Scope::Project | Scope::User | Scope::Team | Scope::TaskType | Scope::Chain => {
            ("messages m JOIN sessions s ON s.id = m.home", format!("s.{name} = ?1"))
        }
        Scope::Member => {
            ("messages m JOIN sessions s ON s.id = m.home", format!("s.team <> '' AND {MEMBER} = ?1"))
        }
        Scope::Model | Scope::AgentType => ("messages m", format!("m.{name} = ?1")),
        // Its calls are added below.
        Scope::Platform => ("messages m", "?1 IS NULL".to_owned()),
    };
    let mut end = end.map_or(i64::MAX, |t| t.0);
    if scope == Scope::History {
        end = end.min(installed.map_or(i64::MIN, |t| t.0));
    }
    let sums = sums("m");
    let sql = format!("SELECT {sums} FROM {from} WHERE {matches} AND m.at >= ?2 AND m.at < ?3");
    let from = key.since.0.max(key.start.0);
    let sum = db.query_row(&sql, params![key.value, from, end], amount)?;
    Ok(quota::add_up(db, scope, &key.value, (from, end))?.apply_to(&sum))
}

/// Changes the counters of each window, including those that count only since a reset before the message.
pub fn write(db: &Connection, changes: &CounterChanges) -> Result<()> {
    for (moved, change) in changes.iter() {
        let CounterMove { family, value, start, at } = moved;
        for (since, mut counts) in rows(db, family, value, *start)?.into_iter().filter(|(s, _)| s <= at) {
            counts.add(change);
            db.prepare_cached(UPDATE)?.execute(params![counts.to_string(), family, value, start, since])?;
        }
    }
    Ok(())
}

/// The values of `scope` with charges since a moment.
pub fn values(db: &Connection, scope: Scope, since: Timestamp) -> Result<Vec<String>> {
    // Columns are named after scopes.
    let distinct = |from_since: &str| {
        let name = scope.name();
        format!("SELECT DISTINCT {name} FROM {from_since} >= ? AND {name} <> '' ORDER BY 1")
    };
    let sql = match scope {
        Scope::Session | Scope::History => {
            "SELECT session FROM sessions WHERE last_seen >= ? ORDER BY last_seen DESC, id DESC".to_owned()
        }
        Scope::Project | Scope::User | Scope::Team | Scope::TaskType => distinct("sessions WHERE last_seen"),
        Scope::Member => {
            format!("SELECT DISTINCT {MEMBER} FROM sessions WHERE last_seen >= ? AND team <> '' ORDER BY 1")
        }
        Scope::Chain | Scope::Platform => return quota::values(db, scope, since),
        Scope::Model | Scope::AgentType => distinct("messages WHERE at"),
    };
    let mut query = db.prepare(&sql)?;
    let rows = query.query_map([since.0], |r| r.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
