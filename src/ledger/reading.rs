//! Reads transcripts in several threads.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;

use super::entry;
use super::key_map::KeyMap;
use crate::domain::message::MessageKey;
use crate::domain::time::Timestamp;
use crate::transcript::cursor::{self, LinePlace, Position};
use crate::transcript::{Fact, HistoryFile, Transcripts};

/// Bytes of a file that are read at once.
const CHUNK_BYTES: u64 = 4 * 1024 * 1024;

/// A file to read.
pub struct Job {
    /// The file.
    pub file: HistoryFile,
    /// Its format.
    pub transcripts: &'static dyn Transcripts,
    /// How far it was read before.
    pub position: Option<Position>,
    /// Its length.
    pub size: u64,
}

/// What was read of a file.
pub struct Chunk {
    /// The file, by its place among the jobs.
    pub job: usize,
    /// The facts: one per message.
    pub facts: Vec<Fact>,
    /// Where each was written.
    pub places: Vec<Option<LinePlace>>,
    /// The later lines of messages, which charge nothing.
    pub copies: Vec<MessageKey>,
    /// How far the file was read, as JSON.
    pub position: String,
    /// Bytes read.
    pub bytes: u64,
    /// Whether the file was read to its end.
    pub is_complete: bool,
}

/// A chunk, or why a file cannot be read.
pub type Read = Result<Chunk, (PathBuf, std::io::Error)>;

/// Reads jobs, each taken once by one of several threads that share `next`, until there are none or nobody listens.
pub fn read_jobs(jobs: &[Job], next: &AtomicUsize, now: Timestamp, listener: &SyncSender<Read>) {
    while let Some((number, job)) = {
        let number = next.fetch_add(1, Ordering::Relaxed);
        jobs.get(number).map(|job| (number, job))
    } {
        if read_job(number, job, now, listener).is_none() {
            return;
        }
    }
}

/// Reads one file. `None` if nobody listens.
fn read_job(number: usize, job: &Job, now: Timestamp, listener: &SyncSender<Read>) -> Option<()> {
    let mut position = job.position.clone().unwrap_or_else(|| start(job));
    loop {
        position.places = Some(Box::default());
        let read = cursor::read_new(job.transcripts, &job.file.file.path, &mut position, CHUNK_BYTES, now);
        let changes = position.places.take().map(|places| places.changes).unwrap_or_default();
        let new = match read {
            Ok(new) => new,
            Err(error) => return listener.send(Err((job.file.file.path.clone(), error))).ok(),
        };
        let (mut facts, mut places) = merged(new.facts, &changes);
        let copies = take_copies(&mut facts, &mut places);
        let is_last = new.complete || new.bytes == 0;
        let chunk = Chunk {
            job: number,
            facts,
            places,
            copies,
            position: serde_json::to_string(&position).unwrap_or_default(),
            bytes: new.bytes,
            is_complete: new.complete,
        };
        listener.send(Ok(chunk)).ok()?;
        if is_last {
            return Some(());
        }
    }
}

fn start(job: &Job) -> Position {
    let agent_type = match &job.file.file.agent {
        None => "main".to_owned(),
        Some(_) => {
            job.transcripts.agent_note(&job.file.file).and_then(|note| note.agent_type).unwrap_or_default()
        }
    };
    Position::start(job.file.file.agent.clone(), agent_type)
}

/// Merges the lines of each message, as the ledger would: merging has the same result in any order. Adds the place of
/// each message's first line.
fn merged(facts: Vec<Fact>, changes: &[(usize, LinePlace)]) -> (Vec<Fact>, Vec<Option<LinePlace>>) {
    let mut merged: Vec<Fact> = Vec::with_capacity(facts.len());
    let mut places = Vec::with_capacity(facts.len());
    let mut known: KeyMap<usize> = KeyMap::with_capacity_and_hasher(facts.len(), Default::default());
    let (mut changes, mut place) = (changes.iter().peekable(), None);
    for (index, fact) in facts.into_iter().enumerate() {
        while let Some((_, next)) = changes.next_if(|(from, _)| *from <= index) {
            place = Some(next);
        }
        if let Fact::Message(message) = fact {
            if let Some(Fact::Message(first)) =
                known.get(&message.key).and_then(|first| merged.get_mut(*first))
            {
                let before = std::mem::replace(first, message);
                *first = before.merge(first);
                continue;
            }
            known.insert(message.key, merged.len());
            merged.push(Fact::Message(message));
        } else {
            merged.push(fact);
        }
        places.push(place.cloned());
    }
    (merged, places)
}

/// Takes out the facts that are known by their key only.
fn take_copies(facts: &mut Vec<Fact>, places: &mut Vec<Option<LinePlace>>) -> Vec<MessageKey> {
    let copy = |fact: &Fact| match fact {
        Fact::Message(message) if entry::is_copy(message) => Some(message.key),
        _ => None,
    };
    let copies = facts.iter().filter_map(copy).collect();
    let mut kept = facts.iter().map(|fact| copy(fact).is_none());
    places.retain(|_| kept.next().unwrap_or(true));
    facts.retain(|fact| copy(fact).is_none());
    copies
}
