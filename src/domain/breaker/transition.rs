//! What moves a breaker from one state to another: what is observed of an agent, and the changes that come of it.

use super::call::Call;
use super::phase::Trip;

/// A call, with the name of its tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedCall {
    /// The call.
    pub call: Call,
    /// Its tool.
    pub tool: String,
}

/// What was observed of an agent.
#[derive(Clone, Copy, Debug)]
pub enum CircuitInput<'a> {
    /// Nothing new.
    Nothing,
    /// It is about to make this call.
    CallRequested(u32),
    /// These calls are over, others of the same response may go on.
    CallsEnded(&'a [NamedCall]),
    /// A response is over: all of its calls.
    ResponseEnded(&'a [NamedCall]),
}

/// A change of a breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CircuitChange {
    /// One more repetition would trip it.
    Warned(Trip),
    /// It tripped.
    Opened(Trip),
    /// Would have tripped (shadow mode).
    WouldOpen(Trip),
    /// Its cooldown is over, and it lets a probe through.
    HalfOpened(Trip),
    /// The probe succeeded.
    Closed(Trip),
}
