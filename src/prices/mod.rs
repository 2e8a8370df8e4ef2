//! What models cost: a built-in table, and the rates and discounts of the user.
//!
//! The table is generated from a vendored price list (`genai-prices.json`, written by `scripts/update-prices`) and our
//! additions to it (`overlay.json`). `name` maps the names in responses to models, `table` reads the generated table,
//! `own` holds what the configuration sets.

pub mod name;
pub mod own;
pub mod table;

#[cfg(test)]
mod tests;

pub use self::own::{OwnRates, Prices};
use self::table::Model;
use crate::domain::message::Message;
use crate::domain::money::{Rates, Terms};
use crate::domain::time::Timestamp;

/// A batch request costs half.
const BATCH: (u64, u64) = (1, 2);

/// Inference in the United States only costs a tenth more.
const US_ONLY: (u64, u64) = (11, 10);

impl Prices {
    /// The rates for one response of `model`. `at`: its date. `prompt`: the tokens that the model read, cached ones
    /// included, which decide the tier. A model without an exact price costs what the dearest of its family costs.
    pub fn quote(&self, model: &str, at: Timestamp, prompt: u64, terms: Terms) -> Rates {
        let name = name::canonical(model);
        let known = Model::find(&name);
        let listed = match known {
            Some(known) => known.rates(at, prompt, terms.fast),
            None => dearest_like(&name, at, prompt, terms.fast).1,
        };
        self.on_terms(&name, known, listed, terms)
    }

    /// The rates for one response of a model in the table, under this name of it: see [`Self::quote`].
    pub fn quote_model(&self, model: Model, name: &str, at: Timestamp, prompt: u64, terms: Terms) -> Rates {
        let name = name::canonical(name);
        self.on_terms(&name, Some(model), model.rates(at, prompt, terms.fast), terms)
    }

    fn on_terms(&self, name: &str, known: Option<Model>, listed: Rates, terms: Terms) -> Rates {
        let own = self.of(name, known);
        let mut rates = own.map_or(listed, |own| own.over(listed, terms.fast));
        if terms.batch {
            rates = scaled(rates, BATCH);
        }
        // A model that is not known is newer than the models without the surcharge.
        if terms.us_only && known.is_none_or(Model::costs_more_in_us) {
            rates = scaled(rates, US_ONLY);
        }
        self.discounted(rates, own)
    }
}

impl Prices {
    /// Prices a message, unless it has the rates that it was first charged at. `known`: the message before the last
    /// change; if that changed what the rates depend on, it is priced anew.
    pub fn price(&self, message: &mut Message, known: Option<&Message>) {
        let basis = |m: &Message| (m.at, m.prompt(), m.terms);
        let is_same = |known: &Message| basis(known) == basis(message) && known.model == message.model;
        if message.rates.is_none() || known.is_some_and(|known| !is_same(known)) {
            message.rates = Some(self.quote(&message.model, message.at, message.prompt(), message.terms));
        }
    }
}

/// The dearest model of the family that a canonical name belongs to, or the dearest Claude model if there is no such
/// family, and its rates. Free models do not count.
pub fn dearest_like(name: &str, at: Timestamp, prompt: u64, fast: bool) -> (Option<Model>, Rates) {
    let dearness = |(_, rates): &(Model, Rates)| (rates.output, rates.input);
    let of = |family: &str| {
        let priced = Model::family(family).map(|model| (model, model.rates(at, prompt, fast)));
        priced.filter(|(_, rates)| rates.output > 0).max_by_key(dearness)
    };
    let any_claude = || name::CLAUDE_FAMILIES.into_iter().filter_map(of).max_by_key(dearness);
    let family = Some(name::family(name)).filter(|family| !family.is_empty());
    let (model, rates) = family.and_then(of).or_else(any_claude).unzip();
    (model, Rates { is_estimate: true, ..rates.unwrap_or_default() })
}

/// The model whose listed price a response of `model` gets: itself, or the dearest of its family. `prompt`: the tokens that
/// the model read.
pub fn priced_like(model: &str, at: Timestamp, prompt: u64, fast: bool) -> Option<Model> {
    let name = name::canonical(model);
    Model::find(&name).or_else(|| dearest_like(&name, at, prompt, fast).0)
}

/// The rates of all token classes times a fraction, rounded half up. Web searches keep their price.
fn scaled(rates: Rates, fraction: (u64, u64)) -> Rates {
    let of = |rate| times(rate, fraction);
    Rates {
        input: of(rates.input),
        output: of(rates.output),
        cache_write_5m: of(rates.cache_write_5m),
        cache_write_1h: of(rates.cache_write_1h),
        cache_read: of(rates.cache_read),
        ..rates
    }
}

/// A rate times a fraction, rounded half up.
fn times(rate: u64, (numerator, denominator): (u64, u64)) -> u64 {
    let product = u128::from(rate) * u128::from(numerator) + u128::from(denominator / 2);
    u64::try_from(product / u128::from(denominator)).unwrap_or(u64::MAX)
}
