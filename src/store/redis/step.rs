//! One atomic step as read by `step.lua`, and its reply.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::json;

use super::keys::Keys;
use super::{DECISIONS_S, RETENTION_S};
use crate::store::counts::{CLASSES, CounterDelta};
use crate::store::metrics::{MAX_LABELS, MetricChanges};
use crate::store::{Result, StoreError};

/// A record (field is empty), or a field of a hash.
pub type FieldKey = (String, String);

/// The values of fields; `None` if missing.
pub type FieldValues = BTreeMap<FieldKey, Option<Vec<u8>>>;

/// Counter changes by a step: by counter (key and start), before and after.
pub type MovedCounters = BTreeMap<String, (String, String)>;

/// A counter to read, and the messages to compute it from if it is missing.
#[derive(Clone, Debug, Serialize)]
pub struct CounterRead {
    /// The hash of its family, value and window.
    pub key: String,
    /// Its field: the moment from which it counts.
    pub since: String,
    /// The scope.
    pub scope: &'static str,
    /// The value of the scope.
    pub value: String,
    /// The first moment, and the first after the last one.
    pub from: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

impl CounterRead {
    /// Its name in [`MovedCounters`].
    pub fn name(&self) -> String {
        format!("{} {}", self.key, self.since)
    }
}

/// One atomic step.
#[derive(Debug, Default)]
pub struct Step {
    /// The values that the step was prepared with.
    pub expected: FieldValues,
    /// Write commands, in order.
    pub writes: Vec<Vec<String>>,
    /// The counters to return.
    pub counters: Vec<CounterRead>,
    /// Counter changes, with the dates of the messages.
    pub moves: BTreeMap<String, Vec<(i64, CounterDelta)>>,
    /// If thresholds are checked: the session's last step for which this was done.
    pub checked: Option<u64>,
    /// Changes of totals for monitoring.
    pub metrics: MetricChanges,
    /// The lists of alerts that the caller can show; empty if it cannot show any.
    pub unshown: Vec<String>,
    /// The agent to which the caller can report events.
    pub agent: Option<String>,
    /// The agents with new events.
    pub news: BTreeSet<String>,
    /// When the session was seen, if this is a batch.
    pub seen: Option<i64>,
}

impl Step {
    /// The arguments for `step.lua`.
    pub fn arguments(&self, keys: &Keys, session: &str, machine: &str) -> Result<Vec<Vec<u8>>> {
        let given = self.expected.iter().map(|((key, field), value)| (key, field, value.is_some()));
        // `given`: key, field, whether a value is expected. `writes`: the number of words of each.
        let head = json!({
            "data": keys.data_prefix(), "damaged": keys.damaged(), "data_ttl": RETENTION_S, "decided_ttl": DECISIONS_S,
            "classes": CLASSES.len(), "given": given.collect::<Vec<_>>(), "counters": self.counters,
            "writes": self.writes.iter().map(Vec::len).collect::<Vec<_>>(), "moves": self.moves,
            "metrics": keys.metrics(), "max_labels": MAX_LABELS, "changes": self.metrics,
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

/// The result of a step.
#[derive(Debug, Default)]
pub struct StepResult {
    /// The counters read: before and after.
    pub counters: Vec<(CounterDelta, CounterDelta)>,
    /// Steps of the session whose thresholds may be unchecked.
    pub unchecked: Vec<MovedCounters>,
    /// Batches of the session in the store, including this one.
    pub sequence: u64,
    /// Batches of the session from this machine.
    pub of_machine: u64,
    /// Whether there may be something to show or report.
    pub has_news: bool,
}

/// The script's reply: the fields that differ from the expected values (number, value), else the result of the step.
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

/// Parses stored counts.
pub fn parse_counts(text: &str) -> Result<CounterDelta> {
    text.parse()
        .map_err(|_| StoreError::Damaged(format!("Redis answered {text}, which is not a list of counts")))
}
