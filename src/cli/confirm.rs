//! Asks a person before something is changed for good.

use std::io::{BufRead, IsTerminal};

use super::Io;

/// Whether there is a person to ask: standard input is a terminal.
pub fn can_ask() -> bool {
    std::io::stdin().is_terminal()
}

/// Asks on standard error. Everything but `y` and `yes` is a no.
///
/// # Errors
/// Standard error cannot be written, or standard input cannot be read.
pub fn ask(question: &str, io: &mut Io) -> anyhow::Result<bool> {
    write!(io.err, "{question} [y/N] ")?;
    io.err.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
