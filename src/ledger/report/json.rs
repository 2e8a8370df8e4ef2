//! Reports as JSON.

use serde::Serialize;
use utoipa::ToSchema;

use super::read::Name;
use super::rows::{self, Row};
use super::tally::Tally;
use crate::domain::money::usd;

/// A report: `{"rows": […], "totals": {…}}`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReportJson {
    /// The rows.
    pub rows: Vec<RowJson>,
    /// The sum of all rows.
    pub totals: TotalsJson,
}

/// A row.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RowJson {
    /// A date, a month (`2026-11`), or a name; `null`: the records have no such property.
    #[schema(example = "2026-11-30")]
    pub key: Option<String>,
    /// The sums by model, the dearest first.
    pub models: Vec<ModelJson>,
    /// The sum of the row.
    pub totals: TotalsJson,
}

/// What a row counts for one model.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ModelJson {
    /// The model's full name.
    #[schema(example = "claude-opus-4-5-20251101")]
    pub model: String,
    /// The sum.
    #[serde(flatten)]
    pub totals: TotalsJson,
}

/// Sums.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct TotalsJson {
    /// Input tokens outside the prompt cache.
    input: u64,
    /// Output tokens.
    output: u64,
    /// Tokens written to the prompt cache for five minutes.
    cache_write_5m: u64,
    /// Tokens written to the prompt cache for an hour.
    cache_write_1h: u64,
    /// Tokens read from the prompt cache.
    cache_read: u64,
    /// Model responses, and recorded calls.
    requests: u64,
    /// Dollars.
    pub usd: f64,
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
