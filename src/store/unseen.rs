//! Responses that hooks were told of and that no transcript file shows.
//!
//! A line is written a moment after its response, so each response is first only awaited. One that stays missing is
//! charged as an estimate, and if a file shows it after all, the estimate is revoked. Both are recorded under the
//! response's own key, and are repeated until the store has acknowledged them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::repeated_ids::{HeardCalls, RepeatedIds};
use crate::domain::message::{Message, MessageKey, UsageSource};
use crate::domain::time::Timestamp;
use crate::domain::usage::Usage;
use crate::transcript::Fact;
use crate::transcript::cursor::Position;

/// Fresh tokens of a response before the size of any is known: the median first response of real sessions.
pub const FIRST_RESPONSE: Usage =
    Usage { input: 0, output: 0, cache_write_5m: 28_000, cache_write_1h: 0, cache_read: 0 };

/// How many responses are remembered. Estimates of earlier ones can no longer be revoked.
const MAX_RESPONSES: usize = 512;

/// How long a line may take, in milliseconds; the longest measured is 170. After that, a response is overdue even if
/// its agent has not made another one.
pub const MAX_LAG_MS: i64 = 2_000;

/// How far the charge of a response is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Charge {
    /// None: its line may be on its way.
    #[default]
    Awaited,
    /// To be charged as an estimate; the store has not acknowledged it yet.
    Due,
    /// Charged as an estimate.
    Made,
    /// To be revoked, because a file shows the response; the store has not acknowledged it yet.
    Revoked,
}

/// How many calls an agent's file showed, and the time of its last response.
pub type Progress = (u64, Option<Timestamp>);

/// A text that ended a turn and that a file showed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Its hash.
    pub text: u64,
    /// When a hook was told of it.
    pub at: Timestamp,
    /// How far the file was.
    pub progress: Progress,
}

/// A response that no file shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnseenResponse {
    /// Identifies its estimate.
    pub key: MessageKey,
    /// The subagent; empty for the main agent.
    pub agent: String,
    /// `main`, or the subagent's type.
    pub agent_type: String,
    /// When a hook was told of it.
    pub at: Timestamp,
    /// Hashes of the ids of its calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<u64>,
    /// Hash of its text, if it has no calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<u64>,
    /// Whether its turn was stopped before one of its calls. The others are not known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub was_stopped: bool,
    /// The time of the last response in its agent's file when it was heard of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Timestamp>,
    /// How far the file was that showed the same text before: until it moves on, it does not show this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<Progress>,
    /// What it is charged, once its charge is due.
    #[serde(default)]
    pub usage: Usage,
    /// The model whose price it has.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// How far its charge is.
    #[serde(default)]
    pub charge: Charge,
}

impl UnseenResponse {
    /// The message that charges it, or, if it is revoked, makes it charge nothing.
    pub fn estimate(&self) -> Message {
        Message {
            model: self.model.clone(),
            agent: Some(self.agent.clone()).filter(|agent| !agent.is_empty()),
            agent_type: self.agent_type.clone(),
            recorded: self.usage,
            stopped: true,
            superseded: self.charge == Charge::Revoked,
            tools: self.calls.iter().copied().collect(),
            ..Message::new(self.key, UsageSource::Unseen, self.at)
        }
    }

    /// Whether both describe the same response: the client may call hooks twice for one event, each of parallel calls
    /// is stopped, and some clients report the end of a stopped response.
    fn is_same(&self, other: &Self) -> bool {
        let is_stopped = self.was_stopped || other.was_stopped;
        let shares_calls = self.calls.iter().any(|call| other.calls.contains(call));
        let is_repeated = (&self.agent, self.text, self.was_stopped)
            == (&other.agent, other.text, other.was_stopped)
            && other.at.millis_since(self.at).abs() < MAX_LAG_MS;
        self.key == other.key
            || (is_stopped && shares_calls)
            || (is_repeated && (self.text.is_some() || is_stopped))
    }

    /// Whether the response is among the last ones of a file.
    pub fn is_shown(&self, positions: &BTreeMap<PathBuf, Box<Position>>) -> bool {
        self.shown_at(positions).is_some()
    }

    /// How far the file is that shows it.
    pub fn shown_at(&self, positions: &BTreeMap<PathBuf, Box<Position>>) -> Option<Progress> {
        let has_it = |position: &&Position| match self.text {
            None => self.calls.iter().any(|call| position.recent_tools.contains(call)),
            Some(_) => {
                position.last_text == self.text && position.agent.as_deref().unwrap_or_default() == self.agent
            }
        };
        let progress = |position: &Position| (position.tools_seen, position.last_message_at);
        positions
            .values()
            .map(Box::as_ref)
            .filter(has_it)
            .map(progress)
            .find(|progress| self.repeats != Some(*progress))
    }

    /// Whether a message may be this response. A text is not in a message, but its time is.
    fn is_message(&self, message: &Message) -> bool {
        match self.text {
            None => self.calls.iter().any(|call| message.tools.contains(call)),
            Some(_) => {
                message.tools.is_empty()
                    && message.source == UsageSource::Response
                    && message.agent.as_deref().unwrap_or_default() == self.agent
                    && message.at <= self.at
                    && self.after.is_none_or(|after| message.at > after)
            }
        }
    }
}

/// The responses of a session that no file shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UnseenResponses {
    /// The responses, oldest first.
    responses: Vec<UnseenResponse>,
    /// Agents whose last response was missing: the next one is charged at once.
    missing: BTreeSet<String>,
    /// Whether the person was told.
    pub told: bool,
    /// By agent, the last text that a file showed at once.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    shown: BTreeMap<String, Shown>,
    /// Responses whose calls have ids of earlier ones.
    pub repeated: RepeatedIds,
}

/// What one hook found out.
#[derive(Clone, Debug, Default)]
pub struct UnseenChange {
    /// The responses that files show.
    pub seen: BTreeSet<MessageKey>,
    /// The response that the hook was told of.
    pub heard: Option<UnseenResponse>,
    /// The text that the hook was told of, if a file shows it, and its agent.
    pub shown: Option<(String, Shown)>,
    /// The calls that the hook was told of.
    pub calls: Option<HeardCalls>,
    /// The responses that are missing.
    pub missing: Vec<UnseenResponse>,
    /// The charges that were sent to the store.
    pub sent: BTreeMap<MessageKey, Charge>,
}

impl UnseenResponses {
    /// How many responses are charged as estimates.
    pub fn estimates(&self) -> u64 {
        let charged = |response: &&UnseenResponse| matches!(response.charge, Charge::Due | Charge::Made);
        self.responses.iter().filter(charged).count() as u64
    }

    /// Whether the last response of an agent was missing.
    pub fn is_missing(&self, agent: &str) -> bool {
        self.missing.contains(agent)
    }

    /// Whether there is nothing to keep.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether no response is awaited or charged.
    pub fn is_empty(&self) -> bool {
        self.responses.is_empty()
    }

    /// The same response, if a hook was told of it before.
    pub fn known(&self, response: &UnseenResponse) -> Option<&UnseenResponse> {
        self.responses.iter().find(|known| known.is_same(response))
    }

    /// The last text of an agent that a file showed at once.
    pub fn last_shown(&self, agent: &str) -> Option<&Shown> {
        self.shown.get(agent)
    }

    /// The responses whose charge the store has to be told of.
    pub fn unsent(&self) -> impl Iterator<Item = &UnseenResponse> {
        self.responses.iter().filter(|response| matches!(response.charge, Charge::Due | Charge::Revoked))
    }

    /// The store lost its data: everything charged is to be charged again.
    pub fn resend(&mut self) {
        for response in self.responses.iter_mut().filter(|response| response.charge == Charge::Made) {
            response.charge = Charge::Due;
        }
    }

    /// The responses that these facts and positions show.
    pub fn seen(&self, facts: &[Fact], positions: &BTreeMap<PathBuf, Box<Position>>) -> BTreeSet<MessageKey> {
        let open = || self.responses.iter().filter(|response| response.charge != Charge::Revoked);
        let mut seen: BTreeSet<MessageKey> =
            open().filter(|response| response.is_shown(positions)).map(|response| response.key).collect();
        for fact in facts {
            let Fact::Message(message) = fact else { continue };
            // A message shows one response: of several that it may be, the first.
            let found = open().find(|response| !seen.contains(&response.key) && response.is_message(message));
            seen.extend(found.map(|response| response.key));
        }
        seen
    }

    /// The responses that have been awaited for too long: those for which `is_past` holds, and old ones among those for
    /// which `is_read` holds.
    pub fn overdue(
        &self,
        now: Timestamp,
        is_past: impl Fn(&UnseenResponse) -> bool,
        is_read: impl Fn(&UnseenResponse) -> bool,
    ) -> Vec<UnseenResponse> {
        let is_old = |response: &UnseenResponse| now.millis_since(response.at) > MAX_LAG_MS;
        let is_overdue = |response: &&UnseenResponse| {
            response.charge == Charge::Awaited
                && (is_past(response) || (is_old(response) && is_read(response)))
        };
        self.responses.iter().filter(is_overdue).cloned().collect()
    }

    /// Applies what a hook found out. Another hook may have applied the same.
    pub fn apply(&mut self, change: &UnseenChange) {
        let UnseenChange { seen, heard, shown, calls, missing, sent } = change;
        let known = &mut self.missing;
        self.responses.retain_mut(|response| {
            let is_charged = response.charge != Charge::Awaited;
            if seen.contains(&response.key) {
                known.remove(&response.agent);
                response.charge = Charge::Revoked;
                return is_charged;
            }
            true
        });
        self.shown.extend(shown.clone());
        calls.iter().for_each(|calls| self.repeated.hear(calls));
        if let Some(heard) = heard {
            self.insert(heard, Charge::Awaited);
        }
        for response in missing {
            self.missing.insert(response.agent.clone());
            self.insert(response, Charge::Due);
        }
        self.responses.retain_mut(|response| match sent.get(&response.key) {
            Some(Charge::Revoked) => false,
            Some(Charge::Due) if response.charge == Charge::Due => {
                response.charge = Charge::Made;
                true
            }
            _ => true,
        });
        let surplus = self.responses.len().saturating_sub(MAX_RESPONSES);
        self.responses.drain(..surplus);
    }

    fn insert(&mut self, response: &UnseenResponse, charge: Charge) {
        match self.responses.iter_mut().find(|known| known.is_same(response)) {
            Some(known) => {
                if known.charge == Charge::Awaited {
                    (known.usage, known.model) = (response.usage, response.model.clone());
                }
                known.charge = known.charge.max(charge);
            }
            None => self.responses.push(UnseenResponse { charge, ..response.clone() }),
        }
    }
}
