//! While the store is out of reach the session's hooks count on by themselves. How far the store has acknowledged the
//! files stays where it is: it gets all of it once it is back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::guard::Guard;
use super::look::{Awaited, Look};
use super::meter::{Metered, Metering};
use crate::domain::budget::{Budget, BudgetState};
use crate::domain::message::Message;
use crate::domain::throttle::Crowded;
use crate::domain::time::Timestamp;
use crate::store::counted::{Brought, Counted, Known};
use crate::store::session_cache::SessionCache;
use crate::store::{Session, Watch};
use crate::transcript::Fact;
use crate::transcript::cursor::Position;

/// A hook that counts by itself, and the budgets as the store last answered for them.
struct Ahead {
    counted: Counted,
    answered: Vec<BudgetState>,
    /// What no file says, only this hook's input: it is not kept.
    besides: Brought,
}

impl Guard<'_> {
    /// Counts on without the store, and decides by that.
    pub(super) fn go_on_alone<T>(
        &mut self,
        session: &Session,
        metering: &Metering,
        awaited: &Awaited,
        is_over: &dyn Fn() -> bool,
        decide: impl FnOnce(&mut SessionCache, &[BudgetState], Option<Crowded>) -> T,
    ) -> (Metered, T) {
        let answered_for = self.cache.answered().clone();
        let Ahead { mut counted, answered, besides } = self.count_ahead(session, metering, awaited, is_over);
        let (learned, stamp) = (self.learned(), self.stamp().0);
        self.update(|cache| {
            learned.note_in(cache);
            // Another hook may have counted on meanwhile, too, or been answered by the store.
            let (epoch, sequence) = (&cache.epoch, cache.sequence);
            if counted.goes_on(epoch, sequence, stamp) && *cache.answered() == answered_for {
                let other = cache.counted.take().filter(|other| other.goes_on(epoch, sequence, stamp));
                other.into_iter().for_each(|other| counted.take_over(other));
                counted.count(&answered, &besides);
                cache.counted = Some(counted.clone());
            }
            let done = decide(cache, &counted.states, None);
            (Metered { states: counted.states, ..Metered::default() }, done)
        })
    }

    /// Counts what is new in the files since the last hook that did. `is_over`: there is no time to read more.
    fn count_ahead(
        &mut self,
        session: &Session,
        metering: &Metering,
        awaited: &Awaited,
        is_over: &dyn Fn() -> bool,
    ) -> Ahead {
        let stamp = self.stamp().0;
        let (epoch, sequence) = (self.cache.epoch.clone(), self.cache.sequence);
        let known = self.cache.counted.take().filter(|known| known.goes_on(&epoch, sequence, stamp));
        let mut counted = known.unwrap_or_default();
        (counted.at, counted.stamp, counted.since) = (self.env.now, Some(stamp), (epoch, sequence));
        let (mut awaited, mut read) = (awaited, 0);
        loop {
            let mut look = Look { positions: self.cache.answered().clone(), ..self.start() };
            let ahead =
                counted.files.iter().map(|(path, file)| (path.clone(), Box::new(file.position.clone())));
            look.positions.extend(ahead);
            let slice = metering.slice.min(metering.max_bytes - read);
            let mut look = self.look_from(look, metering.reach, awaited, slice);
            awaited = &Awaited::Nothing;
            read = metering.max_bytes.min(read.saturating_add(look.bytes));
            self.learn(&look.facts);
            let answered = self.answered(&self.watches(session));
            if !counted.knows(&answered) {
                // All of it anew, for these budgets: what was read by then is not part of it.
                counted.files.clear();
                read = 0;
                continue;
            }
            let is_end = look.complete || look.bytes == 0 || read == metering.max_bytes || is_over();
            let mut brought = by_file(&mut look);
            for (path, position) in look.positions {
                let messages = brought.remove(&path).unwrap_or_default();
                self.add(&mut counted, &path, messages, *position, &answered);
            }
            if is_end {
                let mut besides = Brought::default();
                let extra = metering.extra.iter().cloned().filter_map(message);
                besides.read_on(extra, Position::default(), &answered);
                counted.count(&answered, &besides);
                return Ahead { counted, answered, besides };
            }
        }
    }

    /// Notes what a file brought.
    fn add(
        &self,
        counted: &mut Counted,
        path: &Path,
        messages: Vec<Message>,
        position: Position,
        states: &[BudgetState],
    ) {
        let answered = self.cache.answered().get(path);
        if answered.map(Box::as_ref) == Some(&position) {
            return;
        }
        let file = counted.files.entry(path.to_owned()).or_default();
        if file.position.starts != position.starts || file.position == Position::default() {
            // It is read from where the store's answer ends; or it is another file, which begins with what was answered.
            let known = answered.map_or_else(Known::default, |known| match known.starts == position.starts {
                true => Known { message: known.last_message, until: None },
                false => Known { message: None, until: known.last_message_at },
            });
            *file = Brought::beyond(known);
        }
        file.read_on(messages, position, states);
    }

    /// The watched budgets as the store last answered for them, under the configuration of now.
    fn answered(&self, watches: &[Watch]) -> Vec<BudgetState> {
        let now = self.env.now;
        let state = |watch: &Watch| {
            let (budget, value) = (&watch.budget, &watch.value);
            let known = self.cache.states.iter().find(|s| s.budget.name == budget.name && s.value == *value);
            let counts_alike = |known: &&BudgetState| {
                let Budget { scope, unit, count, window, .. } = &known.budget;
                (scope, unit, count, window) == (&budget.scope, &budget.unit, &budget.count, &budget.window)
            };
            let fresh = BudgetState::fresh(budget, value, budget.window.at(now));
            known.filter(counts_alike).map_or(fresh, |known| {
                let known = in_window_of(known, now);
                BudgetState { budget: budget.clone(), ..known }
            })
        };
        watches.iter().map(state).collect()
    }
}

/// The messages that a look found, by file.
fn by_file(look: &mut Look) -> BTreeMap<PathBuf, Vec<Message>> {
    let mut messages = BTreeMap::<PathBuf, Vec<Message>>::new();
    let mut facts = std::mem::take(&mut look.facts).into_iter();
    for (path, count) in std::mem::take(&mut look.parts) {
        messages.entry(path).or_default().extend(facts.by_ref().take(count).filter_map(message));
    }
    messages
}

fn message(fact: Fact) -> Option<Message> {
    match fact {
        Fact::Message(message) => Some(message),
        _ => None,
    }
}

/// Budgets whose window is over start afresh: what the cache knows of them is not of this window.
fn in_window_of(state: &BudgetState, now: Timestamp) -> BudgetState {
    if state.window.contains(now) {
        return state.clone();
    }
    let window = state.budget.window.at(now);
    BudgetState::fresh(&state.budget, &state.value, window)
}
