//! Reads sums and records.

use rusqlite::{Connection, Row, ToSql};
use serde::Serialize;

use super::database::LedgerDatabase;
use crate::domain::money::NANOS_PER_USD;
use crate::domain::money::usd;
use crate::domain::time::Timestamp;
use crate::store::Result;

/// The sum of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct CostTotals {
    /// Records: messages and recorded calls.
    pub tasks: u64,
    /// Tokens of all classes.
    pub tokens: u64,
    /// Fresh input.
    pub input: u64,
    /// Output.
    pub output: u64,
    /// Cache writes for five minutes.
    pub cache_write_5m: u64,
    /// Cache writes for one hour.
    pub cache_write_1h: u64,
    /// Cache reads.
    pub cache_read: u64,
    /// Model responses and calls.
    pub requests: u64,
    /// Tool calls.
    pub tool_calls: u64,
    /// The cost, in nano-dollars.
    #[serde(skip)]
    pub cost_nanos: u64,
    /// The cost, in dollars.
    pub cost_usd: f64,
    /// Whether some of the tokens are estimated.
    pub usage_estimated: bool,
    /// Whether some of the prices are estimated.
    pub price_estimated: bool,
}

impl CostTotals {
    /// Whether some of the cost is estimated.
    pub fn is_estimated(&self) -> bool {
        self.usage_estimated || self.price_estimated
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(self, other: &Self) -> Self {
        let cost_nanos = self.cost_nanos.saturating_add(other.cost_nanos);
        Self {
            tasks: self.tasks.saturating_add(other.tasks),
            tokens: self.tokens.saturating_add(other.tokens),
            input: self.input.saturating_add(other.input),
            output: self.output.saturating_add(other.output),
            cache_write_5m: self.cache_write_5m.saturating_add(other.cache_write_5m),
            cache_write_1h: self.cache_write_1h.saturating_add(other.cache_write_1h),
            cache_read: self.cache_read.saturating_add(other.cache_read),
            requests: self.requests.saturating_add(other.requests),
            tool_calls: self.tool_calls.saturating_add(other.tool_calls),
            cost_nanos,
            cost_usd: usd(cost_nanos),
            usage_estimated: self.usage_estimated || other.usage_estimated,
            price_estimated: self.price_estimated || other.price_estimated,
        }
    }
}

/// The sum of a platform's records.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlatformTotals {
    /// The platform.
    pub platform: String,
    /// The sum.
    #[serde(flatten)]
    pub totals: CostTotals,
}

/// A record of the seed's shape.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskRecord {
    /// The task of a recorded call, else the key of the message.
    pub task_id: String,
    /// The platform.
    pub platform: String,
    /// The chain of tasks that it is part of.
    pub chain_id: Option<String>,
    /// The model.
    pub model: String,
    /// Fresh input.
    pub input_tokens: u64,
    /// Output.
    pub output_tokens: u64,
    /// The cost, in nano-dollars.
    #[serde(skip)]
    pub cost_nanos: u64,
    /// The cost, in dollars.
    pub cost_usd: f64,
    /// Whether the price is estimated.
    pub price_estimated: bool,
    /// When it was made, in UTC.
    pub timestamp: String,
}

/// Sums, in the order of [`read_totals`]. Costs in two parts: a sum of absurd ones would not fit an integer.
pub(super) const SUMS: &str = "COUNT(*), SUM(input_tokens), SUM(output_tokens), SUM(cache_write_5m), SUM(cache_write_1h), \
     SUM(cache_read), SUM(requests), SUM(tool_calls), SUM(cost_nanos / 1000000000), SUM(cost_nanos % 1000000000), \
     MAX(usage_estimated), MAX(price_estimated)";

/// Reads [`SUMS`], which begin at a column.
pub(super) fn read_totals(row: &Row, first: usize) -> rusqlite::Result<CostTotals> {
    let sum = |index: usize| {
        let sum: Option<i64> = row.get(first + index)?;
        Ok::<_, rusqlite::Error>(u64::try_from(sum.unwrap_or(0)).unwrap_or(0))
    };
    let [input, output, cache_write_5m, cache_write_1h, cache_read] =
        [sum(1)?, sum(2)?, sum(3)?, sum(4)?, sum(5)?];
    let cost_nanos = sum(8)?.saturating_mul(NANOS_PER_USD).saturating_add(sum(9)?);
    let classes = [input, output, cache_write_5m, cache_write_1h, cache_read];
    Ok(CostTotals {
        tasks: sum(0)?,
        tokens: classes.into_iter().fold(0, u64::saturating_add),
        input,
        output,
        cache_write_5m,
        cache_write_1h,
        cache_read,
        requests: sum(6)?,
        tool_calls: sum(7)?,
        cost_nanos,
        cost_usd: usd(cost_nanos),
        usage_estimated: sum(10)? > 0,
        price_estimated: sum(11)? > 0,
    })
}

/// The records for which a condition with one parameter holds, oldest first.
pub(super) fn task_records(db: &Connection, condition: &str, value: &str) -> Result<Vec<TaskRecord>> {
    let mut query = db.prepare_cached(&format!(
        "SELECT task_id, platform, chain_id, model, input_tokens, output_tokens, cost_nanos, price_estimated, timestamp \
         FROM cost_records WHERE {condition} ORDER BY timestamp, id"
    ))?;
    let read = |row: &Row| {
        let count = |index: usize| row.get::<_, i64>(index).map(|count| u64::try_from(count).unwrap_or(0));
        let cost_nanos = count(6)?;
        Ok(TaskRecord {
            task_id: row.get(0)?,
            platform: row.get(1)?,
            chain_id: row.get(2)?,
            model: row.get(3)?,
            input_tokens: count(4)?,
            output_tokens: count(5)?,
            cost_nanos,
            cost_usd: usd(cost_nanos),
            price_estimated: row.get(7)?,
            timestamp: row.get(8)?,
        })
    };
    Ok(query.query_map([value], read)?.collect::<rusqlite::Result<_>>()?)
}

impl LedgerDatabase {
    /// The sum and the records of a task.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn task(&self, task: &str) -> Result<(CostTotals, Vec<TaskRecord>)> {
        self.records("task_id = ?1 OR task = ?1", task)
    }

    /// The sum and the records of a chain of tasks.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn chain(&self, chain: &str) -> Result<(CostTotals, Vec<TaskRecord>)> {
        self.records("chain_id = ?1", chain)
    }

    fn records(&self, condition: &str, value: &str) -> Result<(CostTotals, Vec<TaskRecord>)> {
        let db = &self.connection;
        let read = || {
            let sql = format!("SELECT {SUMS} FROM cost_records WHERE {condition}");
            let totals = db.query_row(&sql, [value], |row| read_totals(row, 0))?;
            Ok((totals, task_records(db, condition, value)?))
        };
        read().map_err(|error| self.explain(error))
    }

    /// The sums of all platforms, the dearest first. `from` and `to` (exclusive) are times of records; `None`: no limit.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn platforms(&self, from: Option<Timestamp>, to: Option<Timestamp>) -> Result<Vec<PlatformTotals>> {
        let sql = format!(
            "SELECT platform, {SUMS} FROM cost_records WHERE at >= ? AND at < ? GROUP BY platform \
             ORDER BY SUM(cost_usd) DESC, platform"
        );
        let range = [from.map_or(i64::MIN, |from| from.0), to.map_or(i64::MAX, |to| to.0)];
        let read = || {
            let mut query = self.connection.prepare(&sql)?;
            let read = |row: &Row| Ok(PlatformTotals { platform: row.get(0)?, totals: read_totals(row, 1)? });
            let parameters: [&dyn ToSql; 2] = [&range[0], &range[1]];
            Ok(query.query_map(parameters, read)?.collect::<rusqlite::Result<_>>()?)
        };
        read().map_err(|error| self.explain(error))
    }
}
