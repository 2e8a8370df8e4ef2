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

/// What was seen of an agent.
#[derive(Clone, Copy, Debug)]
pub enum CircuitInput<'a> {
    /// Nothing new.
    Nothing,
    /// It wants to make this call.
    CallRequested(u32),
    /// These calls are over, others of the same response may go on.
    CallsEnded(&'a [NamedCall]),
    /// A response is over: all of its calls.
    ResponseEnded(&'a [NamedCall]),
}

/// What became of a breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CircuitChange {
    /// One more repetition, and it trips.
    Warned(Trip),
    /// It tripped.
    Opened(Trip),
    /// Would have tripped (shadow mode).
    WouldOpen(Trip),
    /// It let time pass, and lets a probe through.
    HalfOpened(Trip),
    /// The probe was good.
    Closed(Trip),
}
