//! What a coding agent is to Fusebox: the events that it reports, and the answers that it understands.
//!
//! [`event`] and [`answer`] are plain values, independent of any agent's wire format. [`claude`] parses Claude Code's payloads
//! into events and encodes answers. `app` works with the values alone; `hook` picks the format.

pub mod answer;
pub mod claude;
pub mod event;
