//! What this machine knows while the shared store is unreachable: its last answers, from the session caches, and what
//! the transcripts have added since.
//!
//! Read-only: nothing is written, and the store is not contacted.

use std::collections::BTreeMap;

use wildmatch::WildMatch;

use super::held_by::HeldBy;
use super::open_store::StoreLocation;
use super::plan::{self, PlanStatus};
use super::session::SessionContext;
use super::status::{AgentStatus, BudgetStatus, CircuitStatus, CostStatus, SessionStatus};
use super::store_status::StoreStatus;
use super::temporary_store::TemporaryStore;
use super::{offline, presence, process_tree, report, session_files};
use crate::config::Config;
use crate::domain::breaker::circuit::CircuitBreaker;
use crate::domain::budget::{BudgetState, Scope, Unit};
use crate::domain::escalation::MAIN_AGENT;
use crate::domain::message::{Message, MessageKey};
use crate::domain::time::Timestamp;
use crate::domain::usage::Amount;
use crate::platform::Env;
use crate::store::cache_file::CacheFile;
use crate::store::offline_counts::{counts, offline_state};
use crate::store::session_cache::SessionCache;
use crate::store::{BudgetKey, Session, SessionRow, SessionTotal};

/// What this machine knows of an unreachable shared store.
pub struct LastKnown<'a> {
    env: &'a Env,
    /// Why the store does not answer.
    failure: String,
    sessions: Vec<KnownSession<'a>>,
}

/// A session whose hooks have run on this machine.
struct KnownSession<'a> {
    row: SessionRow,
    session: Session,
    ctx: SessionContext<'a>,
    /// Messages that the store has not acknowledged.
    messages: BTreeMap<MessageKey, Message>,
}

/// The last known state of a budget.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownBudget {
    /// The state.
    pub state: BudgetState,
    /// The store that answered for it, and when. `state` includes what this machine used since.
    pub store: StoreStatus,
}

impl<'a> LastKnown<'a> {
    /// What is known of the configured store, which does not answer because of `failure`. `None` if no session cache
    /// has any data.
    pub fn read(env: &'a Env, config: &Config, failure: String) -> Option<Self> {
        let location = StoreLocation::new(config);
        let caches = CacheFile::all(&env.cache_dir()).into_iter().filter_map(|file| file.read());
        let of_store = |cache: &SessionCache| {
            let config = cache.config.as_ref();
            !cache.session.id.is_empty() && config.is_none_or(|config| location.is_same_store(config))
        };
        let known = caches.filter(|cache| of_store(cache)).map(|cache| KnownSession::from_cache(env, &cache));
        let mut sessions: Vec<KnownSession> = known.collect();
        sessions.sort_by_key(|known| std::cmp::Reverse(known.row.last_seen));
        (!sessions.is_empty()).then_some(Self { env, failure, sessions })
    }

    /// The sessions, most recently seen first.
    pub fn rows(&self) -> Vec<SessionRow> {
        self.sessions.iter().map(|known| known.row.clone()).collect()
    }

    /// Why the store does not answer.
    pub fn failure(&self) -> &str {
        &self.failure
    }

    /// When the store last answered a hook of this machine, according to the caches.
    pub fn as_of(&self) -> Option<Timestamp> {
        self.sessions.iter().filter_map(KnownSession::as_of).max()
    }

    /// The configuration of a session's hooks.
    pub fn config(&self, row: &SessionRow) -> Option<&Config> {
        self.known(row).map(|known| &known.ctx.config)
    }

    /// The status of a session; `None` if it is unknown here.
    pub fn session(&self, row: &SessionRow) -> Option<(SessionStatus, Vec<BudgetState>)> {
        let known = self.known(row)?;
        let cache = &known.ctx.cache;
        let budget_keys = known.ctx.budget_keys(&known.session);
        let states: Vec<BudgetState> = budget_keys.iter().map(|key| self.budget(key).state).collect();
        let held: Vec<BudgetState> = states.iter().cloned().map(offline_state).collect();
        let policy = known.ctx.config.breaker;
        let circuit = |agent: &str| {
            let open = cache.circuit(agent).map(|breaker| CircuitStatus::new(breaker, &policy));
            let closed = CircuitStatus::new(&CircuitBreaker::default(), &policy);
            // The cache does not contain the number of calls.
            open.unwrap_or(CircuitStatus { iterations: None, ..closed })
        };
        let agents = cache.circuits.keys().filter(|agent| policy.enabled && *agent != MAIN_AGENT);
        let of_agent = |agent: &String| (agent.clone(), AgentStatus { circuit: circuit(agent) });
        let total = self.total_from_transcripts(&known.row);
        let status = SessionStatus {
            session: known.session.id.clone(),
            tokens: total.amount.usage,
            requests: total.amount.requests,
            tool_calls: total.amount.tool_calls,
            estimated_messages: total.estimated_messages,
            incomplete: cache.is_incomplete(),
            unseen_responses: cache.unseen.estimates(),
            uncharged_responses: cache.uncharged_responses(),
            cost: CostStatus::new(total),
            budgets: states.iter().map(BudgetStatus::from_state).collect(),
            unknown_budgets: plan::unknown_budgets(&known.ctx.config, &known.session.user, self.env),
            plan: PlanStatus::read(self.env),
            circuit: policy.enabled.then(|| circuit(MAIN_AGENT)),
            agents: agents.map(of_agent).collect(),
            throttle: None,
            stopped: report::is_stopped(cache, &held),
            held_by: HeldBy::among(&states),
            store: StoreStatus::out_of_reach(&self.failure, &cache.store_id, known.as_of()),
        };
        Some((status, states))
    }

    /// Every budget of the configuration, for every value of this machine's sessions: live ones (all known ones with
    /// `all`), and for other scopes those seen in the window.
    pub fn budgets(&self, config: &Config, all: bool) -> Vec<KnownBudget> {
        let mut found = Vec::new();
        for budget in config.budgets.iter().filter(|budget| budget.is_known(self.env.now)) {
            let since = budget.window_at(self.env.now).start;
            let is_shown = |known: &&KnownSession| match budget.scope {
                Scope::Session => all || process_tree::is_live(&known.row, self.env.now),
                _ => known.row.last_seen >= since,
            };
            let glob = WildMatch::new(&budget.matches);
            let of = |known: &KnownSession| match budget.scope {
                _ if budget.unit == Unit::Percent => vec![self.env.user()],
                Scope::Session => vec![known.session.id.clone()],
                scope => known.ctx.scope_values(&known.session, scope),
            };
            let mut values: Vec<String> = Vec::new();
            for value in self.sessions.iter().filter(is_shown).flat_map(of) {
                if !value.is_empty() && glob.matches(&value) && !values.contains(&value) {
                    values.push(value);
                }
            }
            if budget.scope != Scope::Session {
                values.sort();
            }
            found.extend(
                values.into_iter().map(|value| self.budget(&BudgetKey { budget: budget.clone(), value })),
            );
        }
        found
    }

    /// One budget: the newest of the store's answers to this machine's sessions, plus what all of them used since. Each
    /// message counts once, even if several files contain it.
    pub fn budget(&self, key: &BudgetKey) -> KnownBudget {
        let now = self.env.now;
        let answers = self
            .sessions
            .iter()
            .filter_map(|known| offline::last_answer(&known.ctx.cache, key, now).map(|state| (known, state)));
        // Sequence numbers only order the answers to one session.
        let newest = answers.max_by_key(|(known, state)| (known.ctx.cache.written, state.used));
        let (mut state, store) = match newest {
            Some((known, state)) => (state, (known.ctx.cache.store_id.as_str(), known.as_of())),
            None => {
                let window = key.budget.window_at(now);
                (BudgetState::new(&key.budget, &key.value, window), ("", None))
            }
        };
        let charged = self.sessions.iter().filter(|known| known.is_charged(key));
        let new: BTreeMap<MessageKey, &Message> = charged
            .flat_map(|known| known.unacknowledged(key))
            .filter(|(_, message)| counts(&state, message))
            .collect();
        let sum = new.values().fold(Amount::default(), |sum, message| sum.plus(message.amount()));
        state.used = state.used.saturating_add(key.budget.measure(&sum));
        KnownBudget { state, store: StoreStatus::out_of_reach(&self.failure, store.0, store.1) }
    }

    fn known(&self, row: &SessionRow) -> Option<&KnownSession<'a>> {
        self.sessions.iter().find(|known| known.row.session.id == row.session.id)
    }

    /// A session's total, from its transcripts, since caches do not contain it.
    fn total_from_transcripts(&self, row: &SessionRow) -> SessionTotal {
        let Ok(temporary) = TemporaryStore::new(self.env) else { return SessionTotal::default() };
        temporary.read_session(row);
        let id = &row.session.id;
        temporary.access().call(|store| store.session_total(id)).ok().flatten().unwrap_or_default()
    }
}

impl<'a> KnownSession<'a> {
    fn from_cache(env: &'a Env, cache: &SessionCache) -> Self {
        let mut ctx = SessionContext::for_session(env, &cache.session);
        let messages = offline::unacknowledged(&mut ctx);
        let written = cache.session.transcript.as_deref().map(session_files::last_written);
        let unreported = cache.unreported.as_ref().map(|unreported| unreported.since);
        let seen = [
            Some(cache.written),
            cache.offline_counts.as_ref().map(|c| c.at),
            cache.ended,
            unreported,
            written,
        ];
        let last_seen = seen.into_iter().flatten().max().unwrap_or_default();
        let row =
            SessionRow { session: cache.session.clone(), last_seen, ended: cache.ended, complete: false };
        Self { row: presence::with_unsent_changes(cache, &row), session: ctx.session(), ctx, messages }
    }

    /// When the store last answered it; `None` if never, or if a person's decision reset the time.
    fn as_of(&self) -> Option<Timestamp> {
        Some(self.ctx.cache.written).filter(|written| *written != Timestamp::default())
    }

    fn is_charged(&self, key: &BudgetKey) -> bool {
        self.ctx.scope_values(&self.session, key.budget.scope).contains(&key.value)
    }

    /// The messages for a budget that the store has not acknowledged.
    fn unacknowledged(&self, key: &BudgetKey) -> impl Iterator<Item = (MessageKey, &Message)> {
        let cache = &self.ctx.cache;
        // A fork starts with its parent's messages. They count as new only for budgets of the session itself.
        let is_own = key.budget.scope == Scope::Session && key.value == self.session.id;
        let began = cache.unreported.as_ref().map(|unreported| unreported.since);
        let since = began.filter(|_| cache.store_id.is_empty() && !is_own);
        let messages = self.messages.iter().map(|(key, message)| (*key, message));
        messages.filter(move |(_, message)| since.is_none_or(|since| message.at >= since))
    }
}
