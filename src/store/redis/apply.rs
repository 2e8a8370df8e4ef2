//! Recording a batch: a step is made by what is known, and done if that is so; else made again by how it is.

use std::collections::{BTreeMap, BTreeSet};

use super::RedisStore;
use super::alerting::{Watched, alerting, expected, place};
use super::charging::{intern, recharge};
use super::keys::Keys;
use super::names::Shared;
use super::plan::{COUNT, Content, Done, Frame, Place, Reply, SCORE, Wanted, counts};
use super::standings::OfSession;
use super::workspace::Workspace;
use crate::domain::alert::BudgetAlert;
use crate::domain::breaker::circuit::CircuitBreaker;
use crate::domain::budget::{BudgetState, Scope};
use crate::domain::counter::CounterKey;
use crate::domain::event::Event;
use crate::domain::operation::{Effect, Operation};
use crate::domain::throttle::Crowded;
use crate::domain::time::Timestamp;
use crate::domain::usage::Amount;
use crate::store::counts::CounterDelta;
use crate::store::ledger::{Changes, Ledger, Records, Specs, family};
use crate::store::{Applied, Batch, CLAIM_MS, Own, Result, StoreError, Watch, standing};

/// Families of counters, with when they were first wanted: what was counted since then is in their counters.
type Families = BTreeMap<String, i64>;

/// What a step comes to, once it is done.
struct Outcome {
    watched: Vec<Watched>,
    epoch: String,
    circuit: Option<CircuitBreaker>,
    crowded: Option<Crowded>,
}

/// What becomes of a sum.
#[derive(Clone, Copy)]
pub(super) enum Keeping {
    /// Nothing: it is only wanted.
    Nothing = 0,
    /// It is kept where there is none.
    WhereMissing = 1,
    /// It is kept in place of what is there.
    Over = 2,
}

/// A counter of a step, and the end of its window.
pub(super) struct Counter {
    /// Which.
    pub key: CounterKey,
    end: Option<Timestamp>,
}

impl RedisStore {
    /// One atomic step: record the facts, move the counters, raise the alerts, answer for the watched budgets.
    pub(super) fn apply(&mut self, batch: &Batch) -> Result<Applied> {
        let watches = Shared::of(batch.watches);
        let (done, outcome) = self.step(Some(batch), &watches.watches, batch.now)?;
        let states = watches.named_here(after(&outcome.watched, &done));
        let parse =
            |text: &str| serde_json::from_str(text).map_err(|e| StoreError::Damaged(format!("alert: {e}")));
        let mut alerts = Vec::new();
        for (id, text, used) in &done.alerts {
            let alert = BudgetAlert { id: *id, used: *used, ..parse(text)? };
            alerts.push(BudgetAlert { value: watches.name_here(&alert.value), ..alert });
        }
        let mut events = Vec::new();
        for (id, text) in &done.events {
            self.claimed.insert(*id, batch.session.id.clone());
            // One that a later version wrote is left to that one.
            events.extend(serde_json::from_str::<Event>(text).map(|event| Event { id: *id, ..event }));
        }
        let (circuit, crowded, epoch) = (outcome.circuit, outcome.crowded, outcome.epoch);
        let own = Own::of(self.machine_name().to_owned(), done.own);
        Ok(Applied { states, alerts, events, circuit, crowded, epoch, sequence: done.sequence, own })
    }

    /// Where budgets stand, without recording anything.
    pub(super) fn states(&mut self, watches: &[Watch], now: Timestamp) -> Result<Vec<BudgetState>> {
        let watches = Shared::of(watches);
        let (done, outcome) = self.step(None, &watches.watches, now)?;
        Ok(watches.named_here(after(&outcome.watched, &done)))
    }

    fn step(&mut self, batch: Option<&Batch>, watches: &[Watch], now: Timestamp) -> Result<(Done, Outcome)> {
        let refreshes = batch.is_none() || self.memory.is_to_refresh(now);
        let mut every_alert = false;
        for _ in 0..super::ROUNDS {
            let mut workspace = Workspace::new(&self.keys, &self.memory, &mut self.link, &self.machine);
            workspace.refreshes = refreshes;
            let (outcome, counters) = make(&mut workspace, batch, watches, now, every_alert)?;
            let (plan, after) = workspace.finish()?;
            let id = batch.map_or("", |batch| &batch.session.id);
            let mut frame = self.frame(id, now, refreshes);
            if batch.is_some() {
                frame.machine = self.machine_name().to_owned();
            }
            let mut next = after;
            for wanted in &plan.wanted {
                let expected = wanted.expected.map(|(_, after)| after.to_string().into_bytes().into());
                next.extend(expected.map(|text| (place_of(wanted), Some(text))));
            }
            if batch.is_some() {
                next = self.of_use(&plan, next);
            }
            // The server works for longer than that takes. What nobody knew yet is most likely not as it was taken to be.
            let messages = self.keys.message_prefix();
            let is_known = |place: &Place| place.0.starts_with(&messages) || self.memory.get(place).is_some();
            let is_expected =
                batch.is_some() && !refreshes && plan.given.iter().all(|(place, _)| is_known(place));
            let (memory, mut is_written) = (&self.memory, false);
            let mut meanwhile = || {
                if is_expected && !is_written {
                    memory.write_down(&next);
                    is_written = true;
                }
            };
            match self.link.transact_and(&self.keys, &plan, &frame, &mut meanwhile)? {
                Reply::Done(done) => {
                    // What moved stands in the answer.
                    let mut as_expected = is_written && self.memory.node == self.link.node();
                    for (wanted, (_, after)) in plan.wanted.iter().zip(&done.counters) {
                        let after: Option<Content> = Some(after.to_string().into_bytes().into());
                        as_expected &= next.get(&place_of(wanted)) == Some(&after);
                        next.insert(place_of(wanted), after);
                    }
                    if refreshes {
                        self.memory.refreshed(now);
                    }
                    match batch {
                        Some(_) => {
                            self.memory.node = self.link.node();
                            if !as_expected {
                                self.memory.write_down(&next);
                            }
                            self.memory.keep(next);
                        }
                        None => next.into_iter().for_each(|(place, value)| self.memory.learn(place, value)),
                    }
                    return Ok((done, outcome));
                }
                Reply::Given(actual) => self.memory.correct(plan.given.into_iter().zip(actual)),
                Reply::Alerts => every_alert = true,
                Reply::Missing(missing) => {
                    let installed = self.installed()?;
                    let missing: Vec<&Counter> = missing.iter().filter_map(|at| counters.get(*at)).collect();
                    self.add_up(
                        missing.into_iter().map(|c| (&c.key, c.end)),
                        installed,
                        Keeping::WhereMissing,
                    )?;
                }
            }
        }
        Err(StoreError::Contended)
    }

    pub(super) fn frame(&self, session: &str, now: Timestamp, refreshes: bool) -> Frame {
        Frame {
            now: now.0,
            ttl: super::KEPT_S,
            refreshes,
            // A claim that ends much later than one of now was made under another clock, and is over.
            claim: (now.plus_millis(CLAIM_MS).0, now.plus_millis(2 * CLAIM_MS).0),
            machine: String::new(),
            session: session.to_owned(),
        }
    }

    /// Counters, added up from the messages, and kept as `keeping` says.
    pub(super) fn add_up<'c>(
        &mut self,
        counters: impl Iterator<Item = (&'c CounterKey, Option<Timestamp>)>,
        installed: Option<Timestamp>,
        keeping: Keeping,
    ) -> Result<Vec<CounterDelta>> {
        let mut words = vec![self.keys.data_prefix(), super::KEPT_S.to_string()];
        words.push((keeping as u8).to_string());
        for (key, end) in counters {
            let mut end = end.map(|end| end.0);
            if key.spec.scope == Scope::History {
                let installed = installed.map_or(i64::MIN, |at| at.0);
                end = Some(end.map_or(installed, |end| end.min(installed)));
            }
            let from = key.since.max(key.start).0;
            words.push(counter_key(&self.keys, installed, &family(&key.spec), &key.value, key.start.0));
            words.push(key.since.0.to_string());
            words.push(key.spec.scope.name().to_owned());
            words.push(key.value.clone());
            words.push(if from == i64::MIN { "-inf".into() } else { from.to_string() });
            words.push(end.map_or_else(String::new, |end| end.to_string()));
        }
        let arguments: Vec<Vec<u8>> = words.into_iter().map(String::into_bytes).collect();
        let sums = self.link.add_up(&self.keys, &arguments)?;
        sums.into_iter().map(|sum| counts(&super::plan::text(sum)?)).collect()
    }

    /// When Fusebox was installed, as far as is known.
    pub(super) fn installed(&mut self) -> Result<Option<Timestamp>> {
        let found = self.link.commands(&self.keys, &[vec!["GET".into(), self.keys.installed()]])?.pop();
        let text = found.map(super::plan::bytes).transpose()?.flatten();
        Ok(text.and_then(|text| String::from_utf8(text).ok()?.parse().ok()).map(Timestamp))
    }
}

fn place_of(wanted: &Wanted) -> Place {
    (wanted.key.clone(), [COUNT, itoa::Buffer::new().format(wanted.since)].concat())
}

fn after(watched: &[Watched], done: &Done) -> Vec<BudgetState> {
    let state = |watched: &Watched| {
        let counts = watched.counters.iter().map(|(at, scope)| (*scope, done.counters[*at].1.amount()));
        watched.state.clone().counting(counts.collect::<Vec<_>>())
    };
    watched.iter().map(state).collect()
}

/// Makes a step.
fn make(
    workspace: &mut Workspace,
    batch: Option<&Batch>,
    watches: &[Watch],
    now: Timestamp,
    every_alert: bool,
) -> Result<(Outcome, Vec<Counter>)> {
    let keys = workspace.keys;
    let epoch = match workspace.at(&keys.epoch(), "") {
        Some(epoch) => String::from_utf8_lossy(&epoch).into_owned(),
        None => {
            let epoch = super::new_epoch();
            workspace.put(&keys.epoch(), "", epoch.clone().into_bytes());
            epoch
        }
    };
    let installed = workspace.number_at(&keys.installed(), "").map(Timestamp);
    let observed = batch.and_then(|batch| batch.observed.as_ref());
    let throttle = observed.and_then(|seen| seen.throttle.as_ref());
    let watches: Vec<&Watch> = watches.iter().chain(throttle.map(|throttled| &throttled.meter)).collect();
    let mut families: Families = workspace.record(&keys.families())?.unwrap_or_default();
    let mut specs = Specs::of(families.keys());
    let new = specs.want(watches.iter().flat_map(|watch| watch.budget.counters()));
    if !new.is_empty() {
        // Messages can be dated later than now, by another clock.
        let latest = workspace.number_at(&keys.values(), &format!("{SCORE}any"));
        let since = latest.map_or(now.0, |latest| now.0.max(latest.saturating_add(1)));
        families.extend(new.into_iter().map(|name| (name, since)));
        workspace.put_record(&keys.families(), &families)?;
    }
    let changes = match batch {
        None => Changes::default(),
        Some(batch) => {
            let session = intern(workspace, batch.session, batch.seen)?;
            recharge(workspace, &specs)?;
            let lineage = workspace.lineage(&session)?;
            let settles = workspace.at(&keys.settles(&session), "").is_some();
            let mut ledger = Ledger::new(workspace, &specs, installed, session, lineage);
            ledger.record(batch.facts, settles)?;
            ledger.into_changes()
        }
    };
    // What is charged anew besides is not expected.
    let recharged: BTreeSet<String> = workspace.plan.moves.iter().map(|(key, ..)| key.clone()).collect();
    let may_begin = |workspace: &Workspace, spec: &str, value: &str, start: i64| {
        let is_session = spec.starts_with("session ") || spec.starts_with("history ");
        families.get(spec).is_some_and(|since| start >= *since)
            || (is_session && workspace.new.contains(value))
    };
    for (moved, change) in changes.iter() {
        let key = counter_key(keys, installed, &moved.spec, &moved.value, moved.start);
        let may_begin = may_begin(workspace, &moved.spec, &moved.value, moved.start);
        workspace.plan.moves.push((key, moved.clone(), *change, may_begin));
    }
    let (mut watched, mut counters) = (Vec::new(), Vec::new());
    for watch in &watches {
        let Some(mut state) = decided(workspace, watch, now)? else { continue };
        let since = state.since.unwrap_or(state.window.start).max(state.window.start);
        let mut of_watch = Vec::new();
        for spec in watch.budget.counters() {
            let (name, scope) = (family(&spec), spec.scope);
            let key = CounterKey { spec, value: watch.value.clone(), start: state.window.start, since };
            let mut wanted = Wanted {
                key: counter_key(keys, installed, &name, &key.value, key.start.0),
                since: since.0,
                may_begin: since == key.start && may_begin(workspace, &name, &key.value, key.start.0),
                expected: None,
            };
            if scope == Scope::History {
                // The limit in force depends on it, and thresholds on that.
                let history = changes.of(&key).apply_to(&counted(workspace, &wanted));
                state.history = watch.budget.measure(&history);
            }
            if !recharged.contains(&wanted.key) {
                let before = workspace.remembered(&place_of(&wanted));
                let before = before.and_then(|text| counts(std::str::from_utf8(text).ok()?).ok());
                wanted.expected = before.map(|before| (before, before.plus(&changes.of(&key))));
            }
            of_watch.push((workspace.plan.wanted.len(), scope));
            workspace.plan.wanted.push(wanted);
            counters.push(Counter { key, end: state.window.end });
        }
        watched.push(Watched { state, counters: of_watch });
    }
    let mut outcome = Outcome { watched, epoch, circuit: None, crowded: None };
    let Some(batch) = batch else { return Ok((outcome, counters)) };
    if let Some(seen) = observed {
        let id = batch.session.id.clone();
        let (circuit, _) = standing::observe(&mut OfSession { workspace, id: &id }, seen, now)?;
        outcome.circuit = circuit;
        if let Some(throttled) = throttle
            && let Some(meter) = outcome.watched.pop()
        {
            let used = used_by(workspace, &meter, &counters, &changes);
            let of = &mut OfSession { workspace, id: &id };
            (outcome.crowded, _) = standing::throttle(of, throttled, used, now)?;
        }
        workspace.plan.claim_events = batch.claim.then(|| seen.agent.to_owned());
    }
    workspace.plan.seen = Some(batch.seen.0);
    if batch.alert {
        let mut all = Vec::with_capacity(outcome.watched.len());
        for watched in &outcome.watched {
            let expected = expected(watched, &workspace.plan.wanted).filter(|_| !every_alert);
            all.push(alerting(workspace.keys, watched, expected, now)?);
        }
        workspace.plan.alerting = all;
    }
    if batch.claim {
        workspace.plan.claim_alerts = outcome.watched.iter().map(|watched| place(&watched.state)).collect();
    }
    Ok((outcome, counters))
}

/// The key of a counter. One of the history is of one installation: what was counted before that was known is not its.
fn counter_key(keys: &Keys, installed: Option<Timestamp>, spec: &str, value: &str, start: i64) -> String {
    match installed {
        Some(at) if spec.starts_with("history ") => keys.counter(&format!("{spec} {}", at.0), value, start),
        _ => keys.counter(spec, value, start),
    }
}

/// The tokens that throttling goes by, after this step: nobody may count in between.
fn used_by(workspace: &mut Workspace, meter: &Watched, counters: &[Counter], changes: &Changes) -> u64 {
    let mut of_meter = Vec::new();
    for (at, scope) in &meter.counters {
        let wanted = workspace.plan.wanted[*at].clone();
        let before = counted(workspace, &wanted);
        of_meter.push((*scope, changes.of(&counters[*at].key).apply_to(&before)));
    }
    let state = meter.state.clone().counting(of_meter);
    state.used.saturating_sub(state.history)
}

/// What a counter holds before the step, which takes that for given.
fn counted(workspace: &mut Workspace, wanted: &Wanted) -> Amount {
    let (key, field) = place_of(wanted);
    let text = workspace.at(&key, &field);
    let counts = text.and_then(|text| counts(std::str::from_utf8(&text).ok()?).ok());
    counts.unwrap_or_default().amount()
}

/// A budget by what people decided about it; `None`: it is deleted.
fn decided(workspace: &mut Workspace, watch: &Watch, now: Timestamp) -> Result<Option<BudgetState>> {
    let Watch { budget, value } = watch;
    let window = budget.window.at(now);
    let key = workspace.keys.operations(&budget.name, value, window.start);
    let operations: Vec<Operation> = workspace.record(&key)?.unwrap_or_default();
    let effect = Effect::of(operations.iter().map(|operation| operation.decision));
    Ok((!effect.deleted).then(|| BudgetState::fresh(budget, value, window).decided(&effect)))
}
