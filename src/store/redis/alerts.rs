//! Alerts: raised after the step that crossed a threshold, claimed by a hook that can show them, acknowledged by
//! people.
//!
//! A step returns its counters before and after; the thresholds in between are found here, and raised with another
//! call. If a process dies before that, later steps of the session return the same changes (`step.lua`).

use std::collections::BTreeSet;

use serde_json::json;

use super::keys::Keys;
use super::record::StepOutcome;
use super::scripts::ANNOUNCE;
use super::step::{Step, StepResult};
use super::unit_of_work::{UnitOfWork, to_json};
use super::{DECISIONS_S, RETENTION_S, RedisStore};
use crate::domain::alert::BudgetAlert;
use crate::domain::budget::BudgetState;
use crate::domain::event::Event;
use crate::domain::time::Timestamp;
use crate::store::metrics::{MAX_LABELS, MetricChanges};
use crate::store::{Batch, CLAIM_MS, Result};

/// The budget, window and value of an alert.
fn alert_key(state: &BudgetState) -> [String; 3] {
    [state.budget.name.clone(), state.window.start.0.to_string(), state.value.clone()]
}

/// The key of a budget's alerts that were not shown.
pub fn unshown_key(keys: &Keys, state: &BudgetState) -> String {
    keys.unshown(&alert_key(state).each_ref().map(String::as_str))
}

impl RedisStore {
    /// Raises alerts for the thresholds that a step crossed, and claims alerts and events to show, oldest first.
    pub(super) fn announce(
        &mut self,
        batch: &Batch,
        step: &Step,
        done: &StepResult,
        outcome: &StepOutcome,
        states: &[BudgetState],
    ) -> Result<(Vec<BudgetAlert>, Vec<Event>)> {
        let (mut raise, mut raising) = (Vec::new(), BTreeSet::new());
        for (watched, state) in outcome.watched.iter().zip(states).filter(|_| batch.alert) {
            let own = watched.used_counter().map(|at| done.counters[at].0).unwrap_or_default();
            let earlier =
                done.unchecked.iter().filter_map(|moved| watched.earlier_state(&step.counters, moved, state));
            for (before, after) in earlier.chain([(own, state.clone())]) {
                let crossed = after.crossed(after.budget.measure(&before.amount()));
                for threshold in crossed {
                    let alert = BudgetAlert::new(&after, threshold, batch.now);
                    let raised = raised_key(&self.keys, &after, &alert);
                    if raising.insert(raised.clone()) {
                        let unshown = unshown_key(&self.keys, &after);
                        raise.push(json!([
                            raised,
                            unshown,
                            to_json(&alert)?,
                            MetricChanges::of_alert(&alert)
                        ]));
                    }
                }
            }
        }
        let shows = done.has_news || (batch.claim && !raise.is_empty());
        if raise.is_empty() && !shows {
            return Ok((Vec::new(), Vec::new()));
        }
        let agent = step.agent.as_deref().map(|agent| (batch.session.id.as_str(), agent));
        self.claim(&raise, step.unshown.clone(), agent, batch.now)
    }

    /// Raises these alerts, and claims those in the lists `show` and the events for an agent of a session.
    pub(super) fn claim(
        &mut self,
        raise: &[serde_json::Value],
        show: Vec<String>,
        agent: Option<(&str, &str)>,
        now: Timestamp,
    ) -> Result<(Vec<BudgetAlert>, Vec<Event>)> {
        let keys = &self.keys;
        let session = agent.map_or("", |(session, _)| session);
        // In milliseconds: the end of a claim made now, and the latest plausible end of any claim.
        let [ends, latest] = [1, 2].map(|times| now.plus_millis(times * CLAIM_MS).0);
        let ask = json!({
            "data_ttl": RETENTION_S, "decided_ttl": DECISIONS_S, "raise": raise, "show": show,
            "tell": agent.map_or(json!(false), |(_, agent)| json!(agent)),
            "untold": keys.untold_events(session), "events": keys.events(session), "event": keys.event(""),
            "alert": keys.alert(""), "alerts": keys.alerts(), "alert_number": keys.alert_number(),
            "metrics": keys.metrics(), "max_labels": MAX_LABELS,
            "machine": self.machine, "now": now.0, "ends": ends, "latest": latest,
        });
        // Ids and their records.
        type Entries = Vec<(i64, Vec<u8>)>;
        let (shown, told): (Entries, Entries) = self.scripts.run(ANNOUNCE, keys, &[ask.to_string()])?;
        // Skip unreadable records, and those from a later version.
        let alert =
            |(id, text): (i64, Vec<u8>)| Some(BudgetAlert { id, ..serde_json::from_slice(&text).ok()? });
        let event = |(id, text): (i64, Vec<u8>)| Some(Event { id, ..serde_json::from_slice(&text).ok()? });
        Ok((shown.into_iter().filter_map(alert).collect(), told.into_iter().filter_map(event).collect()))
    }
}

/// The key that marks this alert as raised: once per threshold, limit and reset.
fn raised_key(keys: &Keys, state: &BudgetState, alert: &BudgetAlert) -> String {
    let [budget, start, value] = &alert_key(state);
    let millionths = (alert.threshold * 1e6).round().to_string();
    let (limit, since) = (alert.limit.to_string(), state.since.unwrap_or(state.window.start).0.to_string());
    keys.raised(&[budget, start, value, &millionths, &limit, &since])
}

/// Raises the alerts for the thresholds that a step crosses which knows its counters before and after.
pub fn put_alerts(work: &mut UnitOfWork, after: &BudgetState, before: u64, now: Timestamp) -> Result<()> {
    for threshold in after.crossed(before) {
        let alert = BudgetAlert::new(after, threshold, now);
        let raised = raised_key(work.keys, after, &alert);
        if work.get(&raised, "").is_some() {
            continue;
        }
        let (last, unshown) = (work.keys.alert_number(), unshown_key(work.keys, after));
        let number = (work.get_number(&last, "").unwrap_or(0) + 1).to_string();
        work.put(&raised, "", "1");
        work.put(&last, "", number.clone());
        work.put_record(&work.keys.alert(&number), "", &alert)?;
        work.write(&["ZADD", &work.keys.alerts(), &number, &number]);
        work.write(&["SADD", &unshown, &number]);
        work.step.metrics.extend(MetricChanges::of_alert(&alert));
    }
    Ok(())
}
