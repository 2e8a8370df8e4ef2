//! The schema: its numbered migrations, and a check that a file has it.

use rusqlite::Connection;

use super::quarter_hours;
use crate::store::Result;
use crate::store::sqlite::check_columns;

/// Numbered migrations. `user_version` is the number of those applied.
const MIGRATIONS: [&str; 2] = [include_str!("schema_1.sql"), include_str!("schema_2.sql")];

/// The version that this program writes.
pub const VERSION: usize = MIGRATIONS.len();

/// The schema version of a file; 0 if it is empty.
pub fn version(db: &Connection) -> Result<usize> {
    Ok(db.query_row("PRAGMA user_version", (), |r| r.get::<_, u32>(0))? as usize)
}

/// Brings a file to a version. Does nothing if it has that or a later one.
pub fn migrate(db: &Connection, to: usize) -> Result<()> {
    for (number, migration) in (1..).zip(MIGRATIONS).take(to).skip(version(db)?) {
        db.execute_batch(migration)?;
        if number == quarter_hours::VERSION {
            quarter_hours::rebuild(db)?;
        }
        db.execute_batch(&format!("PRAGMA user_version={number}"))?;
    }
    Ok(())
}

/// Checks that the file has all tables and columns of its version.
///
/// # Errors
/// Some are missing, or the schema cannot be read: the file is damaged.
pub fn check(db: &Connection) -> Result<()> {
    let whole = Connection::open_in_memory()?;
    migrate(&whole, version(db)?)?;
    check_columns(db, &whole)
}
