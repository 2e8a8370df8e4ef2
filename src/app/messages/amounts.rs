//! Counts and amounts as text.

use crate::domain::budget::Unit;
use crate::domain::money::{NANOS_PER_USD, rounded_usd};

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

/// A count without its unit: `1,234`; for dollars, `$1.23`.
pub fn number(count: u64, unit: Unit) -> String {
    match unit {
        Unit::Usd => dollars(count),
        Unit::Tokens | Unit::Requests | Unit::ToolCalls => grouped(count),
    }
}

/// A count with its unit: `1,234 tokens`; for dollars, `$1.23`.
pub fn quantity(count: u64, unit: Unit) -> String {
    match unit {
        Unit::Usd => dollars(count),
        Unit::Tokens | Unit::Requests | Unit::ToolCalls => format!("{} {}", grouped(count), unit.noun()),
    }
}
