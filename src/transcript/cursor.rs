//! Reads the new part of a transcript: from the last offset, whole lines only, with a limit on bytes.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::domain::breaker::repeated_text::RepeatedText;
use crate::domain::escalation::Calls;
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
    /// The last date on a line.
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
    /// How many of them before the last response.
    pub tools_before: u64,
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
        let fresh = Self::start(self.agent.take(), std::mem::take(&mut self.agent_type));
        *self = Self { starts: self.starts + 1, ..fresh };
    }

    /// Whether `other` is newer.
    pub fn is_behind(&self, other: &Self) -> bool {
        (self.starts, self.offset) < (other.starts, other.offset)
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
        places.next().is_some().then(|| self.tools_seen.saturating_sub(after as u64))
    }

    /// Notes that a line is of this response.
    pub fn note_response(&mut self, key: MessageKey) {
        // Positions of the version before have no count.
        self.tools_seen = self.tools_seen.max(self.recent_tools.len() as u64);
        if self.last_message.replace(key) != Some(key) {
            self.tools_before = self.tools_seen;
        }
    }

    /// The calls with these ids, and the recent calls that are of earlier responses. A response that is not in the file
    /// yet is later than all that are.
    pub fn calls(&self, ids: &[u32]) -> Calls {
        let first = self.tools_seen.saturating_sub(self.recent_tools.len() as u64);
        let recent = || (first..).zip(self.recent_tools.iter().map(|tool| *tool as u32));
        // Calls with the same id are told apart by their place.
        let name = |(place, id): (u64, u32)| match recent().filter(|(_, known)| *known == id).count() {
            2.. => id ^ (place as u32).wrapping_mul(0x9E37_79B9),
            _ => id,
        };
        let found = |id: &u32| recent().filter(|(_, known)| known == id).last();
        let before = match ids.iter().filter_map(found).map(|(place, _)| place).max() {
            None => self.tools_seen,
            Some(place) if place >= self.tools_before => self.tools_before,
            Some(_) => 0,
        };
        Calls {
            ids: ids.iter().map(|id| found(id).map_or(*id, name)).collect(),
            earlier: recent().filter(|(place, _)| *place < before).map(name).collect(),
        }
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

/// Whether a line ends right before `offset`. A rewritten file can have the same inode and be longer; then the offset
/// most likely is within a line.
fn is_line_end(file: &mut File, offset: u64) -> std::io::Result<bool> {
    let Some(last) = offset.checked_sub(1) else { return Ok(true) };
    file.seek(SeekFrom::Start(last))?;
    let mut byte = [0];
    file.read_exact(&mut byte)?;
    Ok(byte == *b"\n")
}
