//! State shared by the hooks of one session. [`cache_file`](super::cache_file) is its file.
//!
//! It contains what pre-tool-use needs to answer without the store, the positions in transcripts, and the escalation.
//! It can be deleted at any time: everything in it can be read again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::offline_counts::OfflineCounts;
use super::repeated_ids::Extent;
use super::unseen::UnseenResponses;
use super::{BatchSequence, ClientProcess, Session};
use crate::config::{Config, Stamp};
use crate::domain::breaker::circuit::{CircuitBreaker, Phase};
use crate::domain::breaker::history::CallHistory;
use crate::domain::budget::{Budget, BudgetState};
use crate::domain::escalation::Escalation;
use crate::domain::message::UsageSource;
use crate::domain::time::Timestamp;
use crate::domain::usage::Usage;
use crate::domain::verdict::ResponseSizes;
use crate::transcript::Fact;
use crate::transcript::cursor::Position;
use crate::transcript::scheduled::ScheduledTexts;

/// Version of the file format; other versions are not read.
pub(super) const VERSION: u32 = 1;

/// State shared by the hooks of one session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionCache {
    /// Version of the format.
    pub version: u32,
    /// When the store last answered.
    pub written: Timestamp,
    /// Fingerprint of the configuration that `config` was read from.
    pub stamp: Option<Stamp>,
    /// The budgets in the store's last answer.
    pub states: Vec<BudgetState>,
    /// How far each agent is escalated.
    #[serde(rename = "ladder")]
    pub escalation: Escalation,
    /// Sizes of the responses so far.
    pub sizes: ResponseSizes,
    /// The model of the last response, by agent; the main agent's key is empty.
    pub models: BTreeMap<String, String>,
    /// Models seen.
    pub models_seen: BTreeSet<String>,
    /// Agent types seen.
    pub agent_types: BTreeSet<String>,
    /// Only in the file: for each state whose budget is in the configuration, its index there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    budgets: Vec<usize>,
    /// The last valid configuration. Without a `stamp`, it belongs to `offline_counts`: the store has never answered.
    pub config: Option<Config>,
    /// The configuration whose problems were already reported.
    #[serde(rename = "told")]
    pub reported_config: Option<Stamp>,
    /// The session.
    pub session: Session,
    /// Breakers that are not closed, by agent. Closed ones are kept only while an older answer may still arrive.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub circuits: BTreeMap<String, CachedCircuit>,
    /// The sessions that it was started in, innermost first. Their session budgets apply to it as well.
    pub ancestors: Vec<String>,
    /// Whether the session continues a conversation: its own, or that of the session it was forked from. `None` if no
    /// hook was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continues: Option<bool>,
    /// When the session ended, according to its hooks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// The session's start or end, if not yet reported to the store.
    #[serde(rename = "untold", skip_serializing_if = "Option::is_none")]
    pub unreported: Option<UnreportedSession>,
    /// The id of the store that the positions belong to.
    #[serde(rename = "epoch")]
    pub store_id: String,
    /// Sequence number of the answer in `states`; [`STALE`] if the store lacks batches and was not marked yet.
    pub sequence: u64,
    /// The batches of this machine in the store, by its answers.
    #[serde(rename = "own")]
    pub batch_sequence: BatchSequence,
    /// After a failure, the store is not called again before this moment: each hook would wait for it.
    pub store_asleep_until: Option<Timestamp>,
    /// Counts while the store is unreachable.
    #[serde(rename = "counted", skip_serializing_if = "Option::is_none")]
    pub offline_counts: Option<OfflineCounts>,
    /// Texts that the agent scheduled as prompts, by its tool calls. (Positions have those of the transcripts.)
    #[serde(skip_serializing_if = "ScheduledTexts::is_empty")]
    pub scheduled: ScheduledTexts,
    /// Hash of the prompt command that was answered, until another prompt is sent; 0: none.
    pub answered: u64,
    /// The reservations of calls under way, by the calls' ids in the breaker's history.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub platform_calls: BTreeMap<u32, Vec<String>>,
    /// The platforms that the session has called.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub platforms: BTreeSet<String>,
    /// Responses that hooks were told of and that no transcript shows.
    #[serde(skip_serializing_if = "UnseenResponses::is_default")]
    pub unseen: UnseenResponses,
    /// How far each transcript file was read and recorded in the store.
    pub positions: BTreeMap<PathBuf, Box<Position>>,
    /// Positions for a lost store, as long as `states` is its answer.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub lost: BTreeMap<PathBuf, Box<Position>>,
}

/// A sequence number that no store reaches, so that the next hook finds batches missing.
pub const STALE: u64 = u64::MAX;

/// A session that was not reported, because the store was unreachable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UnreportedSession {
    /// The first time that it was not reported.
    pub since: Timestamp,
    /// Its client process.
    pub client: Option<ClientProcess>,
    /// Its parent session.
    pub parent: Option<String>,
}

/// The breaker of an agent in the store's last answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedCircuit {
    /// Sequence number of the answer.
    pub sequence: u64,
    /// The breaker, without its history.
    pub breaker: CircuitBreaker,
}

impl SessionCache {
    /// The content of the file.
    pub(super) fn encode(&mut self) -> std::io::Result<Vec<u8>> {
        let known = self.config.as_ref().map_or(&[][..], |config| &config.budgets);
        let mut held = Vec::with_capacity(self.states.len());
        for state in &mut self.states {
            if let Some(number) = known.iter().position(|budget| *budget == state.budget) {
                self.budgets.push(number);
                held.push(std::mem::replace(&mut state.budget, Budget::placeholder()));
            }
        }
        let bytes = serde_json::to_vec(self);
        let mut held = held.into_iter();
        for state in self.states.iter_mut().filter(|state| state.budget.is_placeholder()) {
            state.budget = held.next().unwrap_or_else(Budget::placeholder);
        }
        self.budgets.clear();
        Ok(bytes?)
    }

    /// Parses the result of [`Self::encode`]; `None` if it is damaged, or has another version.
    pub(super) fn decode(bytes: &[u8]) -> Option<Box<Self>> {
        let read = serde_json::from_slice(bytes).ok();
        let mut cache: Box<Self> = read.or_else(|| Self::read_without_configuration(bytes))?;
        if cache.version != VERSION {
            return None;
        }
        let mut numbers = std::mem::take(&mut cache.budgets).into_iter();
        let known = cache.config.as_ref().map_or(&[][..], |config| &config.budgets);
        for state in cache.states.iter_mut().filter(|state| state.budget.is_placeholder()) {
            state.budget = known.get(numbers.next()?)?.clone();
        }
        // Offline counts always contain their budgets.
        let mut counted = cache.offline_counts.iter().flat_map(|counted| &counted.states);
        counted.all(|state| !state.budget.is_placeholder()).then_some(cache)
    }

    /// How many responses were not charged, because no transcript shows them and their calls have ids of earlier ones.
    pub fn uncharged_responses(&self) -> u64 {
        self.unseen.repeated.uncharged(Extent::of(&self.positions))
    }

    /// Whether transcripts lack responses.
    pub fn is_incomplete(&self) -> bool {
        self.unseen.estimates() > 0 || self.uncharged_responses() > 0
    }

    /// Whether the store lacks data of the session. If the session has no more hooks, hooks of other sessions report
    /// it.
    pub fn has_unreported_data(&self) -> bool {
        self.session.transcript.is_some() && (self.offline_counts.is_some() || self.unreported.is_some())
    }

    /// Takes from facts what later hooks need: sizes of responses, models, agent types.
    pub fn learn(&mut self, facts: &[Fact]) {
        for fact in facts {
            let Fact::Message(message) = fact else { continue };
            if message.source == UsageSource::Part {
                // A budget may watch its model, but the agent's next response has its own model and size.
                self.models_seen.insert(message.model.clone());
                continue;
            }
            if message.superseded {
                continue;
            }
            let usage = message.recorded;
            let calls = message.tools.len() as u64;
            let rates = message.rates.unwrap_or_default();
            let whole = Usage { cache_write_1h: usage.total(), ..Usage::default() };
            self.sizes = self.sizes.merge(ResponseSizes {
                largest: usage,
                last_context: usage.total(),
                most_calls: calls,
                dearest: rates.cost(usage, message.web_searches),
                rewrite: rates.cost(whole, 0),
            });
            if !message.model.is_empty() {
                self.models_seen.insert(message.model.clone());
                self.models.insert(message.agent.clone().unwrap_or_default(), message.model.clone());
            }
            if !message.agent_type.is_empty() {
                self.agent_types.insert(message.agent_type.clone());
            }
        }
    }

    /// Merges the same data from another copy.
    pub fn merge_learned(&mut self, other: &Self) {
        self.sizes = self.sizes.merge(other.sizes);
        self.models.extend(other.models.clone());
        self.models_seen.extend(other.models_seen.iter().cloned());
        self.agent_types.extend(other.agent_types.iter().cloned());
    }

    /// Adopts positions that are further ahead.
    pub fn advance_positions(&mut self, read: BTreeMap<PathBuf, Box<Position>>) {
        for (path, position) in read {
            match self.positions.get(&path) {
                Some(old) if !old.is_behind(&position) => {}
                _ => {
                    self.positions.insert(path, position);
                }
            }
        }
    }

    /// Reads a cache without its configuration, if that is unreadable because this machine lost a time zone file. The
    /// store is then asked for the budgets.
    fn read_without_configuration(bytes: &[u8]) -> Option<Box<Self>> {
        let mut fields: serde_json::Map<_, _> = serde_json::from_slice(bytes).ok()?;
        for name in ["config", "stamp", "states", "budgets", "counted"] {
            fields.remove(name);
        }
        // As bytes again: deserializers for values would be as large as those for bytes.
        serde_json::from_slice(&serde_json::to_vec(&fields).ok()?).ok()
    }

    /// Positions at the time of the answer in `states`.
    pub fn answered_positions(&self) -> &BTreeMap<PathBuf, Box<Position>> {
        if self.lost.is_empty() { &self.positions } else { &self.lost }
    }

    /// Adopts an agent's breaker from an answer of the store.
    pub fn update_circuit(&mut self, agent: &str, sequence: u64, breaker: &CircuitBreaker) {
        let known = self.circuits.get(agent).map_or(0, |known| known.sequence);
        if sequence < known {
            return;
        }
        if breaker.phase == Phase::Closed && sequence >= self.sequence {
            self.circuits.remove(agent);
            return;
        }
        let breaker = breaker.clone().with_history(CallHistory::default());
        self.circuits.insert(agent.to_owned(), CachedCircuit { sequence, breaker });
    }

    /// The breaker of an agent, if it is not closed.
    pub fn circuit(&self, agent: &str) -> Option<&CircuitBreaker> {
        self.circuits.get(agent).map(|known| &known.breaker).filter(|breaker| breaker.phase != Phase::Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::window::WindowRule;

    #[test]
    fn a_budget_stands_once_in_the_file() {
        let named = |name: &str, limit| Budget { name: name.into(), limit, ..Budget::placeholder() };
        let state = |budget: Budget, value: &str| {
            let window = WindowRule::LIFETIME.at(Timestamp(0));
            BudgetState::new(&budget, value, window)
        };
        let budgets = vec![named("a", 1), named("b", 2)];
        let states = vec![
            state(named("b", 2), "x"),
            // The budget as in another configuration.
            state(named("a", 9), "x"),
            state(named("a", 1), "x"),
            state(named("a", 1), "y"),
        ];
        let config = Some(Config { budgets, ..Config::default() });
        let mut cache = SessionCache { version: VERSION, states, config, ..SessionCache::default() };
        let before = cache.clone();
        let bytes = cache.encode().unwrap();
        assert_eq!(cache, before);
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert_eq!(text.matches("\"thresholds\"").count(), 3, "{text}");
        assert_eq!(*SessionCache::decode(&bytes).unwrap(), before);
        // Rejects indexes that are too few or out of range.
        for numbers in ["[1,0]", "[1,0,7]"] {
            let text = text.replace("\"budgets\":[1,0,0]", &format!("\"budgets\":{numbers}"));
            assert!(text.contains(numbers) && SessionCache::decode(text.as_bytes()).is_none(), "{text}");
        }
        let counted = OfflineCounts { states: before.states.clone(), ..OfflineCounts::default() };
        let mut counting = SessionCache { offline_counts: Some(counted), ..before.clone() };
        let mut file: serde_json::Value = serde_json::from_slice(&counting.encode().unwrap()).unwrap();
        assert!(SessionCache::decode(file.to_string().as_bytes()).is_some());
        file["counted"]["states"][1].as_object_mut().unwrap().remove("budget").unwrap();
        assert!(SessionCache::decode(file.to_string().as_bytes()).is_none());
        // Earlier versions stored the budget in each state.
        let earlier = serde_json::to_vec(&before).unwrap();
        assert_eq!(*SessionCache::decode(&earlier).unwrap(), before);
    }
}
