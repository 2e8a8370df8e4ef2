//! Counts and amounts as text.

use crate::domain::budget::Unit;
use crate::domain::money::{NANOS_PER_USD, rounded_usd};
use crate::domain::plan::exact_percent;

/// `1,234,567`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// An amount in nano-dollars: `$1,234.50`, `$0.0371`.
pub fn dollars(nanos: u64) -> String {
    let text = rounded_usd(nanos);
    let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
    let whole = whole.parse().unwrap_or(nanos / NANOS_PER_USD);
    format!("${}.{decimals}", grouped(whole))
}

/// A count without its unit: `1,234`; for dollars, `$1.23`; for percent, `87.50%`.
pub fn number(count: u64, unit: Unit) -> String {
    match unit {
        Unit::Usd => dollars(count),
        Unit::Percent => format!("{}%", exact_percent(count)),
        Unit::Tokens | Unit::Requests | Unit::ToolCalls => grouped(count),
    }
}

/// A count with its unit: `1,234 tokens`; for dollars, `$1.23`; for percent, `87.50%`.
pub fn quantity(count: u64, unit: Unit) -> String {
    match unit {
        Unit::Usd | Unit::Percent => number(count, unit),
        Unit::Tokens | Unit::Requests | Unit::ToolCalls => format!("{} {}", grouped(count), unit.noun()),
    }
}

/// How long something takes, given in milliseconds: `less than a minute`, `47 min`, `1 h 10 min`, `2 days 3 h`.
pub fn duration(ms: i64) -> String {
    let (days, hours, minutes) = (ms / 86_400_000, ms / 3_600_000 % 24, ms / 60_000 % 60);
    match (days, hours, minutes) {
        (..=0, ..=0, ..=0) => "less than a minute".to_owned(),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, 0) => format!("{hours} h"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (1, 0, _) => "1 day".to_owned(),
        (1, hours, _) => format!("1 day {hours} h"),
        (days, 0, _) => format!("{days} days"),
        (days, hours, _) => format!("{days} days {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn durations_have_two_units() {
        let minute = 60_000;
        for (ms, text) in [
            (-5, "less than a minute"),
            (minute - 1, "less than a minute"),
            (47 * minute + 59_999, "47 min"),
            (60 * minute, "1 h"),
            (70 * minute, "1 h 10 min"),
            (24 * 60 * minute + minute, "1 day"),
            (51 * 60 * minute + 30 * minute, "2 days 3 h"),
        ] {
            assert_eq!(duration(ms), text);
        }
    }
}
