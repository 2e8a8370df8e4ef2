//! Transcripts: which files a session has, what is new in them, and what their lines say.
//!
//! The transcript is the log of record. Nothing here depends on an offset for correctness: reading again from the
//! start yields the same facts, and facts merge.

pub mod calls;
pub mod cursor;
pub mod files;
mod hashes;
pub mod line;
mod search;
pub mod words;

use crate::domain::message::{ClientTotal, Message};

/// One thing that a transcript says.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// A line of a model response, or of a compaction.
    Message(Message),
    /// The client's own running total.
    Total(ClientTotal),
    /// Lines were copied from this session: the file is a fork of it.
    Origin(String),
}
