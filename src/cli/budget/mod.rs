//! `fusebox budget`: list, show, extend, reset, delete.

mod show;
mod target;

use anyhow::Context;
use serde::Serialize;

pub(super) use self::target::refusal_error;
use self::target::{BudgetTarget, resolve};
use super::render::{self, table};
use super::select::ConfiguredStore;
use super::{Io, last_known, person_only, select};
use crate::app::messages::replies::still_blocked;
use crate::app::messages::share;
use crate::app::operate::{self, AppliedOperation, BudgetChange, OperationRequest};
use crate::app::plan::{self, UnknownBudget};
use crate::app::report;
use crate::app::status::{BudgetStatus, OperationStatus};
use crate::app::store_status::StoreStatus;
use crate::domain::amount::WrittenAmount;
use crate::domain::budget::{BudgetState, Scope, Unit};
use crate::platform::Env;

/// List, show, extend, reset and delete budgets.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fusebox budget list
  fusebox budget show session --session 3f2a
  fusebox budget extend session --tokens 200000 --reason \"migration needs it\"
  fusebox budget extend daily --value alice --requests 50 --reason \"release day\"
  fusebox budget reset session --reason \"new task in the same session\"")]
pub struct BudgetArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List every budget for every value that it counts.
    #[command(after_help = "Examples:
  fusebox budget list
  fusebox budget list --all --json | jq '.[] | select(.status != \"active\")'")]
    List {
        /// Include sessions that have ended.
        #[arg(long)]
        all: bool,
        /// Write JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show the numbers, alerts and decisions of one budget.
    #[command(after_help = "Examples:
  fusebox budget show session --session 3f2a
  fusebox budget show daily --json")]
    Show {
        #[command(flatten)]
        target: BudgetTarget,
    },
    /// Raise a budget's limit for one value, in its current window.
    #[command(after_help = "Examples:
  fusebox budget extend session --tokens 200k --reason \"nearly done\"
  fusebox budget extend daily --value alice --requests 50 --reason \"release day\"")]
    Extend {
        #[command(flatten)]
        target: BudgetTarget,
        #[command(flatten)]
        amount: Box<AmountArgs>,
        #[command(flatten)]
        why: ReasonArg,
    },
    /// Start again from zero: earlier use no longer counts, and earlier extensions end.
    #[command(after_help = "Examples:
  fusebox budget reset session --reason \"new task in the same session\"")]
    Reset {
        #[command(flatten)]
        target: BudgetTarget,
        #[command(flatten)]
        why: ReasonArg,
    },
    /// Stop applying a budget to one value, in its current window.
    #[command(after_help = "Examples:
  fusebox budget delete daily --value alice --reason \"on call tonight\"")]
    Delete {
        #[command(flatten)]
        target: BudgetTarget,
        #[command(flatten)]
        why: ReasonArg,
    },
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct AmountArgs {
    /// Tokens to add, such as 200000, 200_000, 200k or 1M.
    #[arg(long, value_name = "N", value_parser = parse_units)]
    tokens: Option<WrittenAmount>,
    /// Requests to add.
    #[arg(long, value_name = "N", value_parser = parse_units)]
    requests: Option<WrittenAmount>,
    /// Tool calls to add.
    #[arg(long, value_name = "N", value_parser = parse_units)]
    tool_calls: Option<WrittenAmount>,
    /// Dollars to add, such as 5 or 2.50.
    #[arg(long, value_name = "N", value_parser = parse_dollars)]
    usd: Option<WrittenAmount>,
    /// Percent of the subscription's window to add, such as 5 or 2.50.
    #[arg(long, value_name = "N", value_parser = parse_percent)]
    percent: Option<WrittenAmount>,
}

#[derive(Debug, clap::Args)]
struct ReasonArg {
    /// The reason, stored with the decision.
    #[arg(long)]
    reason: String,
}

/// Parses an amount that a budget with this unit can be extended by.
///
/// # Errors
/// What to write instead.
pub(super) fn parse_amount(text: &str, unit: Unit) -> Result<WrittenAmount, String> {
    if unit == Unit::Usd { parse_dollars(text) } else { parse_units(text) }
}

fn parse_units(text: &str) -> Result<WrittenAmount, String> {
    WrittenAmount::parse(text)
        .filter(|amount| amount.in_unit(Unit::Tokens).is_some())
        .ok_or_else(|| "use a whole number, such as 200000, 200,000, 200k or 1M".to_owned())
}

/// Parses an amount in dollars.
///
/// # Errors
/// What to write instead.
pub(super) fn parse_dollars(text: &str) -> Result<WrittenAmount, String> {
    WrittenAmount::parse(text)
        .filter(|amount| amount.in_unit(Unit::Usd).is_some())
        .ok_or_else(|| "use dollars, with a point before the cents: 5, 2.50 or 1,234.50".to_owned())
}

fn parse_percent(text: &str) -> Result<WrittenAmount, String> {
    WrittenAmount::parse(text)
        .filter(|amount| amount.in_unit(Unit::Percent).is_some())
        .ok_or_else(|| "use percent with at most two decimals, such as 5 or 2.50".to_owned())
}

/// Runs the command.
///
/// # Errors
/// Unknown budget or value, a refused decision, an unusable store.
pub fn run(args: &BudgetArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    match &args.command {
        Command::List { all, json } => list(*all, *json, env, io),
        Command::Show { target } => show::run(target, env, io),
        Command::Extend { target, amount, why } => {
            let AmountArgs { tokens, requests, tool_calls, usd, percent } = **amount;
            let named = [
                (tokens, Unit::Tokens),
                (requests, Unit::Requests),
                (tool_calls, Unit::ToolCalls),
                (usd, Unit::Usd),
                (percent, Unit::Percent),
            ];
            let named = named.into_iter().find_map(|(amount, unit)| Some((amount?, unit)));
            let (amount, unit) = named.context("an amount is required")?;
            decide(
                "fusebox budget extend",
                target,
                BudgetChange::Extend { amount, unit: Some(unit) },
                why,
                env,
                io,
            )
        }
        Command::Reset { target, why } => {
            decide("fusebox budget reset", target, BudgetChange::Reset, why, env, io)
        }
        Command::Delete { target, why } => {
            decide("fusebox budget delete", target, BudgetChange::Delete, why, env, io)
        }
    }
}

fn list(all: bool, json: bool, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let (states, stores) = match query_store(all, env, io) {
        Ok(states) => (states, Vec::new()),
        Err(error) => {
            let known =
                last_known::read_last_known(env, error, io)?.budgets(&select::configuration(env)?, all);
            known.into_iter().map(|known| (known.state, known.store)).unzip()
        }
    };
    let unknown = plan::unknown_budgets(&select::configuration(env)?, &env.user(), env);
    if json {
        // Current answers have no store status.
        let stores = stores.into_iter().map(Some).chain(std::iter::repeat(None));
        let known = |(state, store): (&BudgetState, Option<StoreStatus>)| {
            let known = Some(BudgetStatus::from_state(state));
            BudgetJson { known, store, ..BudgetJson::default() }
        };
        let unknown =
            unknown.iter().map(|budget| BudgetJson { unknown: Some(budget), ..BudgetJson::default() });
        let all = states.iter().zip(stores).map(known).chain(unknown);
        render::json(io.out, &all.collect::<Vec<_>>())?;
        return Ok(0);
    }
    if states.is_empty() && unknown.is_empty() {
        writeln!(io.out, "Nothing is being counted; --all includes sessions that have ended.")?;
    } else if !states.is_empty() {
        write!(io.out, "{}", table::budgets(&states))?;
    }
    unknown.iter().try_for_each(|unknown| io.line(&unknown.line()))?;
    Ok(0)
}

/// Every budget, after catching up on all sessions.
fn query_store(all: bool, env: &Env, io: &mut Io) -> anyhow::Result<Vec<BudgetState>> {
    let ConfiguredStore { config, mut store } = select::open_current(env, io.err)?;
    let rows = select::sessions(&mut store)?;
    select::catch_up(env, &config, &rows, io.err)?;
    let mut states = report::budget_states(&config, &mut store, &rows, all, env.now)?;
    states.extend(report::plan_states(env, &config, &mut store)?);
    Ok(states)
}

/// A budget as JSON, with the store's status if it is unreachable; or one in percent, without a reading.
#[derive(Default, Serialize)]
struct BudgetJson<'a> {
    #[serde(flatten)]
    known: Option<BudgetStatus>,
    #[serde(flatten)]
    unknown: Option<&'a UnknownBudget>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<StoreStatus>,
}

#[derive(Serialize)]
struct OperationJson {
    operation: OperationStatus,
    before: Option<BudgetStatus>,
    after: Option<BudgetStatus>,
}

fn decide(
    command: &str,
    target: &BudgetTarget,
    change: BudgetChange,
    why: &ReasonArg,
    env: &Env,
    io: &mut Io,
) -> anyhow::Result<u8> {
    person_only::refuse_in_agent(env, command)?;
    let (ConfiguredStore { config, mut store }, budget, value) =
        resolve(target, env, io).map_err(select::with_unchanged)?;
    let request = OperationRequest {
        budget: budget.name,
        value,
        change,
        reason: why.reason.clone(),
        actor: env.user(),
        idempotency_key: String::new(),
    };
    let done = operate::operate(env, &config, &mut store, &request).map_err(refusal_error)?;
    let AppliedOperation { operation, before, after, warnings } = done;
    for warning in warnings {
        writeln!(io.err, "fusebox: {warning}")?;
    }
    let is_counted = budget.scope != Scope::Session && budget.unit != Unit::Percent;
    if is_counted && before.as_ref().is_some_and(|before| before.used == 0) {
        let (scope, value) = (budget.scope.name(), &request.value);
        let said = match target.value {
            Some(_) => {
                format!("nothing has been counted for {scope} {value} in this window: check the spelling")
            }
            None => format!("{scope} {value} has used nothing in this window yet"),
        };
        writeln!(io.err, "fusebox: {said}")?;
    }
    if target.json {
        let (before, after) =
            (before.as_ref().map(BudgetStatus::from_state), after.as_ref().map(BudgetStatus::from_state));
        let operation = OperationStatus::from_operation(&operation, budget.unit);
        render::json(io.out, &OperationJson { operation, before, after })?;
        return Ok(0);
    }
    let of = |state: &Option<BudgetState>| state.as_ref().map_or("deleted".to_owned(), share);
    writeln!(io.out, "{} ({} {})", request.budget, budget.scope.name(), request.value)?;
    writeln!(io.out, "  {} → {}", of(&before), of(&after))?;
    if let Some(state) = after.filter(BudgetState::blocks) {
        writeln!(io.err, "{}", still_blocked(&state))?;
    }
    Ok(0)
}
