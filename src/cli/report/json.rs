//! Reports as JSON.

use serde::Serialize;

use crate::domain::money::usd;
use crate::ledger::report::read::Name;
use crate::ledger::report::rows::{self, Row};
use crate::ledger::report::tally::Tally;

/// A report: `{"rows": […], "totals": {…}}`.
#[derive(Debug, Serialize)]
pub struct ReportJson {
    rows: Vec<RowJson>,
    totals: TotalsJson,
}

/// A row.
#[derive(Debug, Serialize)]
pub struct RowJson {
    /// Null: the records have no such property.
    key: Option<String>,
    models: Vec<ModelJson>,
    totals: TotalsJson,
}

/// What a row counts for one model.
#[derive(Debug, Serialize)]
struct ModelJson {
    model: String,
    #[serde(flatten)]
    totals: TotalsJson,
}

/// Sums.
#[derive(Debug, Serialize)]
pub struct TotalsJson {
    input: u64,
    output: u64,
    cache_write_5m: u64,
    cache_write_1h: u64,
    cache_read: u64,
    requests: u64,
    /// Dollars.
    usd: f64,
    /// Whether the tokens or the price contain an estimate.
    estimated: bool,
}

impl ReportJson {
    /// The report of these rows.
    pub fn new(rows: &[Row]) -> Self {
        Self { rows: rows.iter().map(RowJson::from).collect(), totals: rows::total(rows).into() }
    }
}

impl From<&Row> for RowJson {
    fn from(row: &Row) -> Self {
        let model =
            |(model, tally): &(Name, Tally)| ModelJson { model: model.to_string(), totals: (*tally).into() };
        Self { key: row.key.text(), models: row.models.iter().map(model).collect(), totals: row.tally.into() }
    }
}

impl From<Tally> for TotalsJson {
    fn from(tally: Tally) -> Self {
        let usage = tally.usage;
        Self {
            input: usage.input,
            output: usage.output,
            cache_write_5m: usage.cache_write_5m,
            cache_write_1h: usage.cache_write_1h,
            cache_read: usage.cache_read,
            requests: tally.requests,
            usd: usd(tally.nanos),
            estimated: tally.is_estimated(),
        }
    }
}
