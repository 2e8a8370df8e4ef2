//! Usage bars, coloured by utilization.

use anstyle::{AnsiColor, Color, Style};

use crate::domain::budget::Status;

/// Width of a bar, in columns.
const WIDTH: usize = 16;

/// The colour of a utilization: green below 60 %, yellow below 80 %, orange below 95 %, else red.
pub fn colour(utilization: f64) -> Style {
    let colour = match utilization {
        u if u < 0.60 => Color::Ansi(AnsiColor::Green),
        u if u < 0.80 => Color::Ansi(AnsiColor::Yellow),
        u if u < 0.95 => Color::Ansi256(208.into()),
        _ => Color::Ansi(AnsiColor::Red),
    };
    Style::new().fg_color(Some(colour))
}

/// A bar such as `████████░░░░`. Any usage shows at least one block; only a full bar has all.
pub fn bar(utilization: f64) -> String {
    let blocks = (utilization.clamp(0.0, 1.0) * WIDTH as f64) as usize;
    let blocks = if utilization > 0.0 { blocks.max(1) } else { 0 };
    let style = colour(utilization);
    format!("{style}{}{style:#}{}", "█".repeat(blocks), "░".repeat(WIDTH - blocks))
}

/// A plain bar for a share of the largest value; empty below half a block.
pub fn share_bar(share: f64, width: usize) -> String {
    let blocks = (share.clamp(0.0, 1.0) * width as f64).round() as usize;
    let style = Style::new().fg_color(Some(AnsiColor::Cyan.into()));
    if blocks == 0 { String::new() } else { format!("{style}{}{style:#}", "█".repeat(blocks)) }
}

/// A status in its colour.
pub fn status(status: Status) -> String {
    let style = match status {
        Status::Active => Style::new().fg_color(Some(AnsiColor::Green.into())),
        Status::Warning => Style::new().fg_color(Some(AnsiColor::Yellow.into())),
        Status::Paused | Status::Exhausted => Style::new().fg_color(Some(AnsiColor::Red.into())).bold(),
    };
    format!("{style}{}{style:#}", status.name())
}
