//! How things look in a terminal: bars and tables. JSON is written by the commands themselves.

pub mod bar;
pub mod table;

use std::io::Write;

use serde::Serialize;

/// Writes a value as JSON for scripts, with a newline at its end.
///
/// # Errors
/// It cannot be written.
pub fn json(out: &mut dyn Write, value: &impl Serialize) -> anyhow::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)?;
    Ok(())
}

/// `1 session`, `2 sessions`.
pub fn counted(count: usize, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}
