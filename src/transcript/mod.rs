//! Transcripts: reading what is new in a session's files. The meaning of their lines is up to the agent that writes them.
//!
//! The transcript is the log of record. Nothing here depends on an offset for correctness: reading again from the
//! start yields the same facts, and facts merge.

pub mod cursor;
mod hashes;
pub mod search;
pub mod word_search;

use std::path::{Path, PathBuf};

use self::cursor::Position;
use crate::domain::message::{ClientTotal, Message, MessageKey};
use crate::domain::time::Timestamp;
use crate::platform::Env;

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

/// The format of an agent's transcripts, which are files of lines.
pub trait Transcripts: Sync {
    /// The transcripts of all sessions on this machine, with their sessions.
    fn all(&self, env: &Env) -> Vec<(String, PathBuf)>;

    /// Whether a file is one of its transcripts, by its name.
    fn owns(&self, transcript: &Path) -> bool;

    /// The transcript of one session on this machine.
    fn find(&self, env: &Env, session: &str) -> Option<PathBuf>;

    /// What a line says. `position` carries what earlier lines of the file say about this one; `now` dates a message in a
    /// file that has no date at all.
    fn facts(&self, line: &[u8], position: &mut Position, now: Timestamp, out: &mut Vec<Fact>);

    /// All files of the session with this transcript, the main one first; those that do not exist are left out, except
    /// the main one.
    fn files(&self, transcript: &Path) -> Vec<TranscriptFile>;

    /// The file of one subagent; `None`: its id is none.
    fn agent_file(&self, transcript: &Path, agent: &str) -> Option<TranscriptFile>;

    /// What the agent recorded about the subagent that writes a file.
    fn agent_note(&self, file: &TranscriptFile) -> Option<AgentNote>;

    /// The folder that the session of this transcript started in.
    fn working_folder(&self, transcript: &Path) -> Option<PathBuf>;

    /// The tool call with this id in a file; `None` where it is not, or the file cannot be read.
    fn find_call(&self, file: &Path, id: &str) -> Option<FoundCall>;

    /// Who speaks in a line, if it is not a person, nor the agent to a person.
    fn speaker(&self, line: &[u8]) -> Option<Speaker>;
}

/// A transcript file and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TranscriptFile {
    /// Where it is.
    pub path: PathBuf,
    /// The subagent whose it is; `None`: the main agent's.
    pub agent: Option<String>,
}

/// What an agent records about a subagent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentNote {
    /// Its type.
    pub agent_type: Option<String>,
    /// The call that started it.
    pub tool_use_id: Option<String>,
    /// How deep it is nested; 1: the main agent started it.
    pub depth: Option<u32>,
}

/// A tool call as its line has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundCall {
    /// Its tool.
    pub tool: String,
    /// When the line was written; the epoch where it is not dated.
    pub at: Timestamp,
}

/// Who said words, besides a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// The client's queue: scheduled tasks, other sessions, and what was typed while the agent was at work.
    Queue,
    /// The agent, in the input of a tool call.
    Agent,
}

/// What a text of the agent is known by: to recognise it, not to keep it.
pub fn text_hash(text: &str) -> u64 {
    MessageKey::from_parts(&["text", text.trim()]).short()
}

/// What the id of a tool call is known by.
pub fn tool_hash(id: &str) -> u64 {
    MessageKey::from_parts(&["tool", id]).short()
}

/// Whether an id from outside may stand in a file name.
pub fn is_plain_id(id: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !id.is_empty() && id.len() <= 128 && !id.starts_with('.') && id.chars().all(plain)
}
