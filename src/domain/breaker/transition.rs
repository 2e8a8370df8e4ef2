//! The inputs of a breaker and its changes.

use super::call::Call;
use super::phase::Trip;

/// A call and the name of its tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedCall {
    /// The call.
    pub call: Call,
    /// Its tool.
    pub tool: String,
}

/// An observation about an agent.
#[derive(Clone, Copy, Debug)]
pub enum CircuitInput<'a> {
    /// Nothing new, except the time.
    Nothing,
    /// The agent is about to make this call.
    CallRequested(u32),
    /// These calls ended; others of the same response may continue.
    CallsEnded(&'a [NamedCall]),
    /// A response ended, with all of its calls.
    ResponseEnded(&'a [NamedCall]),
}

/// A change of a breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CircuitChange {
    /// One more repetition trips it.
    Warned(Trip),
    /// It tripped.
    Opened(Trip),
    /// Would have tripped (shadow mode).
    WouldOpen(Trip),
    /// Its cooldown ended, and it lets a probe through.
    HalfOpened(Trip),
    /// The probe succeeded.
    Closed(Trip),
}
