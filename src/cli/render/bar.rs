//! Usage bars, coloured by utilization.

use anstyle::{AnsiColor, Style};

use crate::app::messages::bar::{blocks, colour};
use crate::domain::budget::Status;

/// Width of a bar, in columns.
const WIDTH: usize = 16;

/// A bar such as `████████░░░░`. Any usage shows at least one block; only a full bar has all.
pub fn bar(utilization: f64) -> String {
    blocks(utilization, WIDTH, colour(utilization))
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
