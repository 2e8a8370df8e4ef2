//! Reads what is new in a transcript: from the last offset, whole lines only, a limited number of bytes at a time.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::domain::breaker::repeated_text::RepeatedText;
use crate::domain::message::{ClientTotal, MessageKey};
use crate::domain::time::Timestamp;
use crate::platform::files;

use super::hashes;
use super::search;
use super::{Fact, Transcripts};

/// How much is read at once; a longer line makes the buffer grow.
const CHUNK: usize = 256 * 1024;

/// How many `tool_use` ids are remembered: more than a response has calls.
const RECENT_TOOLS: usize = 64;

/// How far a file was read, and what the lines so far say about the next ones. A shortcut: with a new one the file
/// is read again from its start, to the same result.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Position {
    /// Bytes read; always the end of a line.
    pub offset: u64,
    /// Which file this was: a replaced one is read from its start.
    pub inode: u64,
    /// How often reading began at the start: a later start counts for more than a larger offset.
    pub starts: u32,
    /// The subagent whose file it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// `main`, or the subagent's type; empty where that is not known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub agent_type: String,
    /// The last date on a line.
    pub last_at: Option<Timestamp>,
    /// The last response.
    pub last_message: Option<MessageKey>,
    /// When it came.
    pub last_message_at: Option<Timestamp>,
    /// The model that answered last.
    pub last_model: String,
    /// All tokens of the last response: the size of the conversation.
    pub last_context: u64,
    /// Hash of the last text that the agent wrote.
    pub last_text: Option<u64>,
    /// How often it wrote the same running.
    pub said: RepeatedText,
    /// The last `tool_use` ids, shortened: tells whether the line of a call was read.
    #[serde(with = "hashes")]
    pub recent_tools: VecDeque<u64>,
    /// Sessions that lines were copied from.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub origins: BTreeSet<String>,
    /// Client totals that no dated line has followed yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub open_totals: Vec<ClientTotal>,
}

impl Position {
    /// The start of the file of `agent` (`None`: the main agent's).
    pub fn start(agent: Option<String>, agent_type: String) -> Self {
        Self { agent, agent_type, ..Self::default() }
    }

    /// Goes back to the start, which counts for more than any offset before.
    pub fn restart(&mut self) {
        let fresh = Self::start(self.agent.take(), std::mem::take(&mut self.agent_type));
        *self = Self { starts: self.starts + 1, ..fresh };
    }

    /// Whether `other` is further on in the same file.
    pub fn is_behind(&self, other: &Self) -> bool {
        (self.starts, self.offset) < (other.starts, other.offset)
    }

    /// Whether the date of every line matters now.
    pub fn needs_dates(&self) -> bool {
        !self.open_totals.is_empty()
    }

    /// Notes the tool calls of a line.
    pub fn note_tools(&mut self, tools: impl IntoIterator<Item = u64>) {
        self.recent_tools.extend(tools);
        let surplus = self.recent_tools.len().saturating_sub(RECENT_TOOLS);
        self.recent_tools.drain(..surplus);
    }

    /// A line dated `at` follows the open totals: what comes from here on is not in them.
    pub fn close_totals(&mut self, at: Timestamp) -> Vec<ClientTotal> {
        let mut closed = std::mem::take(&mut self.open_totals);
        closed.iter_mut().for_each(|total| total.until = Some(at));
        closed
    }
}

/// What was new in a file.
#[derive(Debug, Default)]
pub struct NewFacts {
    /// What the new lines say.
    pub facts: Vec<Fact>,
    /// Bytes read.
    pub bytes: u64,
    /// Whether the end of the file was reached (apart from an unfinished last line).
    pub complete: bool,
}

/// Reads what is new since `position`, at most about `max_bytes` (one line always fits). A file that does not exist yet counts
/// as empty, and so does anything that is not a regular file. An unfinished last line is left for the next call; a file that
/// shrank or was replaced is read again from its start.
///
/// # Errors
/// The file cannot be opened or read.
pub fn read_new(
    transcripts: &dyn Transcripts,
    path: &Path,
    position: &mut Position,
    max_bytes: u64,
    now: Timestamp,
) -> std::io::Result<NewFacts> {
    // The path comes from outside: opening a pipe would wait for a writer.
    let mut file = match files::nonblocking().open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Ok(NewFacts { complete: true, ..NewFacts::default() });
        }
        Err(e) => return Err(e),
    };
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Ok(NewFacts { complete: true, ..NewFacts::default() });
    }
    let replaced = meta.ino() != position.inode || meta.len() < position.offset;
    if replaced || (meta.len() > position.offset && !is_line_end(&mut file, position.offset)?) {
        position.restart();
        position.inode = meta.ino();
    }
    if meta.len() == position.offset {
        return Ok(NewFacts { complete: true, ..NewFacts::default() });
    }
    file.seek(SeekFrom::Start(position.offset))?;
    let mut reading = NewFacts::default();
    let mut buffer = Vec::new();
    let chunk = CHUNK.min(usize::try_from(max_bytes).unwrap_or(CHUNK));
    let mut unfinished = 0; // bytes at the front of the buffer that are an unfinished line
    loop {
        let wanted =
            chunk.min(usize::try_from(meta.len().saturating_sub(position.offset)).unwrap_or(CHUNK)).max(4096);
        buffer.resize(unfinished + wanted, 0);
        let got = file.read(&mut buffer[unfinished..])?;
        if got == 0 {
            reading.complete = true;
            break;
        }
        let filled = unfinished + got;
        // The unfinished front holds no newline: it was searched before.
        let (mut done, mut searched) = (0, unfinished);
        while let Some(end) = search::byte(b'\n', &buffer[searched..filled]).map(|i| i + searched) {
            transcripts.facts(&buffer[done..end], position, now, &mut reading.facts);
            done = end + 1;
            searched = done;
        }
        position.offset += done as u64;
        reading.bytes += done as u64;
        buffer.copy_within(done..filled, 0);
        unfinished = filled - done;
        if reading.bytes >= max_bytes {
            break;
        }
    }
    Ok(reading)
}

/// Whether a line ends right before `offset`. A file that was written anew can have its old inode and be longer: then
/// the offset most likely lies inside a line.
fn is_line_end(file: &mut File, offset: u64) -> std::io::Result<bool> {
    let Some(last) = offset.checked_sub(1) else { return Ok(true) };
    file.seek(SeekFrom::Start(last))?;
    let mut byte = [0];
    file.read_exact(&mut byte)?;
    Ok(byte == *b"\n")
}
