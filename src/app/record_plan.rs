//! What an event wants read and recorded, and the progress of reading.

use super::transcript_reader::{Awaited, ReadScope, TranscriptDelta};
use super::unseen::Heard;
use crate::domain::breaker::circuit::NamedCall;
use crate::domain::throttle::SlotEvent;
use crate::domain::time::Timestamp;
use crate::platform::Stopwatch;
use crate::transcript::Fact;

/// The maximum number of bytes that a hook reads; the next one continues.
pub const HOOK_BYTES: u64 = 32 * 1024 * 1024;

/// Time after which a hook starts no further slice, in milliseconds. A slow machine could read more before the deadline
/// than it can record, and unrecorded data is lost work.
pub const HOOK_READ_MS: i64 = 400;

/// Bytes that are read, recorded and marked as read at a time: about 2,500 messages.
pub const SLICE_BYTES: u64 = 1024 * 1024;

/// What an event says about the calling agent, besides its messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// Nothing.
    Nothing,
    /// It requests this call.
    Asks(u32),
    /// These calls ended.
    Calls(Vec<NamedCall>),
    /// A response ended, with all of its calls.
    Response(Vec<NamedCall>),
    /// A person sent a prompt that asks for this many repetitions.
    Prompt(u32),
}

/// What to record, and how.
#[derive(Clone, Debug)]
pub struct RecordPlan {
    /// Which files.
    pub scope: ReadScope,
    /// What to wait for.
    pub awaited: Awaited,
    /// Facts that do not come from a transcript.
    pub extra_facts: Vec<Fact>,
    /// Whether the caller can show alerts.
    pub claim_alerts: bool,
    /// What the event says about the calling agent.
    pub observation: Observation,
    /// What it says about responses.
    pub heard: Heard,
    /// The ids of all calls that the event is about.
    pub calls: Vec<u32>,
    /// What it says about subagents.
    pub slot_events: Vec<SlotEvent>,
    /// Maximum bytes to read.
    pub max_bytes: u64,
    /// Bytes per batch: the most held in memory, or lost if the process is killed.
    pub slice_bytes: u64,
    /// Milliseconds after which no further slice is started; `None`: no limit.
    pub max_ms: Option<i64>,
    /// When the session was last seen, if another process catches up on it; `None`: now.
    pub seen_at: Option<Timestamp>,
}

impl RecordPlan {
    /// The plan of a hook that reads the caller's files. `claim`: whether it can show alerts.
    pub fn for_caller(claim: bool) -> Self {
        Self {
            scope: ReadScope::Caller,
            awaited: Awaited::Nothing,
            extra_facts: vec![],
            claim_alerts: claim,
            observation: Observation::Nothing,
            heard: Heard::Nothing,
            calls: vec![],
            slot_events: vec![],
            max_bytes: HOOK_BYTES,
            slice_bytes: SLICE_BYTES,
            max_ms: Some(HOOK_READ_MS),
            seen_at: None,
        }
    }

    /// The plan of a hook that reads all files of the session.
    pub fn for_session(claim: bool) -> Self {
        Self { scope: ReadScope::All, ..Self::for_caller(claim) }
    }
}

/// How much was read, and whether there is time for more.
pub struct ReadProgress<'p> {
    plan: &'p RecordPlan,
    started: Stopwatch,
    read: u64,
}

impl<'p> ReadProgress<'p> {
    /// Starts with nothing read.
    pub fn start(plan: &'p RecordPlan) -> Self {
        Self { plan, started: Stopwatch::start(), read: 0 }
    }

    /// Starts again at the first byte; the time keeps running.
    pub fn restart(&mut self) {
        self.read = 0;
    }

    /// Whether the time for reading is over.
    pub fn is_out_of_time(&self) -> bool {
        self.plan.max_ms.is_some_and(|ms| self.started.ms() >= ms)
    }

    /// Whether nothing was read yet. The first slice is always read, so that every hook makes progress.
    pub fn is_first(&self) -> bool {
        self.read == 0
    }

    /// Bytes of the next slice.
    pub fn next_slice(&self) -> u64 {
        self.plan.slice_bytes.min(self.plan.max_bytes - self.read)
    }

    /// Counts a slice. Returns whether it was the last one.
    pub fn advance(&mut self, delta: &TranscriptDelta) -> bool {
        self.read = self.plan.max_bytes.min(self.read.saturating_add(delta.bytes));
        delta.complete || delta.bytes == 0 || self.read == self.plan.max_bytes || self.is_out_of_time()
    }
}
