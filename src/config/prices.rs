//! What models cost, from `[prices]`.

use serde_json::Value;

use super::draft::Draft;
use super::field::{MODEL_PRICE, PRICES, is_model, model_price, setting, supported, unknown_name};
use crate::prices::own::CLASSES;
use crate::prices::{OwnRates, Prices};

/// Picodollars per token in a dollar per million tokens, and millionths in a whole.
const MILLION: f64 = 1e6;

impl Draft {
    /// The rates and discounts that are set.
    pub(super) fn prices(&self) -> Prices {
        let discount =
            setting("prices.discount").map(|field| self.get(field).value).as_ref().and_then(millionths);
        let mut prices = Prices {
            discount: discount.and_then(|n| u32::try_from(n).ok()).unwrap_or_default(),
            ..Prices::default()
        };
        for (path, sourced) in self.model_prices() {
            let Some((model, key)) = model_price(path) else { continue };
            // The keys of a model follow each other.
            if prices.models.last().is_none_or(|last| last.model != model) {
                prices.models.push(OwnRates { model: model.to_owned(), ..OwnRates::default() });
            }
            let (Some(own), value) = (prices.models.last_mut(), millionths(&sourced.value)) else { continue };
            match CLASSES.iter().position(|class| *class == key) {
                Some(class) => own.rates[class] = value,
                None => own.discount = value.and_then(|n| u32::try_from(n).ok()),
            }
        }
        prices
    }
}

/// Whether a key is one of `[prices]`.
pub(super) fn is_price(key: &str) -> bool {
    key.strip_prefix(PRICES).is_some_and(|rest| rest.starts_with('.'))
}

/// The message for an unknown key of `[prices]` or of a model in it.
pub(super) fn unknown_key(path: &str) -> String {
    let known: Vec<&str> = supported(&MODEL_PRICE).collect();
    match model_price(path) {
        Some((model, _)) if !is_model(model) => {
            "must be the name of a model, without spaces, quotes and backslashes".into()
        }
        Some((_, key)) => unknown_name("unknown key", key, &known),
        None => format!(
            "unknown key; allowed in [{PRICES}]: discount, or a table [{PRICES}.\"MODEL\"] with {}",
            known.join(", ")
        ),
    }
}

/// A number that was checked when it was set, times a million.
fn millionths(value: &Value) -> Option<u64> {
    value.as_f64().map(|number| (number * MILLION).round() as u64)
}
