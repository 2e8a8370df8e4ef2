//! Selects a budget and a value of its scope.

use super::super::select::{self, ConfiguredStore};
use super::super::{Io, UsageError};
use crate::agents;
use crate::app::operate::{self, Refusal};
use crate::app::session::SessionContext;
use crate::app::{backfill, operator, process_tree};
use crate::config::Config;
use crate::domain::budget::{Budget, Scope};
use crate::domain::counter::member;
use crate::platform::Env;
use crate::store::SessionRow;

/// Which budget, for which value.
#[derive(Debug, clap::Args)]
pub struct BudgetTarget {
    /// The name of the budget.
    pub name: String,
    /// The session, for a budget of scope session: an id, or the beginning of one. Default: the only live session.
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// The value of the budget's scope, such as a user, a team or a project. Default: your own.
    #[arg(long, conflicts_with = "session")]
    pub value: Option<String>,
    /// Write JSON.
    #[arg(long)]
    pub json: bool,
}

/// The budget and value that the options select, and the configuration that defines it.
///
/// # Errors
/// Unknown budget or value, an unusable store.
pub fn resolve<'a>(
    target: &BudgetTarget,
    env: &'a Env,
    io: &mut Io,
) -> anyhow::Result<(ConfiguredStore<'a>, Budget, String)> {
    let mut opened = select::open_current(env, io.err)?;
    let rows = select::sessions(&mut opened.store)?;
    // A session's budgets are in its own project's configuration; the login is the caller's.
    let config_of = |row: &SessionRow| SessionContext::for_session(env, &row.session).config;
    let ResolvedBudget { row, budget, value } = resolve_among(target, &rows, &opened.config, config_of, env)?;
    if let Some(row) = row {
        let mut ctx = backfill::catch_up(env, row, u64::MAX).0;
        operator::use_own_login(&mut ctx, &opened.config);
        return Ok((ConfiguredStore { config: ctx.config, store: ctx.store }, budget, value));
    }
    select::catch_up(env, &opened.config, &rows, io.err)?;
    Ok((opened, budget, value))
}

/// A budget selected by options.
pub struct ResolvedBudget<'r> {
    /// The session whose configuration defines it; `None`: the working folder's configuration.
    pub row: Option<&'r SessionRow>,
    /// The budget.
    pub budget: Budget,
    /// The value of its scope.
    pub value: String,
}

/// Selects a budget among the known sessions and their configurations. `own`: the working folder's.
///
/// # Errors
/// Unknown budget or value.
pub fn resolve_among<'r>(
    target: &BudgetTarget,
    rows: &'r [SessionRow],
    own: &Config,
    config_of: impl Fn(&SessionRow) -> Config,
    env: &Env,
) -> anyhow::Result<ResolvedBudget<'r>> {
    if let Some(id) = &target.session {
        let row = select::find_session(rows, id)?;
        let budget = find_budget(&config_of(row), &target.name)?;
        if budget.scope != Scope::Session {
            return Err(needs_value(&budget));
        }
        return Ok(ResolvedBudget { row: Some(row), budget, value: row.session.id.clone() });
    }
    let known = own.budgets.iter().find(|b| b.name == target.name).cloned();
    // A live session's project may define the budget. If no session is selected, the name is wrong.
    if known.is_none() && target.value.as_ref().is_none_or(|value| select::find_session(rows, value).is_err())
    {
        let mut of_others = rows.iter().filter(|row| process_tree::is_live(row, env.now)).map(&config_of);
        if !of_others.any(|config| find_budget(&config, &target.name).is_ok()) {
            find_budget(own, &target.name)?;
        }
    }
    if known.as_ref().is_none_or(|b| b.scope == Scope::Session) {
        let row = select::session_or_live(rows, target.value.as_deref(), env)?;
        let budget = find_budget(&config_of(row), &target.name)?;
        return Ok(ResolvedBudget { row: Some(row), budget, value: row.session.id.clone() });
    }
    let budget = find_budget(own, &target.name)?;
    let value = match (&target.value, budget.scope, &own.team) {
        (Some(value), ..) => value.clone(),
        (None, Scope::User, _) => env.user(),
        (None, Scope::Team, Some(team)) => team.clone(),
        (None, Scope::Member, Some(team)) => member(team, &env.user()),
        (None, Scope::Project, _) => crate::app::project::project_root(&agents::project_dir(env, &env.cwd))
            .to_string_lossy()
            .into_owned(),
        (None, ..) => return Err(needs_value(&budget)),
    };
    Ok(ResolvedBudget { row: None, budget, value })
}

fn needs_value(budget: &Budget) -> anyhow::Error {
    let (name, scope) = (&budget.name, budget.scope.name());
    UsageError(format!("budget {name} counts by {scope}: name the {scope} with --value")).into()
}

fn find_budget(config: &Config, name: &str) -> anyhow::Result<Budget> {
    Ok(operate::find_budget(&config.budgets, name).map_err(refusal_error)?.clone())
}

/// A refusal is a usage error, unless the store failed.
pub fn refusal_error(refusal: Refusal) -> anyhow::Error {
    match refusal {
        Refusal::Store(error) => error.into(),
        Refusal::Denied(problem) => anyhow::anyhow!("nothing was changed: {problem}"),
        other => UsageError(other.to_string()).into(),
    }
}
