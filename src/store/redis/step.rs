//! One atomic step as `step.lua` reads it, and its reply.

use std::collections::{BTreeMap, BTreeSet};

use redis::Value;
use serde::Serialize;
use serde_json::json;

use super::keys::Keys;
use super::scripts::read;
use super::{DECIDED_S, KEPT_S};
use crate::store::counts::{CLASSES, CounterDelta};
use crate::store::{Result, StoreError};

/// A record (an empty field), or a field of a hash.
pub type Place = (String, String);

/// What stands at places; `None`: nothing.
pub type Found = BTreeMap<Place, Option<Vec<u8>>>;

/// What a step moved: by counter (key and moment), before and after.
pub type Moved = BTreeMap<String, (String, String)>;

/// A counter that the answer needs, and which messages it is of, should it have to be added up.
#[derive(Clone, Debug, Serialize)]
pub struct Wanted {
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

impl Wanted {
    /// What it is called among what a step [moved](Moved).
    pub fn name(&self) -> String {
        format!("{} {}", self.key, self.since)
    }
}

/// One atomic step.
#[derive(Debug, Default)]
pub struct Step {
    /// What is taken for given.
    pub given: Found,
    /// Commands that write, in their order.
    pub writes: Vec<Vec<String>>,
    /// The counters that the answer needs.
    pub counters: Vec<Wanted>,
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
        let given = self.given.iter().map(|((key, field), value)| (key, field, value.is_some()));
        let change = |(at, counts): &(i64, CounterDelta)| {
            let counts: [i64; CLASSES.len()] = (*counts).into();
            std::iter::once(*at).chain(counts).collect::<Vec<_>>()
        };
        let moves = self.moves.iter().map(|(key, changes)| {
            let changes: Vec<_> = changes.iter().map(change).collect();
            json!({"key": key, "changes": changes})
        });
        let head = json!({
            "data_ttl": KEPT_S,
            "decided_ttl": DECIDED_S,
            "classes": CLASSES.len(),
            "data": keys.data_prefix(),
            "damaged": keys.damaged(),
            // Key, field, whether something is to be there.
            "given": given.collect::<Vec<_>>(),
            // Of each write, the number of its words.
            "writes": self.writes.iter().map(Vec::len).collect::<Vec<_>>(),
            "counters": self.counters,
            "moves": moves.collect::<Vec<_>>(),
            "alerts": self.checked.is_some(),
            "checked": self.checked.unwrap_or_default(),
            "tell": self.agent.as_deref().map_or(json!(false), |agent| json!(agent)),
            "unshown": self.unshown,
            "session": {
                "id": session,
                "live": keys.live(session),
                "machine": format!("sequence:{machine}"),
                "sessions": keys.sessions(),
                "untold": keys.untold(session),
                "unchecked": keys.unchecked(session),
            },
            "seen": self.seen.map_or(json!(false), |seen| json!(seen.to_string())),
        });
        let words = self.writes.iter().flatten().map(|word| word.clone().into_bytes());
        let values = self.given.values().flatten().cloned().chain(words);
        Ok(std::iter::once(head.to_string().into_bytes()).chain(values).collect())
    }
}

/// What came of a step.
#[derive(Debug, Default)]
pub struct Done {
    /// What the wanted counters held before, and hold now.
    pub counters: Vec<(CounterDelta, CounterDelta)>,
    /// Steps of the session whose thresholds may not have been looked for.
    pub unchecked: Vec<Moved>,
    /// How many batches of the session were recorded, this one included.
    pub sequence: u64,
    /// How many of them this machine recorded.
    pub of_machine: u64,
    /// Whether there may be something to show or to tell.
    pub has_news: bool,
}

impl Done {
    /// Reads what the script answered to `step`: what came of it, or how it is where something is not as it was taken to be.
    pub fn read(reply: Vec<Value>, step: &Step) -> Result<std::result::Result<Self, Found>> {
        let misread = || StoreError::Damaged("Redis answered something else than a step does".into());
        let mut parts = reply.into_iter();
        let mut next = || parts.next().unwrap_or(Value::Nil);
        match read::<String>(next())?.as_str() {
            "given" => {
                let places: Vec<_> = step.given.keys().collect();
                let differing = read::<Vec<(usize, Option<Vec<u8>>)>>(next())?.into_iter();
                let place = |at: usize| at.checked_sub(1).and_then(|at| places.get(at)).ok_or_else(misread);
                let found = differing.map(|(at, value)| Ok(((*place(at)?).clone(), value)));
                Ok(Err(found.collect::<Result<_>>()?))
            }
            "done" => {
                let (sequence, of_machine, news) = (read(next())?, read(next())?, read::<u64>(next())?);
                let counters = read::<Vec<(String, String)>>(next())?;
                let counters = counters.iter().map(|(before, after)| Ok((counts(before)?, counts(after)?)));
                let counters = counters.collect::<Result<_>>()?;
                let unchecked = read::<Vec<Vec<u8>>>(next())?;
                let unchecked =
                    unchecked.iter().filter_map(|moved| serde_json::from_slice(moved).ok()).collect();
                Ok(Ok(Self {
                    counters,
                    unchecked,
                    sequence,
                    of_machine,
                    has_news: news > 0 || step.agent.as_ref().is_some_and(|agent| step.news.contains(agent)),
                }))
            }
            _ => Err(misread()),
        }
    }
}

/// The counts that a text stands for.
pub fn counts(text: &str) -> Result<CounterDelta> {
    text.parse()
        .map_err(|_| StoreError::Damaged(format!("Redis answered {text}, which is no list of counts")))
}
