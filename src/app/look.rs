//! Looking into a session's files: what is new in them, and waiting for a line that is on its way.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::guard::Guard;
use crate::env::Stopwatch;
use crate::transcript::cursor::{self, Position};
use crate::transcript::files::{self, TranscriptFile};
use crate::transcript::{Fact, line};

/// How long a hook waits for a line near a limit. The client buffers lines for about 100 ms (170 ms at most seen).
const WAIT_MS: i64 = 200;

/// How often it looks.
const POLL: Duration = Duration::from_millis(4);

/// Which files of the session to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The main transcript, and the calling agent's.
    Caller,
    /// All of them.
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
        Self::Tools(ids.into_iter().map(line::tool_hash).collect())
    }

    /// The line of the agent's last text.
    pub fn text(text: Option<&str>) -> Self {
        text.filter(|t| !t.trim().is_empty()).map_or(Self::Nothing, |t| Self::Text(line::text_hash(t)))
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

/// What one look at the files found.
pub struct Look {
    /// What the new lines say.
    pub facts: Vec<Fact>,
    /// Of which files that is: so many facts each.
    pub parts: Vec<(PathBuf, usize)>,
    /// How far each file was read.
    pub positions: BTreeMap<PathBuf, Box<Position>>,
    /// Whether the ends of the files were reached.
    pub complete: bool,
    /// Bytes read.
    pub bytes: u64,
}

impl Guard<'_> {
    /// Reads on from the cache's positions, again and again until the awaited line is there or the wait is over.
    pub(super) fn look(&mut self, reach: Reach, awaited: &Awaited, max_bytes: u64) -> Look {
        self.look_from(self.start(), reach, awaited, max_bytes)
    }

    /// Nothing read yet.
    pub(super) fn start(&self) -> Look {
        let positions = self.cache.positions.clone();
        Look { facts: vec![], parts: vec![], positions, complete: true, bytes: 0 }
    }

    /// Reads on from where `look` ended.
    pub(super) fn look_from(
        &mut self,
        mut look: Look,
        reach: Reach,
        awaited: &Awaited,
        max_bytes: u64,
    ) -> Look {
        let Some(transcript) = self.call.transcript.clone().or(self.cache.session.transcript.clone()) else {
            return look;
        };
        let own = self.call.agent.as_ref().and_then(|agent| files::of_agent(&transcript, agent));
        let own_path = own.as_ref().map_or(&transcript, |file| &file.path).clone();
        let started = Stopwatch::start();
        loop {
            let listed = match reach {
                Reach::All => files::of_session(&transcript),
                Reach::Caller => {
                    let main = TranscriptFile { path: transcript.clone(), agent: None };
                    std::iter::once(main).chain(own.clone()).collect()
                }
            };
            let mut left = max_bytes;
            for file in listed {
                look.complete &= left > 0;
                if left > 0 {
                    let read = self.read(&file, left, &mut look);
                    left = left.saturating_sub(read);
                    look.bytes += read;
                }
            }
            let met = awaited.is_met(look.positions.get(&own_path).map(Box::as_ref));
            if met || !look.complete || started.ms() >= WAIT_MS {
                return look;
            }
            std::thread::sleep(POLL);
        }
    }

    fn read(&mut self, file: &TranscriptFile, max_bytes: u64, look: &mut Look) -> u64 {
        let position = look.positions.entry(file.path.clone()).or_insert_with(|| {
            let agent_type = match &file.agent {
                None => "main".to_owned(),
                Some(agent) => {
                    let called =
                        self.call.agent_type.clone().filter(|_| self.call.agent.as_ref() == Some(agent));
                    called.filter(|t| !t.is_empty()).or_else(|| files::agent_type(file)).unwrap_or_default()
                }
            };
            Box::new(Position::start(file.agent.clone(), agent_type))
        });
        match cursor::read_on(&file.path, position, max_bytes, self.env.now) {
            Ok(reading) => {
                look.complete &= reading.complete;
                if !reading.facts.is_empty() {
                    look.parts.push((file.path.clone(), reading.facts.len()));
                    look.facts.extend(reading.facts);
                }
                reading.bytes
            }
            Err(error) => {
                self.notes.push(format!("{}: {error}", file.path.display()));
                0
            }
        }
    }

    /// How often the calling agent's last text was said running.
    pub(super) fn said(&self, look: &Look) -> u32 {
        let mut all = look.positions.values();
        let of_caller = all.find(|position| position.agent == self.call.agent);
        of_caller.map_or(0, |position| position.said.times)
    }
}
