//! Transcripts: reads the new part of a session's files. The agent that writes them interprets their lines.
//!
//! The transcript is the source of truth. Offsets do not affect correctness: reading again from the start yields the
//! same facts, and facts merge.

pub mod cursor;
mod hashes;
pub mod lines;
pub mod records;
pub mod scheduled;
pub mod search;
pub mod surrogates;
pub mod word_search;

use std::path::{Path, PathBuf};

use self::cursor::Position;
use crate::domain::message::{ClientTotal, Message, MessageKey};
use crate::domain::time::Timestamp;
use crate::platform::Env;
use crate::platform::folder::FileLook;

/// A fact from a transcript.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly all facts are messages")]
pub enum Fact {
    /// A line of a model response, or of a compaction.
    Message(Message),
    /// The client's own running total.
    Total(ClientTotal),
    /// Lines were copied from this session: the file belongs to a fork of it.
    Origin(String),
}

/// The format of an agent's transcripts, which are files of lines.
pub trait Transcripts: Sync {
    /// The sessions on this machine and their transcripts.
    fn all(&self, env: &Env) -> Vec<(String, PathBuf)>;

    /// Whether a file is one of the agent's transcripts, judged by its name.
    fn owns(&self, transcript: &Path) -> bool;

    /// The transcript of one session on this machine.
    fn find(&self, env: &Env, session: &str) -> Option<PathBuf>;

    /// All transcripts of one session on this machine: the client may have moved to another folder.
    fn find_all(&self, env: &Env, session: &str) -> Vec<PathBuf> {
        self.find(env, session).into_iter().collect()
    }

    /// Extracts the facts of a line. `position` carries context from earlier lines; `now` dates a message in a file
    /// without any date.
    fn facts(&self, line: &[u8], position: &mut Position, now: Timestamp, out: &mut Vec<Fact>);

    /// All existing files of the session with this transcript, and the main one, which comes first.
    fn files(&self, transcript: &Path) -> Vec<TranscriptFile>;

    /// The file of one subagent; `None` if the id is invalid.
    fn agent_file(&self, transcript: &Path, agent: &str) -> Option<TranscriptFile>;

    /// What the agent recorded about the subagent of a file.
    fn agent_note(&self, file: &TranscriptFile) -> Option<AgentNote>;

    /// The folder that the session of this transcript started in.
    fn working_folder(&self, transcript: &Path) -> Option<PathBuf>;

    /// The tool call with this id in a file; `None` if it is not there, or the file cannot be read.
    fn find_call(&self, file: &Path, id: &str) -> Option<FoundCall>;

    /// Who wrote the text of a line. `None` if a person did, or the agent to a person.
    fn speaker(&self, line: &[u8]) -> Option<Speaker>;
}

/// A transcript file and its agent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TranscriptFile {
    /// Its path.
    pub path: PathBuf,
    /// The subagent that it belongs to; `None`: the main agent.
    pub agent: Option<String>,
}

/// A file of a session's history.
#[derive(Clone, Debug)]
pub struct HistoryFile {
    /// The session's id.
    pub session: String,
    /// The file.
    pub file: TranscriptFile,
    /// How it looked when it was found.
    pub look: FileLook,
}

/// What an agent records about a subagent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentNote {
    /// Its type.
    pub agent_type: Option<String>,
    /// The id of the call that started it.
    pub tool_use_id: Option<String>,
    /// Its nesting depth; 1: started by the main agent.
    pub depth: Option<u32>,
}

/// A tool call found in a transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundCall {
    /// Its tool.
    pub tool: String,
    /// The time of the line; the epoch if it has none.
    pub at: Timestamp,
}

/// Who wrote a text, other than a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// The client's queue: scheduled tasks, other sessions, and input typed while the agent was working.
    Queue,
    /// The agent, in the input of a tool call.
    Agent,
}

/// Hash of a text of the agent: to recognise the text without keeping it.
pub fn text_hash(text: &str) -> u64 {
    MessageKey::from_parts(&["text", text.trim()]).short()
}

/// Hash of the id of a tool call.
pub fn tool_hash(id: &str) -> u64 {
    MessageKey::from_parts(&["tool", id]).short()
}

/// Whether the subagent with this id only wrote the summary of a compaction: some clients keep a file of that.
pub fn is_compaction(agent: &str) -> bool {
    agent.starts_with("acompact-")
}

/// Whether an id from outside is safe in a file name.
pub fn is_plain_id(id: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !id.is_empty() && id.len() <= 128 && !id.starts_with('.') && id.chars().all(plain)
}
