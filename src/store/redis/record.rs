//! Recording: a step is prepared from cached values and run if they are current, otherwise prepared again.

use std::collections::BTreeSet;

use super::RedisStore;
use super::agent_state_fields::RedisAgentStates;
use super::alerts;
use super::counters::{CounterNames, resolve};
use super::scripts::{STEP, command, decode, parse};
use super::session_record::{intern, touch_session};
use super::step::{CounterRead, MovedCounters, Step, StepResult, parse_counts};
use super::unit_of_work::UnitOfWork;
use crate::domain::alert::BudgetAlert;
use crate::domain::breaker::circuit::CircuitBreaker;
use crate::domain::budget::{BudgetState, Scope};
use crate::domain::counter::CounterKey;
use crate::domain::event::Event;
use crate::domain::throttle::SlotDenied;
use crate::domain::time::Timestamp;
use crate::store::agent_states;
use crate::store::counts::CounterDelta;
use crate::store::ledger::{CounterChanges, CounterFamilies, Ledger, LedgerRows};
use crate::store::shared_names::{SharedNames, hash_project};
use crate::store::{Applied, Batch, BatchSequence, BudgetKey, Record, Result, Session, StoreError};

/// How often a step is tried. Each failure means that another step ran meanwhile, mostly of the same session.
const MAX_TRIES: usize = 64;

/// A watched budget, and the indexes of its counters in the step.
pub struct WatchedBudget {
    /// Its state, without the counts.
    pub state: BudgetState,
    counters: Vec<(usize, CounterKey)>,
}

impl WatchedBudget {
    /// The index of the counter for `used`; `None` if nothing is counted for it.
    pub fn used_counter(&self) -> Option<usize> {
        self.counters.iter().find(|(_, key)| key.family.scope != Scope::History).map(|(at, _)| *at)
    }

    /// The state after this step.
    pub fn state_by(&self, counted: &[(CounterDelta, CounterDelta)]) -> BudgetState {
        let counts = self.counters.iter().map(|(at, key)| (key.family.scope, counted[*at].1.amount()));
        self.state.clone().with_counters(counts)
    }

    /// The change by an earlier step: the counter before it, and the state after it. `now`: the current state.
    pub fn earlier_state(
        &self,
        wanted: &[CounterRead],
        moved: &MovedCounters,
        now: &BudgetState,
    ) -> Option<(CounterDelta, BudgetState)> {
        let of = |at: usize| moved.get(&wanted[at].name());
        let (before, _) = of(self.used_counter()?)?;
        let after = |(at, key): &(usize, CounterKey)| {
            Some((key.family.scope, parse_counts(&of(*at)?.1).ok()?.amount()))
        };
        let after = self.counters.iter().filter_map(after);
        Some((parse_counts(before).ok()?, now.clone().with_counters(after.collect::<Vec<_>>())))
    }
}

/// What a step returns to its caller.
#[derive(Default)]
pub struct StepOutcome {
    /// The watched budgets.
    pub watched: Vec<WatchedBudget>,
    store_id: String,
    circuit: Option<CircuitBreaker>,
    slot_denied: Option<SlotDenied>,
    /// Whether the step only charged the session to its project, and has to be repeated.
    is_preparation: bool,
}

impl Record for RedisStore {
    fn apply(&mut self, batch: &Batch) -> Result<Applied> {
        let names = SharedNames::new(batch.budgets);
        let (step, done, outcome) = self.step(Some(batch), &names.budgets, batch.now)?;
        let states: Vec<_> = outcome.watched.iter().map(|watched| watched.state_by(&done.counters)).collect();
        // The step is done even if this fails: the next one returns the changes not checked yet.
        let announced = self.announce(batch, &step, &done, &outcome, &states);
        let watched: BTreeSet<String> = step.counters.iter().map(CounterRead::name).collect();
        let is_checked = done.unchecked.iter().all(|moved| moved.keys().all(|name| watched.contains(name)));
        if batch.alert && announced.is_ok() && is_checked {
            self.cache.checked = Some((outcome.store_id.clone(), done.sequence));
        }
        let (mut alerts, events) = announced.unwrap_or_default();
        alerts.iter_mut().for_each(|alert| alert.value = names.local_name(&alert.value));
        self.cache.node = self.scripts.node().or(self.cache.node.take());
        self.cache.save();
        Ok(Applied {
            alerts,
            events,
            circuit: outcome.circuit,
            slot_denied: outcome.slot_denied,
            store_id: outcome.store_id,
            sequence: done.sequence,
            batch_sequence: BatchSequence::new(self.machine.clone(), done.of_machine),
            states: names.with_local_names(states),
        })
    }

    fn connect(&mut self) -> Result<()> {
        self.scripts.connect().map(drop)
    }

    fn claim_alerts(&mut self, budgets: &[BudgetState], now: Timestamp) -> Result<Vec<BudgetAlert>> {
        let show = budgets.iter().map(|state| alerts::unshown_key(&self.keys, state)).collect();
        Ok(self.claim(&[], show, None, now)?.0)
    }

    fn confirm_shown(&mut self, alerts: &[i64], events: &[i64]) -> Result<()> {
        let of_alerts = alerts.iter().map(|id| ("SREM", id, self.keys.alert(&format!("{id}:claim"))));
        let of_events = events.iter().map(|id| ("HDEL", id, self.keys.event(&format!("{id}:claim"))));
        let claims: Vec<_> = of_alerts.chain(of_events).collect();
        let get: Vec<_> = claims.iter().map(|(.., key)| command(&["GET", key])).collect();
        let mut shown = Vec::new();
        for ((name, id, _), claim) in claims.iter().zip(self.scripts.commands(&self.keys, &get)?) {
            // Machine, end, list; see announce.lua.
            let claim: Option<String> = decode(claim)?;
            let list = claim.as_ref().and_then(|claim| claim.splitn(3, ' ').nth(2));
            shown.extend(list.map(|list| command(&[name, list, &id.to_string()])));
        }
        self.scripts.commands(&self.keys, &shown).map(drop)
    }

    fn record_event(&mut self, event: &Event) -> Result<()> {
        self.in_step(&event.session, |work| work.record_event(event, event.data.is_news()))
    }

    fn touch_session(&mut self, session: &Session, now: Timestamp, ended: bool) -> Result<()> {
        self.in_step(&session.id, |work| touch_session(work, session, now, ended))?;
        // Keep everything that counts in a session for as long as the session is active.
        let (keys, id) = (&self.keys, &session.id);
        let hexes: Vec<String> = self.scripts.command(keys, &["ZRANGE", &keys.messages_of(id), "0", "-1"])?;
        let mut all: Vec<String> = hexes.iter().map(|hex| keys.message(hex)).collect();
        all.extend([keys.store_id(), keys.families(), keys.messages_of(id), keys.session(id), keys.live(id)]);
        all.extend([keys.states(id), keys.totals(id), keys.settles(id), keys.forks(id), keys.origins(id)]);
        all.push(keys.metrics());
        let ttl = super::RETENTION_S.to_string();
        let commands: Vec<_> = all.iter().map(|key| command(&["EXPIRE", key, &ttl])).collect();
        self.scripts.commands(keys, &commands).map(drop)
    }

    fn mark_complete(&mut self, session: &str, seen: Timestamp) -> Result<()> {
        let live = self.keys.live(session);
        self.in_step(session, |work| {
            // Only the machine with the files knows whether all were read.
            let machine = work.session_record(session).and_then(|charged| charged.machine);
            if machine.is_none_or(|machine| machine == work.machine)
                && work.get_number(&live, "seen").is_some_and(|last| last <= seen.0)
            {
                work.put(&live, "complete", "1");
            }
            Ok(())
        })
    }
}

impl RedisStore {
    /// A step that records a batch, or only returns watched budgets.
    pub(super) fn step(
        &mut self,
        batch: Option<&Batch>,
        budgets: &[BudgetKey],
        now: Timestamp,
    ) -> Result<(Step, StepResult, StepOutcome)> {
        let (session, checked) = (batch.map_or("", |batch| &batch.session.id), self.cache.checked.clone());
        loop {
            let make = |work: &mut UnitOfWork| prepare(work, batch, budgets, now, checked.clone());
            let (outcome, step, done) = self.run_step(session, make)?;
            if outcome.is_preparation {
                continue;
            }
            for (wanted, (_, after)) in step.counters.iter().zip(&done.counters) {
                let place = (wanted.key.clone(), wanted.since.clone());
                if step.expected.contains_key(&place) {
                    self.cache.extend([(place, Some(after.to_string().into_bytes()))].into());
                }
            }
            if batch.is_some() {
                self.cache.retain(|key| step.expected.contains_key(key) || self.keys.is_message(&key.0));
            }
            return Ok((step, done, outcome));
        }
    }

    /// Prepares a step and runs it, until everything it expects is current. Returns the outcome, the step and its
    /// result.
    fn run_step<T>(
        &mut self,
        session: &str,
        make: impl Fn(&mut UnitOfWork) -> Result<T>,
    ) -> Result<(T, Step, StepResult)> {
        for _ in 0..MAX_TRIES {
            let mut work = UnitOfWork::new(&self.keys, &self.machine, &self.cache, &mut self.scripts);
            let made = make(&mut work)?;
            let (step, after) = work.finish()?;
            let arguments = step.arguments(&self.keys, session, &self.machine)?;
            match StepResult::parse(self.scripts.run(STEP, &self.keys, &arguments)?, &step)? {
                Err(found) => self.cache.extend(found),
                Ok(done) => {
                    // The next step only needs the most recent messages.
                    if after.keys().any(|(key, _)| self.keys.is_message(key)) {
                        self.cache.retain(|(key, _)| !self.keys.is_message(key));
                    }
                    self.cache.extend(after);
                    return Ok((made, step, done));
                }
            }
        }
        Err(StoreError::Contended)
    }

    pub(super) fn in_step<T>(&mut self, id: &str, make: impl Fn(&mut UnitOfWork) -> Result<T>) -> Result<T> {
        self.run_step(id, make).map(|(made, ..)| made)
    }
}

/// Prepares a step.
fn prepare(
    work: &mut UnitOfWork,
    batch: Option<&Batch>,
    budgets: &[BudgetKey],
    now: Timestamp,
    checked: Option<(String, u64)>,
) -> Result<StepOutcome> {
    let keys = work.keys;
    let store_id = super::recover::store_id(work);
    let mut names = CounterNames::read(work);
    let observation = batch.and_then(|batch| batch.observation.as_ref());
    let slots = observation.and_then(|seen| seen.slots.as_ref());
    let budgets: Vec<&BudgetKey> = budgets.iter().chain(slots.map(|slots| &slots.meter)).collect();
    let mut families = CounterFamilies::from_names(names.families.keys());
    let new = families.register(budgets.iter().flat_map(|key| key.budget.counters()));
    if !new.is_empty() {
        names.families.extend(new.into_iter().map(|name| (name, now.0)));
        work.put_record(&keys.families(), "", &names.families)?;
    }
    let mut outcome = StepOutcome { store_id, ..StepOutcome::default() };
    if let Some(batch) = batch
        && charge_project(work, batch, &families, &names)?
    {
        return Ok(StepOutcome { is_preparation: true, ..outcome });
    }
    let changes = match batch {
        None => CounterChanges::default(),
        Some(batch) => {
            let session = batch.session.id.clone();
            intern(work, batch.session, batch.seen)?;
            let lineage = work.lineage(&session)?;
            let settles = work.get(&keys.settles(&session), "").is_some();
            let mut ledger =
                Ledger::new(work, &families, batch.prices, (names.installed, now), session, lineage);
            ledger.record(batch.facts, settles)?;
            ledger.into_changes()
        }
    };
    work.step.metrics.extend(changes.metrics.clone());
    for (moved, change) in changes.iter() {
        let key = names.key(keys, &moved.family, &moved.value, moved.start);
        work.step.moves.entry(key).or_default().push((moved.at, *change));
    }
    for key in budgets {
        let Some((state, counters)) = resolve(work, key, now, None) else { continue };
        let (first, end) = (work.step.counters.len(), state.window.end);
        work.step.counters.extend(counters.iter().map(|counter| names.counter_read(keys, counter, end)));
        outcome.watched.push(WatchedBudget { state, counters: (first..).zip(counters).collect() });
    }
    let Some(batch) = batch else { return Ok(outcome) };
    if let Some(seen) = observation {
        let id = &batch.session.id;
        (outcome.circuit, _) = agent_states::observe(&mut RedisAgentStates { work, id }, seen, now)?;
        if let Some(slots) = slots
            && let Some(meter) = outcome.watched.pop()
        {
            let used = tokens_used(work, &meter, &changes);
            (outcome.slot_denied, _) =
                agent_states::throttle(&mut RedisAgentStates { work, id }, slots, used, now)?;
        }
    }
    let step = &mut work.step;
    step.seen = Some(batch.seen.0);
    let checked = checked.filter(|(store_id, _)| *store_id == outcome.store_id);
    step.checked = batch.alert.then_some(checked.map_or(0, |(_, n)| n));
    if batch.claim {
        step.unshown =
            outcome.watched.iter().map(|watched| alerts::unshown_key(keys, &watched.state)).collect();
        step.agent = observation.map(|seen| seen.agent.to_owned());
    }
    Ok(outcome)
}

/// Charges a session to its project once known, and drops the counters that lack it. Returns whether anything changed.
fn charge_project(
    work: &mut UnitOfWork,
    batch: &Batch,
    families: &CounterFamilies,
    names: &CounterNames,
) -> Result<bool> {
    let id = &batch.session.id;
    let record = work.session_record(id).filter(|record| record.session.project.is_empty());
    let Some(mut record) = record.filter(|_| !batch.session.project.is_empty()) else { return Ok(false) };
    record.session.project = hash_project(&batch.session.project);
    let project = &record.session.project;
    let mut counters = BTreeSet::new();
    for stored in work.messages_of(id)?.iter().filter(|stored| stored.first_session == *id) {
        for (name, family) in families.iter().filter(|(_, family)| family.scope == Scope::Project) {
            counters.insert(names.key(work.keys, name, project, family.rule.at(stored.message.at).start.0));
        }
    }
    // EXPIRE, because hooks need that permission anyway.
    counters.iter().for_each(|key| work.write(&["EXPIRE", key, "0"]));
    let key = work.keys.session(id);
    work.put_record(&key, "", &record)?;
    Ok(true)
}

/// The tokens for throttling after this step, which expects the current counters to stay unchanged.
fn tokens_used(work: &mut UnitOfWork, meter: &WatchedBudget, changes: &CounterChanges) -> u64 {
    let of_meter = meter.counters.iter().map(|(at, counter)| {
        let CounterRead { key, since, .. } = work.step.counters[*at].clone();
        let held: Option<CounterDelta> = work.get(&key, &since).and_then(|text| parse(&text));
        let before = held.unwrap_or_default().amount();
        (counter.family.scope, changes.counter_change(counter).apply_to(&before))
    });
    let state = meter.state.clone().with_counters(of_meter);
    state.used.saturating_sub(state.history)
}
