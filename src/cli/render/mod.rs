//! Terminal output: bars, tables, wrapped and fitted text. Commands write their own JSON.

pub mod bar;
pub mod fit;
pub mod table;
pub mod wrap;

use std::io::Write;

use serde::Serialize;

use crate::app::messages::amounts::{dollars, grouped};
use crate::app::status::CircuitStatus;

/// Writes a value as JSON, with a final newline.
///
/// # Errors
/// It cannot be written.
pub fn json(out: &mut dyn Write, value: &impl Serialize) -> anyhow::Result<()> {
    // In one piece: standard output is not buffered, and a report has thousands of tokens.
    writeln!(out, "{}", serde_json::to_string_pretty(value)?)?;
    Ok(())
}

/// `1 session`, `2 sessions`.
pub fn counted(count: usize, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}

/// Dollars for people, to hundredths of a cent below ten cents. Less than half of that is `<$0.0001`, never nothing.
pub fn usd(nanos: u64) -> String {
    match nanos {
        0 => "$0.00".to_owned(),
        1..50_000 => "<$0.0001".to_owned(),
        _ => dollars(nanos),
    }
}

/// [`usd`] of a sum, with a `+` if a part of it is estimated.
pub fn usd_or_more(nanos: u64, is_estimated: bool) -> String {
    usd(nanos) + if is_estimated { "+" } else { "" }
}

/// `1 token`, `1,234 tokens`.
pub fn counted_many(count: u64, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", grouped(count))
}

/// `40 s`, `3 min`, `5 h`, `2 days`: an age, given in milliseconds.
pub fn age(ms: i64) -> String {
    let seconds = ms / 1000;
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// The calls counted by a circuit breaker, and their maximum; `None` if unknown.
pub fn iterations(circuit: &CircuitStatus) -> Option<String> {
    let made = circuit.iterations?;
    Some(circuit.max_iterations.map_or_else(|| made.to_string(), |most| format!("{made}/{most}")))
}
