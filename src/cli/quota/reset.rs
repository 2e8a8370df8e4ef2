//! `fusebox quota reset`: a person resets every budget of a platform.

use serde::Serialize;

use super::super::budget::refusal_error;
use super::super::select::{self, ConfiguredStore};
use super::super::{Io, UsageError, confirm, person_only, render, values};
use super::request::ensure_known;
use crate::app::messages::share;
use crate::app::operate::{self, BudgetChange, OperationRequest};
use crate::app::quota::platform_budgets;
use crate::app::status::BudgetStatus;
use crate::domain::budget::BudgetState;
use crate::platform::Env;

/// Start again from zero, for every budget of a platform.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Earlier use and earlier reservations no longer count, and earlier extensions end. `fusebox budget reset` resets one \
budget.

Examples:
  fusebox quota reset --platform gemini --reason \"the vendor raised our quota\"
  fusebox quota reset --platform gemini --reason \"new key\" --yes"
)]
pub struct ResetArgs {
    /// The platform.
    #[arg(long, value_name = "NAME", value_parser = values::name)]
    platform: String,
    /// The reason, stored with the decision.
    #[arg(long)]
    reason: String,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Write JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct ResetJson {
    budget: String,
    before: Option<BudgetStatus>,
    after: Option<BudgetStatus>,
}

/// Runs the command.
///
/// # Errors
/// It runs in an agent's shell, is not confirmed, or the store cannot be used.
pub fn run(args: &ResetArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    person_only::refuse_in_agent(env, "fusebox quota reset")?;
    let ResetArgs { platform, reason, yes, json } = args;
    ensure_known(&select::configuration(env)?, platform)?;
    if reason.trim().is_empty() {
        return Err(UsageError("a reason is required: --reason \"why\"".into()).into());
    }
    if !yes && !confirm::can_ask() {
        let refusal = "`fusebox quota reset` asks before it resets, but there is no terminal; add --yes";
        return Err(UsageError(refusal.into()).into());
    }
    let ConfiguredStore { config, mut store } =
        select::open_current(env, io.err).map_err(select::with_unchanged)?;
    let budgets = platform_budgets(&config)
        .filter(|budget| wildmatch::WildMatch::new(&budget.matches).matches(platform));
    let requests: Vec<OperationRequest> = budgets
        .map(|budget| OperationRequest {
            budget: budget.name.clone(),
            value: platform.clone(),
            change: BudgetChange::Reset,
            reason: reason.clone(),
            actor: env.user(),
            idempotency_key: String::new(),
        })
        .collect();
    if requests.is_empty() {
        return Err(UsageError(format!("no budget counts platform {platform}")).into());
    }
    let names = requests.iter().map(|request| request.budget.as_str()).collect::<Vec<_>>().join(", ");
    let names = format!("{} {names}", if requests.len() == 1 { "budget" } else { "budgets" });
    if !yes && !confirm::ask(&format!("Reset {names} of platform {platform}?"), io)? {
        writeln!(io.err, "Nothing was changed.")?;
        return Ok(2);
    }
    let mut done = Vec::new();
    for (request, applied) in requests.iter().zip(operate::operate_each(env, &config, &mut store, &requests))
    {
        let applied = applied.map_err(|refusal| refusal_error(refusal).context(request.budget.clone()))?;
        for warning in &applied.warnings {
            writeln!(io.err, "fusebox: {warning}")?;
        }
        let of = |state: &Option<BudgetState>| state.as_ref().map_or("deleted".to_owned(), share);
        if !json {
            io.line(&format!("{} (platform {platform})", request.budget))?;
            io.line(&format!("  {} → {}", of(&applied.before), of(&applied.after)))?;
        }
        let status = |state: &Option<BudgetState>| state.as_ref().map(BudgetStatus::from_state);
        let (before, after) = (status(&applied.before), status(&applied.after));
        done.push(ResetJson { budget: request.budget.clone(), before, after });
    }
    if *json {
        render::json(io.out, &done)?;
    }
    Ok(0)
}
