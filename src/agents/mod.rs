//! What a coding agent is to Fusebox: the events that it reports, and the answers that it understands.
//!
//! [`event`] and [`answer`] are plain values that no agent's wire format shows through; [`claude`] turns Claude Code's
//! payloads into the one and the other into Claude Code's answers. Everything to the right of this folder (`app`, `hook`)
//! works with the values alone.

pub mod answer;
pub mod claude;
pub mod event;
