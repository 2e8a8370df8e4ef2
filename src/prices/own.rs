//! What the configuration sets: rates of single models, and discounts.

use serde::{Deserialize, Serialize};

use super::table::Model;
use super::{name, scaled, times};
use crate::domain::money::Rates;

/// Parts of a discount in a whole: a discount of 10 % is 100,000.
pub const WHOLE: u32 = 1_000_000;

/// The names of the rates that can be set, in the order of [`OwnRates::rates`].
pub const CLASSES: [&str; 5] = ["input", "output", "cache_write_5m", "cache_write_1h", "cache_read"];

/// The prices in force: the built-in table, and the user's rates and discounts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Prices {
    /// The discount on all models without one of their own, in millionths.
    #[serde(skip_serializing_if = "is_zero")]
    pub discount: u32,
    /// What is set for single models.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<OwnRates>,
}

/// What the configuration sets for one model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OwnRates {
    /// The name as written.
    pub model: String,
    /// The rate of each of the [`CLASSES`], in picodollars per token, before the discount; `None`: the list price.
    pub rates: [Option<u64>; 5],
    /// The discount, in millionths; `None`: that of all models.
    pub discount: Option<u32>,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl Prices {
    /// Whether nothing is set.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether anything is set for this model, or a discount on all.
    pub fn sets(&self, model: &str) -> bool {
        let name = name::canonical(model);
        self.discount > 0 || self.of(&name, Model::find(&name)).is_some()
    }

    /// What is set for the model with this canonical name, under this or another of its names.
    pub(super) fn of(&self, name: &str, known: Option<Model>) -> Option<&OwnRates> {
        // A model's own name goes before another one of it.
        let exact = self.models.iter().find(|own| name::canonical(&own.model) == name);
        let is_same = |own: &&OwnRates| Model::find(&name::canonical(&own.model)) == known;
        exact.or_else(|| self.models.iter().filter(|_| known.is_some()).find(is_same))
    }

    /// The rates after the discount of the model or of all models.
    pub(super) fn discounted(&self, rates: Rates, own: Option<&OwnRates>) -> Rates {
        let discount = own.and_then(|own| own.discount).unwrap_or(self.discount).min(WHOLE);
        if discount == 0 {
            return rates;
        }
        let left = (u64::from(WHOLE - discount), u64::from(WHOLE));
        Rates { web_search: times(rates.web_search, left), ..scaled(rates, left) }
    }
}

impl OwnRates {
    /// These rates in place of the listed ones, whatever the length of the prompt. In fast mode they are doubled, which
    /// is an estimate. With all rates set, the price at standard speed is exact even if the model is not known.
    pub(super) fn over(&self, listed: Rates, fast: bool) -> Rates {
        let of = |own: Option<u64>, listed: u64| match own {
            Some(rate) if fast => rate.saturating_mul(2),
            Some(rate) => rate,
            None => listed,
        };
        let [input, output, cache_write_5m, cache_write_1h, cache_read] = self.rates;
        let is_complete = self.rates.iter().all(Option::is_some);
        let is_doubled = fast && self.rates.iter().any(Option::is_some);
        Rates {
            input: of(input, listed.input),
            output: of(output, listed.output),
            cache_write_5m: of(cache_write_5m, listed.cache_write_5m),
            cache_write_1h: of(cache_write_1h, listed.cache_write_1h),
            cache_read: of(cache_read, listed.cache_read),
            web_search: listed.web_search,
            is_estimate: is_doubled || (listed.is_estimate && !is_complete),
        }
    }
}
