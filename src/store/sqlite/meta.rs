//! Data that exists once per store: its id, the time of installation, and marks of what it contains.

use rusqlite::Connection;

use super::super::Result;
use crate::domain::time::Timestamp;

/// Data that every batch reads first.
#[derive(Default)]
pub struct StoreMeta {
    /// The id of the store.
    pub store_id: String,
    /// When Fusebox was installed.
    pub installed: Option<Timestamp>,
    /// Whether there are any operations.
    pub has_operations: bool,
    /// Whether there may be alerts that were not shown yet.
    pub has_unshown_alerts: bool,
    /// Whether there may be events that were not reported yet.
    pub has_untold_events: bool,
    /// Names of all counter families ever counted.
    pub families: Vec<String>,
}

/// Prefix of the rows of counter families.
pub const FAMILY: &str = "family ";

/// Marks a store that lost data and is not refilled yet.
pub const REBUILDING: &str = "rebuilding";

/// Marks that there are events to report.
pub const UNTOLD_EVENTS: &str = "untold";

/// Reads the metadata.
pub fn read(db: &Connection) -> Result<StoreMeta> {
    let mut query = db.prepare_cached("SELECT name, value FROM meta")?;
    let mut rows = query.query(())?;
    let mut meta = StoreMeta::default();
    while let Some(row) = rows.next()? {
        match row.get_ref(0)?.as_str().unwrap_or_default() {
            "epoch" => meta.store_id = row.get(1)?,
            "installed" => meta.installed = Some(Timestamp(row.get(1)?)),
            "operations" => meta.has_operations = true,
            "unshown" => meta.has_unshown_alerts = true,
            UNTOLD_EVENTS => meta.has_untold_events = true,
            other => meta.families.extend(other.strip_prefix(FAMILY).map(str::to_owned)),
        }
    }
    Ok(meta)
}

/// Sets or clears a mark: `operations`, `unshown`, [`REBUILDING`] or a family.
pub fn mark(db: &Connection, kind: &str, there: bool) -> Result<()> {
    match there {
        true => db.execute("INSERT OR IGNORE INTO meta (name, value) VALUES (?, 1)", [kind])?,
        false => db.execute("DELETE FROM meta WHERE name = ?", [kind])?,
    };
    Ok(())
}

/// Records the time of installation, once.
pub fn note_installation(db: &Connection, now: Timestamp) -> Result<()> {
    let noted = db.execute("INSERT OR IGNORE INTO meta (name, value) VALUES ('installed', ?)", [now.0])?;
    if noted > 0 {
        // History counted without it is recomputed.
        db.execute("DELETE FROM counters WHERE spec LIKE 'history %'", ())?;
    }
    Ok(())
}

/// Whether the store lost data and is not refilled yet.
pub fn is_rebuilding(db: &Connection) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM meta WHERE name = ?)";
    Ok(db.query_row(sql, [REBUILDING], |r| r.get(0))?)
}

/// Resets a store that went back in time. It gets a new id, so that everybody reads from the start, and its counters
/// are recomputed, because they may be out of step with the messages. Does nothing if its id is no longer `store_id`.
/// Returns its new id.
pub fn reset_store(db: &Connection, store_id: &str) -> Result<String> {
    let is_old = "name = 'epoch' AND value = ?";
    let sql = format!("UPDATE meta SET value = lower(hex(randomblob(8))) WHERE {is_old}");
    if db.execute(&sql, [store_id])? > 0 {
        // Totals for monitoring are in step: they change in the step that changes the messages.
        db.execute("DELETE FROM counters WHERE spec NOT LIKE 'total %'", ())?;
        mark(db, REBUILDING, true)?;
    }
    Ok(db.query_row("SELECT value FROM meta WHERE name = 'epoch'", (), |r| r.get(0))?)
}
