//! What one atomic step is to do, and what it answers.

use std::collections::BTreeMap;
use std::rc::Rc;

use redis::Value;
use serde::Serialize;

use super::super::{Result, StoreError};
use crate::store::counts::CounterDelta;
use crate::store::ledger::Moved;

/// A record (an empty field), a field of a hash, the score of a member ([`SCORE`] before it), or what a counter holds since
/// a moment ([`COUNT`] before it).
pub type Place = (String, String);

/// What the field of a place begins with that is a score.
pub const SCORE: &str = "score:";

/// What the field of a place begins with that is what a counter holds.
pub const COUNT: &str = "count:";

/// What stands at a place. (It goes through many hands, and is read only.)
pub type Content = Rc<[u8]>;

/// What stands at places; `None`: nothing.
pub type Found = BTreeMap<Place, Option<Content>>;

/// A counter that the answer needs.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The hash of its family, value and window.
    pub key: String,
    /// The moment since which it counts.
    pub since: i64,
    /// Nothing can have been counted before it was kept: where it is missing, it is 0.
    pub may_begin: bool,
    /// What it holds before and after the step, if nobody else counts in between; `None`: nobody knows.
    pub expected: Option<(CounterDelta, CounterDelta)>,
}

/// A threshold that may be crossed.
#[derive(Clone, Debug)]
pub struct Bound {
    /// Units at which it is.
    pub units: u64,
    /// What is there once it was raised, and the alert as JSON (what was used is known when it is raised); `None` where
    /// nobody expects it to be crossed.
    pub alert: Option<(String, String)>,
}

/// A budget that alerts.
#[derive(Clone, Debug)]
pub struct Alerting {
    /// Which of the wanted counters.
    pub counter: usize,
    /// Which of its counts are added up: 1 for those.
    pub which: CounterDelta,
    /// Budget, value and window: for whoever can show its alerts.
    pub place: String,
    /// Whether one of them may be crossed, if its counter is as expected.
    pub may_cross: bool,
    /// Its thresholds, ascending.
    pub bounds: Vec<Bound>,
}

/// A command.
#[derive(Debug, Serialize)]
pub struct Command {
    /// What kind its key is of: that is looked at before anything is written, and the key lives on. Without, neither.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// Its words.
    pub words: Vec<String>,
}

/// The words of a command.
pub fn command(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// One atomic step.
#[derive(Debug, Default)]
pub struct Plan {
    /// What is taken for given: places, and what stands there.
    pub given: Vec<(Place, Option<Content>)>,
    /// The counters that the answer needs.
    pub wanted: Vec<Wanted>,
    /// Members of sorted sets that are given a score: key, score, member.
    pub listed: Vec<(String, i64, String)>,
    /// Commands besides, in their order.
    pub commands: Vec<Command>,
    /// Records that are written: key, value.
    pub records: Vec<(String, Content)>,
    /// Fields of hashes that are written: key, field, value.
    pub changed: Vec<(String, String, Content)>,
    /// Counters that move; whether they may begin.
    pub moves: Vec<(String, Moved, CounterDelta, bool)>,
    /// Budgets that alert.
    pub alerting: Vec<Alerting>,
    /// Places (see [`Alerting::place`]) whose alerts can be shown now.
    pub claim_alerts: Vec<String>,
    /// Events: JSON, agent, whether nobody has to be told.
    pub events: Vec<(String, String, bool)>,
    /// The agent whose events can be told now.
    pub claim_events: Option<String>,
    /// This is a batch of the session, which was seen then.
    pub seen: Option<i64>,
}

/// Keys and times that a step needs besides.
pub struct Frame {
    /// Milliseconds now.
    pub now: i64,
    /// Seconds that keys live on.
    pub ttl: i64,
    /// Whether those that are there live on from now; the others do anyway.
    pub refreshes: bool,
    /// Until when what is claimed is claimed, and the latest end of a claim that can be believed.
    pub claim: (i64, i64),
    /// The machine that records.
    pub machine: String,
    /// The session of which it is.
    pub session: String,
}

/// What a step answers.
#[derive(Debug)]
pub enum Reply {
    /// Something is not as it was taken to be: how it is.
    Given(Vec<Option<Content>>),
    /// These counters must be added up first.
    Missing(Vec<usize>),
    /// A threshold would be crossed that nobody expected to be.
    Alerts,
    /// It was done.
    Done(Done),
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Done {
    /// The wanted counters before and after.
    pub counters: Vec<(CounterDelta, CounterDelta)>,
    /// Alerts to show: number, JSON, used.
    pub alerts: Vec<(i64, String, u64)>,
    /// Events to tell: number, JSON.
    pub events: Vec<(i64, String)>,
    /// How many batches of the session were recorded, this one included.
    pub sequence: u64,
    /// How many of them this machine recorded.
    pub own: u64,
}

impl Reply {
    /// Reads what the script answered.
    pub fn read(value: Value) -> Result<Self> {
        let mut parts = list(value)?.into_iter();
        let kind = text(parts.next().unwrap_or(Value::Nil))?;
        let mut next = || list(parts.next().unwrap_or(Value::Nil));
        match kind.as_str() {
            "given" => Ok(Self::Given(
                next()?
                    .into_iter()
                    .map(|value| Ok(bytes(value)?.map(Content::from)))
                    .collect::<Result<_>>()?,
            )),
            "missing" => {
                let numbers = next()?.into_iter().map(number).collect::<Result<Vec<_>>>()?;
                Ok(Self::Missing(numbers.into_iter().map(|n| usize::try_from(n - 1).unwrap_or(0)).collect()))
            }
            "alerts" => Ok(Self::Alerts),
            "done" => {
                let head = text(parts.next().unwrap_or(Value::Nil))?;
                let mut head = head.split(' ');
                let [sequence, own, alerts, events] = [(); 4].map(|()| head.next().unwrap_or_default());
                let (sequence, own) = (parsed(sequence)?, parsed(own)?);
                let mut counters = Vec::new();
                while let (Some(before), Some(after)) = (head.next(), head.next()) {
                    counters.push((counts(before)?, counts(after)?));
                }
                let mut next = || text(parts.next().unwrap_or(Value::Nil));
                let alert = |_| Ok((parsed(&next()?)?, next()?, parsed(&next()?)?));
                let alerts = (0..parsed::<usize>(alerts)?).map(alert).collect::<Result<_>>()?;
                let event = |_| Ok((parsed(&next()?)?, next()?));
                let events = (0..parsed::<usize>(events)?).map(event).collect::<Result<_>>()?;
                Ok(Self::Done(Done { counters, alerts, events, sequence, own }))
            }
            other => Err(damaged(other)),
        }
    }
}

/// The counts that a text stands for.
pub fn counts(text: &str) -> Result<CounterDelta> {
    text.parse().map_err(|_| damaged(text))
}

/// The number that some bytes are the text of.
pub fn number_in(bytes: &[u8]) -> Option<i64> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// An answer that is a list.
pub fn list(value: Value) -> Result<Vec<Value>> {
    match value {
        Value::Array(values) => Ok(values),
        Value::Nil => Ok(Vec::new()),
        other => Err(damaged(&format!("{other:?}"))),
    }
}

/// An answer that is bytes, or nothing.
pub fn bytes(value: Value) -> Result<Option<Vec<u8>>> {
    match value {
        Value::BulkString(bytes) => Ok(Some(bytes)),
        Value::SimpleString(text) => Ok(Some(text.into_bytes())),
        Value::Okay => Ok(Some(b"OK".to_vec())),
        Value::Int(number) => Ok(Some(number.to_string().into_bytes())),
        Value::Nil | Value::Boolean(false) => Ok(None),
        other => Err(damaged(&format!("{other:?}"))),
    }
}

/// An answer that is a text.
pub fn text(value: Value) -> Result<String> {
    let bytes = bytes(value)?.unwrap_or_default();
    String::from_utf8(bytes).map_err(|error| damaged(&error.to_string()))
}

/// An answer that is a number.
pub fn number(value: Value) -> Result<i64> {
    parsed(&text(value)?)
}

fn parsed<T: std::str::FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| damaged(text))
}

fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(format!("Redis answered what Fusebox does not understand: {what}"))
}
