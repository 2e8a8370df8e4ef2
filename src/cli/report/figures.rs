//! How reports write money, tokens and names.

use crate::app::messages::amounts::grouped;
use crate::domain::money::NANOS_PER_USD;
use crate::ledger::report::tally::Tally;

const NANOS_PER_CENT: u64 = NANOS_PER_USD / 100;

/// Heights of a sparkline, from the lowest.
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Dollars with nine decimals, without grouping: `0.037125000`.
pub fn nine_decimals(nanos: u64) -> String {
    format!("{}.{:09}", nanos / NANOS_PER_USD, nanos % NANOS_PER_USD)
}

/// Dollars for people, rounded to cents: `$1,234.57`. Less than half a cent is `<$0.01`, never nothing.
pub fn dollars(nanos: u64) -> String {
    let cents = nanos / NANOS_PER_CENT + u64::from(nanos % NANOS_PER_CENT >= NANOS_PER_CENT / 2);
    if cents == 0 && nanos > 0 {
        return "<$0.01".to_owned();
    }
    format!("${}.{:02}", grouped(cents / 100), cents % 100)
}

/// [`dollars`] of a sum, with a `+` if it contains estimates.
pub fn cost(tally: Tally) -> String {
    dollars(tally.nanos) + if tally.is_estimated() { "+" } else { "" }
}

/// Thousands of tokens, rounded: `1,235`.
pub fn thousands(tokens: u64) -> String {
    grouped(tokens / 1000 + u64::from(tokens % 1000 >= 500))
}

/// A line of small bars, one for each value; nothing is a space, and the largest is full.
pub fn sparkline(values: &[u64]) -> String {
    let largest = values.iter().copied().max().unwrap_or(0);
    let bar = |value: &u64| match *value {
        0 => ' ',
        value => HEIGHTS[(u128::from(value) * 7 / u128::from(largest)) as usize],
    };
    values.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn money_is_rounded_for_people_and_exact_for_programs() {
        for (nanos, shown, exact) in [
            (0, "$0.00", "0.000000000"),
            (1, "<$0.01", "0.000000001"),
            (4_999_999, "<$0.01", "0.004999999"),
            (5_000_000, "$0.01", "0.005000000"),
            (37_125_000, "$0.04", "0.037125000"),
            (1_994_999_999, "$1.99", "1.994999999"),
            (1_995_000_000, "$2.00", "1.995000000"),
            (1_234_567_890_000_000, "$1,234,567.89", "1234567.890000000"),
        ] {
            assert_eq!((dollars(nanos).as_str(), nine_decimals(nanos).as_str()), (shown, exact));
        }
    }

    #[test]
    fn sparklines_show_the_smallest_value() {
        assert_eq!(sparkline(&[0, 1, 500, 1000]), " ▁▄█");
        assert_eq!(sparkline(&[]), "");
        assert_eq!(sparkline(&[0, 0]), "  ");
        assert_eq!(sparkline(&[u64::MAX, 1]), "█▁");
    }

    proptest! {
        /// The number in JSON is written with all its decimals.
        #[test]
        fn json_is_exact(nanos in 0_u64..4_000_000_000_000_000) {
            let text = serde_json::to_string(&crate::domain::money::usd(nanos)).unwrap();
            // `1e-9`, for example, is as exact.
            let (number, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
            let shift = 9 + exponent.parse::<i32>().unwrap() - i32::try_from(decimals.trim_end_matches('0').len()).unwrap();
            let digits: u64 = format!("{whole}{}", decimals.trim_end_matches('0')).parse().unwrap();
            prop_assert_eq!(digits * 10_u64.pow(u32::try_from(shift).unwrap()), nanos);
        }
    }
}
