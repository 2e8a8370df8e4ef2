//! Amounts as people write them.

use super::budget::Unit;
use super::money::NANOS_PER_USD;

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

fn parse_whole(text: &str) -> Option<u64> {
    let plain = text.replace(['_', ','], "");
    let (digits, factor) = match plain.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1_000),
        None => plain.strip_suffix('M').map_or((plain.as_str(), 1), |digits| (digits, 1_000_000)),
    };
    digits.parse::<u64>().ok().and_then(|n| n.checked_mul(factor)).filter(|n| *n <= MAX_AMOUNT)
}

/// Dollars in nano-dollars, with at most nine decimals.
fn parse_usd(text: &str) -> Option<u64> {
    let plain = text.replace(['_', ','], "");
    let (dollars, decimals) = plain.split_once('.').unwrap_or((&plain, ""));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(dollars) || decimals.len() > 9 || (plain.contains('.') && !is_number(decimals)) {
        return None;
    }
    let nanos = format!("{decimals:0<9}").parse::<u64>().ok()?;
    let dollars = dollars.parse::<u64>().ok()?;
    dollars.checked_mul(NANOS_PER_USD)?.checked_add(nanos).filter(|nanos| *nanos <= MAX_AMOUNT)
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
        for text in ["", "$", ".5", "5.", "-1", "1e3", "0.0000000001", "$10000000", "5 $", "five", "1k5"] {
            assert_eq!(amounts(text), None, "{text}");
        }
    }
}
