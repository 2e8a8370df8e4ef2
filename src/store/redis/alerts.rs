//! Alerts: raised after the step that crossed a threshold, handed out to who can show them, acknowledged by people.
//!
//! A step answers what its counters held before and hold now. The thresholds in between are found here, by the same code as
//! with the embedded store, and raised with one call more. A process may die before that: so a step also answers what those
//! before it in the session moved, as long as nobody said that their thresholds were looked for (see `step.lua`).

use std::collections::BTreeSet;

use serde_json::json;

use super::keys::Keys;
use super::record::Outcome;
use super::scripts::ANNOUNCE;
use super::step::{Done, Step};
use super::workspace::to_json;
use super::{DECIDED_S, KEPT_S, RedisStore};
use crate::domain::alert::BudgetAlert;
use crate::domain::budget::BudgetState;
use crate::domain::event::Event;
use crate::store::{Batch, CLAIM_MS, Result};

/// What says whose alert it is.
fn place(state: &BudgetState) -> [String; 3] {
    [state.budget.name.clone(), state.window.start.0.to_string(), state.value.clone()]
}

/// The list of a budget's alerts that nobody has shown.
pub fn unshown(keys: &Keys, state: &BudgetState) -> String {
    keys.unshown(&place(state).each_ref().map(String::as_str))
}

impl RedisStore {
    /// Raises what a step crossed, and takes what the caller can show: alerts and events, oldest first.
    pub(super) fn announce(
        &mut self,
        batch: &Batch,
        step: &Step,
        done: &Done,
        outcome: &Outcome,
        states: &[BudgetState],
    ) -> Result<(Vec<BudgetAlert>, Vec<Event>)> {
        let (mut raise, mut raising) = (Vec::new(), BTreeSet::new());
        for (watched, state) in outcome.watched.iter().zip(states).filter(|_| batch.alert) {
            let own = &done.counters[watched.own()];
            let earlier =
                done.unchecked.iter().filter_map(|moved| watched.moved(&step.counters, moved, state));
            for (before, after) in earlier.chain([(own.0, state.clone())]) {
                let crossed = after.crossed(after.budget.measure(&before.amount()));
                for threshold in crossed {
                    let alert = BudgetAlert::of(&after, threshold, batch.now);
                    let raised = self.raised(&after, &alert);
                    if raising.insert(raised.clone()) {
                        let unshown = unshown(&self.keys, &after);
                        raise.push(json!({"raised": raised, "unshown": unshown, "text": to_json(&alert)?}));
                    }
                }
            }
        }
        let shows = done.has_news || (batch.claim && !raise.is_empty());
        if raise.is_empty() && !shows {
            return Ok((Vec::new(), Vec::new()));
        }
        let (keys, session) = (&self.keys, &batch.session.id);
        // Milliseconds: now, the end of a claim, and the latest end of one that can be believed.
        let [ends, latest] = [1, 2].map(|times| batch.now.plus_millis(times * CLAIM_MS).0);
        let ask = json!({
            "data_ttl": KEPT_S, "decided_ttl": DECIDED_S, "raise": raise, "show": step.unshown,
            "tell": step.agent.as_deref().map_or(json!(false), |agent| json!(agent)),
            "untold": keys.untold(session), "events": keys.events(session), "event": keys.event(""),
            "alert": keys.alert(""), "alerts": keys.alerts(), "alert_number": keys.alert_number(),
            "machine": self.machine, "now": batch.now.0, "ends": ends, "latest": latest,
        });
        // Numbers, and what they are.
        type Numbered = Vec<(i64, Vec<u8>)>;
        let (shown, told): (Numbered, Numbered) = self.scripts.run(ANNOUNCE, keys, &[ask.to_string()])?;
        let (mut alerts, mut events) = (Vec::new(), Vec::new());
        // What cannot be read, or a later version wrote, is nothing to show.
        for (id, text) in shown {
            alerts.extend(serde_json::from_slice(&text).map(|alert| BudgetAlert { id, ..alert }));
        }
        for (id, text) in told {
            events.extend(serde_json::from_slice(&text).map(|event| Event { id, ..event }));
        }
        Ok((alerts, events))
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
