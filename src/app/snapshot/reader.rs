//! Reads snapshots.
//!
//! Read-only: no transcript is read, nothing is refilled, and no store is created. Sessions that have ended are read once
//! and remembered, so that a snapshot of many sessions stays cheap.

use std::collections::{HashMap, HashSet};

use wildmatch::WildMatch;

use super::super::open_store::StoreLocation;
use super::super::quota::Quotas;
use super::super::store_status::StoreStatus;
use super::super::{meters, plan, process_tree};
use super::index::Index;
use super::{
    BudgetEntry, CircuitEntry, MAX_EVENTS, SessionSummary, SessionUse, Snapshot, budget_id, circuit_id,
};
use crate::config::{self, Config, Stamp};
use crate::domain::budget::{Budget, BudgetState, Scope, Unit};
use crate::domain::operation::Operation;
use crate::domain::time::Timestamp;
use crate::platform::Env;
use crate::store::{BudgetKey, Result, SessionRow, Store, StoreError, sqlite};

/// How many budgets are read in one step of the store. More would make hooks wait.
const STEP: usize = 200;

/// Reads snapshots, one after the other.
pub struct SnapshotReader {
    config: Config,
    stamp: Stamp,
    store: Option<Box<dyn Store>>,
    ended: HashMap<String, EndedSession>,
    /// What is wrong with the configuration's files since the configuration was last read.
    problems: Vec<String>,
}

/// A session that has ended, and started none that has not, as it was read. Only decisions still change it.
struct EndedSession {
    row: SessionRow,
    decisions: usize,
    used: SessionUse,
    budgets: Vec<BudgetState>,
}

impl SnapshotReader {
    /// Reads the user's configuration.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(env: &Env) -> std::result::Result<Self, Vec<String>> {
        let loaded = config::load(env, None);
        if !loaded.is_usable() {
            return Err(loaded.problems.iter().map(ToString::to_string).collect());
        }
        let stamp = Stamp::current(env, None);
        Ok(Self { config: loaded.config, stamp, store: None, ended: HashMap::new(), problems: Vec::new() })
    }

    /// The configuration that was last read and can be used.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What is wrong with the configuration since it was changed; the last good one stays in force.
    pub fn take_problems(&mut self) -> Vec<String> {
        std::mem::take(&mut self.problems)
    }

    /// Reads a snapshot.
    ///
    /// # Errors
    /// The store cannot be read. The next call opens it again.
    pub fn read(&mut self, env: &Env) -> Result<Snapshot> {
        self.reload_configuration(env);
        let mut store = match self.store.take() {
            Some(store) => store,
            None if is_missing(env, &self.config) => return Ok(self.empty(env)),
            None => StoreLocation::new(&self.config).open(env, None)?.0,
        };
        store.connect()?;
        let snapshot = self.read_from(env, &mut *store)?;
        self.store = Some(store);
        Ok(snapshot)
    }

    fn reload_configuration(&mut self, env: &Env) {
        let stamp = Stamp::current(env, None);
        if stamp != self.stamp {
            self.stamp = stamp;
            let loaded = config::load(env, None);
            self.problems = loaded.problems.iter().map(ToString::to_string).collect();
            if loaded.is_usable() {
                if !StoreLocation::new(&self.config).is_same_store(&loaded.config) {
                    self.store = None;
                }
                self.config = loaded.config;
                self.ended.clear();
            }
        }
        plan::look_up(&mut self.config, env);
    }

    /// Nothing has been recorded.
    fn empty(&self, env: &Env) -> Snapshot {
        let unknown_budgets = plan::unknown_budgets(&self.config, &env.user(), env);
        Snapshot { at: env.now, unknown_budgets, config: self.config.clone(), ..Snapshot::default() }
    }

    fn read_from(&mut self, env: &Env, store: &mut dyn Store) -> Result<Snapshot> {
        let mut snapshot =
            Snapshot { store: Some(StoreStatus::of_store(store, env.now)?), ..self.empty(env) };
        snapshot.operations = store.operations(None)?;
        snapshot.operations.reverse();
        let rows = store.sessions()?;
        let (sessions, of_sessions) = self.read_sessions(env, store, rows, &snapshot.operations)?;
        snapshot.sessions = sessions;
        let others = self.other_budgets(env, store)?;
        let others = states(store, &others, env.now)?;
        snapshot.budgets = entries(&snapshot.sessions, others, of_sessions);
        snapshot.classes = meters::classes(store, &snapshot.budgets, env.now)?;
        let is_live: HashMap<&str, bool> = snapshot
            .sessions
            .iter()
            .map(|session| (session.row.session.id.as_str(), session.is_live))
            .collect();
        snapshot.circuits = store
            .circuits(None)?
            .into_iter()
            .map(|row| CircuitEntry {
                id: circuit_id(&row.session, &row.agent),
                is_live: is_live.get(row.session.as_str()).copied().unwrap_or(false),
                row,
            })
            .collect();
        snapshot.alerts = store.alerts()?;
        snapshot.events = store.recent_events(MAX_EVENTS)?;
        snapshot.metrics = store.metrics()?;
        snapshot.quotas = Quotas::new(store, &self.config, env.now)?.standing(None)?;
        snapshot.index = Index::new(&snapshot);
        Ok(snapshot)
    }

    /// The sessions, and the states of the budgets that count sessions.
    fn read_sessions(
        &mut self,
        env: &Env,
        store: &mut dyn Store,
        rows: Vec<SessionRow>,
        operations: &[Operation],
    ) -> Result<(Vec<SessionSummary>, Vec<BudgetState>)> {
        let mut decisions: HashMap<&str, usize> = HashMap::new();
        for operation in operations {
            *decisions.entry(&operation.value).or_default() += 1;
        }
        let decisions_on = |id: &str| decisions.get(id).copied().unwrap_or(0);
        // What a session uses also counts for the one that started it.
        let running = rows.iter().filter(|row| row.ended.is_none());
        let charged: HashSet<String> = running.filter_map(|row| row.session.parent.clone()).collect();
        self.ended.retain(|id, _| !charged.contains(id));
        let is_known = |row: &SessionRow| {
            let known = self.ended.get(&row.session.id);
            known.is_some_and(|known| known.row == *row && known.decisions == decisions_on(&row.session.id))
        };
        let fresh: Vec<&SessionRow> = rows.iter().filter(|row| !is_known(row)).collect();
        let mut read = self.read_fresh(env, store, &fresh)?;
        let (mut sessions, mut budgets) = (Vec::new(), Vec::new());
        for row in rows {
            let id = &row.session.id;
            let is_live = process_tree::is_live(&row, env.now);
            let (used, states) = match (read.remove(id), self.ended.get(id)) {
                (Some(read), _) => read,
                (None, Some(known)) => (known.used, known.budgets.clone()),
                (None, None) => Default::default(),
            };
            budgets.extend(states.iter().cloned());
            let subagents = if is_live { store.slots(id)?.live() } else { 0 };
            if row.ended.is_some() && !charged.contains(id) {
                let known =
                    EndedSession { row: row.clone(), decisions: decisions_on(id), used, budgets: states };
                self.ended.insert(id.clone(), known);
            }
            sessions.push(SessionSummary { row, is_live, used, subagents });
        }
        Ok((sessions, budgets))
    }

    /// What these sessions used, and their budgets, by session.
    fn read_fresh(
        &self,
        env: &Env,
        store: &mut dyn Store,
        rows: &[&SessionRow],
    ) -> Result<HashMap<String, (SessionUse, Vec<BudgetState>)>> {
        let of_sessions = self.config.budgets.iter().filter(|budget| budget.scope == Scope::Session);
        let budgets: Vec<(WildMatch, &Budget)> =
            of_sessions.map(|budget| (WildMatch::new(&budget.matches), budget)).collect();
        let meters = meters::of_sessions();
        let mut keys = Vec::new();
        for row in rows {
            let id = &row.session.id;
            let counting = budgets.iter().filter(|(glob, _)| glob.matches(id)).map(|(_, budget)| *budget);
            keys.extend(
                meters
                    .iter()
                    .chain(counting)
                    .map(|budget| BudgetKey { budget: budget.clone(), value: id.clone() }),
            );
        }
        let mut read: HashMap<String, (SessionUse, Vec<BudgetState>)> = HashMap::new();
        for state in states(store, &keys, env.now)? {
            let (used, of_session) = read.entry(state.value.clone()).or_default();
            match meters.iter().position(|meter| *meter == state.budget) {
                Some(0) => used.fresh_tokens = state.used,
                Some(1) => used.tokens = state.used,
                Some(2) => used.requests = state.used,
                Some(3) => used.tool_calls = state.used,
                Some(_) => used.nano_usd = state.used,
                None => of_session.push(state),
            }
        }
        Ok(read)
    }

    /// The budgets that count anything but sessions, with the values charged in their windows.
    fn other_budgets(&self, env: &Env, store: &mut dyn Store) -> Result<Vec<BudgetKey>> {
        let mut keys = Vec::new();
        for budget in self.config.budgets.iter().filter(|budget| budget.scope != Scope::Session) {
            let values = match budget.unit {
                // It has one value: this user, whose account it is.
                Unit::Percent if budget.is_known(env.now) => vec![env.user()],
                Unit::Percent => Vec::new(),
                _ => store.values(budget.scope, budget.window_at(env.now).start)?,
            };
            let glob = WildMatch::new(&budget.matches);
            let counted = values.into_iter().filter(|value| glob.matches(value));
            keys.extend(counted.map(|value| BudgetKey { budget: budget.clone(), value }));
        }
        Ok(keys)
    }
}

/// Whether there is no store yet. A shared one is elsewhere.
fn is_missing(env: &Env, config: &Config) -> bool {
    !StoreLocation::new(config).is_shared()
        && env.state_dir().is_some_and(|dir| !dir.join(sqlite::FILE).exists())
}

/// The states of these budgets, in short steps.
pub(in crate::app) fn states(
    store: &mut dyn Store,
    keys: &[BudgetKey],
    now: Timestamp,
) -> std::result::Result<Vec<BudgetState>, StoreError> {
    let mut all = Vec::new();
    for some in keys.chunks(STEP) {
        all.extend(store.states(some, now)?);
    }
    Ok(all)
}

/// The budgets with their ids: those of live sessions and windows first.
fn entries(
    sessions: &[SessionSummary],
    others: Vec<BudgetState>,
    of_sessions: Vec<BudgetState>,
) -> Vec<BudgetEntry> {
    let live: HashSet<&str> = sessions
        .iter()
        .filter(|session| session.is_live)
        .map(|session| session.row.session.id.as_str())
        .collect();
    let entry = |state: BudgetState, is_active| BudgetEntry {
        id: budget_id(&state.budget.name, &state.value),
        state,
        is_active,
    };
    let (active, ended): (Vec<BudgetState>, Vec<BudgetState>) =
        of_sessions.into_iter().partition(|state| live.contains(state.value.as_str()));
    let active = active.into_iter().chain(others).map(|state| entry(state, true));
    active.chain(ended.into_iter().map(|state| entry(state, false))).collect()
}
