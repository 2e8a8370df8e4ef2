//! Which budgets hold somebody back now: for scripts that wait until they may go on.

use wildmatch::WildMatch;

use super::quota::{QuotaBudget, Quotas, platform_budgets};
use super::{operate, project};
use crate::agents;
use crate::config::Config;
use crate::domain::budget::{Budget, BudgetState, Scope, Unit};
use crate::platform::Env;
use crate::store::{BudgetKey, Result, Store};

/// Whose budgets to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concern {
    /// A budget, for the caller's own value of its scope.
    Budget(String),
    /// The budgets of a platform.
    Platform(String),
    /// All of the caller: user, team, project, session, task type, chain, and all platforms.
    Everything,
}

/// A budget that holds the caller back.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// The budget.
    pub state: BudgetState,
    /// What open reservations hold of it.
    pub reserved: u64,
}

/// The budgets that hold the caller back now: at their limit, and of platforms also those whose rest is reserved.
///
/// # Errors
/// The store cannot be read.
pub fn held(env: &Env, config: &Config, store: &mut dyn Store, concern: &Concern) -> Result<Vec<Held>> {
    let mut held = Vec::new();
    let of_platforms: Vec<&Budget> =
        platform_budgets(config).filter(|budget| is_concerned(budget, concern)).collect();
    if !of_platforms.is_empty() {
        let only = if let Concern::Platform(name) = concern { Some(name.as_str()) } else { None };
        let platforms = Quotas::new(store, config, env.now)?.status(only)?;
        let budgets = platforms.into_iter().flat_map(|platform| platform.budgets);
        let full = budgets.filter(|one| {
            one.is_full() && of_platforms.iter().any(|budget| budget.name == one.state.budget.name)
        });
        held.extend(full.map(|QuotaBudget { state, reserved_units: reserved, .. }| Held { state, reserved }));
    }
    let mut keys = Vec::new();
    for budget in config.budgets.iter().filter(|budget| budget.scope != Scope::Platform) {
        if !is_concerned(budget, concern) {
            continue;
        }
        let glob = WildMatch::new(&budget.matches);
        let values = own_values(env, config, store, budget, concern)?;
        let known = values
            .into_iter()
            .filter(|value| glob.matches(value) && operate::ensure_known(env, budget, value).is_ok());
        keys.extend(known.map(|value| BudgetKey { budget: budget.clone(), value }));
    }
    if !keys.is_empty() {
        let states = store.states(&keys, env.now)?.into_iter().filter(BudgetState::blocks);
        held.extend(states.map(|state| Held { state, reserved: 0 }));
    }
    Ok(held)
}

fn is_concerned(budget: &Budget, concern: &Concern) -> bool {
    match concern {
        Concern::Budget(name) => budget.name == *name,
        Concern::Platform(name) => {
            budget.scope == Scope::Platform && WildMatch::new(&budget.matches).matches(name)
        }
        Concern::Everything => true,
    }
}

/// The caller's own values of a budget's scope.
fn own_values(
    env: &Env,
    config: &Config,
    store: &mut dyn Store,
    budget: &Budget,
    concern: &Concern,
) -> Result<Vec<String>> {
    if budget.unit == Unit::Percent {
        // It is about an account, whatever its scope.
        return Ok(vec![env.user()]);
    }
    let own = match budget.scope {
        // Which model or agent comes next is not known: only a budget that is named concerns all of them.
        Scope::Model | Scope::AgentType if matches!(concern, Concern::Budget(_)) => {
            return store.values(budget.scope, budget.window_at(env.now).start);
        }
        scope => own_value(env, config, scope),
    };
    Ok(own.into_iter().collect())
}

/// Whether a budget counts something that the caller is not part of, such as a session outside of any.
pub fn is_out_of_scope(env: &Env, config: &Config, budget: &Budget) -> bool {
    let is_known_otherwise = matches!(budget.scope, Scope::Model | Scope::AgentType | Scope::Platform);
    budget.unit != Unit::Percent && !is_known_otherwise && own_value(env, config, budget.scope).is_none()
}

/// The caller's own value of a scope, if there is one.
fn own_value(env: &Env, config: &Config, scope: Scope) -> Option<String> {
    let session = || session(env);
    match scope {
        Scope::User => Some(env.user()),
        Scope::Team => config.team.clone(),
        Scope::Member => config.team.as_ref().map(|team| format!("{team}/{}", env.user())),
        Scope::Project => {
            let folder = project::project_root(&agents::project_dir(env, &env.cwd));
            Some(folder.to_string_lossy().into_owned())
        }
        Scope::Session => session(),
        Scope::TaskType => env.var("FUSEBOX_TASK_TYPE").map(str::to_owned),
        Scope::Chain => env.chain().or_else(session),
        Scope::Model | Scope::AgentType | Scope::Platform | Scope::History => None,
    }
}

/// The session in whose shell the caller runs.
fn session(env: &Env) -> Option<String> {
    let variable = |name: &str| env.var(name).map(str::to_owned);
    agents::ALL.iter().find_map(|agent| agent.inherited_env(&variable).session)
}
