//! Totals for monitoring: rows among the counters, with a name in place of a family, and no window. Hooks change counters
//! anyway, so this costs neither another table nor other statements.

use rusqlite::{Connection, OptionalExtension, params};

use super::super::Result;
use super::super::counts::CounterDelta;
use super::super::metrics::{MAX_LABELS, MetricChanges, MetricKind, MetricTotal, OTHER};
use super::counters::{INSERT, SELECT, UPDATE, amount, sums};

/// The schema version that introduced them.
pub const VERSION: usize = 8;

/// Changes totals.
pub fn add(db: &Connection, changes: &MetricChanges) -> Result<()> {
    for (kind, mut label, change) in changes.iter() {
        let spec = spec(kind);
        let mut known = stored(db, &spec, label)?;
        if known.is_none() && is_full(db, &spec)? {
            label = OTHER;
            known = stored(db, &spec, label)?;
        }
        let mut total = MetricTotal::parse(kind, label, known.as_deref().unwrap_or_default());
        total.add(change);
        match known {
            Some(_) => db.prepare_cached(UPDATE)?.execute(params![total.to_string(), spec, label, 0, 0])?,
            None => db.execute(INSERT, params![spec, label, 0, 0, total.to_string()])?,
        };
    }
    Ok(())
}

/// What stands in place of the family.
fn spec(kind: MetricKind) -> String {
    format!("total {}", kind.name())
}

fn stored(db: &Connection, spec: &str, label: &str) -> Result<Option<String>> {
    let mut query = db.prepare_cached(SELECT)?;
    Ok(query.query_row(params![spec, label, 0], |r| r.get("amount")).optional()?)
}

/// Whether no further label of this kind gets a total of its own.
fn is_full(db: &Connection, spec: &str) -> Result<bool> {
    let labels: u32 = db.query_row("SELECT COUNT(*) FROM counters WHERE spec=?", [spec], |r| r.get(0))?;
    Ok(labels as usize >= MAX_LABELS)
}

/// All totals.
pub fn metrics(db: &Connection) -> Result<Vec<MetricTotal>> {
    let sql = "SELECT substr(spec, 7) || ' ' || value, amount FROM counters WHERE spec LIKE 'total %'";
    let mut query = db.prepare(sql)?;
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

#[cfg(test)]
mod tests {
    use super::super::schema;
    use super::*;

    #[test]
    fn messages_of_the_version_before_are_counted() {
        let db = Connection::open_in_memory().expect("a database");
        schema::migrate(&db, 0, VERSION - 1).expect("migrated");
        for (n, model, agent_type, tokens) in
            [(1, "opus", "main", 10), (2, "opus", "Explore", 5), (3, "haiku", "main", 7)]
        {
            let sql = "INSERT INTO messages (key, model, agent_type, input, requests, tool_calls) VALUES (?,?,?,?,1,2)";
            db.execute(sql, params![n, model, agent_type, tokens]).expect("inserted");
        }
        schema::migrate(&db, VERSION - 1, schema::VERSION).expect("migrated");
        let all = metrics(&db).expect("read");
        let found: Vec<_> = all
            .iter()
            .map(|total| (total.kind, total.label.as_str(), total.sums[0], total.peaks[0]))
            .collect();
        let expected = [
            (MetricKind::Usage, "haiku", 7, 7),
            (MetricKind::Usage, "opus", 15, 15),
            (MetricKind::ToolCalls, "Explore", 2, 2),
            (MetricKind::ToolCalls, "main", 4, 4),
        ];
        assert_eq!(found, expected);
    }
}
