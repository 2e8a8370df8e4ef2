//! Responses whose calls have ids that hooks heard before, while the session's files stand still.
//!
//! Some gateways repeat ids. Then only a file tells another response from the same event again, so without one these are
//! not charged. They are counted here, for people. A repetition is not counted at once: its line may be on its way, or a
//! hook may be late. It is counted when a later one finds that nothing was written in between.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::unseen::MAX_LAG_MS;
use crate::domain::time::Timestamp;
use crate::transcript::cursor::Position;

/// How many ids are remembered while the files stand still.
const MAX_HEARD: usize = 64;

/// How far the files of a session were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// How often a file was read from its start again.
    starts: u64,
    /// Bytes.
    bytes: u64,
    /// Tool calls.
    calls: u64,
}

impl Extent {
    /// How far all these files were read.
    pub fn of(positions: &BTreeMap<PathBuf, Box<Position>>) -> Self {
        let plus = |sum: Self, position: &Position| Self {
            starts: sum.starts + u64::from(position.starts),
            bytes: sum.bytes.saturating_add(position.offset),
            calls: sum.calls.saturating_add(position.tools_seen),
        };
        positions.values().map(Box::as_ref).fold(Self::default(), plus)
    }
}

/// The calls of a response that a hook was told of.
#[derive(Clone, Debug)]
pub struct HeardCalls {
    /// Hashes of their ids and their agent.
    pub ids: Vec<u64>,
    /// When the hook was told.
    pub at: Timestamp,
    /// How far the files were.
    pub extent: Extent,
}

/// Ids that repeat while the files stand still.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RepeatedIds {
    /// Where the files stand.
    extent: Extent,
    /// The ids heard since then, each with the time of its last response.
    heard: Vec<(u64, Timestamp)>,
    /// The last response that repeated ids, and how many calls it had. It is not counted yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<(Timestamp, u64)>,
    /// The responses counted since then.
    #[serde(skip_serializing_if = "is_zero")]
    responses: u64,
    /// Their calls.
    #[serde(skip_serializing_if = "is_zero")]
    calls: u64,
    /// The responses counted before, which the files did not show when they moved on.
    #[serde(skip_serializing_if = "is_zero")]
    before: u64,
}

impl RepeatedIds {
    /// How many responses were not charged. `extent`: how far the files are now. If they moved on by as many calls, they
    /// show them.
    pub fn uncharged(&self, extent: Extent) -> u64 {
        let is_shown = extent.calls.saturating_sub(self.extent.calls) >= self.calls;
        self.before.saturating_add(if is_shown { 0 } else { self.responses })
    }

    /// A hook was told of these calls. The same event may be reported several times.
    pub fn hear(&mut self, heard: &HeardCalls) {
        let HeardCalls { ids, at, extent } = heard;
        if self.extent != *extent {
            *self = Self { extent: *extent, before: self.uncharged(*extent), ..Self::default() };
        }
        let is_later = |than: Timestamp| at.millis_since(than) >= MAX_LAG_MS;
        let known = |id: &u64| self.heard.iter().find(|(known, _)| known == id).map(|(_, at)| *at);
        match ids.iter().map(known).collect::<Option<Vec<_>>>() {
            // Ids are new, so what repeated before may have been a late hook.
            None => self.last = None,
            Some(times) if times.iter().all(|last| is_later(*last)) => match self.last {
                Some((last, calls)) if is_later(last) => {
                    self.responses = self.responses.saturating_add(1);
                    self.calls = self.calls.saturating_add(calls);
                    self.last = Some((*at, ids.len() as u64));
                }
                Some(_) => {}
                None => self.last = Some((*at, ids.len() as u64)),
            },
            // The same event again.
            Some(_) => return,
        }
        self.heard.retain(|(known, _)| !ids.contains(known));
        self.heard.extend(ids.iter().map(|id| (*id, *at)));
        let surplus = self.heard.len().saturating_sub(MAX_HEARD);
        self.heard.drain(..surplus);
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}
