//! Money: nano-dollars, and the rates at which tokens are billed.

use serde::{Deserialize, Serialize};

use super::usage::Usage;

/// Nano-dollars in a dollar. The cheapest token costs a fraction of a micro-dollar.
pub const NANOS_PER_USD: u64 = 1_000_000_000;

/// Picodollars in a nano-dollar.
const PICOS_PER_NANO: u128 = 1000;

/// What the tokens of one response cost: picodollars (10⁻¹² USD) per token. One dollar per million tokens is 1,000,000.
/// Each class has its own rate, because the ratios between them differ by model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Rates {
    /// Fresh input.
    pub input: u64,
    /// Output.
    pub output: u64,
    /// Cache writes for five minutes.
    pub cache_write_5m: u64,
    /// Cache writes for one hour.
    pub cache_write_1h: u64,
    /// Cache reads.
    pub cache_read: u64,
    /// One web search, in nano-dollars.
    pub web_search: u64,
    /// Whether no exact price is known: these rates are those of a similar model.
    pub is_estimate: bool,
}

impl Rates {
    /// The price of this usage and these web searches, in nano-dollars, rounded once, half up.
    pub fn cost(&self, usage: Usage, web_searches: u64) -> u64 {
        let of = |tokens: u64, rate: u64| u128::from(tokens) * u128::from(rate);
        let picos = [
            of(usage.input, self.input),
            of(usage.output, self.output),
            of(usage.cache_write_5m, self.cache_write_5m),
            of(usage.cache_write_1h, self.cache_write_1h),
            of(usage.cache_read, self.cache_read),
        ];
        let sum = picos.into_iter().fold(0, u128::saturating_add);
        let searches = u128::from(web_searches) * u128::from(self.web_search);
        let nanos = (sum + PICOS_PER_NANO / 2) / PICOS_PER_NANO + searches;
        u64::try_from(nanos).unwrap_or(u64::MAX).min(MAX_NANOS)
    }
}

/// The most that one response can cost: a million dollars. Larger sums would overflow counters.
const MAX_NANOS: u64 = 1_000_000 * NANOS_PER_USD;

/// Terms of a request that change its price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Terms {
    /// The fast mode of the model, as the response says (`usage.speed`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fast: bool,
    /// Inference in the United States only (`usage.inference_geo`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub us_only: bool,
    /// A batch request (`usage.service_tier`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub batch: bool,
}

impl Terms {
    /// The terms that either reading of a response names.
    pub fn or(self, other: Self) -> Self {
        Self {
            fast: self.fast || other.fast,
            us_only: self.us_only || other.us_only,
            batch: self.batch || other.batch,
        }
    }
}
