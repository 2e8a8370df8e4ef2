//! Counting on while the store is out of reach: what each file has brought since the store last answered.
//!
//! What a file brought is one sum from where the store's answer ends to where the file was read, so whoever read further
//! knows better, and two hooks that read the same lines count them once. Only the last messages of a file are kept as
//! such: their next lines may still say more. However long the store is away, a hook reads what is new.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::Stamp;
use crate::domain::budget::{BudgetState, Scope, StoreDown};
use crate::domain::message::Message;
use crate::domain::time::Timestamp;
use crate::domain::usage::Amount;
use crate::transcript::cursor::Position;

/// How many of a file's messages may still grow: lines of a message follow each other.
const OPEN: usize = 3;

/// What hooks counted by themselves, and of which answer of the store they went on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counted {
    /// When.
    pub at: Timestamp,
    /// The budgets.
    pub states: Vec<BudgetState>,
    /// The configuration.
    pub stamp: Option<Stamp>,
    /// The store, and the number of its answer.
    pub since: (String, u64),
    /// What each file brought.
    pub files: BTreeMap<PathBuf, Brought>,
}

/// What one file brought since the store last answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Brought {
    /// How far it was read.
    pub position: Position,
    /// Its last messages.
    pub open: Vec<Message>,
    /// What those before came to.
    pub closed: Vec<Tally>,
    /// The store had it already, and lost it, or the file was written anew: it is read from its start.
    pub again: bool,
}

/// What was counted for a budget's value in a window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    budget: String,
    value: String,
    /// Since when: the window's start, or the last reset.
    from: Timestamp,
    amount: Amount,
}

impl Tally {
    fn is_of(&self, state: &BudgetState) -> bool {
        self.from == from(state) && self.budget == state.budget.name && self.value == state.value
    }
}

impl Counted {
    /// Whether this goes on from that answer of the store, under this configuration.
    pub fn goes_on(&self, epoch: &str, sequence: u64, stamp: Stamp) -> bool {
        self.stamp == Some(stamp) && self.since.0 == epoch && self.since.1 == sequence
    }

    /// Whether every file was counted for these budgets: a new model brings new ones, and so does a new day.
    pub fn knows(&self, states: &[BudgetState]) -> bool {
        self.files.values().all(|file| states.iter().all(|state| file.tally(state).is_some()))
    }

    /// Takes over what is further on in another count that goes on from the same answer.
    pub fn take_over(&mut self, other: Self) {
        for (path, file) in other.files {
            match self.files.get(&path) {
                Some(known) if !known.position.is_behind(&file.position) => {}
                _ => {
                    self.files.insert(path, file);
                }
            }
        }
    }

    /// The budgets as they stand by this and by what was said `besides`, going on from `states`.
    pub fn count(&self, states: Vec<BudgetState>, besides: &Brought) -> Vec<BudgetState> {
        let all = || self.files.values().chain([besides]);
        states.into_iter().map(|state| counted_on(state, all())).collect()
    }
}

fn counted_on<'f>(mut state: BudgetState, files: impl Iterator<Item = &'f Brought>) -> BudgetState {
    let (mut new, mut again) = (Amount::default(), Amount::default());
    for file in files {
        let sum = if file.again { &mut again } else { &mut new };
        *sum = sum.plus(file.of(&state));
    }
    // What the store answered is in both, but for what others brought.
    let known = state.used.max(state.budget.measure(&again));
    state.used = known.saturating_add(state.budget.measure(&new));
    match state.budget.store_down {
        StoreDown::Local => {}
        StoreDown::Allow => state.used = 0,
        StoreDown::Deny => state.used = state.used.max(state.limit()),
    }
    state
}

impl Brought {
    /// Adds what was read on, up to `position`, for the budgets of `states`.
    pub fn read_on<'m>(
        &mut self,
        messages: impl IntoIterator<Item = &'m Message>,
        position: Position,
        states: &[BudgetState],
    ) {
        for state in states {
            if self.tally(state).is_none() {
                let (budget, value) = (state.budget.name.clone(), state.value.clone());
                self.closed.push(Tally { budget, value, from: from(state), amount: Amount::default() });
            }
        }
        for message in messages {
            match self.open.iter_mut().find(|known| known.key == message.key) {
                Some(known) => *known = known.clone().merge(message),
                None => self.open.push(message.clone()),
            }
            if self.open.len() > OPEN {
                let message = self.open.remove(0);
                for state in states.iter().filter(|state| counts(state, &message)) {
                    if let Some(tally) = self.closed.iter_mut().find(|tally| tally.is_of(state)) {
                        tally.amount = tally.amount.plus(message.amount());
                    }
                }
            }
        }
        self.position = position;
    }

    fn tally(&self, state: &BudgetState) -> Option<&Tally> {
        self.closed.iter().find(|tally| tally.is_of(state))
    }

    fn of(&self, state: &BudgetState) -> Amount {
        let closed = self.tally(state).map_or_else(Amount::default, |tally| tally.amount);
        let open = self.open.iter().filter(|message| counts(state, message));
        open.fold(closed, |sum, message| sum.plus(message.amount()))
    }
}

fn from(state: &BudgetState) -> Timestamp {
    state.since.map_or(state.window.start, |since| since.max(state.window.start))
}

fn counts(state: &BudgetState, message: &Message) -> bool {
    let value = match state.budget.scope {
        Scope::Model => message.model == state.value,
        Scope::AgentType => message.agent_type == state.value,
        _ => true,
    };
    value && state.window.contains(message.at) && message.at >= from(state)
}
