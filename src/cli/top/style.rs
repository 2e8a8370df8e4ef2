//! Colours, unless they are turned off.

use ratatui::style::{Color, Modifier, Style};

use crate::domain::alert::AlertLevel;

/// Which colours there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    /// Whether colours may be used (`NO_COLOR`).
    pub colours: bool,
}

impl Theme {
    fn colour(self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }

    /// A heading.
    pub fn heading(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// Less important text.
    pub fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// What is fine.
    pub fn good(self) -> Style {
        self.colour(Color::Green)
    }

    /// What needs attention.
    pub fn warning(self) -> Style {
        self.colour(Color::Yellow)
    }

    /// What is wrong.
    pub fn bad(self) -> Style {
        self.colour(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// The title of a pane that has the focus.
    pub fn focus(self) -> Style {
        self.colour(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    /// The selected row, in the pane that has the focus or not.
    pub fn selected(self, focus: bool) -> Style {
        Style::new().add_modifier(if focus { Modifier::REVERSED } else { Modifier::BOLD })
    }

    /// The colour of a utilization, as in tables of budgets.
    pub fn utilization(self, utilization: f64) -> Style {
        self.colour(match utilization {
            u if u < 0.60 => Color::Green,
            u if u < 0.80 => Color::Yellow,
            u if u < 0.95 => Color::Indexed(208),
            _ => Color::Red,
        })
    }

    /// The colour of an alert.
    pub fn level(self, level: AlertLevel) -> Style {
        match level {
            AlertLevel::Info => Style::new(),
            AlertLevel::Warning => self.warning(),
            AlertLevel::Critical => self.bad(),
        }
    }

    /// The colour of a circuit breaker's state.
    pub fn circuit(self, state: &str) -> Style {
        match state {
            "open" => self.bad(),
            "half_open" => self.warning(),
            _ => self.good(),
        }
    }
}
