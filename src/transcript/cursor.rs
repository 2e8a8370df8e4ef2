//! Reads the new part of a transcript: from the last offset, whole lines only, with a limit on bytes.

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

/// Bytes read at once; the buffer grows for longer lines.
const CHUNK: usize = 256 * 1024;

/// How many `tool_use` ids are remembered: more than one response has calls.
const RECENT_TOOLS: usize = 64;

/// How far a file was read, and what its lines say about later ones. Only a shortcut: starting again yields the same
/// facts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Position {
    /// Bytes read; always at the end of a line.
    pub offset: u64,
    /// Inode of the file. A replaced file is read from its start.
    pub inode: u64,
    /// How often reading restarted. A position after more restarts is newer, whatever the offsets.
    pub starts: u32,
    /// The subagent that the file belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// `main`, or the subagent's type; empty if unknown.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub agent_type: String,
    /// The latest date on a line.
    pub last_at: Option<Timestamp>,
    /// The last response.
    pub last_message: Option<MessageKey>,
    /// The time of the last response.
    pub last_message_at: Option<Timestamp>,
    /// The model of the last response.
    pub last_model: String,
    /// All tokens of the last response: the size of the conversation.
    pub last_context: u64,
    /// Hash of the last text that the agent wrote.
    pub last_text: Option<u64>,
    /// How many times in a row it wrote the same text.
    pub said: RepeatedText,
    /// Hashes of the last `tool_use` ids: tell whether the line of a call was read.
    #[serde(with = "hashes")]
    pub recent_tools: VecDeque<u64>,
    /// How many `tool_use` ids were read, repeated ones included.
    pub tools_seen: u64,
    /// The last streams of responses, as numbers.
    #[serde(with = "hashes")]
    pub streams: VecDeque<u64>,
    /// Kinds of billed parts that this version does not know.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub unknown_parts: BTreeSet<String>,
    /// How long the file was when Fusebox first saw its session: 0 if the file came later. `None`: the session was not
    /// looked up yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<u64>,
    /// Where the current line begins, while it is read.
    #[serde(skip)]
    pub line_start: u64,
    /// Sessions that lines were copied from.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub origins: BTreeSet<String>,
    /// Client totals that no dated line has followed yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub open_totals: Vec<ClientTotal>,
}

impl Position {
    /// The start of a file of `agent` (`None`: the main agent).
    pub fn start(agent: Option<String>, agent_type: String) -> Self {
        Self { agent, agent_type, ..Self::default() }
    }

    /// Restarts at the beginning of the file. Counts as newer than any position before.
    pub fn restart(&mut self) {
        let starts = self.starts + 1;
        self.forget();
        self.starts = starts;
    }

    /// Starts anew, as if nothing had been read.
    pub fn forget(&mut self) {
        let fresh = Self::start(self.agent.take(), std::mem::take(&mut self.agent_type));
        *self = Self { held: self.held, ..fresh };
    }

    /// Whether the file was read before.
    pub fn is_opened(&self) -> bool {
        self.inode != 0
    }

    /// Whether the file held the current line when Fusebox first saw its session.
    pub fn is_held(&self) -> bool {
        self.held.is_some_and(|held| self.line_start < held)
    }

    /// Whether `other` is newer.
    pub fn is_behind(&self, other: &Self) -> bool {
        (self.starts, self.offset) < (other.starts, other.offset)
    }

    /// Notes the date of a line. An earlier one does not date what has none, such as a client's total.
    pub fn note_date(&mut self, at: Option<Timestamp>) {
        self.last_at = self.last_at.max(at);
    }

    /// Whether the date of every line currently matters.
    pub fn needs_dates(&self) -> bool {
        !self.open_totals.is_empty()
    }

    /// Notes the tool calls of a line.
    pub fn note_tools(&mut self, tools: impl IntoIterator<Item = u64>) {
        let before = self.recent_tools.len();
        self.recent_tools.extend(tools);
        self.tools_seen += (self.recent_tools.len() - before) as u64;
        let surplus = self.recent_tools.len().saturating_sub(RECENT_TOOLS);
        self.recent_tools.drain(..surplus);
    }

    /// Tells calls with the same id apart (some gateways repeat ids): the number of the last call with this id among all
    /// calls of the file. `None` if at most one of the recent calls has it, as usual.
    pub fn repeated_call(&self, tool: u64) -> Option<u64> {
        let mut places = self.recent_tools.iter().rev().enumerate().filter(|(_, known)| **known == tool);
        let (after, _) = places.next()?;
        places.next().is_some().then(|| self.tools_seen - after as u64)
    }

    /// A line dated `at` follows the open totals: they do not include later lines.
    pub fn close_totals(&mut self, at: Timestamp) -> Vec<ClientTotal> {
        let mut closed = std::mem::take(&mut self.open_totals);
        closed.iter_mut().for_each(|total| total.until = Some(at));
        closed
    }
}

/// The new part of a file.
#[derive(Debug, Default)]
pub struct NewFacts {
    /// The facts in the new lines.
    pub facts: Vec<Fact>,
    /// Bytes read.
    pub bytes: u64,
    /// Whether the end of the file was reached, except for an unfinished last line.
    pub complete: bool,
}

/// Reads the lines after `position`, up to about `max_bytes` (at least one line). A missing file, or one that is not a
/// regular file, counts as empty. An unfinished last line is left for the next call. A file that shrank or was replaced
/// is read from its start.
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
    // The path comes from outside: opening a pipe would block until it has a writer.
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
    let mut unfinished = 0; // bytes of an unfinished line at the front of the buffer
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
        // The unfinished line was already searched for a newline.
        let (mut done, mut searched) = (0, unfinished);
        while let Some(end) = search::byte(b'\n', &buffer[searched..filled]).map(|i| i + searched) {
            position.line_start = position.offset + done as u64;
            transcripts.facts(&buffer[done..end], position, now, &mut reading.facts);
            position.line_start = 0;
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

/// Whether a line ends right before `offset`. A rewritten file can have the same inode and be longer; then the offset
/// most likely is within a line.
fn is_line_end(file: &mut File, offset: u64) -> std::io::Result<bool> {
    let Some(last) = offset.checked_sub(1) else { return Ok(true) };
    file.seek(SeekFrom::Start(last))?;
    let mut byte = [0];
    file.read_exact(&mut byte)?;
    Ok(byte == *b"\n")
}
