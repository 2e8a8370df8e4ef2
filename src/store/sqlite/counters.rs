//! Counters: looked up, added up where they are missing, moved by what a batch changes.

use std::collections::HashMap;

use rusqlite::{Connection, Row, params};

use super::super::{Result, StoreError};
use super::meta::{self, FAMILY, Meta};
use super::{from_sql, to_sql};
use crate::domain::budget::Scope;
use crate::domain::counter::{CounterKey, Spec};
use crate::domain::time::Timestamp;
use crate::domain::usage::{Amount, Usage};

/// The columns of an amount, in the order that [`amount`] reads them.
pub const AMOUNT: &str = "input, output, cache_write_5m, cache_write_1h, cache_read, requests, tool_calls";

/// Reads the columns [`AMOUNT`] from `first` on.
pub fn amount(row: &Row, first: usize) -> rusqlite::Result<Amount> {
    let count = |i: usize| row.get::<_, Option<i64>>(first + i).map(|n| from_sql(n.unwrap_or(0)));
    let usage = Usage {
        input: count(0)?,
        output: count(1)?,
        cache_write_5m: count(2)?,
        cache_write_1h: count(3)?,
        cache_read: count(4)?,
    };
    Ok(Amount { usage, requests: count(5)?, tool_calls: count(6)? })
}

/// An amount as columns.
pub fn columns(amount: &Amount) -> [i64; 7] {
    let usage = &amount.usage;
    [
        usage.input,
        usage.output,
        usage.cache_write_5m,
        usage.cache_write_1h,
        usage.cache_read,
        amount.requests,
        amount.tool_calls,
    ]
    .map(to_sql)
}

/// Every family that was ever counted, by name. All are kept up, whatever the configuration of this process says:
/// another project's may count them.
pub struct Specs(Vec<(String, Spec)>);

/// The name of a family: `session lifetime@UTC`.
pub fn family(spec: &Spec) -> String {
    format!("{} {}", spec.scope.name(), spec.rule)
}

/// The family of that name.
fn of_family(name: &str) -> Option<Spec> {
    let (scope, rule) = name.split_once(' ')?;
    let scope = Scope::ALL.iter().find(|(n, _)| *n == scope).map_or(Scope::History, |(_, s)| *s);
    Some(Spec { scope, rule: rule.parse().ok()? })
}

impl Specs {
    /// The families that are known, and those that are wanted, which are noted where they are new.
    pub fn load(db: &Connection, meta: &Meta, wanted: impl IntoIterator<Item = Spec>) -> Result<Self> {
        let known = meta.families.iter().filter_map(|name| Some((name.clone(), of_family(name)?)));
        let mut specs = Self(known.collect());
        for spec in wanted {
            if !specs.0.iter().any(|(_, known)| *known == spec) {
                meta::mark(db, &format!("{FAMILY}{}", family(&spec)), true)?;
                specs.0.push((family(&spec), spec));
            }
        }
        Ok(specs)
    }

    /// The families with their names.
    pub fn iter(&self) -> impl Iterator<Item = &(String, Spec)> {
        self.0.iter()
    }
}

/// The rows of one window: since when they count, and what.
fn rows(db: &Connection, spec: &str, value: &str, start: i64) -> Result<Vec<(i64, [i64; 7])>> {
    let mut query =
        db.prepare_cached("SELECT since, amount FROM counters WHERE spec=? AND value=? AND start=?")?;
    let rows = query.query_map(params![spec, value, start], |r| Ok((r.get(0)?, r.get::<_, String>(1)?)))?;
    rows.map(|row| {
        let (since, text) = row?;
        Ok((since, counts(&text)?))
    })
    .collect()
}

/// Counts as they are kept: `1,2,3`.
pub fn counts<const N: usize>(text: &str) -> Result<[i64; N]> {
    let damaged = || StoreError::Damaged(format!("{text} is no list of {N} counts"));
    let mut counts = [0; N];
    let mut parts = text.split(',');
    for count in &mut counts {
        *count = parts.next().and_then(|part| part.parse().ok()).ok_or_else(damaged)?;
    }
    Ok(counts)
}

/// The text that [`counts`] reads.
pub fn text(counts: &[i64]) -> String {
    counts.iter().map(i64::to_string).collect::<Vec<_>>().join(",")
}

/// One counter, read or added up. `end`: end of its window.
pub fn get(
    db: &Connection,
    key: &CounterKey,
    end: Option<Timestamp>,
    installed: Option<Timestamp>,
) -> Result<Amount> {
    let spec = family(&key.spec);
    let found =
        rows(db, &spec, &key.value, key.start.0)?.into_iter().find(|(since, _)| *since == key.since.0);
    if let Some((_, counts)) = found {
        return Ok(moved(&Amount::default(), counts));
    }
    let sum = add_up(db, key, end, installed)?;
    db.execute(
        "INSERT INTO counters (spec, value, start, since, amount) VALUES (?,?,?,?,?)",
        params![spec, key.value, key.start.0, key.since.0, text(&columns(&sum))],
    )?;
    Ok(sum)
}

/// Adds up a counter from the messages before `end`.
pub fn add_up(
    db: &Connection,
    key: &CounterKey,
    end: Option<Timestamp>,
    installed: Option<Timestamp>,
) -> Result<Amount> {
    let (from, matches) = match key.spec.scope {
        Scope::Session | Scope::History => (
            "memberships JOIN messages m ON m.id = memberships.message",
            "memberships.session = (SELECT id FROM sessions WHERE session = ?1)",
        ),
        Scope::Project => ("messages m JOIN sessions s ON s.id = m.home", "s.project = ?1"),
        Scope::User => ("messages m JOIN sessions s ON s.id = m.home", "s.user = ?1"),
        Scope::TaskType => ("messages m JOIN sessions s ON s.id = m.home", "s.task_type = ?1"),
        Scope::Model => ("messages m", "m.model = ?1"),
        Scope::AgentType => ("messages m", "m.agent_type = ?1"),
    };
    let mut end = end.map_or(i64::MAX, |t| t.0);
    if key.spec.scope == Scope::History {
        end = end.min(installed.map_or(i64::MIN, |t| t.0));
    }
    let sums = AMOUNT.split(", ").map(|c| format!("SUM(m.{c})")).collect::<Vec<_>>().join(", ");
    let sql = format!("SELECT {sums} FROM {from} WHERE {matches} AND m.at >= ?2 AND m.at < ?3");
    let row = db.query_row(&sql, params![key.value, key.since.0.max(key.start.0), end], |r| amount(r, 0))?;
    Ok(row)
}

/// What a batch changes, by counter and by the date of the message.
#[derive(Default)]
pub struct Changes(HashMap<(String, String, i64, i64), [i64; 7]>);

impl Changes {
    /// `amount` comes (or goes, with `sign` −1) at `at`, in the window that starts at `start`.
    pub fn add(
        &mut self,
        spec: &str,
        value: &str,
        start: Timestamp,
        at: Timestamp,
        amount: &Amount,
        sign: i64,
    ) {
        let change = self.0.entry((spec.to_owned(), value.to_owned(), start.0, at.0)).or_default();
        for (sum, part) in change.iter_mut().zip(columns(amount)) {
            *sum += sign * part;
        }
    }

    /// Moves the counters: those of the window, and those of it that count only since a reset before the message.
    pub fn write(&self, db: &Connection) -> Result<()> {
        for ((spec, value, start, at), change) in self.0.iter().filter(|(_, c)| c.iter().any(|n| *n != 0)) {
            for (since, mut counts) in rows(db, spec, value, *start)?.into_iter().filter(|(s, _)| s <= at) {
                counts.iter_mut().zip(change).for_each(|(count, moved)| *count += moved);
                let sql = "UPDATE counters SET amount=? WHERE spec=? AND value=? AND start=? AND since=?";
                db.prepare_cached(sql)?.execute(params![text(&counts), spec, value, start, since])?;
            }
        }
        Ok(())
    }

    /// What this batch adds to one counter.
    pub fn of(&self, key: &CounterKey) -> [i64; 7] {
        let family = family(&key.spec);
        let mut sum = [0; 7];
        for ((spec, value, start, at), change) in &self.0 {
            if (spec, value, *start) == (&family, &key.value, key.start.0) && *at >= key.since.0 {
                sum.iter_mut().zip(change).for_each(|(s, c)| *s += c);
            }
        }
        sum
    }
}

/// `amount` moved by `change`.
pub fn moved(amount: &Amount, change: [i64; 7]) -> Amount {
    let [i, o, w5, w1, r, q, t] = {
        let mut now = columns(amount);
        now.iter_mut().zip(change).for_each(|(n, c)| *n += c);
        now.map(from_sql)
    };
    let usage = Usage { input: i, output: o, cache_write_5m: w5, cache_write_1h: w1, cache_read: r };
    Amount { usage, requests: q, tool_calls: t }
}

/// The values of `scope` that something was counted for since a moment.
pub fn values(db: &Connection, scope: Scope, since: Timestamp) -> Result<Vec<String>> {
    let sql = match scope {
        Scope::Session | Scope::History => {
            "SELECT session FROM sessions WHERE last_seen >= ? ORDER BY last_seen DESC, id DESC"
        }
        Scope::Project => "SELECT DISTINCT project FROM sessions WHERE last_seen >= ? ORDER BY 1",
        Scope::User => "SELECT DISTINCT user FROM sessions WHERE last_seen >= ? ORDER BY 1",
        Scope::TaskType => {
            "SELECT DISTINCT task_type FROM sessions WHERE last_seen >= ? AND task_type <> '' ORDER BY 1"
        }
        Scope::Model => "SELECT DISTINCT model FROM messages WHERE at >= ? AND model <> '' ORDER BY 1",
        Scope::AgentType => {
            "SELECT DISTINCT agent_type FROM messages WHERE at >= ? AND agent_type <> '' ORDER BY 1"
        }
    };
    let mut query = db.prepare(sql)?;
    let rows = query.query_map([since.0], |r| r.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
