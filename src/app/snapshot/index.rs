//! What many requests need of a snapshot, found out once: where rows are, which of them are live, and their order.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{BudgetEntry, CircuitEntry, MAX_EVENTS, SessionSummary, Snapshot};
use crate::app::history::{Counted, Entry, counted};
use crate::domain::alert::AlertRecord;
use crate::domain::breaker::circuit::Phase;
use crate::domain::budget::Scope;
use crate::store::Session;

/// Positions in the lists of a snapshot.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// Where each session is, by its id.
    by_id: HashMap<String, usize>,
    /// All sessions, the live ones first.
    sessions: Vec<usize>,
    live_sessions: usize,
    /// What all sessions cost, in nano-dollars.
    nano_usd: u64,
    /// How many budgets are active; they come first.
    active_budgets: usize,
    /// All breakers: those of live sessions first, and among them the open ones first.
    circuits: Vec<usize>,
    live_circuits: usize,
    /// Alerts that nobody has acknowledged.
    new_alerts: Vec<usize>,
    /// Rows by the value that they are about: of a scope, or the id of a session.
    by_value: HashMap<String, Rows>,
    /// What happened, newest first.
    history: Vec<Happening>,
    /// What each budget counts.
    counted: BTreeMap<String, Counted>,
}

/// Positions of rows.
#[derive(Clone, Debug, Default)]
struct Rows {
    budgets: Vec<usize>,
    circuits: Vec<usize>,
    /// Alerts, then decisions.
    happened: Vec<Happening>,
}

/// Where something that happened is.
#[derive(Clone, Copy, Debug)]
pub enum Happening {
    /// Among the events.
    Event(usize),
    /// Among the alerts.
    Alert(usize),
    /// Among the decisions about budgets.
    Decision(usize),
}

impl Index {
    /// The index of a snapshot that has none yet.
    pub fn new(snapshot: &Snapshot) -> Self {
        let ids = snapshot.sessions.iter().map(|session| session.row.session.id.clone());
        // Stable, like the others: otherwise the order of the store stays.
        let mut sessions: Vec<usize> = (0..snapshot.sessions.len()).collect();
        sessions.sort_by_key(|at| !snapshot.sessions[*at].is_live);
        let mut circuits: Vec<usize> = (0..snapshot.circuits.len()).collect();
        circuits.sort_by_key(|at| {
            let entry = &snapshot.circuits[*at];
            (!entry.is_live, urgency(&entry.row.breaker.phase))
        });
        let is_new = |at: &usize| snapshot.alerts[*at].acknowledged.is_none();
        let mut index = Self {
            by_id: ids.enumerate().map(|(at, id)| (id, at)).collect(),
            sessions,
            live_sessions: snapshot.sessions.iter().filter(|session| session.is_live).count(),
            nano_usd: snapshot.sessions.iter().fold(0, |sum, of| sum.saturating_add(of.used.nano_usd)),
            active_budgets: snapshot.budgets.iter().take_while(|entry| entry.is_active).count(),
            circuits,
            live_circuits: snapshot.circuits.iter().filter(|entry| entry.is_live).count(),
            new_alerts: (0..snapshot.alerts.len()).filter(is_new).collect(),
            by_value: rows_by_value(snapshot),
            history: Vec::new(),
            counted: counted(&snapshot.config, &snapshot.alerts),
        };
        index.history = index.ordered_history(snapshot);
        index
    }

    fn ordered_history(&self, snapshot: &Snapshot) -> Vec<Happening> {
        // How far back it goes, if the snapshot does not have all events.
        let oldest = snapshot.events.get(MAX_EVENTS - 1).map(|event| event.at);
        let all = (0..snapshot.events.len())
            .map(Happening::Event)
            .chain((0..snapshot.alerts.len()).map(Happening::Alert))
            .chain((0..snapshot.operations.len()).map(Happening::Decision));
        let at = |one: &Happening| self.entry(snapshot, *one).at();
        let mut kept: Vec<Happening> =
            all.filter(|one| oldest.is_none_or(|oldest| at(one) >= oldest)).collect();
        kept.sort_by_key(|one| Reverse(at(one)));
        kept
    }

    fn entry<'s>(&self, snapshot: &'s Snapshot, one: Happening) -> Entry<'s> {
        match one {
            Happening::Event(at) => Entry::Event(&snapshot.events[at]),
            Happening::Alert(at) => Entry::Alert(&snapshot.alerts[at]),
            Happening::Decision(at) => {
                let operation = &snapshot.operations[at];
                Entry::Decision(operation, self.counted.get(&operation.budget).copied())
            }
        }
    }
}

fn rows_by_value(snapshot: &Snapshot) -> HashMap<String, Rows> {
    let mut all: HashMap<String, Rows> = HashMap::new();
    let mut add = |value: &String, add: &dyn Fn(&mut Rows)| match all.get_mut(value) {
        Some(rows) => add(rows),
        None => add(all.entry(value.clone()).or_default()),
    };
    for (at, entry) in snapshot.budgets.iter().enumerate() {
        add(&entry.state.value, &|rows| rows.budgets.push(at));
    }
    for (at, entry) in snapshot.circuits.iter().enumerate() {
        add(&entry.row.session, &|rows| rows.circuits.push(at));
    }
    for (at, record) in snapshot.alerts.iter().enumerate() {
        add(&record.alert.value, &|rows| rows.happened.push(Happening::Alert(at)));
    }
    for (at, operation) in snapshot.operations.iter().enumerate() {
        add(&operation.value, &|rows| rows.happened.push(Happening::Decision(at)));
    }
    all
}

fn urgency(phase: &Phase) -> u8 {
    match phase {
        Phase::Open { .. } => 0,
        Phase::HalfOpen { .. } => 1,
        Phase::Closed => 2,
    }
}

impl Snapshot {
    /// The session with this id.
    pub fn session(&self, id: &str) -> Option<&SessionSummary> {
        self.sessions.get(*self.index.by_id.get(id)?)
    }

    /// All sessions: the live ones first, and among them the most recently seen first.
    pub fn sessions_live_first(&self) -> impl ExactSizeIterator<Item = &SessionSummary> {
        self.index.sessions.iter().map(|at| &self.sessions[*at])
    }

    /// The live sessions, most recently seen first.
    pub fn live_sessions(&self) -> impl ExactSizeIterator<Item = &SessionSummary> + Clone {
        self.index.sessions[..self.index.live_sessions].iter().map(|at| &self.sessions[*at])
    }

    /// What all sessions cost, in nano-dollars.
    pub fn nano_usd(&self) -> u64 {
        self.index.nano_usd
    }

    /// The budgets that something can be charged to now.
    pub fn active_budgets(&self) -> &[BudgetEntry] {
        &self.budgets[..self.index.active_budgets]
    }

    /// All breakers: those of live sessions first, and among them the open ones first.
    pub fn circuits_urgent_first(&self) -> impl ExactSizeIterator<Item = &CircuitEntry> {
        self.index.circuits.iter().map(|at| &self.circuits[*at])
    }

    /// The breakers of live sessions, the open ones first.
    pub fn live_circuits(&self) -> impl ExactSizeIterator<Item = &CircuitEntry> {
        self.circuits_urgent_first().take(self.index.live_circuits)
    }

    /// The budgets that a session is charged to: its own, that of the session which started it, and those of its project,
    /// user, team and type of task.
    pub fn budgets_of(&self, session: &Session) -> impl Iterator<Item = &BudgetEntry> {
        let Session { id, parent, project, user, team, task_type, .. } = session;
        let attribution = session.attribution();
        let values = [Some(id), parent.as_ref(), Some(project), Some(user), Some(team), Some(task_type)];
        let rows = values.into_iter().flatten().filter_map(|value| self.index.by_value.get(value));
        let found: BTreeSet<usize> = rows.flat_map(|rows| rows.budgets.iter().copied()).collect();
        let (id, parent) = (id.clone(), parent.clone());
        found.into_iter().map(|at| &self.budgets[at]).filter(move |entry| {
            let value = entry.state.value.as_str();
            match entry.state.budget.scope {
                Scope::Session => value == id || parent.as_deref() == Some(value),
                scope => attribution.value(scope) == Some(value),
            }
        })
    }

    /// The breakers of a session's agents.
    pub fn circuits_of(&self, session: &str) -> impl Iterator<Item = &CircuitEntry> {
        let rows = self.index.by_value.get(session);
        rows.into_iter().flat_map(|rows| &rows.circuits).map(|at| &self.circuits[*at])
    }

    /// The alerts of a session's own budgets, and decisions about them.
    pub fn alerts_and_decisions_of(&self, session: &str) -> impl Iterator<Item = Entry<'_>> {
        let rows = self.index.by_value.get(session);
        let happened = rows.into_iter().flat_map(|rows| &rows.happened).map(|one| self.entry(*one));
        happened.filter(move |entry| entry.is_about(session))
    }

    /// Alerts that nobody has acknowledged, newest first.
    pub fn new_alerts(&self) -> impl ExactSizeIterator<Item = &AlertRecord> {
        self.index.new_alerts.iter().map(|at| &self.alerts[*at])
    }

    /// What happened, newest first. It goes back as far as the last [`MAX_EVENTS`] events, or to the beginning.
    pub fn history(&self) -> &[Happening] {
        &self.index.history
    }

    /// Something that happened.
    pub fn entry(&self, one: Happening) -> Entry<'_> {
        self.index.entry(self, one)
    }
}
