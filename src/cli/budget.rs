//! `fusebox budget`: list, show, extend, reset, delete.

use anstyle::Style;
use serde::Serialize;

use super::render::{self, table};
use super::select::Opened;
use super::{Io, Misuse, alerts, attended, select};
use crate::app::brief::{decision, grouped, share, still_held};
use crate::app::operate::{self, Done, Refusal, Request, What};
use crate::app::report;
use crate::app::status::{AlertStatus, BudgetStatus, OperationStatus};
use crate::app::{ancestry, backfill, operator};
use crate::config::Config;
use crate::domain::budget::{Budget, BudgetState, Scope, Unit, parse_amount};
use crate::domain::operation::Operation;
use crate::env::Env;
use crate::store::{SessionRow, Watch};

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
    List {
        /// Sessions that have ended too.
        #[arg(long)]
        all: bool,
        /// Write JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show one budget: numbers, alerts, decisions.
    Show {
        #[command(flatten)]
        target: Target,
    },
    /// Raise the limit of one value, in its present window.
    Extend {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        amount: Amount,
        #[command(flatten)]
        why: Why,
    },
    /// Begin anew: what was used until now no longer counts; earlier extensions end.
    Reset {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        why: Why,
    },
    /// Let the budget no longer apply to one value, in its present window.
    Delete {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        why: Why,
    },
}

#[derive(Debug, clap::Args)]
struct Target {
    /// Name of the budget.
    name: String,
    /// The session, for a budget of scope session: an id or the beginning of one. Default: the only live one.
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// The value of the budget's scope, such as a user, a team or a project. Default: your own.
    #[arg(long, conflicts_with = "session")]
    value: Option<String>,
    /// Write JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Amount {
    /// So many tokens, such as 200000, 200_000, 200k or 1M.
    #[arg(long, value_name = "N", value_parser = units)]
    tokens: Option<u64>,
    /// So many requests.
    #[arg(long, value_name = "N", value_parser = units)]
    requests: Option<u64>,
    /// So many tool calls.
    #[arg(long, value_name = "N", value_parser = units)]
    tool_calls: Option<u64>,
}

#[derive(Debug, clap::Args)]
struct Why {
    /// Why: kept with the decision.
    #[arg(long)]
    reason: String,
}

fn units(text: &str) -> Result<u64, String> {
    parse_amount(text).ok_or_else(|| "give a whole number, such as 200000, 200_000, 200k or 1M".to_owned())
}

/// Runs it.
///
/// # Errors
/// No such budget or value, a refused decision, a store that cannot be used.
pub fn run(args: &BudgetArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    match &args.command {
        Command::List { all, json } => list(*all, *json, env, io),
        Command::Show { target } => show(target, env, io),
        Command::Extend { target, amount, why } => {
            let (amount, unit) = match amount {
                Amount { requests: Some(n), .. } => (*n, Unit::Requests),
                Amount { tool_calls: Some(n), .. } => (*n, Unit::ToolCalls),
                Amount { tokens, .. } => (tokens.unwrap_or(0), Unit::Tokens),
            };
            decide("fusebox budget extend", target, What::Extend { amount, unit: Some(unit) }, why, env, io)
        }
        Command::Reset { target, why } => decide("fusebox budget reset", target, What::Reset, why, env, io),
        Command::Delete { target, why } => {
            decide("fusebox budget delete", target, What::Delete, why, env, io)
        }
    }
}

fn list(all: bool, json: bool, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let Opened { config, mut store } = select::store(env, io.err)?;
    let rows = select::sessions(&mut store)?;
    select::read_on(env, &rows, io.err)?;
    let states = report::budgets(&config, &mut store, &rows, all, env.now)?;
    if json {
        render::json(io.out, &states.iter().map(BudgetStatus::of).collect::<Vec<_>>())?;
    } else if states.is_empty() {
        writeln!(io.out, "Nothing is counted at the moment; --all lists sessions that have ended too.")?;
    } else {
        write!(io.out, "{}", table::budgets(&states))?;
    }
    Ok(0)
}

/// The budget meant, for the value meant, with the configuration that it stands in.
fn resolve<'a>(target: &Target, env: &'a Env, io: &mut Io) -> anyhow::Result<(Opened<'a>, Budget, String)> {
    let mut opened = select::store(env, io.err)?;
    let rows = select::sessions(&mut opened.store)?;
    // A session's budgets are those of its own project's configuration; the login is that of whoever asks.
    let own = opened.config.clone();
    let of_session = |row: &SessionRow| {
        let mut ctx = backfill::read_on(env, row, u64::MAX).0;
        operator::log_in(&mut ctx, &own);
        Opened { config: ctx.config, store: ctx.store }
    };
    if let Some(id) = &target.session {
        let row = select::named(&rows, id)?;
        let opened = of_session(row);
        let budget = find(&opened.config, &target.name)?;
        if budget.scope != Scope::Session {
            let scope = budget.scope.name();
            return Err(
                Misuse(format!("budget {} counts by {scope}: name one with --value", budget.name)).into()
            );
        }
        return Ok((opened, budget, row.session.id.clone()));
    }
    let known = opened.config.budgets.iter().find(|b| b.name == target.name).cloned();
    // A live session's project may have one of that name. Where none is meant, the name is what is wrong.
    if known.is_none() && target.value.as_ref().is_none_or(|value| select::named(&rows, value).is_err()) {
        let of_others = rows.iter().filter(|row| ancestry::is_live(row, env.now));
        if !of_others.map(of_session).any(|of| find(&of.config, &target.name).is_ok()) {
            find(&opened.config, &target.name)?;
        }
    }
    if known.as_ref().is_none_or(|b| b.scope == Scope::Session) {
        let row = select::one(&rows, target.value.as_deref(), env)?;
        let opened = of_session(row);
        let budget = find(&opened.config, &target.name)?;
        return Ok((opened, budget, row.session.id.clone()));
    }
    select::read_on(env, &rows, io.err)?;
    let budget = find(&opened.config, &target.name)?;
    let value = match (&target.value, budget.scope, &opened.config.team) {
        (Some(value), ..) => value.clone(),
        (None, Scope::User, _) => env.user(),
        (None, Scope::Team, Some(team)) => team.clone(),
        (None, Scope::Project, _) => {
            crate::app::project::of(&env.project_dir(&env.cwd)).to_string_lossy().into_owned()
        }
        (None, scope, _) => {
            let scope = scope.name();
            return Err(
                Misuse(format!("budget {} counts by {scope}: name one with --value", budget.name)).into()
            );
        }
    };
    Ok((opened, budget, value))
}

fn find(config: &Config, name: &str) -> anyhow::Result<Budget> {
    Ok(operate::find(&config.budgets, name).map_err(refused)?.clone())
}

/// A refusal is wrong use, unless the store failed.
fn refused(refusal: Refusal) -> anyhow::Error {
    match refusal {
        Refusal::Store(error) => error.into(),
        Refusal::Denied(problem) => anyhow::anyhow!("nothing was changed: {problem}"),
        other => Misuse(other.to_string()).into(),
    }
}

#[derive(Serialize)]
struct Shown {
    budget: Option<BudgetStatus>,
    operations: Vec<OperationStatus>,
    alerts: Vec<AlertStatus>,
}

fn show(target: &Target, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let (Opened { mut store, .. }, budget, value) = resolve(target, env, io)?;
    let watch = Watch { budget: budget.clone(), value: value.clone() };
    let state = operate::state(&mut store, &watch, env.now)?;
    let start = budget.window.at(env.now).start;
    let name = budget.name.as_str();
    let (mut operations, mut alerts) =
        store.call(|store| Ok((store.operations(Some(name))?, store.alerts()?)))?;
    operations.retain(|o| o.value == value && o.window_start == start);
    alerts.retain(|a| a.alert.budget == name && a.alert.value == value && a.alert.window_start == start);
    if target.json {
        let shown = Shown {
            budget: state.as_ref().map(BudgetStatus::of),
            operations: operations.iter().map(OperationStatus::of).collect(),
            alerts: alerts.iter().map(AlertStatus::of).collect(),
        };
        render::json(io.out, &shown)?;
        return Ok(0);
    }
    match &state {
        Some(state) => details(state, io)?,
        None => writeln!(io.out, "Budget {name} was deleted for {} {value}.", budget.scope.name())?,
    }
    for operation in &operations {
        let what = decision(&operation.decision);
        let Operation { at, actor, reason, .. } = operation;
        writeln!(io.out, "  {}  {what} by {actor}: {reason}", at.to_rfc3339())?;
    }
    for record in alerts.iter().rev() {
        let alert = &record.alert;
        let (at, limit, used) = (alert.at.to_rfc3339(), grouped(alert.limit), grouped(alert.used));
        let percent = (alert.threshold * 100.0).round();
        let acknowledged = match &record.acknowledged {
            Some(acknowledgement) => alerts::acknowledged(acknowledgement),
            None => format!("not acknowledged (alert {})", alert.id),
        };
        writeln!(io.out, "  {at}  passed {percent}% of {limit} ({used} used), {acknowledged}")?;
    }
    Ok(0)
}

fn details(state: &BudgetState, io: &mut Io) -> anyhow::Result<()> {
    let bold = Style::new().bold();
    let BudgetState { budget, value, .. } = state;
    writeln!(io.out, "{bold}{}{bold:#}  {} {value}", budget.name, budget.scope.name())?;
    let bar = render::bar::bar(state.utilization());
    writeln!(io.out, "  {bar}  {}  {}", share(state), render::bar::status(state.status()))?;
    let mut parts = vec![format!("configured limit {}", grouped(budget.limit))];
    if state.extension > 0 {
        parts.push(format!("extended by {}", grouped(state.extension)));
    }
    if state.history > 0 {
        parts.push(format!("raised by {} held before Fusebox was installed", grouped(state.history)));
    }
    if let Some(hard) = state.hard_limit() {
        parts.push(format!("hard limit {}", grouped(hard)));
    }
    writeln!(io.out, "  {}", parts.join(" · "))?;
    let window = match state.window.end {
        Some(end) => format!("{}, starts afresh at {}", budget.window.period.name(), end.to_rfc3339()),
        None => "lifetime".to_owned(),
    };
    writeln!(io.out, "  window {window}")?;
    Ok(())
}

#[derive(Serialize)]
struct Decided {
    operation: OperationStatus,
    before: Option<BudgetStatus>,
    after: Option<BudgetStatus>,
}

fn decide(
    command: &str,
    target: &Target,
    what: What,
    why: &Why,
    env: &Env,
    io: &mut Io,
) -> anyhow::Result<u8> {
    attended::refuse_in_agent(env, command)?;
    let (Opened { config, mut store }, budget, value) = resolve(target, env, io)?;
    let request = Request {
        budget: budget.name,
        value,
        what,
        reason: why.reason.clone(),
        actor: env.user(),
        once: String::new(),
    };
    let done = operate::operate(env, &config, &mut store, &request).map_err(refused)?;
    let Done { operation, before, after, warnings } = done;
    for warning in warnings {
        writeln!(io.err, "fusebox: {warning}")?;
    }
    if budget.scope != Scope::Session && before.as_ref().is_some_and(|before| before.used == 0) {
        let (scope, value) = (budget.scope.name(), &request.value);
        writeln!(
            io.err,
            "fusebox: nothing has been counted for {scope} {value} in this window: mind how it is written"
        )?;
    }
    if target.json {
        let (before, after) = (before.as_ref().map(BudgetStatus::of), after.as_ref().map(BudgetStatus::of));
        let operation = OperationStatus::of(&operation);
        render::json(io.out, &Decided { operation, before, after })?;
        return Ok(0);
    }
    let of = |state: &Option<BudgetState>| state.as_ref().map_or("deleted".to_owned(), share);
    writeln!(io.out, "{} ({} {})", request.budget, budget.scope.name(), request.value)?;
    writeln!(io.out, "  {} → {}", of(&before), of(&after))?;
    if let Some(state) = after.filter(BudgetState::blocks) {
        writeln!(io.err, "{}", still_held(&state))?;
    }
    Ok(0)
}
