//! Recording: a step is made by what is known, and done if that is so; else made again by how it is.

use super::RedisStore;
use super::alerts::{self, Claimed};
use super::charged::{self, intern, see};
use super::counters::{Counter, Keep, Naming, decided, held};
use super::names::Shared;
use super::scripts::command;
use super::standings::OfSession;
use super::step::{Counted, Done, Found, MovedCounters, Noted, Reply, Shows, Step, Wanted, counts};
use super::workspace::{Workspace, json};
use crate::domain::breaker::circuit::CircuitBreaker;
use crate::domain::budget::{BudgetState, Scope};
use crate::domain::event::Event;
use crate::domain::throttle::Crowded;
use crate::domain::time::Timestamp;
use crate::store::counts::CounterDelta;
use crate::store::ledger::{Changes, Ledger, Records, Specs};
use crate::store::{Applied, Batch, Own, Record, Result, Session, StoreError, Watch, standing};

/// How often a step is made again. Each time somebody else's was done; those that may come between are hooks of the same
/// session, mostly.
const ROUNDS: usize = 64;

/// A watched budget, and which of the wanted counters are its.
pub struct Watched {
    /// Where it stands, but for what is counted.
    pub state: BudgetState,
    counters: Vec<(usize, Scope)>,
}

impl Watched {
    /// The number of the counter that says what is used.
    pub fn own(&self) -> usize {
        self.counters.iter().find(|(_, scope)| *scope != Scope::History).map_or(0, |(at, _)| *at)
    }

    /// Where it stands by what its counters hold.
    pub fn by(&self, counted: &[Counted]) -> BudgetState {
        let counts = self.counters.iter().map(|(at, scope)| (*scope, counted[*at].after.amount()));
        self.state.clone().counting(counts)
    }

    /// What an earlier step moved of it: what its counter held before, and where it stood then. `now`: where it stands.
    pub fn moved(
        &self,
        wanted: &[Wanted],
        moved: &MovedCounters,
        now: &BudgetState,
    ) -> Option<(CounterDelta, BudgetState)> {
        let of = |at: usize| moved.get(&format!("{} {}", wanted[at].key, wanted[at].since));
        let (before, _) = of(self.own())?;
        let after =
            self.counters.iter().filter_map(|(at, scope)| Some((*scope, counts(&of(*at)?.1).ok()?.amount())));
        Some((counts(before).ok()?, now.clone().counting(after.collect::<Vec<_>>())))
    }
}

/// What a step comes to, once it is done.
pub struct Outcome {
    /// The watched budgets.
    pub watched: Vec<Watched>,
    /// What counters are called.
    pub naming: Naming,
    epoch: String,
    circuit: Option<CircuitBreaker>,
    crowded: Option<Crowded>,
    counters: Vec<Counter>,
    /// Something had to be noted first, and is all that this step does.
    is_preparation: bool,
}

impl Record for RedisStore {
    fn apply(&mut self, batch: &Batch) -> Result<Applied> {
        let watches = Shared::of(batch.watches);
        let (step, done, outcome) = self.step(Some(batch), &watches.watches, batch.now)?;
        let states: Vec<_> = outcome.watched.iter().map(|watched| watched.by(&done.counters)).collect();
        let Claimed { alerts, events } = self.announce(batch, &step, &done, &outcome, &states)?;
        if batch.alert {
            self.memory.checked = Some((outcome.epoch.clone(), done.sequence));
        }
        self.memory.node = self.scripts.node();
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
        self.scripts.reach()
    }

    fn confirm_shown(&mut self, alerts: &[i64], events: &[i64]) -> Result<()> {
        let of_alerts = alerts.iter().filter_map(|id| Some(("SREM", self.unshown.get(id)?, id)));
        let of_events = events.iter().filter_map(|id| Some(("HDEL", self.untold.get(id)?, id)));
        let commands: Vec<_> = of_alerts
            .chain(of_events)
            .map(|(name, list, id)| command(&[name, list, &id.to_string()]))
            .collect();
        self.scripts.commands(&self.keys, &commands).map(drop)
    }

    fn note(&mut self, event: &Event) -> Result<()> {
        self.in_step(&event.session, |workspace| {
            workspace.step.events.push(Noted {
                text: json(event)?,
                agent: event.agent.clone(),
                is_news: event.what.is_news(),
            });
            Ok(())
        })
    }

    fn see(&mut self, session: &Session, now: Timestamp, ended: bool) -> Result<()> {
        self.in_step(&session.id, |workspace| see(workspace, session, now, ended))?;
        self.refresh(&session.id)
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

    fn tidy(&mut self, _idle: bool) -> Result<()> {
        Ok(())
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
        let session = batch.map_or("", |batch| &batch.session.id);
        let refreshes = batch.is_some() && self.memory.is_to_refresh(now);
        for _ in 0..ROUNDS {
            let mut workspace = Workspace::new(&self.keys, &self.machine, &self.memory, &mut self.scripts);
            workspace.step.refreshes = refreshes;
            let outcome = make(&mut workspace, batch, watches, now, self.memory.checked.clone())?;
            let (step, mut after) = workspace.finish()?;
            match self.send(&step, session)? {
                Reply::Given(found) => self.memory.learn(found),
                Reply::Missing(missing) => {
                    let missing = missing.iter().filter_map(|at| outcome.counters.get(*at));
                    let missing: Vec<&Counter> = missing.collect();
                    self.add_up(missing, &outcome.naming, Keep::Missing)?;
                }
                Reply::Done(_) if outcome.is_preparation => self.memory.learn(after),
                Reply::Done(done) => {
                    let held = held(&step.counters, done.counters.iter().map(|counted| counted.after));
                    after.extend(held.into_iter().filter(|(place, _)| step.given.contains_key(place)));
                    if refreshes {
                        self.refresh(session)?;
                        self.memory.refreshed(now);
                    }
                    match batch {
                        None => self.memory.learn(after),
                        Some(_) => self.remember(&step, after),
                    }
                    return Ok((step, done, outcome));
                }
            }
        }
        Err(StoreError::Contended)
    }

    /// Remembers what stands after a step for the session's next one.
    fn remember(&mut self, step: &Step, after: Found) {
        let prefix = self.keys.message_prefix();
        let is_message = |key: &str| key.starts_with(&prefix);
        let has_messages = after.keys().any(|(key, _)| is_message(key));
        self.memory.replace(after, |place| match is_message(&place.0) {
            true => !has_messages,
            false => step.given.contains_key(place),
        });
    }

    fn send(&mut self, step: &Step, session: &str) -> Result<Reply> {
        let arguments = step.arguments(&self.keys, session, &self.machine)?;
        let arguments: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
        Reply::read(self.scripts.step(&self.keys, &arguments)?, step)
    }

    /// Makes a step and does it, again and again until what it takes for given is so.
    pub(super) fn in_step<T>(
        &mut self,
        session: &str,
        make: impl Fn(&mut Workspace) -> Result<T>,
    ) -> Result<T> {
        for _ in 0..ROUNDS {
            let mut workspace = Workspace::new(&self.keys, &self.machine, &self.memory, &mut self.scripts);
            let made = make(&mut workspace)?;
            let (step, after) = workspace.finish()?;
            match self.send(&step, session)? {
                Reply::Given(found) => self.memory.learn(found),
                _ => {
                    self.memory.learn(after);
                    return Ok(made);
                }
            }
        }
        Err(StoreError::Contended)
    }

    /// What counts in a session must be known for as long as it goes on.
    fn refresh(&mut self, session: &str) -> Result<()> {
        let keys = &self.keys;
        let mut words = vec![super::KEPT_S.to_string(), keys.message_prefix(), keys.messages_of(session)];
        words.extend([
            keys.session(session),
            keys.live(session),
            keys.totals(session),
            keys.settles(session),
        ]);
        words.extend([keys.forks(session), keys.origins(session), keys.standings(session)]);
        self.scripts.refresh(keys, &words)
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
    let is_new = !new.is_empty();
    if is_new {
        // First, so that whoever counts while these are added up for the first time counts for them, too.
        naming.families.extend(new.into_iter().map(|name| (name, now.0)));
        workspace.put_record(&keys.families(), "", &naming.families)?;
    }
    let mut outcome = Outcome {
        watched: Vec::new(),
        naming,
        epoch,
        circuit: None,
        crowded: None,
        counters: Vec::new(),
        is_preparation: is_new,
    };
    if let Some(batch) = batch {
        outcome.is_preparation |= charge_project(workspace, batch, &specs, &outcome.naming)?;
    }
    if outcome.is_preparation {
        return Ok(outcome);
    }
    let changes = match batch {
        None => Changes::default(),
        Some(batch) => {
            let session = batch.session.id.clone();
            intern(workspace, batch.session, batch.seen)?;
            let lineage = workspace.lineage(&session)?;
            let settles = workspace.at(&keys.settles(&session), "").is_some();
            let mut ledger = Ledger::new(workspace, &specs, outcome.naming.installed, session, lineage);
            ledger.record(batch.facts, settles)?;
            ledger.into_changes()
        }
    };
    for (moved, change) in changes.iter() {
        let key = outcome.naming.key(keys, &moved.spec, &moved.value, moved.start);
        workspace.step.moves.entry(key).or_default().push((moved.at, *change));
    }
    for watch in watches {
        let Some((state, counters)) = decided(workspace, watch, now, None) else { continue };
        let mut of_watch = Vec::new();
        for counter in counters {
            of_watch.push((workspace.step.counters.len(), counter.key.spec.scope));
            workspace.step.counters.push(outcome.naming.wanted(keys, &counter.key));
            outcome.counters.push(counter);
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
            let used = used_by(workspace, &meter, &outcome.counters, &changes);
            (outcome.crowded, _) =
                standing::throttle(&mut OfSession { workspace, id }, throttled, used, now)?;
        }
    }
    let step = &mut workspace.step;
    step.seen = Some(batch.seen.0);
    step.checked =
        batch.alert.then_some(checked.filter(|(epoch, _)| *epoch == outcome.epoch).map_or(0, |(_, n)| n));
    if batch.claim {
        let unshown = outcome.watched.iter().map(|watched| alerts::unshown(keys, &watched.state)).collect();
        step.shows = Some(Shows { unshown, agent: observed.map(|seen| seen.agent.to_owned()) });
    }
    Ok(outcome)
}

/// Charges a session to its project, where that was not known before: counters of that project are added up anew, with what
/// the session brought by then. Whether there was anything to do.
fn charge_project(workspace: &mut Workspace, batch: &Batch, specs: &Specs, naming: &Naming) -> Result<bool> {
    let id = &batch.session.id;
    let Some(charged) = workspace.charged(id).filter(|known| known.lacks_project_of(batch.session)) else {
        return Ok(false);
    };
    let project = super::names::hashed(&batch.session.project);
    let mut counters: Vec<String> = Vec::new();
    for stored in workspace.messages_of(id)?.iter().filter(|stored| stored.h == *id) {
        for (name, spec) in specs.iter().filter(|(_, spec)| spec.scope == Scope::Project) {
            counters.push(naming.key(workspace.keys, name, &project, spec.rule.at(stored.d.at).start.0));
        }
    }
    counters.sort();
    counters.dedup();
    counters.iter().for_each(|key| workspace.remove(key));
    let key = workspace.keys.session(id);
    workspace.put_record(&key, "", &charged::Charged { project, ..charged })?;
    Ok(true)
}

/// The tokens that throttling goes by, after this step, which takes what the counters hold before it for given.
fn used_by(workspace: &mut Workspace, meter: &Watched, counters: &[Counter], changes: &Changes) -> u64 {
    let mut of_meter = Vec::new();
    for (at, scope) in &meter.counters {
        let wanted = workspace.step.counters[*at].clone();
        let held = workspace.at(&wanted.key, &wanted.since);
        let before: Option<CounterDelta> =
            held.and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok());
        let before = before.unwrap_or_default();
        of_meter.push((*scope, changes.of(&counters[*at].key).apply_to(&before.amount())));
    }
    let state = meter.state.clone().counting(of_meter);
    state.used.saturating_sub(state.history)
}
