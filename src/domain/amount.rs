//! Amounts as people write them, and as JSON has them.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::budget::Unit;
use super::money::{nanos_from_usd, usd};
use super::plan::UNITS_PER_PERCENT;

/// The largest amount accepted. Larger numbers are not exact in JSON.
const MAX_AMOUNT: u64 = 1 << 53;

/// Billionths in a hundredth of a percent.
const BILLIONTHS: u64 = 1_000_000_000 / UNITS_PER_PERCENT;

/// An amount whose unit may not be known yet: `5` is five tokens for one budget and five dollars for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenAmount {
    whole: Option<u64>,
    nano_usd: Option<u64>,
    /// Hundredths of a percent.
    percent: Option<u64>,
}

impl WrittenAmount {
    /// Parses `200000`, `200_000`, `200,000`, `200k`, `1M`, `$5`, `2.50`, `5%`.
    pub fn parse(text: &str) -> Option<Self> {
        let (amount, sign) = match (text.strip_prefix('$'), text.strip_suffix('%')) {
            (Some(dollars), _) => (dollars, Some(Unit::Usd)),
            (None, Some(percent)) => (percent, Some(Unit::Percent)),
            (None, None) => (text, None),
        };
        let found = Self {
            whole: parse_whole(amount).filter(|_| sign.is_none()),
            nano_usd: parse_decimal(amount, 9).filter(|_| sign != Some(Unit::Percent)),
            percent: parse_decimal(amount, 2).filter(|_| sign != Some(Unit::Usd)),
        };
        (found != Self { whole: None, nano_usd: None, percent: None }).then_some(found)
    }

    /// `count` units of a budget: nano-dollars, if it counts dollars.
    pub fn from_count(count: u64) -> Self {
        Self { whole: Some(count), nano_usd: Some(count), percent: Some(count) }
    }

    /// The amount in a unit, dollars in nano-dollars, percent in hundredths; `None` if it means another unit.
    pub fn in_unit(self, unit: Unit) -> Option<u64> {
        match unit {
            Unit::Usd => self.nano_usd,
            Unit::Percent => self.percent,
            Unit::Tokens | Unit::Requests | Unit::ToolCalls => self.whole,
        }
    }
}

/// A count of units. In JSON a whole number, or, for a budget in dollars or percent, a number with decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Tokens, requests or tool calls.
    Whole(u64),
    /// Billionths of dollars or percent.
    Decimal(u64),
}

impl Count {
    /// `units` of a budget with this unit.
    pub fn new(units: u64, unit: Unit) -> Self {
        match unit {
            Unit::Usd => Self::Decimal(units),
            Unit::Percent => Self::Decimal(units.saturating_mul(BILLIONTHS)),
            Unit::Tokens | Unit::Requests | Unit::ToolCalls => Self::Whole(units),
        }
    }

    /// The units of a budget with this unit: dollars in nano-dollars, percent in hundredths.
    pub fn units(self, unit: Unit) -> u64 {
        match (self, unit) {
            (Self::Decimal(billionths), Unit::Percent) => billionths / BILLIONTHS,
            (Self::Whole(units) | Self::Decimal(units), _) => units,
        }
    }
}

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Whole(units) => serializer.serialize_u64(units),
            Self::Decimal(billionths) => serializer.serialize_f64(usd(billionths)),
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

            fn visit_f64<E: Error>(self, decimal: f64) -> Result<Count, E> {
                Ok(Count::Decimal(nanos_from_usd(decimal)))
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

/// A number with at most this many decimals, in units of the last one.
fn parse_decimal(text: &str, decimals: u32) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let (whole, fraction) = (ungrouped(whole)?, fraction.replace('_', ""));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let width = decimals as usize;
    if !is_number(&whole) || fraction.len() > width || (text.contains('.') && !is_number(&fraction)) {
        return None;
    }
    let fraction = format!("{fraction:0<width$}").parse::<u64>().ok()?;
    let whole = whole.parse::<u64>().ok()?;
    whole.checked_mul(10_u64.pow(decimals))?.checked_add(fraction).filter(|units| *units <= MAX_AMOUNT)
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
        for text in
            ["", "$", ".5", "5.", "-1", "1e3", "0.0000000001", "$10000000", "5 $", "five", "1k5", "%", "$5%"]
        {
            assert_eq!(amounts(text), None, "{text}");
        }
    }

    #[test]
    fn percent_have_two_decimals() {
        let percent = |text| WrittenAmount::parse(text).and_then(|amount| amount.in_unit(Unit::Percent));
        for (text, hundredths) in
            [("5", Some(500)), ("5%", Some(500)), ("2.5%", Some(250)), ("2.05", Some(205))]
        {
            assert_eq!(percent(text), hundredths, "{text}");
        }
        for text in ["2.005", "2.005%", "$5", "5k", "-5%", "5 %"] {
            assert_eq!(percent(text), None, "{text}");
        }
        let amount = WrittenAmount::parse("5%").expect("an amount");
        assert_eq!((amount.in_unit(Unit::Tokens), amount.in_unit(Unit::Usd)), (None, None));
    }

    #[test]
    fn counts_are_the_same_after_a_round_trip() {
        for (units, unit, json) in [
            (8_731, Unit::Percent, "87.31"),
            (9_000, Unit::Percent, "90.0"),
            (0, Unit::Percent, "0.0"),
            (37_125_000, Unit::Usd, "0.037125"),
            (90, Unit::Tokens, "90"),
        ] {
            let text = serde_json::to_string(&Count::new(units, unit)).expect("JSON");
            assert_eq!(text, json);
            let read: Count = serde_json::from_str(&text).expect("a count");
            assert_eq!(read.units(unit), units, "{text}");
        }
    }
}
