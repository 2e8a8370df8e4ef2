//! While the store is out of reach the session's hooks count on by themselves. How far the store has acknowledged the
//! files stays where it is: it gets all of it once it is back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::guard::Guard;
use super::look::{Awaited, Look};
use super::meter::Metering;
use crate::domain::budget::BudgetState;
use crate::domain::message::Message;
use crate::domain::time::Timestamp;
use crate::store::counted::{Brought, Counted};
use crate::store::{Session, Watch};
use crate::transcript::Fact;
use crate::transcript::cursor::Position;

impl Guard<'_> {
    /// Whether the store can be reached, for all that is known before it is asked.
    pub(super) fn reaches_store(&mut self) -> bool {
        self.with_store(|store| store.reach()).is_some()
    }

    /// Counts what is new in the files since the last hook that did. `is_over`: there is no time to read more.
    pub(super) fn count_ahead(
        &mut self,
        session: &Session,
        metering: &Metering,
        is_over: &dyn Fn() -> bool,
    ) -> Counted {
        let stamp = self.stamp().0;
        let (epoch, sequence) = (self.cache.epoch.clone(), self.cache.sequence);
        let known = self.cache.counted.take().filter(|known| known.goes_on(&epoch, sequence, stamp));
        let mut counted = known.unwrap_or_default();
        (counted.at, counted.stamp, counted.since) = (self.env.now, Some(stamp), (epoch, sequence));
        loop {
            let (look, messages) = self.look_ahead(&counted, metering, is_over);
            let states = self.answered(&self.watches(session));
            if !counted.knows(&states) {
                // All of it anew, for these budgets.
                counted.files.clear();
                continue;
            }
            for (path, position) in look.positions {
                let brought = messages.get(&path).map(Vec::as_slice).unwrap_or_default();
                add(&mut counted, &path, brought, (self.cache.positions.get(&path), position), &states);
            }
            // What no file says, only this hook's input: it is not kept.
            let mut said = Brought::default();
            let extra = metering.extra.iter().filter_map(message);
            said.read_on(extra, Position::default(), &states);
            counted.states = counted.count(states, &said);
            return counted;
        }
    }

    /// Reads on from where `counted` ends. Answers the messages of each file, too.
    fn look_ahead(
        &mut self,
        counted: &Counted,
        metering: &Metering,
        is_over: &dyn Fn() -> bool,
    ) -> (Look, BTreeMap<PathBuf, Vec<Message>>) {
        let mut look = self.start();
        let ahead = counted.files.iter().map(|(path, file)| (path.clone(), file.position.clone()));
        look.positions.extend(ahead);
        let (mut awaited, mut messages) = (&metering.awaited, BTreeMap::<PathBuf, Vec<Message>>::new());
        loop {
            let before = look.bytes;
            let slice = metering.slice.min(metering.max_bytes - before);
            look = self.look_from(Look { complete: true, ..look }, metering.reach, awaited, slice);
            awaited = &Awaited::Nothing;
            self.learn(&look.facts);
            let facts = std::mem::take(&mut look.facts);
            let mut rest = facts.iter();
            for (path, count) in std::mem::take(&mut look.parts) {
                let of_file = rest.by_ref().take(count).filter_map(message).cloned();
                messages.entry(path).or_default().extend(of_file);
            }
            let is_end = look.complete || look.bytes == before || look.bytes >= metering.max_bytes;
            if is_end || is_over() {
                return (look, messages);
            }
        }
    }

    /// The watched budgets as the store last answered for them.
    fn answered(&self, watches: &[Watch]) -> Vec<BudgetState> {
        let now = self.env.now;
        let state = |watch: &Watch| {
            let known = self
                .cache
                .states
                .iter()
                .find(|s| s.budget.name == watch.budget.name && s.value == watch.value);
            let fresh = BudgetState::fresh(&watch.budget, &watch.value, watch.budget.window.at(now));
            known.map_or(fresh, |known| in_window_of(known, now))
        };
        watches.iter().map(state).collect()
    }
}

fn message(fact: &Fact) -> Option<&Message> {
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

/// Notes what a file brought. `positions`: what the store has acknowledged of it, and how far it was read.
fn add(
    counted: &mut Counted,
    path: &Path,
    messages: &[Message],
    (acknowledged, position): (Option<&Position>, Position),
    states: &[BudgetState],
) {
    if acknowledged == Some(&position) {
        return;
    }
    let is_again = |known: &Position| known.starts != position.starts || known.has_restarted();
    let again = acknowledged.is_some_and(is_again);
    let file = counted.files.entry(path.to_owned()).or_default();
    if file.position.starts != position.starts {
        // It was read from its start.
        *file = Brought::default();
    }
    file.again = again;
    file.read_on(messages, position, states);
}
