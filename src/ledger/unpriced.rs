//! Finds the models whose price is an estimate.

use std::collections::BTreeMap;

use rusqlite::Connection;
use rusqlite::types::Value;

use super::database::LedgerDatabase;
use super::quote::{self, Quote};
use crate::domain::money::Terms;
use crate::domain::time::Timestamp;
use crate::prices::{Prices, priced_like};
use crate::store::Result;

/// The records of a model whose price is an estimate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EstimatedModel {
    /// The model, as the records name it.
    pub model: String,
    /// The model whose price the last of them gets.
    pub like: Option<&'static str>,
    /// Records.
    pub records: u64,
    /// Model responses and calls.
    pub requests: u64,
    /// Tokens of all classes.
    pub tokens: u64,
    /// What was charged at estimated prices, in nano-dollars.
    pub estimated_nanos: u64,
    last: Option<Timestamp>,
}

/// The models of the ledger whose price is an estimate, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceCheck {
    /// Those without an exact price.
    pub unpriced: Vec<EstimatedModel>,
    /// Those with records that were charged at an estimated price, and have an exact one now.
    pub priced_since: Vec<EstimatedModel>,
}

impl LedgerDatabase {
    /// Compares the records with the prices in force.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn check_prices(&self, prices: &Prices) -> Result<PriceCheck> {
        check(&self.connection, prices).map_err(|error| self.explain(error))
    }
}

fn check(db: &Connection, prices: &Prices) -> Result<PriceCheck> {
    // Some models are estimates in some records only: in fast mode, or at some time.
    let unknown = unknown_models(db, prices)?;
    let places = vec!["?"; unknown.len()].join(", ");
    let condition = format!("price_estimated <> 0 OR model IN ({places})");
    let values: Vec<Value> = unknown.into_iter().map(Value::from).collect();
    let (mut unpriced, mut priced_since) = (BTreeMap::new(), BTreeMap::new());
    quote::for_each(db, &condition, &values, prices, |quote| {
        let models: &mut BTreeMap<String, EstimatedModel> = match quote.rates.is_estimate {
            true => &mut unpriced,
            false if quote.charged_as_estimate => &mut priced_since,
            false => return Ok(()),
        };
        models.entry(quote.model.clone()).or_default().add(&quote);
        Ok(())
    })?;
    let listed = |models: BTreeMap<String, EstimatedModel>| models.into_values().collect();
    Ok(PriceCheck { unpriced: listed(unpriced), priced_since: listed(priced_since) })
}

/// The models that have no exact price at the date of their last record.
fn unknown_models(db: &Connection, prices: &Prices) -> Result<Vec<String>> {
    let mut query = db.prepare("SELECT model, MAX(at) FROM cost_records GROUP BY model")?;
    let rows = query.query_map((), |row| Ok((row.get(0)?, Timestamp(row.get(1)?))))?;
    let mut models: Vec<(String, Timestamp)> = rows.collect::<rusqlite::Result<_>>()?;
    models.retain(|(model, at)| prices.quote(model, *at, 0, Terms::default()).is_estimate);
    Ok(models.into_iter().map(|(model, _)| model).collect())
}

impl EstimatedModel {
    fn add(&mut self, quote: &Quote) {
        let Quote { message, model, .. } = quote;
        let amount = message.amount();
        self.model.clone_from(model);
        self.records += 1;
        self.requests = self.requests.saturating_add(amount.requests);
        self.tokens = self.tokens.saturating_add(amount.usage.total());
        if quote.charged_as_estimate {
            self.estimated_nanos = self.estimated_nanos.saturating_add(quote.charged_nanos);
        }
        if self.last.is_none_or(|last| last <= message.at) {
            self.last = Some(message.at);
            self.like = priced_like(model, message.at, message.prompt(), message.terms.fast)
                .map(|like| like.label().model);
        }
    }
}
