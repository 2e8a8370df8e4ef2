//! Sums of records.

use crate::domain::usage::Usage;

/// What one or more records add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tokens by class.
    pub usage: Usage,
    /// Model responses, and recorded calls of platforms.
    pub requests: u64,
    /// Cost in nano-dollars. Sums saturate.
    pub nanos: u64,
    /// Whether some of the tokens are an estimate, such as those of a cut stream.
    pub has_estimated_usage: bool,
    /// Whether some of the cost is that of a similar model, because no exact price was known.
    pub has_estimated_price: bool,
}

impl Tally {
    /// The sum of both; estimated if one of them is.
    pub fn plus(self, other: Self) -> Self {
        Self {
            usage: self.usage.plus(other.usage),
            requests: self.requests.saturating_add(other.requests),
            nanos: self.nanos.saturating_add(other.nanos),
            has_estimated_usage: self.has_estimated_usage || other.has_estimated_usage,
            has_estimated_price: self.has_estimated_price || other.has_estimated_price,
        }
    }

    /// Whether any of it is an estimate.
    pub fn is_estimated(self) -> bool {
        self.has_estimated_usage || self.has_estimated_price
    }

    /// Tokens written to the prompt cache.
    pub fn cache_writes(self) -> u64 {
        self.usage.cache_write_5m.saturating_add(self.usage.cache_write_1h)
    }

    /// Tokens written to and read from the prompt cache.
    pub fn cache(self) -> u64 {
        self.cache_writes().saturating_add(self.usage.cache_read)
    }
}

impl std::iter::Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), Self::plus)
    }
}
