//! Token counts by class, for scripts and transcripts.

use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Tokens per class, as the API bills them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Uncached input.
    pub input: u64,
    /// Output.
    pub output: u64,
    /// Input written to the five-minute cache.
    pub cache_write_5m: u64,
    /// Input written to the one-hour cache.
    pub cache_write_1h: u64,
    /// Input read from the cache.
    pub cache_read: u64,
}

impl Usage {
    /// Uncached input and output only.
    pub const fn new(input: u64, output: u64) -> Self {
        Self { input, output, cache_write_5m: 0, cache_write_1h: 0, cache_read: 0 }
    }

    /// Adds cache writes and cache reads.
    pub const fn cache(mut self, five_minutes: u64, one_hour: u64, read: u64) -> Self {
        self.cache_write_5m = five_minutes;
        self.cache_write_1h = one_hour;
        self.cache_read = read;
        self
    }

    /// The sum of all classes.
    pub const fn sum(&self) -> u64 {
        self.input + self.output + self.cache_write_5m + self.cache_write_1h + self.cache_read
    }

    /// The `usage` object of a response; `delta` omits what a `message_delta` lacks.
    pub fn to_json(self, delta: bool) -> Value {
        let mut v = json!({
            "input_tokens": self.input,
            "output_tokens": self.output,
            "cache_creation_input_tokens": self.cache_write_5m + self.cache_write_1h,
            "cache_read_input_tokens": self.cache_read,
        });
        if !delta {
            v["cache_creation"] = json!({
                "ephemeral_5m_input_tokens": self.cache_write_5m,
                "ephemeral_1h_input_tokens": self.cache_write_1h,
            });
            v["service_tier"] = json!("standard");
        }
        v
    }
}

impl Add for Usage {
    type Output = Self;
    fn add(self, o: Self) -> Self {
        Self {
            input: self.input + o.input,
            output: self.output + o.output,
            cache_write_5m: self.cache_write_5m + o.cache_write_5m,
            cache_write_1h: self.cache_write_1h + o.cache_write_1h,
            cache_read: self.cache_read + o.cache_read,
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, o: Self) {
        *self = *self + o;
    }
}

impl std::iter::Sum for Usage {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), Add::add)
    }
}
