//! Counts while the store is unreachable: what each file added since the store last answered.
//!
//! A file's delta is one sum, from the end of the store's answer to the reader's position. So the hook that read
//! further wins, and lines read by two hooks count once. Only the last messages of an agent are kept in full, since
//! later lines may add to them. However long the store is unreachable, a hook reads only new lines.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::Stamp;
use crate::domain::budget::{BudgetState, Scope, StoreDown, Unit};
use crate::domain::message::{Message, MessageKey};
use crate::domain::time::Timestamp;
use crate::domain::usage::Amount;
use crate::transcript::cursor::Position;

/// How many of an agent's messages may still grow: the lines of a message, and what is billed beside them, are close
/// together.
const MAX_OPEN_MESSAGES: usize = 8;

/// Counts while the store is unreachable, and the store's answer that they build on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OfflineCounts {
    /// When they were last updated.
    pub at: Timestamp,
    /// The budgets.
    pub states: Vec<BudgetState>,
    /// Fingerprint of the configuration.
    pub stamp: Option<Stamp>,
    /// The id of the store, and the sequence number of its answer.
    pub since: (String, u64),
    /// What each file added.
    pub files: BTreeMap<PathBuf, FileDelta>,
}

/// What one file added since the store last answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileDelta {
    /// The position up to which the file was read.
    pub position: Position,
    /// What the store's answer already contains.
    known: KnownFile,
    /// Counts by agent, since a parent's file may contain lines of its subagents.
    by_agent: BTreeMap<String, AgentCounts>,
}

/// What the store's answer contains of a file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KnownFile {
    /// The last response, whose further lines repeat it.
    pub message: Option<MessageKey>,
    /// Everything up to this moment, if the file was replaced and is read from its start.
    pub until: Option<Timestamp>,
}

/// The counts of one agent's messages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct AgentCounts {
    /// The last messages, which may still grow.
    open: Vec<Message>,
    /// The sums of earlier messages.
    closed: Vec<BudgetTally>,
}

/// The count for one value of a budget in one window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct BudgetTally {
    budget: String,
    value: String,
    /// Where counting starts: the window's start, or the last reset.
    from: Timestamp,
    amount: Amount,
}

impl BudgetTally {
    fn matches(&self, state: &BudgetState) -> bool {
        self.from == counted_since(state) && self.budget == state.budget.name && self.value == state.value
    }
}

impl OfflineCounts {
    /// Whether these counts build on that answer of the store, under this configuration.
    pub fn continues(&self, store_id: &str, sequence: u64, stamp: Stamp) -> bool {
        self.stamp == Some(stamp) && self.since.0 == store_id && self.since.1 == sequence
    }

    /// Whether every file was counted for these budgets. A new model or a new day adds budgets.
    pub fn covers(&self, states: &[BudgetState]) -> bool {
        let mut parts = self.files.values().flat_map(|file| file.by_agent.values());
        parts.all(|part| states.iter().all(|state| part.tally(state).is_some()))
    }

    /// Merges counts that build on the same answer: for each file, the one that read further wins.
    pub fn merge(&mut self, other: Self) {
        for (path, file) in other.files {
            match self.files.get(&path) {
                Some(known) if !known.position.is_behind(&file.position) => {}
                _ => {
                    self.files.insert(path, file);
                }
            }
        }
    }

    /// Updates the budgets to `states` plus all files plus `besides`.
    pub fn update_states(&mut self, states: &[BudgetState], besides: &FileDelta) {
        self.states = states.iter().map(|state| self.counted_state(state.clone(), besides)).collect();
    }

    fn counted_state(&self, mut state: BudgetState, besides: &FileDelta) -> BudgetState {
        let all = || self.files.values().chain([besides]);
        let agents: BTreeSet<&String> = all().flat_map(|file| file.by_agent.keys()).collect();
        let used = |agent: &&String| {
            // Lines of one agent in two files are the same, but one file may lack some.
            let of_files = all().filter_map(|file| file.by_agent.get(*agent));
            of_files.map(|part| state.budget.measure(&part.amount(&state))).max().unwrap_or(0)
        };
        let used = agents.iter().map(used).fold(state.used, u64::saturating_add);
        state.used = used;
        offline_state(state)
    }
}

/// The state of a budget while the store is unreachable, according to its `store_down`.
pub fn offline_state(state: BudgetState) -> BudgetState {
    let used = match state.budget.store_down {
        StoreDown::Local => state.used,
        // Not the store, but the client says how much is used.
        StoreDown::Allow if state.budget.unit == Unit::Percent => state.used,
        StoreDown::Allow => 0,
        StoreDown::Deny => state.used.max(state.limit()),
    };
    BudgetState { used, ..state }
}

impl FileDelta {
    /// An empty delta to what the store has.
    pub fn new(known: KnownFile) -> Self {
        Self { known, ..Self::default() }
    }

    /// Adds messages read up to `position`, for the budgets of `states`.
    pub fn add(
        &mut self,
        messages: impl IntoIterator<Item = Message>,
        position: Position,
        states: &[BudgetState],
    ) {
        for message in messages {
            if !self.known.includes(&message) {
                let agent = message.agent.clone().unwrap_or_default();
                self.by_agent.entry(agent).or_default().add(message, states);
            }
        }
        self.position = position;
    }
}

impl KnownFile {
    /// Whether a message is already in the store's answer.
    pub fn includes(&self, message: &Message) -> bool {
        self.message == Some(message.key) || self.until.is_some_and(|until| message.at <= until)
    }
}

impl AgentCounts {
    fn add(&mut self, message: Message, states: &[BudgetState]) {
        for state in states {
            if self.tally(state).is_none() {
                let (budget, value) = (state.budget.name.clone(), state.value.clone());
                self.closed.push(BudgetTally {
                    budget,
                    value,
                    from: counted_since(state),
                    amount: Amount::default(),
                });
            }
        }
        match self.open.iter_mut().find(|known| known.key == message.key) {
            Some(known) => *known = known.clone().merge(&message),
            None => self.open.push(message),
        }
        if self.open.len() > MAX_OPEN_MESSAGES {
            let message = self.open.remove(0);
            for state in states.iter().filter(|state| counts(state, &message)) {
                if let Some(tally) = self.closed.iter_mut().find(|tally| tally.matches(state)) {
                    tally.amount = tally.amount.plus(message.amount());
                }
            }
        }
    }

    fn tally(&self, state: &BudgetState) -> Option<&BudgetTally> {
        self.closed.iter().find(|tally| tally.matches(state))
    }

    fn amount(&self, state: &BudgetState) -> Amount {
        let closed = self.tally(state).map_or_else(Amount::default, |tally| tally.amount);
        let open = self.open.iter().filter(|message| counts(state, message));
        open.fold(closed, |sum, message| sum.plus(message.amount()))
    }
}

fn counted_since(state: &BudgetState) -> Timestamp {
    state.since.map_or(state.window.start, |since| since.max(state.window.start))
}

/// Whether a budget counts a message.
pub fn counts(state: &BudgetState, message: &Message) -> bool {
    let value = match state.budget.scope {
        Scope::Model => message.model == state.value,
        Scope::AgentType => message.agent_type == state.value,
        Scope::Platform => false,
        Scope::Session
        | Scope::Project
        | Scope::User
        | Scope::Team
        | Scope::TaskType
        | Scope::Member
        | Scope::Chain
        | Scope::History => true,
    };
    value && state.window.contains(message.at) && message.at >= counted_since(state)
}
