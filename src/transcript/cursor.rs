//! Reads the new part of a transcript: from the last offset, whole lines only, with a limit on bytes.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::domain::breaker::call::numbered_id;
use crate::domain::breaker::fingerprint::Fingerprint;
use crate::domain::breaker::repeated_text::RepeatedText;
use crate::domain::escalation::Calls;
use crate::domain::message::{ClientTotal, MessageKey};
use crate::domain::time::Timestamp;
use crate::platform::files;

use super::hashes;
use super::lines::{Line, Lines};
use super::scheduled::ScheduledTexts;
use super::{Fact, Transcripts};

/// How many `tool_use` ids are remembered: more than one response has calls.
const RECENT_TOOLS: usize = 64;

/// How far a file was read, and what its lines say about later ones. Only a shortcut: starting again yields the same
/// facts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Position {
    /// Bytes read: up to the end of a line, except within one that is too long.
    pub offset: u64,
    /// Where the last line that was read ends (zeros may follow), and a hash of the bytes before.
    pub last_line: Option<(u64, u32)>,
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
    /// The model that was asked for instead, as in the last message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_asked_model: Option<String>,
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
    /// The last streams of responses, as numbers.
    #[serde(with = "hashes")]
    pub streams: VecDeque<u64>,
    /// Kinds of billed parts that this version does not know.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub unknown_parts: BTreeSet<String>,
    /// Bytes read since the last response.
    #[serde(skip_serializing_if = "is_zero")]
    pub silent: u64,
    /// How long the file was when Fusebox first saw its session: 0 if the file came later. `None`: the session was not
    /// looked up yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<u64>,
    /// Where the current line ends, while it is read.
    #[serde(skip)]
    pub line_end: u64,
    /// Texts that the agent scheduled as prompts.
    #[serde(skip_serializing_if = "ScheduledTexts::is_empty")]
    pub scheduled: ScheduledTexts,
    /// Sessions that lines were copied from.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub origins: BTreeSet<String>,
    /// Client totals that no dated line has followed yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub open_totals: Vec<ClientTotal>,
    /// Where the lines were written. Only for readers of the history, which set it before they read: for them, nothing
    /// is noted about texts, which only hooks compare.
    #[serde(skip)]
    pub places: Option<Box<LinePlaces>>,
}

/// Where the lines of a file were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinePlaces {
    /// Each place, with the number of facts in the same reading that came before it.
    pub changes: Vec<(usize, LinePlace)>,
}

/// The working folder and the git branch that a line names, each as a JSON value as written; empty if it names none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LinePlace {
    /// The working folder.
    pub folder: String,
    /// The git branch.
    pub branch: String,
}

impl LinePlaces {
    /// Notes the place of a line whose facts follow `facts` others.
    pub fn note(&mut self, facts: usize, folder: &str, branch: &str) {
        let is_same = |(_, place): &(usize, LinePlace)| place.folder == folder && place.branch == branch;
        // A client's total, for example, names no folder.
        if !folder.is_empty() && !self.changes.last().is_some_and(is_same) {
            let place = LinePlace { folder: folder.to_owned(), branch: branch.to_owned() };
            self.changes.push((facts, place));
        }
    }
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
        *self = Self { held: self.held, places: self.places.take(), ..fresh };
    }

    /// Whether the file was read before.
    pub fn is_opened(&self) -> bool {
        self.inode != 0
    }

    /// Whether the file held the whole current line when Fusebox first saw its session.
    pub fn is_held(&self) -> bool {
        self.held.is_some_and(|held| self.line_end < held)
    }

    /// Whether `other` is newer.
    pub fn is_behind(&self, other: &Self) -> bool {
        (self.starts, self.offset) < (other.starts, other.offset)
    }

    /// Notes the date of a line, if it is the latest. Lines without a date, such as a client's total, get the latest
    /// one.
    pub fn note_date(&mut self, at: Option<Timestamp>) {
        self.last_at = self.last_at.max(at);
    }

    /// Whether `file` still contains what was read before. A rewritten file can have the same inode and be longer.
    fn is_in(&self, file: &File) -> std::io::Result<bool> {
        match self.last_line {
            Some((end, hash)) => Ok(hash == hash_before(file, end)?),
            None => Ok(true),
        }
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

    /// The id of the last call with this id in the breaker's history, see [`Self::calls`]. (One response late if its
    /// line is not written yet.)
    pub fn call_id(&self, id: u32) -> u32 {
        self.calls(&[id]).ids.first().copied().unwrap_or(id)
    }

    /// Notes that a line is of this response.
    pub fn note_response(&mut self, key: MessageKey) {
        // Positions of the version before have no count.
        self.tools_seen = self.tools_seen.max(self.recent_tools.len() as u64);
        if self.last_message.replace(key) != Some(key) {
            self.tools_before = self.tools_seen;
        }
    }

    /// The calls with these ids, and the recent calls of earlier responses. A response that is not in the file yet is
    /// later than all those in it.
    pub fn calls(&self, ids: &[u32]) -> Calls {
        let first = self.tools_seen.saturating_sub(self.recent_tools.len() as u64);
        let recent = || (first..).zip(self.recent_tools.iter().map(|tool| *tool as u32));
        // Some gateways repeat ids: such calls are told apart by their place among all calls of the file.
        let name = |(place, id): (u64, u32)| match recent().filter(|(_, known)| *known == id).count() {
            2.. => numbered_id(id, place + 1),
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
            ..Calls::default()
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
    let file = match files::nonblocking().open(path) {
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
    if replaced || !position.is_in(&file)? {
        position.restart();
        position.inode = meta.ino();
    }
    if meta.len() == position.offset {
        return Ok(NewFacts { complete: true, ..NewFacts::default() });
    }
    let mut lines = Lines::new(file, meta.len(), position.offset)?;
    lines.allow(max_bytes);
    let mut reading = NewFacts::default();
    let failure = loop {
        let start = lines.offset();
        match lines.next_line() {
            Ok(Some(Line::Whole(line))) => {
                position.line_end = start + line.len() as u64;
                transcripts.facts(line, position, now, &mut reading.facts);
            }
            // No response is that long.
            Ok(Some(Line::Front(_))) => {}
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    position.line_end = 0;
    // What was read before a failure counts; the next reading fails at once.
    if let Some(error) = failure.filter(|_| lines.offset() == position.offset) {
        return Err(error);
    }
    reading.bytes = max_bytes - lines.allowed();
    let is_silent = !reading.facts.iter().any(|fact| matches!(fact, Fact::Message(_)));
    position.silent = if is_silent { position.silent.saturating_add(reading.bytes) } else { 0 };
    reading.complete = lines.is_at_end();
    let text_end = lines.text_end();
    if text_end > position.offset {
        position.last_line = Some((text_end, hash_before(lines.file(), text_end)?));
    }
    position.offset = lines.next_start();
    Ok(reading)
}

fn is_zero(bytes: &u64) -> bool {
    *bytes == 0
}

/// A hash of the bytes before `end`: enough to contain an id or a date of the last line.
fn hash_before(file: &File, end: u64) -> std::io::Result<u32> {
    let length = end.min(512);
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, end - length)?;
    Ok(Fingerprint::from_bytes(&bytes).to_u32())
}
