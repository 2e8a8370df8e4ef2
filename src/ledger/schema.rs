//! The schema, and a check that a file has it.

use rusqlite::Connection;

use crate::store::Result;
use crate::store::sqlite::check_columns;

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
    check_columns(db, &whole)
}
