//! One model response, merged from everything read about it.
//!
//! [`Message::merge`] only lets fields grow (maximum, minimum, union, or), so neither the order of reading nor repeated
//! lines change the result. The charge is derived from the fields.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::money::{Rates, Terms};
use super::time::Timestamp;
use super::usage::{Amount, Usage};

/// Visible characters per token, used to estimate a cut stream with no known count.
pub const CHARS_PER_TOKEN: u64 = 4;

/// Tokens of hidden thinking per hundred characters of its signature, measured over several sets (23 to 35).
pub const TOKENS_PER_100_SIGNED: u64 = 31;

/// Identifies a message: 16 bytes of a SHA-256. The ids themselves are not kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageKey(pub [u8; 16]);

impl MessageKey {
    /// The key made of these parts. `["a", "b"]` and `["ab"]` give different keys.
    pub fn from_parts(parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let mut key = [0; 16];
        key.copy_from_slice(&hash.finalize()[..16]);
        Self(key)
    }

    /// The key as 32 hexadecimal digits.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    /// The first eight bytes, for sets of ids within one message.
    pub fn short(&self) -> u64 {
        u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|i| self.0[i]))
    }
}

impl std::fmt::Debug for MessageKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.short())
    }
}

/// Where the usage of a message comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UsageSource {
    /// Lines of the response itself.
    Response,
    /// A `compact_boundary` line: the compaction's own call has no other line.
    Compaction,
    /// Usage in the client's `cost-state` that no line accounts for.
    Unlisted,
    /// A part of a response that is billed beside the response's own counts.
    Part,
    /// None: the agent was heard to respond, but no file shows it. Estimated.
    Unseen,
}

/// One model response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Identifies the message.
    pub key: MessageKey,
    /// Where its usage comes from.
    pub source: UsageSource,
    /// The model that answered. Of several names the smallest, so that the order of reading does not matter.
    pub model: String,
    /// The model that the client asked for, if another one answered: the client's totals are by this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_model: Option<String>,
    /// The subagent that it answered; `None` for the main agent.
    pub agent: Option<String>,
    /// `main`, or the subagent's type; empty if unknown.
    pub agent_type: String,
    /// The earliest time on its lines. Decides the window.
    pub at: Timestamp,
    /// The largest count per class over its lines.
    pub recorded: Usage,
    /// Web searches, which are billed one by one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub web_searches: u64,
    /// Terms of the request that change the price.
    #[serde(default, skip_serializing_if = "is_standard")]
    pub terms: Terms,
    /// The rates that it is charged at, from when it was first recorded. `None`: not priced yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rates: Option<Rates>,
    /// Whether a line has a stop reason.
    pub stopped: bool,
    /// Whether a synthetic API-error line followed.
    pub error_followed: bool,
    /// Whether other messages turned out to hold this usage, so that it charges nothing.
    #[serde(default)]
    pub superseded: bool,
    /// Whether a session's files held it when Fusebox first saw that session: only then can it be history.
    #[serde(default)]
    pub held: bool,
    /// Sessions that account for it in another way, so that no estimate is needed: their client total covers the
    /// response, or their files hold the compaction's own call.
    pub settled: BTreeSet<u64>,
    /// What the client totals say about it, by session: a fork and its parent may know different parts. Set by
    /// settling, never by a line; not used for responses.
    pub exact: BTreeMap<u64, Usage>,
    /// The part of its estimate that the client totals allow, by session, if no total covers it alone.
    pub share: BTreeMap<u64, Usage>,
    /// Visible characters of each distinct line. Kept only while the message may turn out to be cut.
    pub visible: BTreeMap<u64, u64>,
    /// Signature characters of thinking without text, of each distinct line. Kept as long as `visible`.
    #[serde(default)]
    pub signed: BTreeMap<u64, u64>,
    /// Hashes of its distinct `tool_use` ids.
    pub tools: BTreeSet<u64>,
}

impl Message {
    /// A message with only its key, source and time known.
    pub fn new(key: MessageKey, source: UsageSource, at: Timestamp) -> Self {
        Self {
            key,
            source,
            model: String::new(),
            asked_model: None,
            agent: None,
            agent_type: "main".into(),
            at,
            recorded: Usage::default(),
            web_searches: 0,
            terms: Terms::default(),
            rates: None,
            stopped: false,
            error_followed: false,
            superseded: false,
            held: false,
            settled: BTreeSet::new(),
            exact: BTreeMap::new(),
            share: BTreeMap::new(),
            visible: BTreeMap::new(),
            signed: BTreeMap::new(),
            tools: BTreeSet::new(),
        }
    }

    /// Merges another reading. Commutative, associative, idempotent.
    pub fn merge(mut self, other: &Self) -> Self {
        if self.model.is_empty() || (!other.model.is_empty() && other.model < self.model) {
            self.model.clone_from(&other.model);
        }
        let asked = [self.asked_model.take(), other.asked_model.clone()];
        self.asked_model = asked.into_iter().flatten().min();
        // A subagent's line may also be in its parent's file (progress lines), so a known agent wins over the main
        // agent.
        let agents = [&self, other].map(|m| (m.agent.clone(), m.agent_type.clone()));
        let known = agents.into_iter().filter(|(agent, _)| agent.is_some());
        if let Some((agent, agent_type)) = known.min_by_key(|(a, t)| (a.clone(), t.is_empty(), t.clone())) {
            (self.agent, self.agent_type) = (agent, agent_type);
        }
        self.at = self.at.min(other.at);
        self.recorded = self.recorded.max(other.recorded);
        self.web_searches = self.web_searches.max(other.web_searches);
        self.terms = self.terms.or(other.terms);
        self.rates = self.rates.or(other.rates);
        self.stopped |= other.stopped;
        self.error_followed |= other.error_followed;
        self.superseded |= other.superseded;
        self.held |= other.held;
        self.settled.extend(&other.settled);
        merge_usages(&mut self.exact, &other.exact);
        merge_usages(&mut self.share, &other.share);
        merge_characters(&mut self.visible, &other.visible);
        merge_characters(&mut self.signed, &other.signed);
        self.tools.extend(&other.tools);
        self.forget_lines()
    }

    /// Drops the character counts if the message can no longer turn out to be cut.
    pub fn forget_lines(mut self) -> Self {
        if self.stopped && self.recorded.output > 1 {
            self.visible.clear();
            self.signed.clear();
        }
        self
    }

    /// Whether the stream was cut: no line has a stop reason, or an API error followed and the output is still the
    /// count from the stream's start (2.1.330 writes a stop reason even then).
    pub fn is_cut(&self) -> bool {
        self.source == UsageSource::Response
            && (!self.stopped || (self.error_followed && self.recorded.output <= 1))
    }

    /// Whether other messages hold this usage, so that it charges nothing.
    pub fn is_superseded(&self) -> bool {
        self.superseded || (self.source == UsageSource::Compaction && !self.settled.is_empty())
    }

    /// Whether the charge is an estimate.
    pub fn is_estimated(&self) -> bool {
        match self.source {
            _ if self.is_superseded() => false,
            UsageSource::Response => self.usage() != self.recorded,
            UsageSource::Compaction => self.exact.is_empty(),
            UsageSource::Unlisted | UsageSource::Part => false,
            UsageSource::Unseen => self.settled.is_empty(),
        }
    }

    /// The model under which the client's totals have it.
    pub fn total_model(&self) -> &str {
        self.asked_model.as_deref().unwrap_or(&self.model)
    }

    /// The tokens charged.
    pub fn usage(&self) -> Usage {
        match self.source {
            _ if self.is_superseded() => Usage::default(),
            UsageSource::Response if self.is_cut() && self.settled.is_empty() => {
                let visible = self.visible.values().sum::<u64>() / CHARS_PER_TOKEN;
                let hidden = self.signed.values().sum::<u64>() * TOKENS_PER_100_SIGNED / 100;
                Usage { output: self.recorded.output.max(visible).max(hidden), ..self.recorded }
            }
            UsageSource::Compaction if self.exact.is_empty() && self.share.is_empty() => self.recorded,
            UsageSource::Compaction if self.exact.is_empty() => largest(&self.share),
            UsageSource::Compaction | UsageSource::Unlisted => largest(&self.exact),
            // A client total has it among the usage on no line.
            UsageSource::Unseen if !self.settled.is_empty() => Usage::default(),
            UsageSource::Response | UsageSource::Part | UsageSource::Unseen => self.recorded,
        }
    }

    /// What this message adds to a counter.
    pub fn amount(&self) -> Amount {
        if self.is_superseded() {
            return Amount::default();
        }
        let requests = u64::from(!matches!(self.source, UsageSource::Unlisted | UsageSource::Part));
        let usage = self.usage();
        let nano_usd = self.rates.map_or(0, |rates| rates.cost(usage, self.web_searches));
        let is_estimate = self.is_estimated() || self.rates.is_some_and(|rates| rates.is_estimate);
        Amount {
            usage,
            requests,
            tool_calls: self.tools.len() as u64,
            nano_usd,
            nano_usd_estimated: if is_estimate { nano_usd } else { 0 },
        }
    }

    /// The tokens that the model read in one request, which decide the tier of its price. 0 if there may have been
    /// several requests.
    pub fn prompt(&self) -> u64 {
        match self.source {
            UsageSource::Unlisted => 0,
            _ => self.usage().context(),
        }
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

fn is_standard(terms: &Terms) -> bool {
    *terms == Terms::default()
}

fn merge_characters(known: &mut BTreeMap<u64, u64>, other: &BTreeMap<u64, u64>) {
    for (line, chars) in other {
        let known = known.entry(*line).or_default();
        *known = (*known).max(*chars);
    }
}

fn merge_usages(known: &mut BTreeMap<u64, Usage>, other: &BTreeMap<u64, Usage>) {
    for (session, usage) in other {
        let known = known.entry(*session).or_default();
        *known = known.max(*usage);
    }
}

fn largest(by_session: &BTreeMap<u64, Usage>) -> Usage {
    by_session.values().fold(Usage::default(), |most, usage| most.max(*usage))
}

/// The client's own running total (`cost-state`) per model, cumulative over one run of the client and its resumes. A
/// fork's total includes its parent's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientTotal {
    /// `startTime`: identifies the run.
    pub run: i64,
    /// The model.
    pub model: String,
    /// The total.
    pub usage: Usage,
    /// What the client reckons that it costs, in nano-dollars. `None`: it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nano_usd: Option<u64>,
    /// The last dated line before the total.
    pub at: Timestamp,
    /// The first dated line after it. Later messages are not in the total. `None` if nothing followed.
    pub until: Option<Timestamp>,
}

impl ClientTotal {
    /// What the client reckons that a session with these totals costs, in nano-dollars: the last total of each run and
    /// model. `None`: it says nothing, or went on after the last total.
    pub fn reckoning(totals: &[Self]) -> Option<u64> {
        let is_last = |total: &&Self| {
            let same = |other: &&Self| (other.run, &other.model) == (total.run, &total.model);
            totals.iter().filter(same).all(|other| total.usage.covers(other.usage))
        };
        let end = totals.iter().max_by_key(|total| total.at)?;
        let sum = |sum: u64, total: &Self| Some(sum.saturating_add(total.nano_usd?));
        end.until.is_none().then(|| totals.iter().filter(is_last).try_fold(0, sum)).flatten()
    }

    /// Adds this total to those of its session. A repeated total takes the end of the latest reading; once closed, it
    /// stays closed.
    pub fn join(&self, totals: &mut Vec<Self>) {
        let same =
            |known: &&mut Self| (known.run, &known.model, known.usage) == (self.run, &self.model, self.usage);
        match totals.iter_mut().find(same) {
            Some(known) => {
                known.at = known.at.min(self.at);
                known.nano_usd = known.nano_usd.max(self.nano_usd);
                known.until = known.until.max(self.until);
            }
            None => totals.push(self.clone()),
        }
        // Among equal totals the last one counts; sort so that it is the same one in any order of recording.
        totals.sort_by_key(|total| {
            let Usage { input, output, cache_write_5m, cache_write_1h, cache_read } = total.usage;
            (total.run, total.model.clone(), [input, output, cache_write_5m, cache_write_1h, cache_read])
        });
    }
}
