//! What a record would cost at the prices in force, at the rates of its own date.

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::calls::CALL;
use super::load::{self, MESSAGE};
use crate::domain::message::{Message, MessageKey};
use crate::domain::money::Rates;
use crate::prices::Prices;
use crate::store::Result;

/// A record, and what it would cost.
pub(super) struct Quote {
    /// Its number in the table.
    pub id: i64,
    /// The name of the model in the table.
    pub model: String,
    /// The message, or a recorded call in its form, with the rates that it would get.
    pub message: Message,
    /// Those rates.
    pub rates: Rates,
    /// Whether it is a recorded call, which keeps its cost, but no rates.
    pub is_call: bool,
    /// The number of the rates that it was charged with.
    pub charged_rates: Option<i64>,
    /// What it was charged, in nano-dollars.
    pub charged_nanos: u64,
    /// Whether it was charged at an estimated price.
    pub charged_as_estimate: bool,
}

impl Quote {
    /// What it would cost, in nano-dollars.
    pub fn nanos(&self) -> u64 {
        self.message.amount().nano_usd
    }
}

/// Calls `visit` with each record for which a condition holds.
pub(super) fn for_each(
    db: &Connection,
    condition: &str,
    values: &[Value],
    prices: &Prices,
    mut visit: impl FnMut(Quote) -> Result<()>,
) -> Result<()> {
    let mut query = db.prepare(&format!(
        "SELECT id, {MESSAGE}, rates, cost_nanos, price_estimated FROM cost_records WHERE {condition} ORDER BY id"
    ))?;
    let mut rows = query.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        visit(quote(row, prices)?)?;
    }
    Ok(())
}

fn quote(row: &Row, prices: &Prices) -> Result<Quote> {
    // The key makes no difference to the price.
    let mut message = load::read_message(row, MessageKey([0; 16]))?;
    let rates = rates_of(&message, prices);
    message.rates = Some(rates);
    Ok(Quote {
        id: row.get("id")?,
        model: row.get("model")?,
        message,
        rates,
        charged_rates: row.get("rates")?,
        is_call: row.get::<_, String>("source")? == CALL,
        charged_nanos: u64::try_from(row.get::<_, i64>("cost_nanos")?).unwrap_or(0),
        charged_as_estimate: row.get("price_estimated")?,
    })
}

/// The rates that a message would get if it was recorded for the first time.
pub(super) fn rates_of(message: &Message, prices: &Prices) -> Rates {
    prices.quote(&message.model, message.at, message.prompt(), message.terms)
}
