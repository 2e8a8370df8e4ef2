//! All sessions at one moment, as the store has them, for a screen that is drawn again and again.
//!
//! Read-only: no transcript is read, nothing is refilled, and no store is created.

use super::last_known::LastKnown;
use super::open_store::StoreLocation;
use super::session::SessionContext;
use super::status::SessionStatus;
use super::store_access::{self, StoreAccess};
use super::store_status::StoreStatus;
use super::{process_tree, report};
use crate::config::Config;
use crate::domain::alert::AlertRecord;
use crate::domain::budget::{Budget, BudgetState, Scope, Unit};
use crate::domain::event::Event;
use crate::domain::operation::Operation;
use crate::domain::time::Timestamp;
use crate::domain::window::{Period, WindowRule, Zone};
use crate::platform::Env;
use crate::store::session_cache::SessionCache;
use crate::store::{BudgetKey, SessionRow, sqlite};

/// The most ended sessions that are read.
const MAX_ENDED: usize = 50;

/// The most events of a session that are kept, the newest.
const MAX_EVENTS: usize = 100;

const HOUR_MS: i64 = 3600 * 1000;

/// What to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only sessions whose ids begin with this.
    pub session: Option<String>,
    /// Whether to read sessions that have ended, too. (If none is live, the last one is always read.)
    pub ended: bool,
}

/// All sessions at one moment.
#[derive(Clone, Debug)]
pub struct Overview {
    /// The moment.
    pub at: Timestamp,
    /// The store; `None`: there is none yet.
    pub store: Option<StoreStatus>,
    /// The sessions: live ones first, and among them the most recently seen first.
    pub sessions: Vec<SessionOverview>,
    /// How many sessions are live.
    pub live: usize,
    /// What all sessions cost since midnight, in nano-dollars; `None`: a shared store cannot say that cheaply.
    pub today: Option<u64>,
    /// What the sessions read here cost in the last hour, in nano-dollars.
    pub last_hour: u64,
    /// The alerts that nobody has acknowledged, newest first.
    pub alerts: Vec<AlertRecord>,
    /// Decisions about budgets, oldest first.
    pub operations: Vec<Operation>,
    /// What went wrong although the store answered.
    pub warnings: Vec<String>,
}

/// One session at that moment.
#[derive(Clone, Debug)]
pub struct SessionOverview {
    /// The session.
    pub row: SessionRow,
    /// Whether it is live.
    pub is_live: bool,
    /// Its numbers, breakers and subagents.
    pub status: SessionStatus,
    /// Its budgets.
    pub states: Vec<BudgetState>,
    /// What it cost in the last hour, in nano-dollars.
    pub last_hour: u64,
    /// Its events, oldest first.
    pub events: Vec<Event>,
}

impl Overview {
    /// Reads the store of this configuration. `zone`: where a day starts.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn read(
        env: &Env,
        config: &Config,
        zone: &Zone,
        selection: &Selection,
    ) -> store_access::Result<Self> {
        let mut overview = Self::empty(env.now);
        let mut store = StoreAccess::for_command(env, config);
        if is_missing(env, config) {
            return Ok(overview);
        }
        let read = overview.fill(env, zone, selection, &mut store);
        overview.warnings.extend(store.take_warnings());
        read.map(|()| overview)
    }

    /// Nothing has been recorded.
    fn empty(at: Timestamp) -> Self {
        Self {
            at,
            store: None,
            sessions: Vec::new(),
            live: 0,
            today: None,
            last_hour: 0,
            alerts: Vec::new(),
            operations: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn fill(
        &mut self,
        env: &Env,
        zone: &Zone,
        selection: &Selection,
        store: &mut StoreAccess,
    ) -> store_access::Result<()> {
        let status = StoreStatus::read(store, env.now)?;
        self.store = Some(status.clone());
        (self.alerts, self.operations) =
            store.call(|store| Ok((store.alerts()?, store.operations(None)?)))?;
        self.alerts.retain(|record| record.acknowledged.is_none());
        let rows = store.call(|store| store.sessions())?;
        let chosen = self.choose(rows, env, selection);
        self.sessions = read_sessions(env, store, chosen, &status)?;
        self.last_hour = self.own_last_hour();
        self.today = today(env, zone, store)?;
        Ok(())
    }

    /// What this machine knows of a shared store that does not answer; `None`: nothing. Without alerts, decisions, events
    /// and the cost of the last hour.
    pub fn last_known(env: &Env, config: &Config, failure: &str, selection: &Selection) -> Option<Self> {
        let known = LastKnown::read(env, config, failure.to_owned())?;
        let mut overview = Self::empty(known.as_of().unwrap_or(env.now));
        for (row, is_live) in overview.choose(known.rows(), env, selection) {
            let Some((status, states)) = known.session(&row) else { continue };
            overview.store.get_or_insert_with(|| status.store.clone());
            let events = Vec::new();
            overview.sessions.push(SessionOverview { row, is_live, status, states, last_hour: 0, events });
        }
        Some(overview)
    }

    /// Counts the live sessions, and chooses those to read, with whether each is live.
    fn choose(
        &mut self,
        mut rows: Vec<SessionRow>,
        env: &Env,
        selection: &Selection,
    ) -> Vec<(SessionRow, bool)> {
        rows.retain(|row| selection.session.as_ref().is_none_or(|id| row.session.id.starts_with(id)));
        let (live, ended): (Vec<SessionRow>, Vec<SessionRow>) =
            rows.into_iter().partition(|row| process_tree::is_live(row, env.now));
        self.live = live.len();
        let most = match (selection.ended || selection.session.is_some(), live.is_empty()) {
            (true, _) => MAX_ENDED,
            (false, true) => 1,
            (false, false) => 0,
        };
        let live = live.into_iter().map(|row| (row, true));
        live.chain(ended.into_iter().take(most).map(|row| (row, false))).collect()
    }

    /// The cost of the last hour. A session started by another one counts for that one, too, and is left out.
    fn own_last_hour(&self) -> u64 {
        let is_listed = |id: &String| self.sessions.iter().any(|session| session.row.session.id == *id);
        let own = self.sessions.iter().filter(|of| !of.row.session.parent.as_ref().is_some_and(is_listed));
        own.map(|session| session.last_hour).sum()
    }
}

/// Whether there is no store yet. A shared one is elsewhere.
fn is_missing(env: &Env, config: &Config) -> bool {
    !StoreLocation::new(config).is_shared()
        && env.state_dir().is_some_and(|dir| !dir.join(sqlite::FILE).exists())
}

/// What the hooks of a session know besides the store.
struct Known {
    config: Config,
    cache: Box<SessionCache>,
    budgets: Vec<BudgetKey>,
}

fn read_sessions(
    env: &Env,
    store: &mut StoreAccess,
    chosen: Vec<(SessionRow, bool)>,
    status: &StoreStatus,
) -> store_access::Result<Vec<SessionOverview>> {
    let known: Vec<Known> = chosen
        .iter()
        .map(|(row, _)| {
            let ctx = SessionContext::for_session(env, &row.session);
            let budgets = ctx.budget_keys(&ctx.session());
            Known { config: ctx.config, cache: ctx.cache, budgets }
        })
        .collect();
    // In one step: each is a write, because counters may be missing, and sessions share budgets.
    let mut asked: Vec<BudgetKey> = Vec::new();
    for key in known.iter().flat_map(|known| &known.budgets) {
        if !asked.contains(key) {
            asked.push(key.clone());
        }
    }
    let answers = store.call(|store| store.states(&asked, env.now))?;
    let state = |key: &BudgetKey| {
        answers.iter().find(|state| state.value == key.value && state.budget == key.budget).cloned()
    };
    let mut sessions = Vec::new();
    for ((row, is_live), known) in chosen.into_iter().zip(known) {
        let id = &row.session.id;
        let states: Vec<BudgetState> = known.budgets.iter().filter_map(state).collect();
        let session = &row.session;
        let (config, cache) = (&known.config, &known.cache);
        let status = report::status_of(env, session, config, cache, store, &states, status.clone())?;
        let mut events = store.call(|store| store.events(Some(id), None))?;
        events.drain(..events.len().saturating_sub(MAX_EVENTS));
        let last_hour = last_hour(env, &row, store)?;
        sessions.push(SessionOverview { row, is_live, status, states, last_hour, events });
    }
    Ok(sessions)
}

/// What a session cost in the last hour.
fn last_hour(env: &Env, row: &SessionRow, store: &mut StoreAccess) -> store_access::Result<u64> {
    let since = env.now.plus_millis(-HOUR_MS);
    if row.last_seen < since {
        return Ok(0);
    }
    let key = [dollars(Scope::Session, WindowRule::LIFETIME, &row.session.id)];
    let sum = |states: Vec<BudgetState>| states.first().map_or(0, |state| state.used);
    let (now, before) = store.call(|store| {
        Ok((store.states_before(&key, env.now.plus_millis(1))?, store.states_before(&key, since)?))
    })?;
    Ok(sum(now).saturating_sub(sum(before)))
}

/// What all users' sessions cost today. A shared store would add up every message of each user, and block meanwhile.
fn today(env: &Env, zone: &Zone, store: &mut StoreAccess) -> store_access::Result<Option<u64>> {
    if store.is_shared() {
        return Ok(None);
    }
    let day = WindowRule { period: Period::Day, zone: zone.clone() };
    let start = day.at(env.now).start;
    let states = store.call(|store| {
        let users = store.values(Scope::User, start)?;
        let keys: Vec<BudgetKey> = users.iter().map(|user| dollars(Scope::User, day.clone(), user)).collect();
        store.states_before(&keys, env.now.plus_millis(1))
    })?;
    Ok(Some(states.iter().map(|state| state.used).sum()))
}

/// A budget that counts dollars and limits nothing.
fn dollars(scope: Scope, window: WindowRule, value: &str) -> BudgetKey {
    let budget = Budget { scope, unit: Unit::Usd, window, matches: "*".to_owned(), ..Budget::placeholder() };
    BudgetKey { budget, value: value.to_owned() }
}
