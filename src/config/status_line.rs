//! What the status line shows.

use serde::{Deserialize, Serialize};

/// A part of the status line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusPart {
    /// The model's name.
    Model,
    /// How full the conversation is.
    Context,
    /// The session's budgets, daily ones, and others past a threshold.
    Budgets,
    /// What the client reckons that the session cost.
    Cost,
    /// The limits of the user's subscription.
    Plan,
    /// The circuit breaker, unless it is closed.
    Breaker,
    /// The subagents at work.
    Subagents,
    /// What keeps the counts from being complete or current.
    Problems,
}

impl StatusPart {
    /// Every part and its name in the configuration, in the default order.
    pub const ALL: [(&'static str, Self); 8] = [
        ("model", Self::Model),
        ("context", Self::Context),
        ("budgets", Self::Budgets),
        ("cost", Self::Cost),
        ("plan", Self::Plan),
        ("breaker", Self::Breaker),
        ("subagents", Self::Subagents),
        ("problems", Self::Problems),
    ];

    /// The names of all parts.
    pub(super) const NAMES: [&'static str; 8] = super::field::names(Self::ALL);
}

/// What the status line shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusLineConfig {
    /// Its parts, in this order.
    pub parts: Vec<StatusPart>,
    /// Whether it has colours.
    pub color: bool,
}

impl Default for StatusLineConfig {
    fn default() -> Self {
        Self { parts: StatusPart::ALL.map(|(_, part)| part).to_vec(), color: true }
    }
}

impl StatusLineConfig {
    /// Whether everything is as built in.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
