//! Amounts as people write them, and as JSON has them.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::budget::Unit;
use super::money::{NANOS_PER_USD, nanos_from_usd, usd};

/// The largest amount accepted. Larger numbers are not exact in JSON.
const MAX_AMOUNT: u64 = 1 << 53;

/// An amount whose unit may not be known yet: `5` is five tokens for one budget and five dollars for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenAmount {
    whole: Option<u64>,
    nano_usd: Option<u64>,
}

impl WrittenAmount {
    /// Parses `200000`, `200_000`, `200,000`, `200k`, `1M`, `$5`, `2.50`.
    pub fn parse(text: &str) -> Option<Self> {
        let (text, is_usd) = text.strip_prefix('$').map_or((text, false), |text| (text, true));
        let whole = parse_whole(text).filter(|_| !is_usd);
        let nano_usd = parse_usd(text);
        (whole.is_some() || nano_usd.is_some()).then_some(Self { whole, nano_usd })
    }

    /// `count` units of a budget: nano-dollars, if it counts dollars.
    pub fn from_count(count: u64) -> Self {
        Self { whole: Some(count), nano_usd: Some(count) }
    }

    /// The amount in a unit, dollars in nano-dollars; `None` if it means another unit.
    pub fn in_unit(self, unit: Unit) -> Option<u64> {
        match unit {
            Unit::Usd => self.nano_usd,
            Unit::Tokens | Unit::Requests | Unit::ToolCalls => self.whole,
        }
    }
}

/// A count of units. In JSON a whole number, or, for a budget in dollars, dollars with decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Tokens, requests or tool calls.
    Whole(u64),
    /// Nano-dollars.
    NanoUsd(u64),
}

impl Count {
    /// `units` of a budget with this unit.
    pub fn new(units: u64, unit: Unit) -> Self {
        match unit {
            Unit::Usd => Self::NanoUsd(units),
            Unit::Tokens | Unit::Requests | Unit::ToolCalls => Self::Whole(units),
        }
    }

    /// The units, dollars in nano-dollars.
    pub fn units(self) -> u64 {
        match self {
            Self::Whole(units) | Self::NanoUsd(units) => units,
        }
    }
}

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Whole(units) => serializer.serialize_u64(units),
            Self::NanoUsd(nanos) => serializer.serialize_f64(usd(nanos)),
        }
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_u64<E: Error>(self, units: u64) -> Result<Count, E> {
                Ok(Count::Whole(units))
            }

            fn visit_f64<E: Error>(self, dollars: f64) -> Result<Count, E> {
                Ok(Count::NanoUsd(nanos_from_usd(dollars)))
            }
        }
        deserializer.deserialize_any(Number)
    }
}

fn parse_whole(text: &str) -> Option<u64> {
    let (digits, factor) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1_000),
        None => text.strip_suffix('M').map_or((text, 1), |digits| (digits, 1_000_000)),
    };
    ungrouped(digits)?.parse::<u64>().ok().and_then(|n| n.checked_mul(factor)).filter(|n| *n <= MAX_AMOUNT)
}

/// Dollars in nano-dollars, with at most nine decimals.
fn parse_usd(text: &str) -> Option<u64> {
    let (dollars, decimals) = text.split_once('.').unwrap_or((text, ""));
    let (dollars, decimals) = (ungrouped(dollars)?, decimals.replace('_', ""));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(&dollars) || decimals.len() > 9 || (text.contains('.') && !is_number(&decimals)) {
        return None;
    }
    let nanos = format!("{decimals:0<9}").parse::<u64>().ok()?;
    let dollars = dollars.parse::<u64>().ok()?;
    dollars.checked_mul(NANOS_PER_USD)?.checked_add(nanos).filter(|nanos| *nanos <= MAX_AMOUNT)
}

/// A whole number without its separators. After a comma there must be groups of three digits: in `1,50` it is a decimal
/// point.
fn ungrouped(text: &str) -> Option<String> {
    let mut groups = text.split(['_', ',']);
    let first = groups.next().unwrap_or_default();
    let is_grouped = (1..=3).contains(&first.len()) && groups.all(|group| group.len() == 3);
    (is_grouped || !text.contains(',')).then(|| text.replace(['_', ','], ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amounts(text: &str) -> Option<(Option<u64>, Option<u64>)> {
        let amount = WrittenAmount::parse(text)?;
        Some((amount.in_unit(Unit::Tokens), amount.in_unit(Unit::Usd)))
    }

    #[test]
    fn what_people_write() {
        assert_eq!(amounts("200000"), Some((Some(200_000), Some(200_000_000_000_000))));
        assert_eq!(amounts("1,234_567"), Some((Some(1_234_567), Some(1_234_567_000_000_000))));
        assert_eq!(amounts("200k"), Some((Some(200_000), None)));
        assert_eq!(amounts("1M"), Some((Some(1_000_000), None)));
        assert_eq!(amounts("$5"), Some((None, Some(5_000_000_000))));
        assert_eq!(amounts("2.50"), Some((None, Some(2_500_000_000))));
        assert_eq!(amounts("$0.000000001"), Some((None, Some(1))));
        assert_eq!(amounts("$1,234.50"), Some((None, Some(1_234_500_000_000))));
        assert_eq!(amounts("1,200k"), Some((Some(1_200_000), None)));
        for text in ["1,50", "1,5k", "1,2,3", ",5", "1.234,50", "1,234,5", "1234,567", "1,,234", "1,234,"] {
            assert_eq!(amounts(text), None, "a comma is no decimal point: {text}");
        }
        for text in ["", "$", ".5", "5.", "-1", "1e3", "0.0000000001", "$10000000", "5 $", "five", "1k5"] {
            assert_eq!(amounts(text), None, "{text}");
        }
    }
}
