//! Counter values and changes by class, and their stored text.
//!
//! To add a class, add a field to [`CounterDelta`] and a name to [`CLASSES`]; code that misses it fails to compile or
//! fails the tests below.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::domain::usage::{Amount, Usage};

/// The counted classes, in the order of the stored text. The SQL columns have the same names.
pub const CLASSES: [&str; 9] = [
    "input",
    "output",
    "cache_write_5m",
    "cache_write_1h",
    "cache_read",
    "requests",
    "tool_calls",
    "nano_usd",
    "nano_usd_estimated",
];

/// Counts in the order of [`CLASSES`], for text and JSON.
type CountRow = [i64; CLASSES.len()];

/// Signed counts by class: the value of a counter, or a change to it. In JSON an array in the order of [`CLASSES`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "CountRow", into = "CountRow")]
pub struct CounterDelta {
    /// Tokens neither written to nor read from the prompt cache.
    pub input: i64,
    /// Tokens that the model wrote.
    pub output: i64,
    /// Tokens written to the prompt cache for five minutes.
    pub cache_write_5m: i64,
    /// Tokens written to the prompt cache for one hour.
    pub cache_write_1h: i64,
    /// Tokens read from the prompt cache.
    pub cache_read: i64,
    /// Model responses.
    pub requests: i64,
    /// Tool calls.
    pub tool_calls: i64,
    /// The price, in nano-dollars.
    pub nano_usd: i64,
    /// The estimated part of the price.
    pub nano_usd_estimated: i64,
}

impl CounterDelta {
    /// The change that adds an amount.
    pub fn from_amount(amount: &Amount) -> Self {
        let Amount { usage, requests, tool_calls, nano_usd, nano_usd_estimated } = *amount;
        let Usage { input, output, cache_write_5m, cache_write_1h, cache_read } = usage;
        let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        Self {
            input: signed(input),
            output: signed(output),
            cache_write_5m: signed(cache_write_5m),
            cache_write_1h: signed(cache_write_1h),
            cache_read: signed(cache_read),
            requests: signed(requests),
            tool_calls: signed(tool_calls),
            nano_usd: signed(nano_usd),
            nano_usd_estimated: signed(nano_usd_estimated),
        }
    }

    /// The value as an amount, never below 0.
    pub fn amount(self) -> Amount {
        let unsigned = |count: i64| u64::try_from(count).unwrap_or(0);
        let usage = Usage {
            input: unsigned(self.input),
            output: unsigned(self.output),
            cache_write_5m: unsigned(self.cache_write_5m),
            cache_write_1h: unsigned(self.cache_write_1h),
            cache_read: unsigned(self.cache_read),
        };
        Amount {
            usage,
            requests: unsigned(self.requests),
            tool_calls: unsigned(self.tool_calls),
            nano_usd: unsigned(self.nano_usd),
            nano_usd_estimated: unsigned(self.nano_usd_estimated),
        }
    }

    /// Adds another change.
    pub fn add(&mut self, other: &Self) {
        *self = self.zip(other, |a, b| a + b);
    }

    /// The opposite change.
    #[must_use]
    pub fn negated(&self) -> Self {
        self.zip(self, |n, _| -n)
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    /// Whether it changes nothing.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    /// `amount` after this change.
    pub fn apply_to(&self, amount: &Amount) -> Amount {
        Self::from_amount(amount).plus(self).amount()
    }

    fn zip(&self, other: &Self, f: impl Fn(i64, i64) -> i64) -> Self {
        let (mut row, other) = (CountRow::from(*self), CountRow::from(*other));
        row.iter_mut().zip(other).for_each(|(a, b)| *a = f(*a, b));
        row.into()
    }
}

impl From<CountRow> for CounterDelta {
    fn from(row: CountRow) -> Self {
        let [
            input,
            output,
            cache_write_5m,
            cache_write_1h,
            cache_read,
            requests,
            tool_calls,
            nano_usd,
            nano_usd_estimated,
        ] = row;
        Self {
            input,
            output,
            cache_write_5m,
            cache_write_1h,
            cache_read,
            requests,
            tool_calls,
            nano_usd,
            nano_usd_estimated,
        }
    }
}

impl From<CounterDelta> for CountRow {
    fn from(counts: CounterDelta) -> Self {
        [
            counts.input,
            counts.output,
            counts.cache_write_5m,
            counts.cache_write_1h,
            counts.cache_read,
            counts.requests,
            counts.tool_calls,
            counts.nano_usd,
            counts.nano_usd_estimated,
        ]
    }
}

impl fmt::Display for CounterDelta {
    /// The stored text: `1,2,3,4,5,6,7,8,9`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = itoa::Buffer::new();
        for (place, count) in CountRow::from(*self).into_iter().enumerate() {
            if place > 0 {
                f.write_str(",")?;
            }
            f.write_str(buffer.format(count))?;
        }
        Ok(())
    }
}

/// Text that is not a list of counts.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not a list of {count} counts", count = CLASSES.len())]
pub struct InvalidCounts(String);

impl FromStr for CounterDelta {
    type Err = InvalidCounts;

    /// Parses the output of [`fmt::Display`].
    fn from_str(text: &str) -> Result<Self, InvalidCounts> {
        let mut row = CountRow::default();
        let mut parts = text.split(',');
        for count in &mut row {
            let part = parts.next().and_then(|part| part.parse().ok());
            *count = part.ok_or_else(|| InvalidCounts(text.to_owned()))?;
        }
        Ok(row.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_read_as_it_was_written() {
        let counts: CounterDelta = [1, -2, 3, 4, 5, 6, 7, 8, 9].into();
        assert_eq!(counts.to_string(), "1,-2,3,4,5,6,7,8,9");
        assert_eq!(counts.to_string().parse::<CounterDelta>().expect("read"), counts);
        assert!("1,2,3,4,5,6,7,8".parse::<CounterDelta>().is_err());
        assert_eq!(counts.amount().usage.output, 0, "never below 0");
        assert!(counts.plus(&counts.negated()).is_zero());
    }

    #[test]
    fn each_name_stands_at_its_fields_place() {
        let usage = Usage { input: 1, output: 2, cache_write_5m: 3, cache_write_1h: 4, cache_read: 5 };
        let amount = Amount { usage, requests: 6, tool_calls: 7, nano_usd: 8, nano_usd_estimated: 9 };
        let named = serde_json::to_value(amount).expect("JSON");
        let row = CountRow::from(CounterDelta::from_amount(&amount));
        for (name, count) in CLASSES.iter().zip(row) {
            let found = named.get(name).or_else(|| named["usage"].get(name));
            assert_eq!(found.and_then(serde_json::Value::as_i64), Some(count), "{name}");
        }
        assert_eq!(CounterDelta::from_amount(&amount).amount(), amount);
    }
}
