//! Purges records. Of a purged message only its counts and hashes are kept, without where it was written: they keep it
//! from coming back with its transcript, and keep what the client's totals cover exact.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::calls::CALL;
use super::database::LedgerDatabase;
use super::load;
use super::query::{CostTotals, SUMS, read_totals};
use super::rows::ImportRows;
use crate::domain::message::MessageKey;
use crate::domain::time::Timestamp;
use crate::prices::Prices;
use crate::store::Result;

/// Which records to purge: those for which all that is given holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PurgeFilter {
    /// Older than this.
    pub before: Option<Timestamp>,
    /// Of this project.
    pub project: Option<String>,
}

impl PurgeFilter {
    /// The condition, and its parameters.
    fn condition(&self) -> (String, Vec<Value>) {
        let (mut parts, mut values) = (vec!["1"], Vec::new());
        if let Some(before) = self.before {
            parts.push("at < ?");
            values.push(before.0.into());
        }
        if let Some(project) = &self.project {
            parts.push("project = ?");
            values.push(project.clone().into());
        }
        (parts.join(" AND "), values)
    }
}

impl LedgerDatabase {
    /// The sum of the records that [`Self::purge`] would remove.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn to_purge(&self, filter: &PurgeFilter) -> Result<CostTotals> {
        sum(&self.connection, filter).map_err(|error| self.explain(error))
    }

    /// The projects that have records.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn projects(&self) -> Result<Vec<String>> {
        let read = || {
            let sql = "SELECT DISTINCT project FROM cost_records WHERE project IS NOT NULL ORDER BY project";
            let mut query = self.connection.prepare(sql)?;
            Ok(query.query_map((), |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
        };
        read().map_err(|error| self.explain(error))
    }

    /// Removes records, in one step. Returns their sum. The caller holds the [`LedgerLock`](super::LedgerLock).
    ///
    /// # Errors
    /// The ledger cannot be written; nothing was removed.
    pub fn purge(&mut self, filter: &PurgeFilter, prices: &Prices) -> Result<CostTotals> {
        let purged = self.write(|db| {
            let purged = sum(db, filter)?;
            let (condition, values) = filter.condition();
            let sql = format!("SELECT task_id FROM cost_records WHERE source <> '{CALL}' AND {condition}");
            let mut query = db.prepare(&sql)?;
            let ids = query.query_map(params_from_iter(&values), |row| row.get(0))?;
            let ids: Vec<String> = ids.collect::<rusqlite::Result<_>>()?;
            let mut rows = ImportRows::load(db, prices)?;
            for id in ids {
                let mut key = [0; 16];
                if hex::decode_to_slice(&id, &mut key).is_ok() {
                    rows.purge(&MessageKey(key))?;
                }
            }
            rows.save()?;
            db.execute(&format!("DELETE FROM cost_records WHERE {condition}"), params_from_iter(&values))?;
            Ok(purged)
        });
        let purged = purged.map_err(|error| self.explain(error))?;
        // Gives the space back. The records are gone, whether or not there is room for that.
        let _ = self.connection.execute_batch("VACUUM");
        let _ = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()));
        Ok(purged)
    }
}

impl ImportRows<'_> {
    /// Marks a message as purged.
    fn purge(&mut self, key: &MessageKey) -> Result<()> {
        load::message(self, key)?;
        if let Some(entry) = self.messages.get_mut(key) {
            entry.is_purged = true;
            self.mark(key);
        }
        Ok(())
    }
}

fn sum(db: &Connection, filter: &PurgeFilter) -> Result<CostTotals> {
    let (condition, values) = filter.condition();
    let sql = format!("SELECT {SUMS} FROM cost_records WHERE {condition}");
    Ok(db.query_row(&sql, params_from_iter(&values), |row| read_totals(row, 0))?)
}
