//! Texts that the agent gave to a tool which sends them back as prompts, such as a wake-up.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{hashes, text_hash};

/// How many texts are remembered: more than the tasks that a session can have scheduled at a time.
const MAX_TEXTS: usize = 64;

/// The last texts that the agent scheduled, as hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ScheduledTexts(#[serde(with = "hashes")] VecDeque<u64>);

impl ScheduledTexts {
    /// Notes a text. Returns whether it is new.
    pub fn note(&mut self, text: &str) -> bool {
        let hash = text_hash(text);
        let before = self.0.len();
        self.0.retain(|known| *known != hash);
        let is_new = self.0.len() == before;
        self.0.push_back(hash);
        if self.0.len() > MAX_TEXTS {
            self.0.pop_front();
        }
        is_new
    }

    /// Whether the agent scheduled this text. Spaces around it do not matter.
    pub fn contains(&self, text: &str) -> bool {
        self.0.contains(&text_hash(text))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
