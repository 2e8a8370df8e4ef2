//! Reports as CSV, quoted as in RFC 4180: a line per key and model, and no line of totals, so that a spreadsheet can sum the columns.

use std::io::Write;

use super::figures::nine_decimals;
use crate::ledger::report::rows::Row;

/// The header.
const HEADER: [&str; 10] = [
    "key",
    "model",
    "input",
    "output",
    "cache_write_5m",
    "cache_write_1h",
    "cache_read",
    "requests",
    "usd",
    "estimated",
];

/// Writes the rows.
///
/// # Errors
/// They cannot be written.
pub fn write(rows: &[Row], out: &mut dyn Write) -> std::io::Result<()> {
    let mut csv = ::csv::Writer::from_writer(out);
    csv.write_record(HEADER)?;
    for row in rows {
        for (model, tally) in &row.models {
            let usage = tally.usage;
            csv.write_record([
                &row.key.text().unwrap_or_default(),
                &**model,
                &usage.input.to_string(),
                &usage.output.to_string(),
                &usage.cache_write_5m.to_string(),
                &usage.cache_write_1h.to_string(),
                &usage.cache_read.to_string(),
                &tally.requests.to_string(),
                &nine_decimals(tally.nanos),
                &tally.is_estimated().to_string(),
            ])?;
        }
    }
    csv.flush()
}
