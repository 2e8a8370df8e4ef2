//! Reads what is new in a session's transcripts, and waits for a line that the client is about to write.
//!
//! No store is involved: a waiting hook holds none open.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::agents;
use crate::agents::event::EventSource;
use crate::domain::time::Timestamp;
use crate::platform::Stopwatch;
use crate::transcript::cursor::{self, Position};
use crate::transcript::{Fact, TranscriptFile, Transcripts, text_hash, tool_hash};

/// How long a hook waits for a line, in milliseconds. The client buffers lines for about 100 ms (at most 170 ms in
/// tests).
pub(super) const MAX_WAIT_MS: i64 = 200;

/// How often it checks.
pub(super) const POLL: Duration = Duration::from_millis(8);

/// Bytes without a response after which a file that was not read to its end is not waited for.
const TELLING_BYTES: u64 = 8 * 1024 * 1024;

/// How far each file was read.
pub type Positions = BTreeMap<PathBuf, Box<Position>>;

/// Which files of the session to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadScope {
    /// The main transcript, and the calling agent's.
    Caller,
    /// All files.
    All,
}

/// What to wait for before recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// Nothing.
    Nothing,
    /// The lines of these `tool_use` ids, in the calling agent's file.
    Tools(Vec<u64>),
    /// The line of this text, in the calling agent's file.
    Text(u64),
}

impl Awaited {
    /// The lines of these tool calls.
    pub fn tools<'a>(ids: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Tools(ids.into_iter().map(tool_hash).collect())
    }

    /// The line of the agent's last text.
    pub fn text(text: Option<&str>) -> Self {
        text.filter(|t| !t.trim().is_empty()).map_or(Self::Nothing, |t| Self::Text(text_hash(t)))
    }

    fn is_met(&self, position: Option<&Position>) -> bool {
        let seen = |id: &u64| position.is_some_and(|p| p.recent_tools.contains(id));
        match self {
            Self::Nothing => true,
            Self::Tools(ids) => ids.iter().all(seen),
            Self::Text(text) => position.is_some_and(|p| p.last_text == Some(*text)),
        }
    }
}

/// What is new in the files.
#[derive(Debug, Default)]
pub struct TranscriptDelta {
    /// The facts in the new lines.
    pub facts: Vec<Fact>,
    /// The files of the facts, in order, with the number of facts from each.
    pub parts: Vec<(PathBuf, usize)>,
    /// How far each file was read.
    pub positions: Positions,
    /// Whether the ends of the files were reached.
    pub complete: bool,
    /// Whether what was not read can hardly show a response: a first reading may take several hooks, but a file with so
    /// much that is no response is not worth waiting for.
    pub is_telling: bool,
    /// Bytes read.
    pub bytes: u64,
    /// Files that could not be read, and why.
    pub problems: Vec<String>,
}

/// Reads the transcripts of one session.
#[derive(Clone, Copy, Debug)]
pub struct TranscriptReader<'s> {
    /// The source of the event.
    pub source: &'s EventSource,
    /// The session's main transcripts: usually one. The file may have been moved, or another one named since.
    pub transcripts: [Option<&'s Path>; 2],
    /// The date for lines without one.
    pub now: Timestamp,
}

impl<'s> TranscriptReader<'s> {
    /// Reads the lines after `positions`, up to `max_bytes`, repeatedly until the awaited line is there or the wait is
    /// over. Does not wait for a file that does not exist.
    pub fn read_new(
        &self,
        positions: Positions,
        scope: ReadScope,
        awaited: &Awaited,
        max_bytes: u64,
    ) -> TranscriptDelta {
        let mut delta =
            TranscriptDelta { positions, complete: true, is_telling: true, ..TranscriptDelta::default() };
        let mains = self.mains();
        let own_file = |(path, transcripts): &(&Path, &dyn Transcripts)| match &self.source.agent {
            None => None,
            Some(agent) => transcripts.agent_file(path, agent),
        };
        let own: Vec<Option<TranscriptFile>> = mains.iter().map(own_file).collect();
        let own_paths =
            || mains.iter().zip(&own).map(|((main, _), own)| own.as_ref().map_or(*main, |file| &file.path));
        let started = Stopwatch::start();
        loop {
            let mut left = max_bytes;
            for ((main, transcripts), own) in mains.iter().zip(&own) {
                let listed = match scope {
                    ReadScope::All => transcripts.files(main),
                    ReadScope::Caller => {
                        let main = TranscriptFile { path: (*main).to_owned(), agent: None };
                        std::iter::once(main).chain(own.clone()).collect()
                    }
                };
                for file in listed {
                    delta.complete &= left > 0;
                    if left > 0 {
                        let read = self.read_new_in_file(*transcripts, &file, left, &mut delta);
                        left = left.saturating_sub(read);
                        delta.bytes += read;
                    }
                }
            }
            let is_met = own_paths().any(|path| awaited.is_met(delta.positions.get(path).map(Box::as_ref)));
            let can_wait = delta.complete && started.ms() < MAX_WAIT_MS && own_paths().any(Path::is_file);
            if is_met || !can_wait {
                return delta;
            }
            std::thread::sleep(POLL);
        }
    }

    /// The starts of all existing files, with their lengths.
    pub fn first_positions(&self) -> Positions {
        let first = |transcripts: &dyn Transcripts, file: TranscriptFile| {
            let held = std::fs::metadata(&file.path).ok().filter(|meta| meta.is_file())?.len();
            let start = Position::start(file.agent.clone(), self.agent_type(transcripts, &file));
            Some((file.path, Box::new(Position { held: Some(held), ..start })))
        };
        let all = self.mains().into_iter().flat_map(|(main, transcripts)| {
            transcripts.files(main).into_iter().filter_map(move |file| first(transcripts, file))
        });
        all.collect()
    }

    /// The main transcripts, and their formats. These depend on the session's agent: a program may call the hooks by
    /// the plain protocol in another agent's session.
    fn mains(&self) -> Vec<(&'s Path, &'static dyn Transcripts)> {
        let format = |path: &'s Path| Some((path, agents::transcript_format(path, self.source.client)?));
        self.transcripts.into_iter().flatten().filter_map(format).collect()
    }

    /// Reads the new part of one file. Returns the number of bytes read.
    fn read_new_in_file(
        &self,
        transcripts: &dyn Transcripts,
        file: &TranscriptFile,
        max_bytes: u64,
        delta: &mut TranscriptDelta,
    ) -> u64 {
        // A file that came later held nothing when the session was first seen.
        let held = delta.positions.values().any(|known| known.held.is_some()).then_some(0);
        let position = delta.positions.entry(file.path.clone()).or_insert_with(|| {
            let start = Position::start(file.agent.clone(), self.agent_type(transcripts, file));
            Box::new(Position { held, ..start })
        });
        match cursor::read_new(transcripts, &file.path, position, max_bytes, self.now) {
            Ok(reading) => {
                delta.complete &= reading.complete;
                delta.is_telling &= reading.complete || position.silent >= TELLING_BYTES;
                if !reading.facts.is_empty() {
                    delta.parts.push((file.path.clone(), reading.facts.len()));
                    delta.facts.extend(reading.facts);
                }
                reading.bytes
            }
            Err(error) => {
                delta.problems.push(format!("{}: {error}", file.path.display()));
                0
            }
        }
    }

    /// The type of a file's agent: from the event, else as recorded by the client; empty if unknown.
    fn agent_type(&self, transcripts: &dyn Transcripts, file: &TranscriptFile) -> String {
        let Some(agent) = &file.agent else { return "main".to_owned() };
        let calls = self.source.agent.as_ref() == Some(agent);
        let said = self.source.agent_type.clone().filter(|agent_type| calls && !agent_type.is_empty());
        said.or_else(|| transcripts.agent_note(file)?.agent_type).unwrap_or_default()
    }
}

/// How far the file of an agent (`None`: the main one) was read. Of several main files, the one with the last response
/// counts: the session may have moved from the others.
pub fn position_of<'p>(positions: &'p Positions, agent: Option<&String>) -> Option<&'p Position> {
    let own = positions.values().map(Box::as_ref).filter(|position| position.agent.as_ref() == agent);
    own.max_by_key(|position| position.last_message_at)
}
