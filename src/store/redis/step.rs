//! One atomic step as `step.lua` reads it, and its reply.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::json;

use super::keys::Keys;
use super::{DECISIONS_S, RETENTION_S};
use crate::store::counts::{CLASSES, CounterDelta};
use crate::store::{Result, StoreError};

/// A record (an empty field), or a field of a hash.
pub type FieldKey = (String, String);

/// The values of fields; `None`: there is none.
pub type FieldValues = BTreeMap<FieldKey, Option<Vec<u8>>>;

/// What a step moved: by counter (key and moment), before and after.
pub type MovedCounters = BTreeMap<String, (String, String)>;

/// A counter to read, and the messages to add up where it is missing.
#[derive(Clone, Debug, Serialize)]
pub struct CounterRead {
    /// The hash of its family, value and window.
    pub key: String,
    /// The moment since which it counts: its field.
    pub since: String,
    /// The scope.
    pub scope: &'static str,
    /// The value of the scope.
    pub value: String,
    /// The first moment, and the one after the last.
    pub from: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

impl CounterRead {
    /// What it is called among what a step [moved](MovedCounters).
    pub fn name(&self) -> String {
        format!("{} {}", self.key, self.since)
    }
}

/// One atomic step.
#[derive(Debug, Default)]
pub struct Step {
    /// The values that the step was prepared with.
    pub expected: FieldValues,
    /// Commands that write, in their order.
    pub writes: Vec<Vec<String>>,
    /// The counters that the answer needs.
    pub counters: Vec<CounterRead>,
    /// Counters that move: by which counts, of messages of which moment.
    pub moves: BTreeMap<String, Vec<(i64, CounterDelta)>>,
    /// Where thresholds are looked for: the number of the session's last step of which that was done.
    pub checked: Option<u64>,
    /// The lists of alerts that the caller can show; empty where it can show none.
    pub unshown: Vec<String>,
    /// The agent whose events the caller can tell.
    pub agent: Option<String>,
    /// The agents of whom it brings news.
    pub news: BTreeSet<String>,
    /// When the session was seen, where this is a batch of it.
    pub seen: Option<i64>,
}

impl Step {
    /// Its arguments, for `step.lua`. `session`, `machine`: of whom it is.
    pub fn arguments(&self, keys: &Keys, session: &str, machine: &str) -> Result<Vec<Vec<u8>>> {
        let given = self.expected.iter().map(|((key, field), value)| (key, field, value.is_some()));
        let change = |(at, counts): &(i64, CounterDelta)| {
            let counts: [i64; CLASSES.len()] = (*counts).into();
            std::iter::once(*at).chain(counts).collect::<Vec<_>>()
        };
        let moves = self.moves.iter().map(|(key, changes)| {
            let changes: Vec<_> = changes.iter().map(change).collect();
            json!({"key": key, "changes": changes})
        });
        // `given`: key, field, whether something is to be there. `writes`: the number of words of each.
        let head = json!({
            "data": keys.data_prefix(), "damaged": keys.damaged(), "data_ttl": RETENTION_S, "decided_ttl": DECISIONS_S,
            "classes": CLASSES.len(), "given": given.collect::<Vec<_>>(), "counters": self.counters,
            "writes": self.writes.iter().map(Vec::len).collect::<Vec<_>>(), "moves": moves.collect::<Vec<_>>(),
            "alerts": self.checked.is_some(), "checked": self.checked.unwrap_or_default(), "unshown": self.unshown,
            "tell": self.agent.as_deref().map_or(json!(false), |agent| json!(agent)),
            "seen": self.seen.map_or(json!(false), |seen| json!(seen.to_string())),
            "session": {
                "id": session, "live": keys.live(session), "machine": format!("sequence:{machine}"),
                "sessions": keys.sessions(), "untold": keys.untold_events(session), "unchecked": keys.unchecked(session),
            },
        });
        let words = self.writes.iter().flatten().map(|word| word.clone().into_bytes());
        let values = self.expected.values().flatten().cloned().chain(words);
        Ok(std::iter::once(head.to_string().into_bytes()).chain(values).collect())
    }
}

/// What a step did.
#[derive(Debug, Default)]
pub struct StepResult {
    /// The counters that were read: before and after.
    pub counters: Vec<(CounterDelta, CounterDelta)>,
    /// Steps of the session whose thresholds may not have been looked for.
    pub unchecked: Vec<MovedCounters>,
    /// How many batches of the session were recorded, this one included.
    pub sequence: u64,
    /// How many of them this machine recorded.
    pub of_machine: u64,
    /// Whether there may be something to show or to tell.
    pub has_news: bool,
}

/// The script's reply: the fields that differ from what was expected (number, value), else the result of the step.
pub type ScriptReply = (Vec<(usize, Option<Vec<u8>>)>, u64, u64, u64, Vec<(String, String)>, Vec<Vec<u8>>);

impl StepResult {
    /// Parses the reply to `step`: its result, or the current values of the fields that differ.
    pub fn parse(reply: ScriptReply, step: &Step) -> Result<std::result::Result<Self, FieldValues>> {
        let (differing, sequence, of_machine, news, counters, unchecked) = reply;
        if !differing.is_empty() {
            let places: Vec<_> = step.expected.keys().collect();
            let place = |at: usize| at.checked_sub(1).and_then(|at| places.get(at));
            let found = differing.into_iter().filter_map(|(at, value)| Some(((*place(at)?).clone(), value)));
            return Ok(Err(found.collect()));
        }
        let counters = counters.iter().map(|(old, new)| Ok((parse_counts(old)?, parse_counts(new)?)));
        let counters = counters.collect::<Result<_>>()?;
        let unchecked = unchecked.iter().filter_map(|moved| serde_json::from_slice(moved).ok()).collect();
        let has_news = news > 0 || step.agent.as_ref().is_some_and(|agent| step.news.contains(agent));
        Ok(Ok(Self { counters, unchecked, sequence, of_machine, has_news }))
    }
}

/// The counts that a text stands for.
pub fn parse_counts(text: &str) -> Result<CounterDelta> {
    text.parse()
        .map_err(|_| StoreError::Damaged(format!("Redis answered {text}, which is not a list of counts")))
}
