//! Records calls of other platforms, which no transcript shows.

use rusqlite::{OptionalExtension, named_params};

use super::database::LedgerDatabase;
use super::query::{self, TaskRecord};
use super::save::{timestamp, to_sql};
use crate::domain::money::{MAX_COST, Terms, usd};
use crate::domain::time::Timestamp;
use crate::domain::usage::Usage;
use crate::prices::Prices;
use crate::store::{Result, StoreError};

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Identifies it. A second call of the same task replaces the first.
    pub task: String,
    /// Where it was made, such as `openai`.
    pub platform: String,
    /// The model.
    pub model: String,
    /// Tokens that the model read.
    pub input: u64,
    /// Tokens that it wrote.
    pub output: u64,
    /// The chain of tasks that it is part of.
    pub chain: Option<String>,
}

/// Why a call was not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallRefused {
    /// The task's name is the key of a message.
    KeyOfMessage,
    /// It would cost [`MAX_COST`] or more: its cost would be cut.
    TooDear,
}

impl LedgerDatabase {
    /// Records a call, at the price of `now`, and returns its record, or why nothing was recorded.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn record_call(
        &mut self,
        call: &Call,
        prices: &Prices,
        now: Timestamp,
    ) -> Result<std::result::Result<TaskRecord, CallRefused>> {
        let usage = Usage { input: call.input, output: call.output, ..Usage::default() }.capped();
        let rates = prices.quote(&call.model, now, usage.context(), Terms::default());
        let nanos = rates.cost(usage, 0);
        if nanos >= MAX_COST {
            return Ok(Err(CallRefused::TooDear));
        }
        let recorded = self.write(|db| {
            let mut source = db.prepare_cached("SELECT source FROM cost_records WHERE task_id = ?")?;
            let source: Option<String> = source.query_row([&call.task], |row| row.get(0)).optional()?;
            if source.is_some_and(|source| source != CALL) {
                return Ok(Err(CallRefused::KeyOfMessage));
            }
            // OR REPLACE as in the seed: a record that is replaced is a new one.
            db.prepare_cached(
                "INSERT OR REPLACE INTO cost_records (task_id, platform, chain_id, model, input_tokens, output_tokens, \
                 cost_usd, timestamp, cost_nanos, at, task, source, price_estimated) VALUES (:task, :platform, :chain, :model, \
                 :input, :output, :usd, :timestamp, :nanos, :at, :task, :source, :price_estimated)",
            )?
            .execute(named_params! {
                ":task": call.task,
                ":platform": call.platform,
                ":chain": call.chain,
                ":model": call.model,
                ":input": to_sql(usage.input),
                ":output": to_sql(usage.output),
                ":usd": usd(nanos),
                ":timestamp": timestamp(now),
                ":nanos": to_sql(nanos),
                ":at": now.0,
                ":source": CALL,
                ":price_estimated": rates.is_estimate,
            })?;
            let written = query::task_records(db, "task_id = ?", &call.task)?.pop();
            written.map(Ok).ok_or_else(|| StoreError::Damaged(format!("the record of {} is missing", call.task)))
        });
        recorded.map_err(|error| self.explain(error))
    }
}

/// The source of a recorded call.
pub const CALL: &str = "call";
