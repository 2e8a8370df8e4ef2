//! Tokens by class, and the amount that a message adds to a counter.

use serde::{Deserialize, Serialize};

/// Tokens of one or more model responses, by class. Classes have different prices, so they are never mixed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens read by the model that were neither written to nor read from the prompt cache.
    pub input: u64,
    /// Tokens that the model wrote, thinking included.
    pub output: u64,
    /// Tokens written to the prompt cache for five minutes.
    pub cache_write_5m: u64,
    /// Tokens written to the prompt cache for one hour.
    pub cache_write_1h: u64,
    /// Tokens read from the prompt cache.
    pub cache_read: u64,
}

/// The maximum believed for one class of one response: a million times the largest context. Larger sums would overflow
/// in a database, and a counter that cannot be read guards nothing.
const MAX_TOKENS: u64 = 1 << 40;

impl Usage {
    /// The same usage, with impossible numbers capped.
    pub fn capped(self) -> Self {
        self.zip(self, |n, _| n.min(MAX_TOKENS))
    }

    fn zip(self, other: Self, f: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            input: f(self.input, other.input),
            output: f(self.output, other.output),
            cache_write_5m: f(self.cache_write_5m, other.cache_write_5m),
            cache_write_1h: f(self.cache_write_1h, other.cache_write_1h),
            cache_read: f(self.cache_read, other.cache_read),
        }
    }

    /// The larger of both per class. Used for lines that describe the same response.
    pub fn max(self, other: Self) -> Self {
        self.zip(other, u64::max)
    }

    /// The smaller of both per class.
    pub fn min(self, other: Self) -> Self {
        self.zip(other, u64::min)
    }

    /// The sum per class.
    pub fn plus(self, other: Self) -> Self {
        self.zip(other, u64::saturating_add)
    }

    /// The difference per class, never below 0.
    pub fn saturating_minus(self, other: Self) -> Self {
        self.zip(other, u64::saturating_sub)
    }

    /// Whether this is at least `other` in every class.
    pub fn covers(self, other: Self) -> bool {
        self.max(other) == self
    }

    /// The sum of all classes.
    pub fn total(self) -> u64 {
        self.context().saturating_add(self.output)
    }

    /// Everything the model read: the size of the conversation at this response.
    pub fn context(self) -> u64 {
        self.input
            .saturating_add(self.cache_write_5m)
            .saturating_add(self.cache_write_1h)
            .saturating_add(self.cache_read)
    }
}

/// What a counter holds: tokens by class, responses, tool calls and their price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Amount {
    /// Tokens by class.
    pub usage: Usage,
    /// Model responses.
    pub requests: u64,
    /// Distinct `tool_use` blocks.
    pub tool_calls: u64,
    /// The price, in nano-dollars.
    #[serde(default)]
    pub nano_usd: u64,
    /// The part of the price that is estimated, because the tokens or the rates are.
    #[serde(default)]
    pub nano_usd_estimated: u64,
}

impl Amount {
    /// The sum of both.
    pub fn plus(self, other: Self) -> Self {
        Self {
            usage: self.usage.plus(other.usage),
            requests: self.requests.saturating_add(other.requests),
            tool_calls: self.tool_calls.saturating_add(other.tool_calls),
            nano_usd: self.nano_usd.saturating_add(other.nano_usd),
            nano_usd_estimated: self.nano_usd_estimated.saturating_add(other.nano_usd_estimated),
        }
    }

    /// The difference, never below 0.
    pub fn saturating_minus(self, other: Self) -> Self {
        Self {
            usage: self.usage.saturating_minus(other.usage),
            requests: self.requests.saturating_sub(other.requests),
            tool_calls: self.tool_calls.saturating_sub(other.tool_calls),
            nano_usd: self.nano_usd.saturating_sub(other.nano_usd),
            nano_usd_estimated: self.nano_usd_estimated.saturating_sub(other.nano_usd_estimated),
        }
    }
}
