//! Alerts: raised after the step that crossed a threshold, handed out to who can show them, acknowledged by people.
//!
//! A step answers what its counters held before and hold now. The thresholds in between are found here, by the same code as
//! with the embedded store, and raised with one call more. A process may die before that: so a step also answers what those
//! before it in the session moved, as long as nobody said that their thresholds were looked for (see `step.lua`).

use redis::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::keys::Keys;
use super::record::Outcome;
use super::scripts::{list, number, text};
use super::step::{Done, Step};
use super::workspace::json;
use super::{DECIDED_S, KEPT_S, RedisStore};
use crate::domain::alert::BudgetAlert;
use crate::domain::budget::BudgetState;
use crate::domain::event::Event;
use crate::store::{Batch, CLAIM_MS, Result};

/// What a caller is to show and to tell.
#[derive(Debug, Default)]
pub struct Claimed {
    /// Alerts, oldest first.
    pub alerts: Vec<BudgetAlert>,
    /// Events, oldest first.
    pub events: Vec<Event>,
}

/// What `announce.lua` is asked.
#[derive(Serialize)]
struct Ask<'a> {
    data_ttl: i64,
    decided_ttl: i64,
    raise: Vec<Raise>,
    /// The lists of alerts that the caller can show.
    show: &'a [String],
    /// The agent whose events it can tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    tell: Option<&'a str>,
    untold: String,
    events: String,
    alert: String,
    alerts: String,
    alert_number: String,
    event: String,
    machine: &'a str,
    /// Milliseconds: now, the end of a claim, and the latest end of one that can be believed.
    now: i64,
    ends: i64,
    latest: i64,
}

/// An alert to raise.
#[derive(Serialize)]
struct Raise {
    /// There once it was raised.
    raised: String,
    unshown: String,
    text: String,
}

/// What says whose alert it is.
fn place(state: &BudgetState) -> [String; 3] {
    [state.budget.name.clone(), state.window.start.0.to_string(), state.value.clone()]
}

/// The list of a budget's alerts that nobody has shown.
pub fn unshown(keys: &Keys, state: &BudgetState) -> String {
    keys.unshown(&place(state).each_ref().map(String::as_str))
}

impl RedisStore {
    /// Raises what a step crossed, and takes what the caller can show.
    pub(super) fn announce(
        &mut self,
        batch: &Batch,
        step: &Step,
        done: &Done,
        outcome: &Outcome,
        states: &[BudgetState],
    ) -> Result<Claimed> {
        let mut raise: Vec<Raise> = Vec::new();
        for (watched, state) in outcome.watched.iter().zip(states).filter(|_| batch.alert) {
            let own = &done.counters[watched.own()];
            let earlier =
                done.unchecked.iter().filter_map(|moved| watched.moved(&step.counters, moved, state));
            for (before, after) in earlier.chain([(own.before, state.clone())]) {
                let crossed = after.crossed(after.budget.measure(&before.amount()));
                for alert in
                    crossed.into_iter().map(|threshold| BudgetAlert::of(&after, threshold, batch.now))
                {
                    let raised = self.raised(&after, &alert);
                    if raise.iter().all(|known| known.raised != raised) {
                        let unshown = unshown(&self.keys, &after);
                        raise.push(Raise { raised, unshown, text: json(&alert)? });
                    }
                }
            }
        }
        let shows = step.shows.as_ref().filter(|_| done.has_news || !raise.is_empty());
        if raise.is_empty() && shows.is_none() {
            return Ok(Claimed::default());
        }
        let session = &batch.session.id;
        let ask = Ask {
            data_ttl: KEPT_S,
            decided_ttl: DECIDED_S,
            raise,
            show: shows.map_or(&[][..], |shows| &shows.unshown),
            tell: shows.and_then(|shows| shows.agent.as_deref()),
            untold: self.keys.untold(session),
            events: self.keys.events(session),
            alert: self.keys.alert(""),
            alerts: self.keys.alerts(),
            alert_number: self.keys.alert_number(),
            event: self.keys.event_prefix(),
            machine: &self.machine,
            now: batch.now.0,
            ends: batch.now.plus_millis(CLAIM_MS).0,
            latest: batch.now.plus_millis(2 * CLAIM_MS).0,
        };
        let mut parts = list(self.scripts.announce(&self.keys, json(&ask)?)?)?.into_iter();
        let mut next = || list(parts.next().unwrap_or(Value::Nil));
        let (shown, told) = (next()?, next()?);
        let mut claimed = Claimed::default();
        for (id, unshown, alert) in numbered::<BudgetAlert>(shown)? {
            self.unshown.insert(id, unshown);
            // One that cannot be read is nothing to show.
            claimed.alerts.extend(alert.map(|alert| BudgetAlert { id, ..alert }));
        }
        for (id, untold, event) in numbered::<Event>(told)? {
            self.untold.insert(id, untold);
            // One that a later version wrote is left to that one.
            claimed.events.extend(event.map(|event| Event { id, ..event }));
        }
        Ok(claimed)
    }

    /// There once this alert was raised: each threshold is, once under each limit and after each reset.
    fn raised(&self, state: &BudgetState, alert: &BudgetAlert) -> String {
        let [budget, start, value] = &place(state);
        let millionths = (alert.threshold * 1e6).round().to_string();
        let (limit, since) =
            (alert.limit.to_string(), state.since.unwrap_or(state.window.start).0.to_string());
        self.keys.raised(&[budget, start, value, &millionths, &limit, &since])
    }
}

/// Number, list, and what it is, where that can be read.
fn numbered<T: DeserializeOwned>(values: Vec<Value>) -> Result<Vec<(i64, String, Option<T>)>> {
    let read = |value| {
        let mut parts = list(value)?.into_iter();
        let mut next = || parts.next().unwrap_or(Value::Nil);
        Ok((number(next())?, text(next())?, serde_json::from_str(&text(next())?).ok()))
    };
    values.into_iter().map(read).collect()
}
