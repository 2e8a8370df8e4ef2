//! What the configuration sets: rates of single models, and discounts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::table::Model;
use super::{name, scaled, times};
use crate::domain::money::Rates;

/// Parts of a discount in a whole: a discount of 10 % is 100,000.
pub const WHOLE: u32 = 1_000_000;

/// The prices in force: the built-in table, and the user's rates and discounts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Prices {
    /// The discount on all models without one of their own, in millionths.
    #[serde(skip_serializing_if = "is_zero")]
    pub discount: u32,
    /// What is set for single models, by the name as written.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<String, OwnRates>,
}

/// What the configuration sets for one model. Rates in picodollars per token, before the discount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OwnRates {
    /// Fresh input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<u64>,
    /// Output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<u64>,
    /// Cache writes for five minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_5m: Option<u64>,
    /// Cache writes for one hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<u64>,
    /// Cache reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<u64>,
    /// The discount, in millionths; `None`: that of all models.
    #[serde(skip_serializing_if = "Option::is_none")]
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
        let is_same = |written: &str| {
            let written = name::canonical(written);
            written == name || (known.is_some() && Model::find(&written) == known)
        };
        // A model's own name goes before another one of it.
        let exact = self.models.iter().find(|(written, _)| name::canonical(written) == name);
        exact.or_else(|| self.models.iter().find(|(written, _)| is_same(written))).map(|(_, own)| own)
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
        let classes = [self.input, self.output, self.cache_write_5m, self.cache_write_1h, self.cache_read];
        let is_complete = classes.iter().all(Option::is_some);
        let is_doubled = fast && classes.iter().any(Option::is_some);
        Rates {
            input: of(self.input, listed.input),
            output: of(self.output, listed.output),
            cache_write_5m: of(self.cache_write_5m, listed.cache_write_5m),
            cache_write_1h: of(self.cache_write_1h, listed.cache_write_1h),
            cache_read: of(self.cache_read, listed.cache_read),
            web_search: listed.web_search,
            is_estimate: is_doubled || (listed.is_estimate && !is_complete),
        }
    }
}
