//! Recording: what is new in a session's transcripts goes to the store, which answers where the budgets stand.
//!
//! [`record`] reads, waits where asked to, and only then opens the store. Its result is not yet in the session's cache: the
//! handler locks the cache, lets [`Recorded::keep`] take the answer over, judges, and saves.

use super::offline::OfflineCount;
use super::record_plan::{Observation, ReadProgress, RecordPlan};
use super::session::SessionContext;
use super::store_access::{self, Unavailable};
use super::throttle::throttled;
use super::transcript_reader::{Awaited, Positions, TranscriptDelta, times_said};
use super::{offline, presence, recovery};
use crate::domain::alert::BudgetAlert;
use crate::domain::breaker::circuit::{CircuitBreaker, CircuitInput};
use crate::domain::budget::BudgetState;
use crate::domain::event::Event;
use crate::domain::throttle::SlotDenied;
use crate::store::session_cache::SessionCache;
use crate::store::{AgentObservation, Applied, Batch, BatchSequence, BudgetKey, Session};

/// What is known after recording.
#[derive(Debug, Default)]
pub struct Recorded {
    /// The budgets.
    pub states: Vec<BudgetState>,
    /// Alerts to show; confirm them afterwards.
    pub alerts: Vec<BudgetAlert>,
    /// Events to tell; confirm them afterwards.
    pub events: Vec<Event>,
    /// The caller's breaker, where it was observed; with a prompt, as it stood before.
    pub circuit: Option<CircuitBreaker>,
    /// Why the subagent that is asked for may not start.
    pub crowded: Option<SlotDenied>,
    /// Why the store gave no answer, where it gave none: the session's hooks count on from its last one.
    pub failure: Option<Unavailable>,
    /// Whether the ends of the files were reached.
    pub complete: bool,
    pub(super) pending: Pending,
}

/// What the session's cache has still to take over.
#[derive(Debug, Default)]
pub(super) enum Pending {
    /// Only what was learned about models and sizes.
    #[default]
    Learned,
    /// An answer of the store.
    Answer(Box<StoreAnswer>),
    /// What this hook counted while the store is out of reach.
    Offline(Box<OfflineCount>),
}

/// An answer of the store.
#[derive(Debug)]
pub(super) struct StoreAnswer {
    session: Session,
    /// How far the files were read for it.
    positions: Positions,
    applied: Applied,
    /// A person's prompt was recorded: no breaker is open any more.
    ends_circuits: bool,
}

/// Reads on, waits where asked to, and records.
pub fn record(ctx: &mut SessionContext, plan: &RecordPlan) -> Recorded {
    let mut progress = ReadProgress::start(plan);
    if ctx.store.is_asleep() {
        let count = offline::count(ctx, plan, &plan.awaited, &mut progress);
        return Recorded { failure: Some(Unavailable::Asleep(None)), ..Recorded::offline(count) };
    }
    // The budgets by a store that turned out to lack data: all is read again, once.
    let mut recovering: Option<Vec<BudgetState>> = None;
    loop {
        let awaited = if recovering.is_some() { &Awaited::Nothing } else { &plan.awaited };
        if *awaited != Awaited::Nothing {
            // Not held open while this hook waits.
            ctx.store.close();
        }
        let delta = match !progress.is_first() && progress.is_over() {
            true => TranscriptDelta { positions: ctx.cache.positions.clone(), ..TranscriptDelta::default() },
            false => ctx.read_on(ctx.cache.positions.clone(), plan.scope, awaited, progress.slice()),
        };
        if plan.seen.is_none() && progress.is_first() {
            presence::note_client_change(ctx);
        }
        let is_last = progress.is_last(&delta);
        ctx.cache.learn(&delta.facts);
        let session = ctx.session();
        let applied = match send(ctx, plan, &session, &delta, is_last) {
            Ok(applied) => applied,
            Err(error) => {
                ctx.notices.note(&error);
                let recorded = match recovering {
                    Some(states) => Recorded { states, ..Recorded::default() },
                    None => {
                        progress.restart();
                        // It was waited for already.
                        Recorded::offline(offline::count(ctx, plan, &Awaited::Nothing, &mut progress))
                    }
                };
                return Recorded { failure: Some(error), ..recorded };
            }
        };
        if recovering.is_none() && recovery::is_lacking(&ctx.cache, &applied) {
            // Its alerts are not shown: it may not know of an extension. What still holds comes again.
            let states = applied.states.clone();
            if let Err(error) = recovery::begin(ctx, &applied) {
                ctx.notices.note(&error);
                return Recorded { states, failure: Some(error), ..Recorded::default() };
            }
            recovering = Some(states);
            progress.restart();
            continue;
        }
        let ends_circuits = is_last && matches!(plan.observation, Observation::Prompt(_));
        let mut recorded = Recorded::answered(session, delta, applied, ends_circuits);
        if is_last {
            return recorded;
        }
        keep(ctx, &mut recorded);
    }
}

/// Records, and takes the answer over into the session's cache: for events that nothing is decided at.
pub fn record_and_keep(ctx: &mut SessionContext, plan: &RecordPlan) -> Recorded {
    let mut recorded = record(ctx, plan);
    keep(ctx, &mut recorded);
    recorded
}

/// Takes what was recorded over into the session's cache.
fn keep(ctx: &mut SessionContext, recorded: &mut Recorded) {
    let mut cache = ctx.lock_cache();
    recorded.keep(ctx, &mut cache);
    ctx.save_cache(cache);
}

/// Sends one batch to the store, in one atomic step. The last one of an event carries what the event says, too.
fn send(
    ctx: &mut SessionContext,
    plan: &RecordPlan,
    session: &Session,
    delta: &TranscriptDelta,
    is_last: bool,
) -> store_access::Result<Applied> {
    let watches: Vec<BudgetKey> = ctx.watches(session);
    let now = ctx.env.now;
    let mut facts = std::borrow::Cow::Borrowed(&delta.facts[..]);
    if is_last && !plan.extra.is_empty() {
        facts.to_mut().extend_from_slice(&plan.extra);
    }
    let agent = ctx.agent().to_owned();
    let policy = ctx.config.breaker;
    let observed = is_last.then(|| {
        let said = times_said(&delta.positions, ctx.source.agent.as_ref());
        let seen = match &plan.observation {
            _ if !policy.enabled => None,
            Observation::Nothing | Observation::Prompt(_) => None,
            Observation::Asks(call) => Some(CircuitInput::CallRequested(*call)),
            Observation::Calls(calls) => Some(CircuitInput::CallsEnded(calls)),
            Observation::Response(calls) => Some(CircuitInput::ResponseEnded(calls)),
        };
        AgentObservation {
            agent: &agent,
            calls: seen.map(|seen| (&policy, seen, said)),
            prompt: match plan.observation {
                Observation::Prompt(repetitions) if policy.enabled => Some(repetitions),
                _ => None,
            },
            slots: throttled(&ctx.config, session, &plan.slots, now),
        }
    });
    let batch = Batch {
        session,
        facts: &facts,
        budgets: &watches,
        alert: true,
        claim: plan.claim && is_last,
        seen: plan.seen.unwrap_or(now),
        observation: observed,
        now,
    };
    ctx.store.call(|store| store.apply(&batch))
}

impl Recorded {
    fn offline(count: OfflineCount) -> Self {
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
            crowded: applied.slot_denied,
            failure: None,
            complete: delta.complete,
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

    /// Takes the answer over into the session's cache, which the caller has locked. The budgets may stand further on then:
    /// other hooks count, too, while the store is out of reach.
    pub fn keep(&mut self, ctx: &SessionContext, cache: &mut SessionCache) {
        cache.merge_learned(&ctx.cache);
        match std::mem::take(&mut self.pending) {
            Pending::Learned => {}
            Pending::Offline(count) => self.states = count.keep(cache),
            Pending::Answer(answer) => answer.keep(ctx, cache),
        }
    }
}

impl StoreAnswer {
    /// Takes the answer over.
    fn keep(self, ctx: &SessionContext, cache: &mut SessionCache) {
        let Self { session, positions, applied, ends_circuits } = self;
        if cache.store_id != applied.store_id {
            cache.positions.clear();
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
