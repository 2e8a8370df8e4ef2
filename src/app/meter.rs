//! Metering: read what is new in the transcripts, record it in one step, keep the cache up.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::guard::{Guard, in_window_of};
use crate::domain::alert::BudgetAlert;
use crate::domain::budget::{BudgetState, Scope, StoreDown};
use crate::domain::ladder::Ladder;
use crate::domain::message::{Message, MessageKey};
use crate::domain::time::Timestamp;
use crate::domain::usage::Amount;
use crate::domain::verdict::Sizes;
use crate::env::clock;
use crate::store::{Batch, Session, Watch};
use crate::transcript::cursor::{self, Position};
use crate::transcript::files::{self, TranscriptFile};
use crate::transcript::{Fact, line};

/// Bytes that a hook reads at most; the next one carries on.
pub const HOOK_BYTES: u64 = 32 * 1024 * 1024;

/// How long a hook waits for a line near a limit. The client buffers lines for about 100 ms (170 ms at most seen).
const WAIT_MS: i64 = 200;

/// How often it looks.
const POLL: Duration = Duration::from_millis(4);

/// Which files of the session to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The main transcript, and the calling agent's.
    Caller,
    /// All of them.
    All,
}

/// What to wait for before recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// Nothing.
    Nothing,
    /// The lines of these `tool_use` ids, in the calling agent's file.
    Tools(Vec<u64>),
    /// The line of this text, in the calling agent's file.
    Text(u64),
}

impl Awaited {
    /// The lines of these tool calls.
    pub fn tools<'a>(ids: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Tools(ids.into_iter().map(line::tool_hash).collect())
    }

    /// The line of the agent's last text.
    pub fn text(text: Option<&str>) -> Self {
        text.filter(|t| !t.trim().is_empty()).map_or(Self::Nothing, |t| Self::Text(line::text_hash(t)))
    }

    fn is_met(&self, position: Option<&Position>) -> bool {
        let seen = |id: &u64| position.is_some_and(|p| p.recent_tools.contains(id));
        match self {
            Self::Nothing => true,
            Self::Tools(ids) => ids.iter().all(seen),
            Self::Text(text) => position.is_some_and(|p| p.last_text == Some(*text)),
        }
    }
}

/// What to record, and how.
#[derive(Clone, Debug)]
pub struct Metering {
    /// Which files.
    pub reach: Reach,
    /// What to wait for.
    pub awaited: Awaited,
    /// Facts that do not come from a transcript.
    pub extra: Vec<Fact>,
    /// Whether the caller can show alerts.
    pub claim: bool,
    /// Bytes to read at most.
    pub max_bytes: u64,
    /// When the session was seen, for whoever reads on in somebody else's; `None`: now.
    pub seen: Option<Timestamp>,
}

impl Metering {
    /// What a hook records that reads the caller's files.
    pub fn of_caller(claim: bool) -> Self {
        let (reach, awaited) = (Reach::Caller, Awaited::Nothing);
        Self { reach, awaited, extra: vec![], claim, max_bytes: HOOK_BYTES, seen: None }
    }
}

/// What is known after recording.
#[derive(Clone, Debug, Default)]
pub struct Metered {
    /// The budgets.
    pub states: Vec<BudgetState>,
    /// Alerts to show; confirm them afterwards.
    pub alerts: Vec<BudgetAlert>,
    /// Whether the store answered. If not, the cache's last answer went on counting.
    pub stored: bool,
    /// Whether the ends of the files were reached.
    pub complete: bool,
}

/// What one look at the files found.
struct Look {
    facts: Vec<Fact>,
    positions: BTreeMap<PathBuf, Position>,
    complete: bool,
}

impl Guard<'_> {
    /// Reads on, waits where asked to, records, keeps the cache up.
    pub fn meter(&mut self, metering: &Metering) -> Metered {
        self.meter_and(metering, |_, _, _| ()).0
    }

    /// The same, and decides by the budgets and models known then, under the same lock: reading and replacing the
    /// cache's file once more would take time.
    pub fn meter_and<T>(
        &mut self,
        metering: &Metering,
        decide: impl FnOnce(&mut Ladder, &BTreeMap<String, String>, &[BudgetState]) -> T,
    ) -> (Metered, T) {
        let session = self.session();
        let look = self.look(metering);
        self.learn(&look.facts);
        let facts: Vec<Fact> = look.facts.iter().chain(&metering.extra).cloned().collect();
        let watches = self.watches(&session);
        let Some(applied) = self.apply(&session, &facts, &watches, metering) else {
            let states = self.count_locally(&facts, &watches);
            return self.unstored(states, decide);
        };
        // Another store than the one that these positions were read for, or one that went back in time (a restored copy,
        // a log that lost its end): it does not know all of this session.
        let lost = !self.cache.epoch.is_empty()
            && (applied.epoch != self.cache.epoch || applied.sequence <= self.cache.sequence);
        let (mut look, mut applied) = (look, applied);
        if lost {
            self.cache.positions.clear();
            self.note_loss();
            look = self.look(&Metering { awaited: Awaited::Nothing, ..metering.clone() });
            let facts: Vec<Fact> = look.facts.iter().chain(&metering.extra).cloned().collect();
            match self.apply(&session, &facts, &watches, metering) {
                Some(again) => applied = again,
                None => return self.unstored(applied.states, decide),
            }
        }
        let (stamp, config) = self.stamp();
        let (now, sizes) = (self.env.now, self.cache.sizes);
        let (models, types) = (self.cache.models.clone(), self.cache.agent_types.clone());
        let (told, states) = (self.cache.told, applied.states.clone());
        let done = self.update(|cache| {
            if lost || cache.epoch != applied.epoch {
                cache.positions.clear();
                cache.sequence = 0;
                cache.epoch = applied.epoch;
            }
            advance(&mut cache.positions, look.positions);
            cache.sizes = largest(cache.sizes, sizes);
            cache.models.extend(models);
            cache.agent_types.extend(types);
            cache.session = session;
            cache.told = told.or(cache.told.take());
            if applied.sequence > cache.sequence {
                cache.sequence = applied.sequence;
                cache.states = applied.states;
                (cache.stamp, cache.config) = (Some(stamp), Some(config));
                cache.written = now;
            }
            decide(&mut cache.ladder, &cache.models, &states)
        });
        (Metered { states, alerts: applied.alerts, stored: true, complete: look.complete }, done)
    }

    /// Decides where nothing could be recorded.
    fn unstored<T>(
        &mut self,
        states: Vec<BudgetState>,
        decide: impl FnOnce(&mut Ladder, &BTreeMap<String, String>, &[BudgetState]) -> T,
    ) -> (Metered, T) {
        let models = self.cache.models.clone();
        let done = self.update(|cache| decide(&mut cache.ladder, &models, &states));
        (Metered { states, ..Metered::default() }, done)
    }

    fn apply(
        &mut self,
        session: &Session,
        facts: &[Fact],
        watches: &[Watch],
        metering: &Metering,
    ) -> Option<crate::store::Applied> {
        let now = self.env.now;
        let (claim, seen) = (metering.claim, metering.seen.unwrap_or(now));
        self.with_store(|store| {
            store.apply(&Batch { session, facts, watches, alert: true, claim, seen, now })
        })
    }

    /// Reads on from the cache's positions, again and again until the awaited line is there or the wait is over.
    fn look(&mut self, metering: &Metering) -> Look {
        let mut look = Look { facts: vec![], positions: self.cache.positions.clone(), complete: true };
        let Some(transcript) = self.call.transcript.clone().or(self.cache.session.transcript.clone()) else {
            return look;
        };
        let own = self.call.agent.as_ref().and_then(|agent| files::of_agent(&transcript, agent));
        let own_path = own.as_ref().map_or(&transcript, |file| &file.path).clone();
        let started = clock();
        loop {
            let listed = match metering.reach {
                Reach::All => files::of_session(&transcript),
                Reach::Caller => {
                    let main = TranscriptFile { path: transcript.clone(), agent: None };
                    std::iter::once(main).chain(own.clone()).collect()
                }
            };
            let mut left = metering.max_bytes;
            for file in listed {
                look.complete &= left > 0;
                if left > 0 {
                    left = left.saturating_sub(self.read(&file, left, &mut look));
                }
            }
            let met = metering.awaited.is_met(look.positions.get(&own_path));
            if met || !look.complete || clock().millis_since(started) >= WAIT_MS {
                return look;
            }
            std::thread::sleep(POLL);
        }
    }

    fn read(&mut self, file: &TranscriptFile, max_bytes: u64, look: &mut Look) -> u64 {
        let position = look.positions.entry(file.path.clone()).or_insert_with(|| {
            let agent_type = match &file.agent {
                None => "main".to_owned(),
                Some(agent) => {
                    let called =
                        self.call.agent_type.clone().filter(|_| self.call.agent.as_ref() == Some(agent));
                    called.filter(|t| !t.is_empty()).or_else(|| files::agent_type(file)).unwrap_or_default()
                }
            };
            Position::start(file.agent.clone(), agent_type)
        });
        match cursor::read_on(&file.path, position, max_bytes, self.env.now) {
            Ok(reading) => {
                look.complete &= reading.complete;
                look.facts.extend(reading.facts);
                reading.bytes
            }
            Err(error) => {
                self.notes.push(format!("{}: {error}", file.path.display()));
                0
            }
        }
    }

    /// Takes from the facts what later calls need to know: sizes, models, agent types.
    fn learn(&mut self, facts: &[Fact]) {
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
                cache.models.insert(message.agent.clone().unwrap_or_default(), message.model.clone());
            }
            if !message.agent_type.is_empty() {
                cache.agent_types.insert(message.agent_type.clone());
            }
        }
    }

    /// While the store is out of reach the cache's last answer goes on counting. The positions stay where they are,
    /// so each call counts everything since that answer anew, and the store gets it all when it is back.
    fn count_locally(&mut self, facts: &[Fact], watches: &[Watch]) -> Vec<BudgetState> {
        let mut messages: BTreeMap<MessageKey, Message> = BTreeMap::new();
        for fact in facts {
            let Fact::Message(seen) = fact else { continue };
            let known = messages.remove(&seen.key);
            messages.insert(seen.key, known.map_or_else(|| seen.clone(), |known| known.merge(seen)));
        }
        let now = self.env.now;
        let local = |watch: &Watch| {
            let known = self
                .cache
                .states
                .iter()
                .find(|s| s.budget.name == watch.budget.name && s.value == watch.value);
            let fresh = BudgetState {
                budget: watch.budget.clone(),
                value: watch.value.clone(),
                window: watch.budget.window.at(now),
                used: 0,
                extension: 0,
                history: 0,
                operations: 0,
                since: None,
            };
            let mut state = known.map_or(fresh, |known| in_window_of(known, now));
            let counts = |m: &&Message| {
                let value = match watch.budget.scope {
                    Scope::Model => m.model == watch.value,
                    Scope::AgentType => m.agent_type == watch.value,
                    _ => true,
                };
                value && state.window.contains(m.at) && state.since.is_none_or(|since| m.at >= since)
            };
            let sum = messages.values().filter(counts).fold(Amount::default(), |sum, m| sum.plus(m.amount()));
            state.used = state.used.saturating_add(watch.budget.measure(&sum));
            match watch.budget.store_down {
                StoreDown::Local => {}
                StoreDown::Allow => state.used = 0,
                StoreDown::Deny => state.used = state.used.max(state.limit()),
            }
            state
        };
        watches.iter().map(local).collect()
    }
}

/// Takes over positions that are further on.
fn advance(known: &mut BTreeMap<PathBuf, Position>, read: BTreeMap<PathBuf, Position>) {
    for (path, position) in read {
        match known.get(&path) {
            Some(old) if (old.starts, old.offset) >= (position.starts, position.offset) => {}
            _ => {
                known.insert(path, position);
            }
        }
    }
}

fn largest(a: Sizes, b: Sizes) -> Sizes {
    Sizes {
        largest: a.largest.max(b.largest),
        last_context: if b.last_context > 0 { b.last_context } else { a.last_context },
        most_calls: a.most_calls.max(b.most_calls),
    }
}
