//! Recording: a step is made by what is known, and done if that is so; else made again by how it is.

use std::collections::BTreeSet;

use super::RedisStore;
use super::alerts;
use super::charged::{intern, see};
use super::counters::{Naming, decided};
use super::scripts::{STEP, command, parsed, read};
use super::standings::OfSession;
use super::step::{Done, Moved, Step, Wanted, counts};
use super::workspace::Workspace;
use crate::domain::breaker::circuit::CircuitBreaker;
use crate::domain::budget::{BudgetState, Scope};
use crate::domain::counter::CounterKey;
use crate::domain::event::Event;
use crate::domain::throttle::Crowded;
use crate::domain::time::Timestamp;
use crate::store::counts::CounterDelta;
use crate::store::ledger::{Changes, Ledger, Records, Specs};
use crate::store::shared_names::{Shared, hashed};
use crate::store::{Applied, Batch, Own, Record, Result, Session, StoreError, Watch, standing};

/// How often a step is made again: each time one of somebody else was done, of the same session mostly.
const ROUNDS: usize = 64;

/// A watched budget, and which of the wanted counters are its.
pub struct Watched {
    /// Where it stands, but for what is counted.
    pub state: BudgetState,
    counters: Vec<(usize, CounterKey)>,
}

impl Watched {
    /// The number of the counter that says what is used.
    pub fn own(&self) -> usize {
        self.counters.iter().find(|(_, key)| key.spec.scope != Scope::History).map_or(0, |(at, _)| *at)
    }

    /// Where it stands by what its counters hold.
    pub fn by(&self, counted: &[(CounterDelta, CounterDelta)]) -> BudgetState {
        let counts = self.counters.iter().map(|(at, key)| (key.spec.scope, counted[*at].1.amount()));
        self.state.clone().counting(counts)
    }

    /// What an earlier step moved of it: what its counter held before, and where it stood then. `now`: where it stands.
    pub fn moved(
        &self,
        wanted: &[Wanted],
        moved: &Moved,
        now: &BudgetState,
    ) -> Option<(CounterDelta, BudgetState)> {
        let of = |at: usize| moved.get(&wanted[at].name());
        let (before, _) = of(self.own())?;
        let after = self
            .counters
            .iter()
            .filter_map(|(at, key)| Some((key.spec.scope, counts(&of(*at)?.1).ok()?.amount())));
        Some((counts(before).ok()?, now.clone().counting(after.collect::<Vec<_>>())))
    }
}

/// What a step comes to, once it is done.
pub struct Outcome {
    /// The watched budgets.
    pub watched: Vec<Watched>,
    epoch: String,
    circuit: Option<CircuitBreaker>,
    crowded: Option<Crowded>,
    /// A project had to be noted first, and that is all that this step does.
    is_preparation: bool,
}

impl Record for RedisStore {
    fn apply(&mut self, batch: &Batch) -> Result<Applied> {
        let watches = Shared::of(batch.watches);
        let (step, done, outcome) = self.step(Some(batch), &watches.watches, batch.now)?;
        let states: Vec<_> = outcome.watched.iter().map(|watched| watched.by(&done.counters)).collect();
        // The step is done, whatever becomes of this: the next one is answered what was not looked at.
        let announced = self.announce(batch, &step, &done, &outcome, &states);
        let watched: BTreeSet<String> = step.counters.iter().map(Wanted::name).collect();
        let is_checked = done.unchecked.iter().all(|moved| moved.keys().all(|name| watched.contains(name)));
        if batch.alert && announced.is_ok() && is_checked {
            self.memory.checked = Some((outcome.epoch.clone(), done.sequence));
        }
        let (alerts, events) = announced.unwrap_or_default();
        self.memory.node = self.scripts.node().or(self.memory.node.take());
        self.memory.write_down();
        let alerts = alerts.into_iter().map(|mut alert| {
            alert.value = watches.name_here(&alert.value);
            alert
        });
        Ok(Applied {
            alerts: alerts.collect(),
            events,
            circuit: outcome.circuit,
            crowded: outcome.crowded,
            epoch: outcome.epoch,
            sequence: done.sequence,
            own: Own::of(self.machine.clone(), done.of_machine),
            states: watches.named_here(states),
        })
    }

    fn reach(&mut self) -> Result<()> {
        self.scripts.reach().map(drop)
    }

    fn confirm_shown(&mut self, alerts: &[i64], events: &[i64]) -> Result<()> {
        let of_alerts = alerts.iter().map(|id| ("SREM", id, self.keys.alert(&format!("{id}:claim"))));
        let of_events = events.iter().map(|id| ("HDEL", id, self.keys.event(&format!("{id}:claim"))));
        let claims: Vec<_> = of_alerts.chain(of_events).collect();
        let get: Vec<_> = claims.iter().map(|(.., key)| command(&["GET", key])).collect();
        let mut shown = Vec::new();
        for ((name, id, _), claim) in claims.iter().zip(self.scripts.commands(&self.keys, &get)?) {
            // Machine, end, list: see announce.lua.
            let claim: Option<String> = read(claim)?;
            let list = claim.as_ref().and_then(|claim| claim.splitn(3, ' ').nth(2));
            shown.extend(list.map(|list| command(&[name, list, &id.to_string()])));
        }
        self.scripts.commands(&self.keys, &shown).map(drop)
    }

    fn note(&mut self, event: &Event) -> Result<()> {
        self.in_step(&event.session, |workspace| workspace.note(event, event.what.is_news()))
    }

    fn see(&mut self, session: &Session, now: Timestamp, ended: bool) -> Result<()> {
        self.in_step(&session.id, |workspace| see(workspace, session, now, ended))?;
        // What counts in a session must be known for as long as it goes on.
        let (keys, id) = (&self.keys, &session.id);
        let listed: Vec<String> =
            self.scripts.command(keys, &["ZRANGE", &keys.messages_of(id), "0", "-1"])?;
        let mut all: Vec<String> = listed.iter().map(|hex| keys.message(hex)).collect();
        all.extend([keys.epoch(), keys.families(), keys.messages_of(id), keys.session(id), keys.live(id)]);
        all.extend([keys.standings(id), keys.totals(id), keys.settles(id), keys.forks(id), keys.origins(id)]);
        let ttl = super::KEPT_S.to_string();
        let commands: Vec<_> = all.iter().map(|key| command(&["EXPIRE", key, &ttl])).collect();
        self.scripts.commands(keys, &commands).map(drop)
    }

    fn complete(&mut self, session: &str, seen: Timestamp) -> Result<()> {
        let live = self.keys.live(session);
        self.in_step(session, |workspace| {
            // Whether all of it was read is known where its files are.
            let machine = workspace.charged(session).and_then(|charged| charged.machine);
            if machine.is_none_or(|machine| machine == workspace.machine)
                && workspace.number_at(&live, "seen").is_some_and(|last| last <= seen.0)
            {
                workspace.put(&live, "complete", "1");
            }
            Ok(())
        })
    }
}

impl RedisStore {
    /// A step that records a batch, or only answers for watched budgets.
    pub(super) fn step(
        &mut self,
        batch: Option<&Batch>,
        watches: &[Watch],
        now: Timestamp,
    ) -> Result<(Step, Done, Outcome)> {
        let (session, checked) = (batch.map_or("", |batch| &batch.session.id), self.memory.checked.clone());
        loop {
            let made = |workspace: &mut Workspace| make(workspace, batch, watches, now, checked.clone());
            let (outcome, step, done) = self.done(session, made)?;
            if outcome.is_preparation {
                continue;
            }
            for (wanted, (_, after)) in step.counters.iter().zip(&done.counters) {
                let place = (wanted.key.clone(), wanted.since.clone());
                if step.given.contains_key(&place) {
                    self.memory.learn([(place, Some(after.to_string().into_bytes()))].into());
                }
            }
            if batch.is_some() {
                self.memory.retain(|place| step.given.contains_key(place) || self.keys.is_message(&place.0));
            }
            return Ok((step, done, outcome));
        }
    }

    /// Makes a step and does it, again until what it takes for given is so: what was made, the step, what came of it.
    fn done<T>(
        &mut self,
        session: &str,
        make: impl Fn(&mut Workspace) -> Result<T>,
    ) -> Result<(T, Step, Done)> {
        for _ in 0..ROUNDS {
            let mut workspace = Workspace::new(&self.keys, &self.machine, &self.memory, &mut self.scripts);
            let made = make(&mut workspace)?;
            let (step, after) = workspace.finish()?;
            let arguments = step.arguments(&self.keys, session, &self.machine)?;
            match Done::read(self.scripts.run(STEP, &self.keys, &arguments)?, &step)? {
                Err(found) => self.memory.learn(found),
                Ok(done) => {
                    // Of messages, the last ones are of use to the next step.
                    if after.keys().any(|(key, _)| self.keys.is_message(key)) {
                        self.memory.retain(|(key, _)| !self.keys.is_message(key));
                    }
                    self.memory.learn(after);
                    return Ok((made, step, done));
                }
            }
        }
        Err(StoreError::Contended)
    }

    pub(super) fn in_step<T>(
        &mut self,
        session: &str,
        make: impl Fn(&mut Workspace) -> Result<T>,
    ) -> Result<T> {
        self.done(session, make).map(|(made, ..)| made)
    }
}

/// Makes a step.
fn make(
    workspace: &mut Workspace,
    batch: Option<&Batch>,
    watches: &[Watch],
    now: Timestamp,
    checked: Option<(String, u64)>,
) -> Result<Outcome> {
    let keys = workspace.keys;
    let epoch = super::recover::epoch_of(workspace);
    let mut naming = Naming::of(workspace);
    let observed = batch.and_then(|batch| batch.observed.as_ref());
    let throttle = observed.and_then(|seen| seen.throttle.as_ref());
    let watches: Vec<&Watch> = watches.iter().chain(throttle.map(|throttled| &throttled.meter)).collect();
    let mut specs = Specs::of(naming.families.keys());
    let new = specs.want(watches.iter().flat_map(|watch| watch.budget.counters()));
    if !new.is_empty() {
        naming.families.extend(new.into_iter().map(|name| (name, now.0)));
        workspace.put_record(&keys.families(), "", &naming.families)?;
    }
    let mut outcome =
        Outcome { watched: Vec::new(), epoch, circuit: None, crowded: None, is_preparation: false };
    if let Some(batch) = batch
        && charge_project(workspace, batch, &specs, &naming)?
    {
        return Ok(Outcome { is_preparation: true, ..outcome });
    }
    let changes = match batch {
        None => Changes::default(),
        Some(batch) => {
            let session = batch.session.id.clone();
            intern(workspace, batch.session, batch.seen)?;
            let lineage = workspace.lineage(&session)?;
            let settles = workspace.at(&keys.settles(&session), "").is_some();
            let mut ledger = Ledger::new(workspace, &specs, naming.installed, session, lineage);
            ledger.record(batch.facts, settles)?;
            ledger.into_changes()
        }
    };
    for (moved, change) in changes.iter() {
        let key = naming.key(keys, &moved.spec, &moved.value, moved.start);
        workspace.step.moves.entry(key).or_default().push((moved.at, *change));
    }
    for watch in watches {
        let Some((state, counters)) = decided(workspace, watch, now, None) else { continue };
        let mut of_watch = Vec::new();
        for key in counters {
            let wanted = naming.wanted(keys, &key, state.window.end);
            of_watch.push((workspace.step.counters.len(), key));
            workspace.step.counters.push(wanted);
        }
        outcome.watched.push(Watched { state, counters: of_watch });
    }
    let Some(batch) = batch else { return Ok(outcome) };
    if let Some(seen) = observed {
        let id = &batch.session.id;
        (outcome.circuit, _) = standing::observe(&mut OfSession { workspace, id }, seen, now)?;
        if let Some(throttled) = throttle
            && let Some(meter) = outcome.watched.pop()
        {
            let used = used_by(workspace, &meter, &changes);
            (outcome.crowded, _) =
                standing::throttle(&mut OfSession { workspace, id }, throttled, used, now)?;
        }
    }
    let step = &mut workspace.step;
    step.seen = Some(batch.seen.0);
    step.checked =
        batch.alert.then_some(checked.filter(|(epoch, _)| *epoch == outcome.epoch).map_or(0, |(_, n)| n));
    if batch.claim {
        step.unshown = outcome.watched.iter().map(|watched| alerts::unshown(keys, &watched.state)).collect();
        step.agent = observed.map(|seen| seen.agent.to_owned());
    }
    Ok(outcome)
}

/// Charges a session to its project, where that was not known before: counters of that project are added up anew, with what
/// the session brought by then. Whether there was anything to do.
fn charge_project(workspace: &mut Workspace, batch: &Batch, specs: &Specs, naming: &Naming) -> Result<bool> {
    let id = &batch.session.id;
    let Some(mut charged) = workspace.charged(id).filter(|known| known.session.project.is_empty()) else {
        return Ok(false);
    };
    if batch.session.project.is_empty() {
        return Ok(false);
    }
    charged.session.project = hashed(&batch.session.project);
    let project = &charged.session.project;
    let mut counters: Vec<String> = Vec::new();
    for stored in workspace.messages_of(id)?.iter().filter(|stored| stored.h == *id) {
        for (name, spec) in specs.iter().filter(|(_, spec)| spec.scope == Scope::Project) {
            counters.push(naming.key(workspace.keys, name, project, spec.rule.at(stored.d.at).start.0));
        }
    }
    counters.sort();
    counters.dedup();
    // By a command that hooks need anyway.
    counters.iter().for_each(|key| workspace.write(&["EXPIRE", key, "0"]));
    let key = workspace.keys.session(id);
    workspace.put_record(&key, "", &charged)?;
    Ok(true)
}

/// The tokens that throttling goes by, after this step, which takes what the counters hold before it for given.
fn used_by(workspace: &mut Workspace, meter: &Watched, changes: &Changes) -> u64 {
    let mut of_meter = Vec::new();
    for (at, counter) in &meter.counters {
        let Wanted { key, since, .. } = workspace.step.counters[*at].clone();
        let held: Option<CounterDelta> = workspace.at(&key, &since).and_then(|text| parsed(&text));
        let before = held.unwrap_or_default().amount();
        of_meter.push((counter.spec.scope, changes.of(counter).apply_to(&before)));
    }
    let state = meter.state.clone().counting(of_meter);
    state.used.saturating_sub(state.history)
}
