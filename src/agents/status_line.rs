//! What an agent tells the program of its status line, as values.

use super::event::EventSource;
use crate::domain::plan::{PlanReading, PlanWindow};

/// The input of the status line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatusLineInput {
    /// The session.
    pub source: EventSource,
    /// The model's name, for people.
    pub model: Option<String>,
    /// Whether responses are made in fast mode.
    pub is_fast: bool,
    /// How much of the conversation's room is used.
    pub context: Option<ContextUse>,
    /// What the client reckons that the session cost, in nano-dollars.
    pub nano_usd: Option<u64>,
    /// What the client knows about the limits of the user's subscription.
    pub plan: Vec<(PlanWindow, PlanReading)>,
}

/// How much of the conversation's room is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContextUse {
    /// The used part, in percent.
    pub percent: u64,
    /// The room, in tokens; 0 if unknown.
    pub size: u64,
}
