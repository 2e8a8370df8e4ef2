//! The rates in the ledger's file.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use crate::domain::money::Rates;
use crate::store::Result;

/// The rates in use, each with its number in the file.
#[derive(Debug, Default)]
pub struct RateTable {
    by_number: HashMap<i64, Rates>,
    numbers: HashMap<Rates, i64>,
    /// Those that are not in the file yet.
    new: Vec<i64>,
}

impl RateTable {
    /// The rates in a file.
    pub fn load(db: &Connection) -> Result<Self> {
        let mut table = Self::default();
        let mut query = db.prepare(
            "SELECT id, input, output, cache_write_5m, cache_write_1h, cache_read, web_search, is_estimate FROM rates",
        )?;
        let mut rows = query.query(())?;
        while let Some(row) = rows.next()? {
            let rate = |column: &str| Ok::<_, rusqlite::Error>(row.get::<_, i64>(column)?.cast_unsigned());
            let rates = Rates {
                input: rate("input")?,
                output: rate("output")?,
                cache_write_5m: rate("cache_write_5m")?,
                cache_write_1h: rate("cache_write_1h")?,
                cache_read: rate("cache_read")?,
                web_search: rate("web_search")?,
                is_estimate: row.get("is_estimate")?,
            };
            table.add(row.get("id")?, rates);
        }
        Ok(table)
    }

    fn add(&mut self, number: i64, rates: Rates) {
        self.by_number.insert(number, rates);
        self.numbers.insert(rates, number);
    }

    /// The number of these rates.
    pub fn number(&mut self, rates: Rates) -> i64 {
        if let Some(number) = self.numbers.get(&rates) {
            return *number;
        }
        let number = self.by_number.keys().max().map_or(1, |last| last + 1);
        self.add(number, rates);
        self.new.push(number);
        number
    }

    /// The rates with this number. Without a row they cost nothing, and count as estimated.
    pub fn rates(&self, number: i64) -> Rates {
        let lost = Rates { is_estimate: true, ..Rates::default() };
        self.by_number.get(&number).copied().unwrap_or(lost)
    }

    /// Writes what the file lacks.
    pub fn save(&mut self, db: &Connection) -> Result<()> {
        let mut insert = db.prepare_cached("INSERT OR REPLACE INTO rates VALUES (?, ?, ?, ?, ?, ?, ?, ?)")?;
        for number in &self.new {
            let Rates { input, output, cache_write_5m, cache_write_1h, cache_read, web_search, is_estimate } =
                self.rates(*number);
            let [input, output, short, long, read, search] =
                [input, output, cache_write_5m, cache_write_1h, cache_read, web_search].map(u64::cast_signed);
            insert.execute(params![number, input, output, short, long, read, search, is_estimate])?;
        }
        Ok(())
    }

    /// What was saved is in the file.
    pub fn note_saved(&mut self) {
        self.new.clear();
    }
}
