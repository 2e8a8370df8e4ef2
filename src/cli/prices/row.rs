//! A price as a row of a table, and as JSON.

use serde::Serialize;

use super::prompts;
use crate::domain::money::{Rates, Terms};
use crate::domain::time::Timestamp;
use crate::prices::Prices;
use crate::prices::table::{Model, Tier};

/// The columns.
pub const HEADER: [&str; 8] = ["PROMPT", "SPEED", "INPUT", "OUTPUT", "WRITE 5min", "WRITE 1h", "READ", ""];

/// Those with numbers.
pub const RIGHT: [&str; 5] = ["INPUT", "OUTPUT", "WRITE 5min", "WRITE 1h", "READ"];

/// What a million tokens of a model cost, in dollars, for prompts of some length and at some speed.
#[derive(Debug, Serialize)]
pub struct PriceRow {
    /// For prompts of more tokens than this.
    pub prompt_above: u64,
    /// Where the next price at this speed begins.
    #[serde(skip)]
    next: Option<u64>,
    /// `standard` or `fast`.
    pub speed: &'static str,
    /// Fresh input.
    pub input: f64,
    /// Output.
    pub output: f64,
    /// Cache writes for five minutes.
    pub cache_write_5m: f64,
    /// Cache writes for one hour.
    pub cache_write_1h: f64,
    /// Cache reads.
    pub cache_read: f64,
    /// 1,000 web searches.
    pub web_search_per_1000: f64,
    /// Whether the price is not exact.
    pub estimated: bool,
}

impl PriceRow {
    /// The prices of a model under one of its names: the configuration may set others for each name.
    pub fn of_model(prices: &Prices, model: Model, name: &str, at: Timestamp) -> Vec<Self> {
        let tiers = model.tiers(at);
        let row = |tier: &Tier| {
            let next = tiers.iter().filter(|next| next.is_fast == tier.is_fast && next.above > tier.above);
            let terms = Terms { fast: tier.is_fast, ..Terms::default() };
            let rates = prices.quote_model(model, name, at, tier.above + u64::from(tier.above > 0), terms);
            Self { next: next.map(|next| next.above).min(), ..Self::new(tier.above, tier.is_fast, rates) }
        };
        tiers.iter().map(row).collect()
    }

    /// The price of a model that is not in the table.
    pub fn of_name(prices: &Prices, name: &str, at: Timestamp) -> Self {
        Self::new(0, false, prices.quote(name, at, 0, Terms::default()))
    }

    fn new(prompt_above: u64, is_fast: bool, rates: Rates) -> Self {
        // Picodollars per token, and nano-dollars per search.
        let per_million = |rate: u64| rate as f64 / 1e6;
        Self {
            prompt_above,
            next: None,
            speed: if is_fast { "fast" } else { "standard" },
            input: per_million(rates.input),
            output: per_million(rates.output),
            cache_write_5m: per_million(rates.cache_write_5m),
            cache_write_1h: per_million(rates.cache_write_1h),
            cache_read: per_million(rates.cache_read),
            web_search_per_1000: per_million(rates.web_search),
            estimated: rates.is_estimate,
        }
    }

    /// The cells of a table's row.
    pub fn cells(&self) -> Vec<String> {
        let rates =
            [self.input, self.output, self.cache_write_5m, self.cache_write_1h, self.cache_read].map(dollars);
        let note = if self.estimated { "estimated" } else { "" };
        [
            vec![prompts(self.prompt_above, self.next), self.speed.to_owned()],
            rates.to_vec(),
            vec![note.to_owned()],
        ]
        .concat()
    }
}

/// `5.00`, `0.0125`: dollars with at least two decimals.
pub fn dollars(amount: f64) -> String {
    let text = format!("{amount:.6}");
    let zeros = text.len() - text.trim_end_matches('0').len();
    text[..text.len() - zeros.min(4)].to_owned()
}
