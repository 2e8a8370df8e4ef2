//! Recording: sends new transcript data to the store, which returns the states of budgets.
//!
//! [`record`] reads, waits if asked to, and only then opens the store. Its result is not yet in the session's cache:
//! the handler locks the cache, calls [`Recorded::update_cache`], judges, and saves.

use super::offline::HookCount;
use super::record_plan::{Observation, ReadProgress, RecordPlan};
use super::session::SessionContext;
use super::store_access::{self, Unavailable};
use super::throttle::throttle_input;
use super::transcript_reader::{Awaited, Positions, TranscriptDelta, position_of};
use super::{first_sight, offline, presence, recovery, unseen};
use crate::domain::alert::BudgetAlert;
use crate::domain::breaker::circuit::{CircuitBreaker, CircuitInput, NamedCall};
use crate::domain::budget::BudgetState;
use crate::domain::event::Event;
use crate::domain::throttle::SlotDenied;
use crate::store::session_cache::SessionCache;
use crate::store::unseen::UnseenChange;
use crate::store::{AgentObservation, Applied, Batch, BatchSequence, BudgetKey, Session};
use crate::transcript::Fact;
use crate::transcript::cursor::Position;

/// The result of recording.
#[derive(Debug, Default)]
pub struct Recorded {
    /// The budgets.
    pub states: Vec<BudgetState>,
    /// Alerts to show, and then confirm.
    pub alerts: Vec<BudgetAlert>,
    /// Events to report, and then confirm.
    pub events: Vec<Event>,
    /// The caller's breaker, if it was observed; for a prompt, its state before.
    pub circuit: Option<CircuitBreaker>,
    /// Why the requested subagent may not start.
    pub slot_denied: Option<SlotDenied>,
    /// Why the store gave no answer, if so. The session's hooks then count locally from its last answer.
    pub failure: Option<Unavailable>,
    /// Whether the ends of the files were reached.
    pub complete: bool,
    pub(super) pending: Pending,
    /// What was found out about responses that no file shows.
    pub(super) unseen: Vec<UnseenChange>,
}

/// Changes not yet in the session's cache.
#[derive(Debug, Default)]
pub(super) enum Pending {
    /// Only data about models and sizes.
    #[default]
    Learned,
    /// An answer of the store.
    Answer(Box<StoreAnswer>),
    /// What this hook counted while the store is unreachable.
    Offline(Box<HookCount>),
}

/// An answer of the store.
#[derive(Debug)]
pub(super) struct StoreAnswer {
    session: Session,
    /// How far the files were read for it.
    positions: Positions,
    applied: Applied,
    /// A person's prompt was recorded, so every breaker is reset.
    ends_circuits: bool,
}

/// Reads new lines, waits if asked to, and records.
pub fn record(ctx: &mut SessionContext, plan: &RecordPlan) -> Recorded {
    let failure = first_sight::note(ctx);
    let mut progress = ReadProgress::start(plan);
    let mut changes = Vec::new();
    // The line of an agent whose last response was missing is not worth waiting for.
    let is_missing = ctx.cache.unseen.is_missing(ctx.agent());
    let wanted = if is_missing { &Awaited::Nothing } else { &plan.awaited };
    if failure.is_some() || ctx.store.is_backing_off() {
        let failure = failure.unwrap_or(Unavailable::BackingOff(None));
        ctx.notices.log(&failure);
        let count = offline::count(ctx, plan, wanted, &mut progress, &mut changes);
        return Recorded { failure: Some(failure), unseen: changes, ..Recorded::offline(count) };
    }
    // The budgets from a store that lacks data: everything is read again, once.
    let mut recovering: Option<Vec<BudgetState>> = None;
    loop {
        let awaited = if recovering.is_some() { &Awaited::Nothing } else { wanted };
        if *awaited != Awaited::Nothing {
            // Do not hold the store open while waiting.
            ctx.store.close();
        }
        let mut delta = match !progress.is_first() && progress.is_out_of_time() {
            true => TranscriptDelta { positions: ctx.cache.positions.clone(), ..TranscriptDelta::default() },
            false => ctx.read_new(ctx.cache.positions.clone(), plan.scope, awaited, progress.next_slice()),
        };
        if plan.seen_at.is_none() && progress.is_first() {
            presence::note_client_change(ctx);
        }
        let is_last = progress.advance(&delta);
        ctx.cache.learn(&delta.facts);
        let estimates = unseen::settle(ctx, plan, &mut delta, is_last, &mut changes);
        let sent: Vec<_> = ctx.cache.unseen.unsent().map(|known| (known.key, known.charge)).collect();
        delta.facts.extend(estimates.into_iter().map(Fact::Message));
        let session = ctx.session();
        let applied = match send_batch(ctx, plan, &session, &delta, is_last) {
            Ok(applied) => applied,
            Err(error) => {
                ctx.notices.log(&error);
                let recorded = match recovering {
                    Some(states) => Recorded { states, ..Recorded::default() },
                    None => {
                        progress.restart();
                        // The wait is already over.
                        let nothing = &Awaited::Nothing;
                        Recorded::offline(offline::count(ctx, plan, nothing, &mut progress, &mut changes))
                    }
                };
                return Recorded { failure: Some(error), unseen: changes, ..recorded };
            }
        };
        if recovering.is_none() && recovery::lost_data(&ctx.cache, &applied) {
            // Do not show its alerts: it may lack an extension. Those still valid are raised again.
            let states = applied.states.clone();
            if let Err(error) = recovery::begin_recovery(ctx, &applied) {
                ctx.notices.log(&error);
                return Recorded { states, failure: Some(error), unseen: changes, ..Recorded::default() };
            }
            recovering = Some(states);
            changes.clear();
            progress.restart();
            continue;
        }
        let ends_circuits = is_last && matches!(plan.observation, Observation::Prompt(_));
        changes.push(UnseenChange { sent: sent.into_iter().collect(), ..UnseenChange::default() });
        let unseen = std::mem::take(&mut changes);
        let mut recorded = Recorded { unseen, ..Recorded::answered(session, delta, applied, ends_circuits) };
        if is_last {
            return recorded;
        }
        update_cache(ctx, &mut recorded);
    }
}

/// Records, and updates the session's cache. For events without a decision.
pub fn record_and_cache(ctx: &mut SessionContext, plan: &RecordPlan) -> Recorded {
    let mut recorded = record(ctx, plan);
    update_cache(ctx, &mut recorded);
    recorded
}

/// Updates the session's cache with the result.
fn update_cache(ctx: &mut SessionContext, recorded: &mut Recorded) {
    let mut cache = ctx.lock_cache();
    recorded.update_cache(ctx, &mut cache);
    ctx.save_cache(cache);
}

/// Sends one batch to the store, in one atomic step. The last batch of an event also contains the observation.
fn send_batch(
    ctx: &mut SessionContext,
    plan: &RecordPlan,
    session: &Session,
    delta: &TranscriptDelta,
    is_last: bool,
) -> store_access::Result<Applied> {
    let budget_keys: Vec<BudgetKey> = ctx.budget_keys(session);
    let now = ctx.env.now;
    let mut facts = std::borrow::Cow::Borrowed(&delta.facts[..]);
    if is_last && !plan.extra_facts.is_empty() {
        facts.to_mut().extend_from_slice(&plan.extra_facts);
    }
    let agent = ctx.agent().to_owned();
    let policy = ctx.config.breaker;
    let position = position_of(&delta.positions, ctx.source.agent.as_ref());
    let calls = match &plan.observation {
        Observation::Calls(calls) | Observation::Response(calls) => with_ids_of(position, calls),
        _ => Vec::new(),
    };
    let observed = is_last.then(|| {
        let said = position.map_or(0, |position| position.said.times);
        let seen = match &plan.observation {
            _ if !policy.enabled => None,
            Observation::Nothing | Observation::Prompt(_) => None,
            Observation::Asks(call) => Some(CircuitInput::CallRequested(*call)),
            Observation::Calls(_) => Some(CircuitInput::CallsEnded(&calls)),
            Observation::Response(_) => Some(CircuitInput::ResponseEnded(&calls)),
        };
        AgentObservation {
            agent: &agent,
            calls: seen.map(|seen| (&policy, seen, said)),
            prompt: match plan.observation {
                Observation::Prompt(repetitions) if policy.enabled => Some(repetitions),
                _ => None,
            },
            slots: throttle_input(&ctx.config, session, &plan.slot_events, now),
        }
    });
    let batch = Batch {
        session,
        facts: &facts,
        budgets: &budget_keys,
        alert: true,
        claim: plan.claim_alerts && is_last,
        seen: plan.seen_at.unwrap_or(now),
        observation: observed,
        now,
        prices: &ctx.config.prices,
    };
    ctx.store.call(|store| store.apply(&batch))
}

/// The calls with ids that tell them from others of the agent's file.
fn with_ids_of(position: Option<&Position>, calls: &[NamedCall]) -> Vec<NamedCall> {
    let mut calls = calls.to_vec();
    for NamedCall { call, .. } in &mut calls {
        call.id = position.map_or(call.id, |position| position.call_id(call.id));
    }
    calls
}

impl Recorded {
    fn offline(count: HookCount) -> Self {
        let states = count.states().to_vec();
        Self { states, pending: Pending::Offline(Box::new(count)), ..Self::default() }
    }

    fn answered(session: Session, delta: TranscriptDelta, mut applied: Applied, ends_circuits: bool) -> Self {
        let (alerts, events) = (std::mem::take(&mut applied.alerts), std::mem::take(&mut applied.events));
        Self {
            states: applied.states.clone(),
            alerts,
            events,
            circuit: applied.circuit.clone(),
            slot_denied: applied.slot_denied,
            failure: None,
            complete: delta.complete,
            unseen: Vec::new(),
            pending: Pending::Answer(Box::new(StoreAnswer {
                session,
                positions: delta.positions,
                applied,
                ends_circuits,
            })),
        }
    }

    /// Whether the store recorded everything that was read.
    pub fn is_stored(&self) -> bool {
        self.failure.is_none()
    }

    /// Updates the session's cache, which the caller has locked. The budgets may have changed meanwhile: other hooks
    /// also count while the store is unreachable.
    pub fn update_cache(&mut self, ctx: &SessionContext, cache: &mut SessionCache) {
        cache.merge_learned(&ctx.cache);
        std::mem::take(&mut self.unseen).iter().for_each(|change| cache.unseen.apply(change));
        cache.unseen.told |= ctx.cache.unseen.told;
        match std::mem::take(&mut self.pending) {
            Pending::Learned => {}
            Pending::Offline(count) => self.states = count.update_cache(cache),
            Pending::Answer(answer) => answer.update_cache(ctx, cache),
        }
    }
}

impl StoreAnswer {
    /// Updates the session's cache with the answer.
    fn update_cache(self, ctx: &SessionContext, cache: &mut SessionCache) {
        let Self { session, positions, applied, ends_circuits } = self;
        if cache.store_id != applied.store_id {
            cache.positions.values_mut().for_each(|position| position.forget());
            (cache.sequence, cache.batch_sequence) = (0, BatchSequence::default());
            cache.store_id.clone_from(&applied.store_id);
        }
        cache.batch_sequence.update(&applied.batch_sequence);
        cache.advance_positions(positions);
        cache.offline_counts = None;
        cache.lost.clear();
        cache.session = session;
        cache.reported_config = ctx.cache.reported_config.or(cache.reported_config.take());
        if let Some(breaker) = &applied.circuit {
            cache.update_circuit(ctx.agent(), applied.sequence, breaker);
        }
        if ends_circuits {
            cache.circuits.clear();
        }
        if applied.sequence > cache.sequence {
            cache.sequence = applied.sequence;
            cache.states = applied.states;
            (cache.stamp, cache.config) = (Some(ctx.stamp), Some(ctx.config.clone()));
            cache.written = ctx.env.now;
        }
    }
}
