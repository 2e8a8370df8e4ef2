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
        u64::try_from(nanos).unwrap_or(u64::MAX).min(MAX_COST)
    }
}

/// The most that one response can cost, in nano-dollars: a million dollars. Larger sums would overflow counters.
pub const MAX_COST: u64 = 1_000_000 * NANOS_PER_USD;

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

/// All decimals of an amount in nano-dollars, at least two: `5.00`, `0.037125`.
pub fn exact_usd(nanos: u64) -> String {
    let decimals = format!("{:09}", nanos % NANOS_PER_USD);
    let kept = decimals.trim_end_matches('0').len().max(2);
    format!("{}.{}", nanos / NANOS_PER_USD, &decimals[..kept])
}

/// Nano-dollars as a number of dollars, for JSON. Exact in print for less than a million dollars.
pub fn usd(nanos: u64) -> f64 {
    nanos as f64 / NANOS_PER_USD as f64
}

/// A number of dollars from JSON or a configuration, in nano-dollars.
pub fn nanos_from_usd(dollars: f64) -> u64 {
    (dollars * NANOS_PER_USD as f64).round() as u64
}

/// An amount in nano-dollars, rounded for reading: to cents, or, below ten cents, to hundredths of a cent. Without
/// separators between thousands.
pub fn rounded_usd(nanos: u64) -> String {
    let decimals = if nanos < NANOS_PER_USD / 10 { 4 } else { 2 };
    let unit = NANOS_PER_USD / 10_u64.pow(decimals);
    let units = nanos.saturating_add(unit / 2) / unit;
    let per_usd = NANOS_PER_USD / unit;
    format!("{}.{:0width$}", units / per_usd, units % per_usd, width = decimals as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_in_text() {
        for (nanos, exact, rounded) in [
            (0, "0.00", "0.0000"),
            (1, "0.000000001", "0.0000"),
            (37_125_000, "0.037125", "0.0371"),
            (99_999_999, "0.099999999", "0.1000"),
            (100_000_000, "0.10", "0.10"),
            (5_000_000_000, "5.00", "5.00"),
            (1_234_565_000_000, "1234.565", "1234.57"),
        ] {
            assert_eq!((exact_usd(nanos).as_str(), rounded_usd(nanos).as_str()), (exact, rounded));
        }
        assert_eq!(serde_json::to_string(&usd(37_125_000)).expect("JSON"), "0.037125");
        assert_eq!(serde_json::to_string(&usd(999_999_999_999_999)).expect("JSON"), "999999.999999999");
    }

    #[test]
    fn a_price_is_rounded_once() {
        let rates = Rates { input: 400, output: 600, web_search: 10_000_000, ..Rates::default() };
        // 0.4 + 0.6 nano-dollars.
        assert_eq!(rates.cost(Usage { input: 1, output: 1, ..Usage::default() }, 0), 1);
        assert_eq!(rates.cost(Usage { input: 1, ..Usage::default() }, 0), 0);
        assert_eq!(rates.cost(Usage { output: 1, ..Usage::default() }, 3), 30_000_001);
        let dear = Rates { input: u64::MAX, ..rates };
        assert_eq!(dear.cost(Usage { input: u64::MAX, ..Usage::default() }, 0), MAX_COST);
    }
}
