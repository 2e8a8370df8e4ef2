//! Metering: read what is new in the transcripts, record it in one step, keep the cache up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::guard::Guard;
use super::look::{Awaited, Look, Reach};
use crate::domain::alert::BudgetAlert;
use crate::domain::breaker::circuit::{CircuitBreaker, NamedCall, Seen};
use crate::domain::budget::BudgetState;
use crate::domain::event::Event;
use crate::domain::throttle::{Crowded, SlotEvent};
use crate::domain::time::Timestamp;
use crate::domain::verdict::Sizes;
use crate::env::Stopwatch;
use crate::store::session_cache::{LACKING, SessionCache};
use crate::store::{Applied, Batch, Observed, Own, Session, Watch};
use crate::transcript::Fact;
use crate::transcript::cursor::Position;

/// Bytes that a hook reads at most; the next one carries on.
pub const HOOK_BYTES: u64 = 32 * 1024 * 1024;

/// Milliseconds after which a hook begins no further slice: a slow machine cannot record as much as it could read
/// before the deadline, and what is not recorded by then is lost work.
pub const HOOK_READ_MS: i64 = 400;

/// Bytes that are read, recorded and noted as read in one go: about 2,500 messages.
pub const SLICE_BYTES: u64 = 1024 * 1024;

/// What was seen of the calling agent, besides its messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Witness {
    /// Nothing.
    Nothing,
    /// It wants to make this call.
    Asks(u32),
    /// These calls are over.
    Calls(Vec<NamedCall>),
    /// A response is over: all of its calls.
    Response(Vec<NamedCall>),
    /// A person sent a prompt, which asks for so many repetitions.
    Prompt(u32),
}

/// What to record, and how.
#[derive(Clone, Debug)]
pub struct Metering {
    /// Which files.
    pub reach: Reach,
    /// What to wait for.
    pub awaited: Awaited,
    /// What to wait for if the budgets turn out to be near a limit; `None`: decide by what is there.
    pub if_near: Option<Awaited>,
    /// Facts that do not come from a transcript.
    pub extra: Vec<Fact>,
    /// Whether the caller can show alerts.
    pub claim: bool,
    /// What was seen of the calling agent.
    pub witness: Witness,
    /// What was seen of subagents.
    pub slots: Vec<SlotEvent>,
    /// Bytes to read at most.
    pub max_bytes: u64,
    /// Bytes to record in one go: at most so much is held in memory, or lost when the process is killed.
    pub slice: u64,
    /// Milliseconds after which no further slice is begun; `None`: not bounded.
    pub max_ms: Option<i64>,
    /// When the session was seen, for whoever reads on in somebody else's; `None`: now.
    pub seen: Option<Timestamp>,
}

impl Metering {
    /// What a hook records that reads the caller's files.
    pub fn of_caller(claim: bool) -> Self {
        Self {
            reach: Reach::Caller,
            awaited: Awaited::Nothing,
            if_near: None,
            extra: vec![],
            claim,
            witness: Witness::Nothing,
            slots: vec![],
            max_bytes: HOOK_BYTES,
            slice: SLICE_BYTES,
            max_ms: Some(HOOK_READ_MS),
            seen: None,
        }
    }
}

/// What is known after recording.
#[derive(Clone, Debug, Default)]
pub struct Metered {
    /// The budgets.
    pub states: Vec<BudgetState>,
    /// Alerts to show; confirm them afterwards.
    pub alerts: Vec<BudgetAlert>,
    /// Events to tell; confirm them afterwards.
    pub events: Vec<Event>,
    /// The caller's breaker, where it was observed; with a prompt, as it stood before.
    pub circuit: Option<CircuitBreaker>,
    /// Whether the store answered. If not, the cache's last answer went on counting.
    pub stored: bool,
    /// Whether the ends of the files were reached.
    pub complete: bool,
}

impl Guard<'_> {
    /// Reads on, waits where asked to, records, keeps the cache up.
    pub fn meter(&mut self, metering: &Metering) -> Metered {
        self.meter_and(metering, |_, _, _| ()).0
    }

    /// The same, and decides by what is known then, under the cache's lock: reading and replacing the cache's file once
    /// more would take time.
    pub fn meter_and<T>(
        &mut self,
        metering: &Metering,
        mut decide: impl FnMut(&mut SessionCache, &[BudgetState], Option<Crowded>) -> T,
    ) -> (Metered, T) {
        if metering.seen.is_none() {
            self.see_client();
        }
        let started = Stopwatch::start();
        let is_over = || metering.max_ms.is_some_and(|ms| started.ms() >= ms);
        let session = self.session();
        if !self.reaches_store() {
            return self.go_on_alone(&session, metering, &metering.awaited, &is_over, decide);
        }
        let (mut read, mut lost, mut answered) = (0, false, None);
        loop {
            let awaited = if lost { &Awaited::Nothing } else { &metering.awaited };
            let slice = metering.slice.min(metering.max_bytes - read);
            // The first slice is always read: each call gets on.
            let mut look = match read > 0 && is_over() {
                true => Look { complete: false, ..self.start() },
                false => self.look(metering.reach, awaited, slice),
            };
            read = metering.max_bytes.min(read + look.bytes);
            let last = look.complete || look.bytes == 0 || read == metering.max_bytes || is_over();
            self.learn(&look.facts);
            let mut facts = std::mem::take(&mut look.facts);
            if last {
                facts.extend_from_slice(&metering.extra);
            }
            let watches = self.watches(&session);
            let claim = metering.claim && last;
            let said = self.said(&look);
            let seen = (metering, last.then_some(said));
            let Some(mut applied) = self.apply(&session, &facts, &watches, claim, seen) else {
                return match answered {
                    Some(states) => self.unstored(states, |cache, states| decide(cache, states, None)),
                    // It was waited for already.
                    None => self.go_on_alone(&session, metering, &Awaited::Nothing, &is_over, decide),
                };
            };
            // Another store than the one that these positions were read for, or one that went back in time (a restored
            // copy, a log that lost its end): it does not know all of this session.
            let lacks = !self.cache.epoch.is_empty()
                && (applied.epoch != self.cache.epoch
                    || applied.sequence <= self.cache.sequence
                    || applied.own.lacks(&self.cache.own.next()));
            // Of a store that lacks something they are not shown: it may not know of an extension. What
            // still holds comes again.
            let (alerts, events) = (std::mem::take(&mut applied.alerts), std::mem::take(&mut applied.events));
            let (states, circuit, crowded) =
                (applied.states.clone(), applied.circuit.clone(), applied.crowded);
            let kept = if lacks && !lost {
                Err(Box::new(applied))
            } else {
                let prompted = matches!(metering.witness, Witness::Prompt(_));
                self.keep(&session, look.positions, applied, |cache| {
                    if prompted && last {
                        cache.circuits.clear();
                    }
                    last.then(|| decide(cache, &states, crowded))
                })
            };
            let applied = match kept {
                Ok(None) => continue,
                Ok(Some(done)) => {
                    let complete = look.complete;
                    return (Metered { states, alerts, events, circuit, stored: true, complete }, done);
                }
                Err(applied) => applied,
            };
            let known_as = self.cache.epoch.clone();
            // First, or whoever comes next would not find it if this process ended here: the store has one more by now.
            self.update(|cache| {
                if cache.epoch == known_as {
                    cache.sequence = LACKING;
                }
            });
            let is_known = applied.epoch == known_as;
            let named = if lost { None } else { self.note_loss(&applied.epoch, is_known) };
            let Some(epoch) = named else {
                return self.unstored(states, |cache, states| decide(cache, states, None));
            };
            self.update(|cache| {
                // Where another hook noticed it, too, the positions are those of its second reading already.
                if cache.lost.is_empty() {
                    cache.lost = cache.positions.clone();
                }
                // Not removed: what a parallel hook knows of the old store must not count as further on.
                cache.positions.values_mut().for_each(|position| position.restart());
                (cache.epoch, cache.sequence, cache.own) = (epoch, applied.sequence, applied.own);
            });
            (read, lost, answered) = (0, true, Some(states));
        }
    }

    /// Notes in the cache what the store has recorded and answered. `and` works under the same lock. An error: the answer,
    /// whose number a parallel hook was answered, too; the store lacks that one's batch.
    fn keep<T>(
        &mut self,
        session: &Session,
        positions: BTreeMap<PathBuf, Box<Position>>,
        applied: Applied,
        and: impl FnOnce(&mut SessionCache) -> T,
    ) -> Result<T, Box<Applied>> {
        let (stamp, config) = self.stamp();
        let (now, told) = (self.env.now, self.cache.told);
        let learned = self.learned();
        let agent = self.agent().to_owned();
        self.update(|cache| {
            if cache.epoch != applied.epoch {
                cache.positions.clear();
                (cache.sequence, cache.own) = (0, Own::default());
                cache.epoch.clone_from(&applied.epoch);
            }
            learned.note_in(cache);
            if !cache.own.learn(&applied.own) {
                return Err(Box::new(applied));
            }
            advance(&mut cache.positions, positions);
            cache.counted = None;
            cache.lost.clear();
            cache.session = session.clone();
            cache.told = told.or(cache.told.take());
            if let Some(breaker) = &applied.circuit {
                cache.note_circuit(&agent, applied.sequence, breaker);
            }
            if applied.sequence > cache.sequence {
                cache.sequence = applied.sequence;
                cache.states = applied.states;
                (cache.stamp, cache.config) = (Some(stamp), Some(config));
                cache.written = now;
            }
            Ok(and(cache))
        })
    }

    /// Decides where nothing could be recorded.
    fn unstored<T>(
        &mut self,
        states: Vec<BudgetState>,
        decide: impl FnOnce(&mut SessionCache, &[BudgetState]) -> T,
    ) -> (Metered, T) {
        let learned = self.learned();
        let done = self.update(|cache| {
            learned.note_in(cache);
            decide(cache, &states)
        });
        (Metered { states, ..Metered::default() }, done)
    }

    /// `seen`: what is recorded, and with the last slice how often the agent's last text was said running.
    fn apply(
        &mut self,
        session: &Session,
        facts: &[Fact],
        watches: &[Watch],
        claim: bool,
        seen: (&Metering, Option<u32>),
    ) -> Option<Applied> {
        let (now, (metering, said)) = (self.env.now, seen);
        let seen = metering.seen.unwrap_or(now);
        let (agent, policy) = (self.agent().to_owned(), self.config.breaker);
        let throttle = said.and_then(|_| self.throttled(session, &metering.slots));
        let watched = match &metering.witness {
            _ if !policy.enabled => None,
            Witness::Nothing | Witness::Prompt(_) => None,
            Witness::Asks(call) => Some(Seen::Asks(*call)),
            Witness::Calls(calls) => Some(Seen::Calls(calls)),
            Witness::Response(calls) => Some(Seen::Response(calls)),
        };
        let observed = said.map(|said| Observed {
            agent: &agent,
            calls: watched.map(|seen| (&policy, seen, said)),
            prompt: match metering.witness {
                Witness::Prompt(asked) if policy.enabled => Some(asked),
                _ => None,
            },
            throttle,
        });
        self.with_store(|store| {
            store.apply(&Batch { session, facts, watches, alert: true, claim, seen, observed, now })
        })
    }

    /// What this guard knows of messages by now.
    pub(super) fn learned(&self) -> Learned {
        Learned {
            sizes: self.cache.sizes,
            models: self.cache.models.clone(),
            models_seen: self.cache.models_seen.clone(),
            agent_types: self.cache.agent_types.clone(),
        }
    }

    /// Takes from the facts what later calls need to know: sizes, models, agent types.
    pub(super) fn learn(&mut self, facts: &[Fact]) {
        let cache = &mut self.cache;
        for fact in facts {
            let Fact::Message(message) = fact else { continue };
            let usage = message.recorded;
            let calls = message.tools.len() as u64;
            let seen = Sizes { largest: usage, last_context: usage.total(), most_calls: calls };
            cache.sizes = largest(cache.sizes, seen);
            if usage.total() > 0 {
                cache.sizes.last_context = usage.total();
            }
            if !message.model.is_empty() {
                cache.models_seen.insert(message.model.clone());
                cache.models.insert(message.agent.clone().unwrap_or_default(), message.model.clone());
            }
            if !message.agent_type.is_empty() {
                cache.agent_types.insert(message.agent_type.clone());
            }
        }
    }
}

/// Takes over positions that are further on.
fn advance(known: &mut BTreeMap<PathBuf, Box<Position>>, read: BTreeMap<PathBuf, Box<Position>>) {
    for (path, position) in read {
        match known.get(&path) {
            Some(old) if !old.is_behind(&position) => {}
            _ => {
                known.insert(path, position);
            }
        }
    }
}

/// What later calls need to know of messages.
pub(super) struct Learned {
    sizes: Sizes,
    models: BTreeMap<String, String>,
    models_seen: BTreeSet<String>,
    agent_types: BTreeSet<String>,
}

impl Learned {
    /// Notes it beside what other hooks have learned.
    pub(super) fn note_in(self, cache: &mut SessionCache) {
        cache.sizes = largest(cache.sizes, self.sizes);
        cache.models.extend(self.models);
        cache.models_seen.extend(self.models_seen);
        cache.agent_types.extend(self.agent_types);
    }
}

fn largest(a: Sizes, b: Sizes) -> Sizes {
    Sizes {
        largest: a.largest.max(b.largest),
        last_context: if b.last_context > 0 { b.last_context } else { a.last_context },
        most_calls: a.most_calls.max(b.most_calls),
    }
}
