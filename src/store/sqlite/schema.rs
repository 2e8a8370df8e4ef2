//! The schema: its numbered migrations, and a check that a file is intact.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::{agent_state_rows, metrics};
use crate::store::{Result, StoreError};

/// Numbered migrations. `user_version` is the number of those applied.
const MIGRATIONS: [&str; 9] = [
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
    include_str!("schema_5.sql"),
    include_str!("schema_6.sql"),
    include_str!("schema_7.sql"),
    include_str!("schema_8.sql"),
    include_str!("schema_9.sql"),
];

/// The version that this program writes.
pub const VERSION: usize = MIGRATIONS.len();

/// The schema version of a file; 0 if it is empty.
pub fn version(db: &Connection) -> Result<usize> {
    let version: u32 = db.query_row("PRAGMA user_version", (), |r| r.get(0))?;
    Ok(version as usize)
}

/// Applies the migrations from `from` up to `to`.
pub fn migrate(db: &Connection, from: usize, to: usize) -> Result<()> {
    for (number, migration) in MIGRATIONS.iter().enumerate().take(to).skip(from) {
        db.execute_batch(migration)?;
        if number + 1 == agent_state_rows::VERSION {
            agent_state_rows::migrate_rows(db)?;
        }
        if number + 1 == metrics::VERSION {
            metrics::fill(db)?;
        }
        db.execute_batch(&format!("PRAGMA user_version={}", number + 1))?;
    }
    Ok(())
}

/// Checks that the file has all tables and columns of its version. Later versions are not checked.
///
/// # Errors
/// Some are missing, or the schema cannot be read: the file is damaged.
pub fn check(db: &Connection) -> Result<()> {
    let version = version(db)?;
    if version > VERSION {
        return Ok(());
    }
    let whole = Connection::open_in_memory()?;
    migrate(&whole, 0, version)?;
    check_columns(db, &whole)
}

/// Checks that a file has all tables and columns of another one.
///
/// # Errors
/// Some are missing, or the schema cannot be read: the file is damaged.
pub fn check_columns(db: &Connection, whole: &Connection) -> Result<()> {
    let found = columns(db)?;
    match columns(whole)?.iter().find(|column| !found.contains(*column)) {
        Some((table, column)) => {
            Err(StoreError::Damaged(format!("the table {table} has no column {column}")))
        }
        None => Ok(()),
    }
}

/// Every table and column.
fn columns(db: &Connection) -> Result<BTreeSet<(String, String)>> {
    let sql =
        "SELECT t.name, c.name FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table'";
    let mut query = db.prepare(sql)?;
    let columns = query.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(columns.collect::<rusqlite::Result<_>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database_at(version: usize) -> Connection {
        let db = Connection::open_in_memory().expect("a database");
        migrate(&db, 0, version).expect("migrated");
        db
    }

    #[test]
    fn each_version_is_whole() {
        for number in 0..=VERSION {
            check(&database_at(number)).expect("whole");
        }
    }

    #[test]
    fn a_lost_table_and_a_lost_column_are_damage() {
        let db = database_at(VERSION);
        db.execute_batch("DROP TABLE operations").expect("dropped");
        let error = check(&db).expect_err("a table is missing");
        assert!(error.is_corrupt() && error.to_string().contains("operations"), "{error}");

        let db = database_at(VERSION);
        db.execute_batch("ALTER TABLE sessions DROP COLUMN team").expect("dropped");
        assert!(check(&db).expect_err("a column is missing").is_corrupt());
    }

    #[test]
    fn a_later_version_may_have_another_schema() {
        let db = database_at(VERSION);
        db.execute_batch("DROP TABLE operations; PRAGMA user_version=99").expect("changed");
        check(&db).expect("not known to be damaged");
    }
}
