//! One atomic step as `step.lua` reads it, and its reply.

use std::collections::BTreeMap;

use redis::Value;
use serde::Serialize;

use super::keys::Keys;
use super::scripts::{bytes, damaged, list, number, text, texts};
use super::{DECIDED_S, KEPT_S};
use crate::store::counts::{CLASSES, CounterDelta};
use crate::store::{Result, StoreError};

/// A record (an empty field), or a field of a hash.
pub type Place = (String, String);

/// What stands at places; `None`: nothing.
pub type Found = BTreeMap<Place, Option<Vec<u8>>>;

/// A counter that the answer needs.
#[derive(Clone, Debug, Serialize)]
pub struct Wanted {
    /// The hash of its family, value and window.
    pub key: String,
    /// The moment since which it counts.
    pub since: String,
}

/// An event to keep.
#[derive(Clone, Debug, Serialize)]
pub struct Noted {
    /// Its JSON.
    pub text: String,
    /// The agent that it is about.
    pub agent: String,
    /// Whether somebody has to be told.
    pub is_news: bool,
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
    /// Events to keep.
    pub events: Vec<Noted>,
    /// Where thresholds are looked for: the number of the session's last step of which that was done.
    pub checked: Option<u64>,
    /// What the caller can show: the lists of alerts that nobody has shown. `None`: it can show nothing.
    pub shows: Option<Shows>,
    /// The session, and when it was seen, where this is a batch of it.
    pub seen: Option<i64>,
    /// Whether what is taken for given lives on from now, although it is not written.
    pub refreshes: bool,
}

/// What a caller can show.
#[derive(Clone, Debug, Default)]
pub struct Shows {
    /// The lists of alerts that nobody has shown.
    pub unshown: Vec<String>,
    /// The agent whose events it can tell.
    pub agent: Option<String>,
}

/// The step as JSON.
#[derive(Serialize)]
struct Head<'s> {
    data_ttl: i64,
    decided_ttl: i64,
    classes: usize,
    /// Key, field, whether something is to be there.
    given: Vec<(&'s str, &'s str, bool)>,
    /// Of each write, the number of its words.
    writes: Vec<usize>,
    counters: &'s [Wanted],
    moves: Vec<MovesOf<'s>>,
    events: &'s [Noted],
    alerts: bool,
    checked: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tell: Option<&'s str>,
    unshown: &'s [String],
    session: OfSession,
    #[serde(skip_serializing_if = "Option::is_none")]
    seen: Option<String>,
    refreshes: bool,
}

#[derive(Serialize)]
struct MovesOf<'s> {
    key: &'s str,
    /// The moment, then the counts.
    changes: Vec<Vec<i64>>,
}

/// Keys of the session that the step is of.
#[derive(Serialize)]
struct OfSession {
    id: String,
    live: String,
    /// The field with the number of batches of this machine.
    machine: String,
    sessions: String,
    events: String,
    untold: String,
    evented: String,
    event_number: String,
    unchecked: String,
}

impl Step {
    /// Its arguments, for `step.lua`. `session`, `machine`: of whom it is.
    pub fn arguments(&self, keys: &Keys, session: &str, machine: &str) -> Result<Vec<Vec<u8>>> {
        let moves = self.moves.iter().map(|(key, changes)| {
            let row = |(at, change): &(i64, CounterDelta)| {
                let counts: [i64; CLASSES.len()] = (*change).into();
                std::iter::once(*at).chain(counts).collect()
            };
            MovesOf { key, changes: changes.iter().map(row).collect() }
        });
        let given = self.given.iter().map(|((key, field), value)| (&**key, &**field, value.is_some()));
        let head = Head {
            data_ttl: KEPT_S,
            decided_ttl: DECIDED_S,
            classes: CLASSES.len(),
            given: given.collect(),
            writes: self.writes.iter().map(Vec::len).collect(),
            counters: &self.counters,
            moves: moves.collect(),
            events: &self.events,
            alerts: self.checked.is_some(),
            checked: self.checked.unwrap_or_default(),
            tell: self.shows.as_ref().and_then(|shows| shows.agent.as_deref()),
            unshown: self.shows.as_ref().map_or(&[][..], |shows| &shows.unshown),
            session: OfSession {
                id: session.to_owned(),
                live: keys.live(session),
                machine: format!("sequence:{machine}"),
                sessions: keys.sessions(),
                events: keys.events(session),
                untold: keys.untold(session),
                evented: keys.evented(),
                event_number: keys.event_number(),
                unchecked: keys.unchecked(session),
            },
            seen: self.seen.map(|seen| seen.to_string()),
            refreshes: self.refreshes,
        };
        let head = serde_json::to_vec(&head).map_err(|error| StoreError::Damaged(error.to_string()))?;
        let words = self.writes.iter().flatten().map(|word| word.clone().into_bytes());
        let values = self.given.values().flatten().cloned().chain(words);
        Ok(std::iter::once(head).chain(values).collect())
    }
}

/// What a step answers.
#[derive(Debug)]
pub enum Reply {
    /// Something is not as it was taken to be: how it is.
    Given(Found),
    /// These counters must be added up first.
    Missing(Vec<usize>),
    /// It was done.
    Done(Done),
}

/// What came of a step.
#[derive(Debug, Default)]
pub struct Done {
    /// The wanted counters.
    pub counters: Vec<Counted>,
    /// Steps of the session whose thresholds may not have been looked for.
    pub unchecked: Vec<MovedCounters>,
    /// How many batches of the session were recorded, this one included.
    pub sequence: u64,
    /// How many of them this machine recorded.
    pub of_machine: u64,
    /// Whether there may be something to show or to tell.
    pub has_news: bool,
}

/// What a wanted counter holds.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    /// Before the step.
    pub before: CounterDelta,
    /// After it.
    pub after: CounterDelta,
}

/// What a step moved: by counter (key and moment), before and after.
pub type MovedCounters = BTreeMap<String, (String, String)>;

impl Reply {
    /// Reads what the script answered to `step`.
    pub fn read(value: Value, step: &Step) -> Result<Self> {
        let mut parts = list(value)?.into_iter();
        let mut next = || parts.next().unwrap_or(Value::Nil);
        match text(next())?.as_str() {
            "given" => {
                let places: Vec<&Place> = step.given.keys().collect();
                let mut found = Found::new();
                for differing in list(next())? {
                    let mut parts = list(differing)?.into_iter();
                    let mut next = || parts.next().unwrap_or(Value::Nil);
                    let at: usize = number(next())?;
                    let place = at.checked_sub(1).and_then(|at| places.get(at));
                    let place = place.ok_or_else(|| damaged("a place that was not asked for"))?;
                    found.insert((*place).clone(), bytes(next())?);
                }
                Ok(Self::Given(found))
            }
            "missing" => {
                let at = |value| number::<usize>(value).map(|at| at.saturating_sub(1));
                Ok(Self::Missing(list(next())?.into_iter().map(at).collect::<Result<_>>()?))
            }
            "done" => {
                let (sequence, of_machine) = (number(next())?, number(next())?);
                let (unshown, untold): (u64, u64) = (number(next())?, number(next())?);
                let counters = list(next())?.into_iter().map(counted).collect::<Result<_>>()?;
                let unchecked = texts(next())?;
                let unchecked =
                    unchecked.iter().filter_map(|moved| serde_json::from_str(moved).ok()).collect();
                let has_news = unshown + untold > 0;
                Ok(Self::Done(Done { counters, unchecked, sequence, of_machine, has_news }))
            }
            other => Err(damaged(other)),
        }
    }
}

fn counted(value: Value) -> Result<Counted> {
    let mut parts = list(value)?.into_iter();
    let mut next = || counts(&text(parts.next().unwrap_or(Value::Nil))?);
    Ok(Counted { before: next()?, after: next()? })
}

/// The counts that a text stands for.
pub fn counts(text: &str) -> Result<CounterDelta> {
    text.parse().map_err(|_| damaged(text))
}
