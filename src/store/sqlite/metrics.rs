//! Totals for monitoring: a row for each kind and label.

use rusqlite::{Connection, OptionalExtension, params};

use super::super::Result;
use super::super::counts::CounterDelta;
use super::super::metrics::{MAX_LABELS, MetricChanges, MetricKind, MetricTotal, OTHER};
use super::counters::{amount, sums};

/// The schema version that introduced them.
pub const VERSION: usize = 8;

/// Changes totals.
pub fn add(db: &Connection, changes: &MetricChanges) -> Result<()> {
    for (kind, label, change) in changes.iter() {
        let (mut name, mut known) = (kind.total_name(label), stored(db, &kind.total_name(label))?);
        if known.is_none() && is_full(db, kind)? {
            name = kind.total_name(OTHER);
            known = stored(db, &name)?;
        }
        let mut total = MetricTotal::parse(kind, label, known.as_deref().unwrap_or_default());
        total.add(change);
        let sql = match known {
            Some(_) => "UPDATE metrics SET totals=?2 WHERE name=?1",
            None => "INSERT INTO metrics VALUES (?1,?2)",
        };
        db.prepare_cached(sql)?.execute(params![name, total.to_string()])?;
    }
    Ok(())
}

fn stored(db: &Connection, name: &str) -> Result<Option<String>> {
    let mut query = db.prepare_cached("SELECT totals FROM metrics WHERE name=?")?;
    Ok(query.query_row([name], |r| r.get(0)).optional()?)
}

/// Whether no further label of this kind gets a total of its own.
fn is_full(db: &Connection, kind: MetricKind) -> Result<bool> {
    // `!` follows the space between kind and label.
    let sql = "SELECT COUNT(*) FROM metrics WHERE name > ?1 || ' ' AND name < ?1 || '!'";
    let labels: u32 = db.query_row(sql, [kind.name()], |r| r.get(0))?;
    Ok(labels as usize >= MAX_LABELS)
}

/// All totals.
pub fn metrics(db: &Connection) -> Result<Vec<MetricTotal>> {
    let mut query = db.prepare("SELECT name, totals FROM metrics")?;
    let rows = query.query_map((), |r| Ok((r.get(0)?, r.get::<_, String>(1)?)))?;
    Ok(MetricTotal::parse_all(rows.collect::<rusqlite::Result<Vec<_>>>()?))
}

/// Counts the messages that an earlier version recorded.
pub fn fill(db: &Connection) -> Result<()> {
    let sums = sums("m");
    let mut query =
        db.prepare(&format!("SELECT {sums}, model, agent_type FROM messages m GROUP BY model, agent_type"))?;
    let mut rows = query.query(())?;
    let mut changes = MetricChanges::default();
    while let Some(row) = rows.next()? {
        let (model, agent_type): (String, String) = (row.get("model")?, row.get("agent_type")?);
        changes.add_usage(&model, &agent_type, &CounterDelta::from_amount(&amount(row)?));
    }
    add(db, &changes)
}
