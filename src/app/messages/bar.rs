//! Usage bars, coloured by utilization.

use anstyle::{AnsiColor, Color, Style};

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
pub fn blocks(utilization: f64, width: usize, style: Style) -> String {
    let blocks = (utilization.clamp(0.0, 1.0) * width as f64) as usize;
    let blocks = if utilization > 0.0 { blocks.max(1) } else { 0 };
    format!("{style}{}{style:#}{}", "█".repeat(blocks), "░".repeat(width - blocks))
}
