//! The current status of sessions and budgets.

use wildmatch::WildMatch;

use super::held_by::HeldBy;
use super::plan::{self, PlanStatus};
use super::session::SessionContext;
use super::status::{AgentStatus, BudgetStatus, CircuitStatus, CostStatus, SessionStatus, ThrottleStatus};
use super::store_access::{self, StoreAccess};
use super::store_status::StoreStatus;
use super::{backfill, process_tree};
use crate::config::Config;
use crate::domain::breaker::circuit::CircuitBreaker;
use crate::domain::budget::{Budget, BudgetState, Scope, Unit};
use crate::domain::escalation::{HoldCause, MAIN_AGENT};
use crate::domain::time::Timestamp;
use crate::platform::Env;
use crate::store::cache_file::CacheFile;
use crate::store::session_cache::SessionCache;
use crate::store::{BudgetKey, CircuitRow, Session, SessionRow, SessionTotal};

/// Reads a session to its end, and returns its status.
///
/// # Errors
/// The store cannot be read or written.
pub fn session_status(
    env: &Env,
    row: &SessionRow,
) -> store_access::Result<(SessionStatus, Vec<BudgetState>)> {
    let (mut ctx, mut recorded) = backfill::catch_up(env, row, u64::MAX);
    if let Some(failure) = recorded.failure.take() {
        return Err(failure);
    }
    let SessionContext { config, cache, store, .. } = &mut ctx;
    let store_status = StoreStatus::read(store, env.now)?;
    let status = status_of(env, &row.session, config, cache, store, &recorded.states, store_status)?;
    Ok((status, recorded.states))
}

/// The status of a session as `store` has it. `config`, `cache`: those of its hooks; `states`: its budgets.
pub(super) fn status_of(
    env: &Env,
    session: &Session,
    config: &Config,
    cache: &SessionCache,
    store: &mut StoreAccess,
    states: &[BudgetState],
    store_status: StoreStatus,
) -> store_access::Result<SessionStatus> {
    let id = &session.id;
    let (file, user) = (CacheFile::for_session(&env.cache_dir(), id), &session.user);
    let (total, circuits, slots) =
        store.call(|store| Ok((store.session_total(id)?, store.circuits(Some(id))?, store.slots(id)?)))?;
    let total = total.unwrap_or_default();
    let policy = config.breaker;
    let circuit = |row: &CircuitRow| CircuitStatus::new(&row.breaker, &policy);
    let main = circuits.iter().find(|row| row.agent.is_empty()).map(circuit);
    let of_agents = circuits.iter().filter(|row| policy.enabled && !row.agent.is_empty());
    let throttle = config.throttle.map(|throttling| {
        let max = slots.reported_concurrency.unwrap_or(throttling.max_concurrency);
        ThrottleStatus {
            live: slots.live(),
            max,
            throttled: max < throttling.max_concurrency,
            total: slots.total,
        }
    });
    Ok(SessionStatus {
        session: id.clone(),
        tokens: total.amount.usage,
        requests: total.amount.requests,
        tool_calls: total.amount.tool_calls,
        estimated_messages: total.estimated_messages,
        incomplete: total.unseen_messages > 0 || cache.uncharged_responses() > 0,
        unseen_responses: total.unseen_messages,
        uncharged_responses: cache.uncharged_responses(),
        cost: CostStatus::new(SessionTotal {
            // The totals in its transcripts are exact; it writes them when it ends.
            client_nano_usd: total.client_nano_usd.or_else(|| client_cost(&file, cache)),
            ..total
        }),
        budgets: states.iter().map(BudgetStatus::from_state).collect(),
        unknown_budgets: plan::unknown_budgets(config, user, env),
        plan: PlanStatus::read(env),
        circuit: policy
            .enabled
            .then(|| main.unwrap_or_else(|| CircuitStatus::new(&CircuitBreaker::default(), &policy))),
        agents: of_agents.map(|row| (row.agent.clone(), AgentStatus { circuit: circuit(row) })).collect(),
        throttle,
        stopped: is_stopped(cache, states),
        held_by: HeldBy::among(states),
        store: store_status,
    })
}

/// What the client reckons that a session cost, as it told its status line after the session's last response; `None` if
/// it did not, or there were responses since.
pub fn client_cost(file: &CacheFile, cache: &SessionCache) -> Option<u64> {
    let cost = file.client_cost()?;
    let last = cache.positions.values().filter_map(|position| position.last_message_at).max()?;
    (cost.at >= last).then_some(cost.nano_usd)
}

/// Whether a session is stopped by a cause that still applies, given these budgets.
pub(super) fn is_stopped(cache: &SessionCache, states: &[BudgetState]) -> bool {
    let Some(cause) = cache.escalation.stopped() else { return false };
    let holds = |s: &BudgetState| s.blocks() && HoldCause::from_budget(s) == *cause;
    let circuit = cache.circuit(MAIN_AGENT).map(|breaker| HoldCause::Breaker { epoch: breaker.epoch });
    states.iter().any(holds) || circuit.as_ref() == Some(cause)
}

/// Every budget of the configuration, for every value: live sessions (all known ones with `all`), and for other scopes
/// the values charged in the window. Without those in percent, see [`plan_states`].
///
/// # Errors
/// The store cannot be read.
pub fn budget_states(
    config: &Config,
    store: &mut StoreAccess,
    rows: &[SessionRow],
    all: bool,
    now: Timestamp,
) -> store_access::Result<Vec<BudgetState>> {
    let mut budget_keys = Vec::new();
    for budget in config.budgets.iter().filter(|budget| budget.unit != Unit::Percent) {
        let values = match budget.scope {
            Scope::Session => {
                let shown = rows.iter().filter(|row| all || process_tree::is_live(row, now));
                shown.map(|row| row.session.id.clone()).collect()
            }
            scope => store.call(|store| store.values(scope, budget.window_at(now).start))?,
        };
        let glob = WildMatch::new(&budget.matches);
        let fits = values.into_iter().filter(|value| glob.matches(value));
        budget_keys.extend(fits.map(|value| BudgetKey { budget: budget.clone(), value }));
    }
    store.call(|store| store.states(&budget_keys, now))
}

/// The budgets in percent that something is known about. They have one value: this user, whose account it is.
///
/// # Errors
/// The store cannot be read.
pub fn plan_states(
    env: &Env,
    config: &Config,
    store: &mut StoreAccess,
) -> store_access::Result<Vec<BudgetState>> {
    let known = |budget: &&Budget| budget.unit == Unit::Percent && budget.is_known(env.now);
    let key = |budget: &Budget| BudgetKey { budget: budget.clone(), value: env.user() };
    let budget_keys: Vec<BudgetKey> = config.budgets.iter().filter(known).map(key).collect();
    match budget_keys.is_empty() {
        true => Ok(Vec::new()),
        false => store.call(|store| store.states(&budget_keys, env.now)),
    }
}
