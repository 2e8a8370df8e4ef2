//! Prices records again, because a person asked for it: at the prices in force, at the rates of each record's own date.

use std::collections::BTreeMap;

use rusqlite::types::Value;
use rusqlite::{Connection, params};

use super::database::LedgerDatabase;
use super::entry;
use super::load::FREE;
use super::names::ModelGlob;
use super::quarter_hours;
use super::quote::{self, Quote};
use super::rate_table::RateTable;
use super::save::to_sql;
use crate::domain::money::{Rates, usd};
use crate::domain::time::Timestamp;
use crate::prices::{Prices, name};
use crate::store::Result;

/// Which records to price again: those for which all that is given holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepriceFilter {
    /// Not older than this.
    pub since: Option<Timestamp>,
    /// Of the models with such a name (glob with `*` and `?`), as the response, the price list or tables have it.
    pub model: Option<String>,
}

/// The records of a model that are priced again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepricedModel {
    /// The model, as the records name it.
    pub model: String,
    /// Its records.
    pub records: u64,
    /// Those among them that get other rates.
    pub changed: u64,
    /// What the records cost before, in nano-dollars.
    pub before_nanos: u64,
    /// What they cost at the new rates, in nano-dollars.
    pub after_nanos: u64,
    /// Whether some of the new rates are estimates.
    pub price_estimated: bool,
    /// Whether some of the rates before were.
    pub was_estimated: bool,
}

/// A record that gets other rates.
struct Change {
    id: i64,
    /// `None`: a recorded call, which only keeps its cost.
    rates: Option<Rates>,
    nanos: u64,
    price_estimated: bool,
}

impl RepriceFilter {
    /// Whether a model is meant.
    pub fn names(&self, model: &str) -> bool {
        let Some(pattern) = &self.model else { return true };
        let glob = ModelGlob::new(pattern);
        glob.matches(model) || glob.matches(&name::canonical(model))
    }

    /// The condition on records, and its parameters.
    fn condition(&self, db: &Connection) -> Result<(String, Vec<Value>)> {
        let (mut parts, mut values) = (vec!["1".to_owned()], Vec::new());
        if let Some(since) = self.since {
            parts.push("at >= ?".to_owned());
            values.push(since.0.into());
        }
        if self.model.is_some() {
            let meant: Vec<String> = models(db)?.into_iter().filter(|model| self.names(model)).collect();
            parts.push(format!("model IN ({})", vec!["?"; meant.len()].join(", ")));
            values.extend(meant.into_iter().map(Value::from));
        }
        Ok((parts.join(" AND "), values))
    }
}

impl LedgerDatabase {
    /// The models of the records, by name.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn models(&self) -> Result<Vec<String>> {
        models(&self.connection).map_err(|error| self.explain(error))
    }

    /// What [`Self::reprice`] would do, by model.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn to_reprice(&self, filter: &RepriceFilter, prices: &Prices) -> Result<Vec<RepricedModel>> {
        let planned = RateTable::load(&self.connection)
            .and_then(|rates| plan(&self.connection, filter, prices, &rates));
        planned.map(|(models, _)| models).map_err(|error| self.explain(error))
    }

    /// Gives records the rates that they would get if they were recorded for the first time, in one step. Later imports
    /// keep these rates. Returns what was done, by model. The caller holds the [`LedgerLock`](super::LedgerLock).
    ///
    /// # Errors
    /// The ledger cannot be written; nothing was changed.
    pub fn reprice(&mut self, filter: &RepriceFilter, prices: &Prices) -> Result<Vec<RepricedModel>> {
        let done = self.write(|db| {
            let mut rates = RateTable::load(db)?;
            let (models, changes) = plan(db, filter, prices, &rates)?;
            let mut update = db.prepare(
                "UPDATE cost_records SET rates = ?, cost_nanos = ?, cost_usd = ?, price_estimated = ? WHERE id = ?",
            )?;
            for Change { id, rates: new, nanos, price_estimated } in changes {
                let number = new.map(|new| rates.number(new));
                update.execute(params![number, to_sql(nanos), usd(nanos), price_estimated, id])?;
            }
            reprice_free(db, filter, prices, &mut rates)?;
            rates.save(db)?;
            quarter_hours::rebuild(db)?;
            Ok(models)
        });
        done.map_err(|error| self.explain(error))
    }
}

fn models(db: &Connection) -> Result<Vec<String>> {
    let mut query = db.prepare("SELECT DISTINCT model FROM cost_records ORDER BY model")?;
    Ok(query.query_map((), |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}

/// What changes, by model and in single records.
fn plan(
    db: &Connection,
    filter: &RepriceFilter,
    prices: &Prices,
    known: &RateTable,
) -> Result<(Vec<RepricedModel>, Vec<Change>)> {
    let (condition, values) = filter.condition(db)?;
    let (mut models, mut changes) = (BTreeMap::<String, RepricedModel>::new(), Vec::new());
    quote::for_each(db, &condition, &values, prices, |quote| {
        let model = models.entry(quote.model.clone()).or_default();
        let change = change(&quote, known);
        model.add(&quote, change.is_some());
        changes.extend(change);
        Ok(())
    })?;
    let models = models.into_iter().map(|(model, sum)| RepricedModel { model, ..sum });
    Ok((models.collect(), changes))
}

/// How a record changes; `None` if it has these rates already.
fn change(quote: &Quote, known: &RateTable) -> Option<Change> {
    let nanos = quote.nanos();
    let is_same = match quote.charged_rates {
        Some(number) => known.rates(number) == quote.rates,
        None => quote.is_call,
    };
    let price_estimated = quote.rates.is_estimate;
    if is_same && nanos == quote.charged_nanos && price_estimated == quote.charged_as_estimate {
        return None;
    }
    Some(Change { id: quote.id, rates: (!quote.is_call).then_some(quote.rates), nanos, price_estimated })
}

/// Prices the messages that charge nothing, which later lines may change: then they get a record at the same rates.
fn reprice_free(
    db: &Connection,
    filter: &RepriceFilter,
    prices: &Prices,
    rates: &mut RateTable,
) -> Result<()> {
    let mut query =
        db.prepare("SELECT key, message FROM unlisted_messages WHERE kind = ? AND message IS NOT NULL")?;
    let found = query.query_map([FREE], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let found: Vec<([u8; 16], String)> = found.collect::<rusqlite::Result<_>>()?;
    let mut update = db.prepare("UPDATE unlisted_messages SET rates = ? WHERE key = ?")?;
    for (key, text) in found {
        let message = entry::from_json(&text)?;
        if filter.since.is_none_or(|since| message.at >= since) && filter.names(entry::model_name(&message)) {
            let number = rates.number(quote::rates_of(&message, prices));
            update.execute(params![number, &key[..]])?;
        }
    }
    Ok(())
}

impl RepricedModel {
    fn add(&mut self, quote: &Quote, is_changed: bool) {
        self.records += 1;
        self.changed += u64::from(is_changed);
        self.before_nanos = self.before_nanos.saturating_add(quote.charged_nanos);
        self.after_nanos = self.after_nanos.saturating_add(quote.nanos());
        self.price_estimated |= quote.rates.is_estimate;
        self.was_estimated |= quote.charged_as_estimate;
    }
}
