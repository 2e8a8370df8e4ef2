//! The schema, and a check that a file has it.

use std::collections::BTreeSet;

use rusqlite::Connection;

use crate::store::{Result, StoreError};

/// The version that this program writes (`user_version`).
pub const VERSION: u32 = 1;

/// The schema version of a file; 0 if it is empty.
pub fn version(db: &Connection) -> Result<u32> {
    Ok(db.query_row("PRAGMA user_version", (), |r| r.get(0))?)
}

/// Creates all tables of an empty file.
pub fn create(db: &Connection) -> Result<()> {
    db.execute_batch(include_str!("schema_1.sql"))?;
    db.execute_batch(&format!("PRAGMA user_version={VERSION}"))?;
    Ok(())
}

/// Checks that the file has all tables and columns.
///
/// # Errors
/// Some are missing, or the schema cannot be read: the file is damaged.
pub fn check(db: &Connection) -> Result<()> {
    let whole = Connection::open_in_memory()?;
    create(&whole)?;
    let found = columns(db)?;
    match columns(&whole)?.iter().find(|column| !found.contains(*column)) {
        Some((table, column)) => {
            Err(StoreError::Damaged(format!("the table {table} has no column {column}")))
        }
        None => Ok(()),
    }
}

fn columns(db: &Connection) -> Result<BTreeSet<(String, String)>> {
    let sql =
        "SELECT t.name, c.name FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table'";
    let mut query = db.prepare(sql)?;
    let columns = query.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(columns.collect::<rusqlite::Result<_>>()?)
}
