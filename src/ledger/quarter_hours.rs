//! Sums by quarter of an hour, which reports read instead of the records: days of all time zones consist of whole ones.
//! Every step that changes records of messages also sums them again, so that both always agree.

use rusqlite::Connection;

use super::calls::CALL;
use crate::store::Result;

/// The first version of the schema that has them.
pub const VERSION: usize = 2;

/// The type of a record's agent, as reports name it: `main` for the session's own agent, `subagent` for one without a type.
/// Recorded calls have none.
pub const AGENT_TYPE: &str = "COALESCE(NULLIF(agent_type, ''), CASE WHEN source = 'call' THEN NULL \
     WHEN COALESCE(agent, '') IN ('', 'main') THEN 'main' ELSE 'subagent' END)";

/// Sums the records of all messages.
pub fn rebuild(db: &Connection) -> Result<()> {
    db.execute("DELETE FROM quarter_hours", ())?;
    db.execute(&insert("1"), ())?;
    Ok(())
}

/// Sums the records of a session again.
pub fn refresh(db: &Connection, session: &str) -> Result<()> {
    db.prepare_cached("DELETE FROM quarter_hours WHERE session = ?")?.execute([session])?;
    db.prepare_cached(&insert("session = ?"))?.execute([session])?;
    Ok(())
}

fn insert(condition: &str) -> String {
    format!(
        "INSERT INTO quarter_hours SELECT session, model, project, branch, {AGENT_TYPE} AS type, MIN(at), MAX(at), COUNT(*), \
         SUM(input_tokens), SUM(output_tokens), SUM(cache_write_5m), SUM(cache_write_1h), SUM(cache_read), SUM(requests), \
         SUM(cost_nanos / 1000000000), SUM(cost_nanos % 1000000000), MAX(usage_estimated), MAX(price_estimated) \
         FROM cost_records WHERE source <> '{CALL}' AND {condition} \
         GROUP BY session, at / 900000, model, project, branch, type"
    )
}
