//! `fusebox status --watch`: prints the status again and again.
//!
//! In a terminal, each one takes the place of the last, with plain movements of the cursor. Elsewhere they follow each
//! other.

use std::io::{IsTerminal, Write, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::SIGINT;

use super::Io;
use super::render::{fit, wrap};
use crate::platform::{Env, Stopwatch, clock};

/// How often to look for Ctrl-C.
const TICK: Duration = Duration::from_millis(50);

/// What one round has printed.
#[derive(Default)]
struct Round {
    out: Vec<u8>,
    err: Vec<u8>,
}

/// Where rounds go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// In place in a terminal; otherwise with an empty line between two.
    Blocks,
    /// One line each.
    Lines,
}

/// Calls `print` at each interval, until Ctrl-C. Only a failure of the first call ends it.
///
/// # Errors
/// The first call failed, or the output cannot be written.
pub fn watch(
    seconds: u32,
    layout: Layout,
    env: &Env,
    io: &mut Io,
    mut print: impl FnMut(&Env, &mut Io) -> anyhow::Result<u8>,
) -> anyhow::Result<u8> {
    let interrupted = Arc::new(AtomicBool::new(false));
    // The second Ctrl-C does not wait for a store that does not answer.
    signal_hook::flag::register_conditional_shutdown(SIGINT, 0, Arc::clone(&interrupted))?;
    signal_hook::flag::register(SIGINT, Arc::clone(&interrupted))?;
    let in_place = layout == Layout::Blocks && stdout().is_terminal();
    let colours = anstream::AutoStream::choice(&stdout()) != anstream::ColorChoice::Never;
    let mut drawn = 0;
    for number in 0_u64.. {
        let since = Stopwatch::start();
        let env = Env { now: clock(), ..env.clone() };
        let mut round = Round::default();
        match print(&env, &mut Io { out: &mut round.out, err: &mut round.err }) {
            Err(error) if number == 0 => {
                io.err.write_all(&round.err)?;
                return Err(error);
            }
            Err(error) => writeln!(round.err, "fusebox: {error:#}")?,
            Ok(_) => {}
        }
        if interrupted.load(Ordering::Relaxed) {
            return Ok(0);
        }
        if in_place {
            drawn = redraw(&round, drawn, colours)?;
        } else {
            io.err.write_all(&round.err)?;
            if number > 0 && layout == Layout::Blocks {
                writeln!(io.out)?;
            }
            io.out.write_all(&round.out)?;
            io.out.flush()?;
        }
        while since.ms() < i64::from(seconds) * 1000 {
            if interrupted.load(Ordering::Relaxed) {
                return Ok(0);
            }
            std::thread::sleep(TICK);
        }
    }
    Ok(0)
}

/// Writes a round over the last one, which took this many rows. Returns the rows of this one.
fn redraw(round: &Round, drawn: usize, colours: bool) -> std::io::Result<usize> {
    let (columns, rows) = terminal_size::terminal_size()
        .map_or((wrap::DEFAULT_COLUMNS, 24), |(columns, rows)| (usize::from(columns.0), usize::from(rows.0)));
    let text = String::from_utf8_lossy(&[&round.err[..], &round.out].concat()).into_owned();
    let shown = block(&text, columns, rows, colours);
    let mut out = stdout().lock();
    // Up to the first row of the last round; nothing above it is touched.
    if drawn > 0 {
        write!(out, "\x1b[{drawn}A\r")?;
    }
    write!(out, "\x1b[J")?;
    for line in &shown {
        // Raw, because stripping colours would strip the movements of the cursor, too.
        write!(out, "{line}\r\n")?;
    }
    out.flush()?;
    Ok(shown.len())
}

/// The lines of a round that fit the screen: the cursor cannot move up to a line that has left it.
fn block(text: &str, columns: usize, rows: usize, colours: bool) -> Vec<String> {
    let plain = |line: &str| anstream::adapter::strip_str(line).to_string();
    let all: Vec<String> = text
        .lines()
        .flat_map(|line| {
            let wide = fit::width(&plain(line));
            // A line that the terminal would wrap is cut without its colours.
            match (colours, wide > columns) {
                (true, false) => vec![line.to_owned()],
                (false, false) => vec![plain(line)],
                (_, true) => wrapped(&plain(line), columns),
            }
        })
        .collect();
    // The cursor is below the last line.
    let most = rows.saturating_sub(1).max(1);
    if all.len() <= most {
        return all;
    }
    let kept = most.saturating_sub(1);
    let note = format!("… {} more lines: enlarge the terminal, or name a session", all.len() - kept);
    let note: String = note.chars().take(columns).collect();
    all.into_iter().take(kept).chain([note]).collect()
}

/// Pieces of at most this many columns.
fn wrapped(line: &str, columns: usize) -> Vec<String> {
    textwrap::wrap(line, columns.max(1)).into_iter().map(std::borrow::Cow::into_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_fits_the_screen() {
        let text = "\u{1b}[1mone\u{1b}[0m\ntwo words\nthree\nfour";
        assert_eq!(block(text, 20, 10, true), ["\u{1b}[1mone\u{1b}[0m", "two words", "three", "four"]);
        assert_eq!(block(text, 20, 10, false)[0], "one");
        assert_eq!(block(text, 6, 10, true)[1..3], ["two", "words"]);
        let cut = block(text, 30, 3, true);
        assert_eq!(cut.len(), 2, "one row is for the cursor");
        assert_eq!(cut[1], "… 3 more lines: enlarge the te");
        assert_eq!(block(text, 80, 0, true).len(), 1);
        assert_eq!(block("████ 50%", 8, 10, true), ["████ 50%"], "a block takes one column");
    }
}
