//! `fusebox budget show`: shows one budget, with its alerts and decisions.

use anstyle::Style;
use serde::Serialize;

use super::super::select::{self, ConfiguredStore};
use super::super::{Io, alerts, last_known, render};
use super::target::{BudgetTarget, ResolvedBudget, resolve, resolve_among};
use crate::app::last_known::{KnownBudget, LastKnown};
use crate::app::messages::amounts::number;
use crate::app::messages::forecasts;
use crate::app::messages::replies::describe_operation;
use crate::app::messages::share;
use crate::app::operate;
use crate::app::plan::{self, UnknownBudget};
use crate::app::status::{AlertStatus, BudgetStatus, OperationStatus};
use crate::app::store_status::StoreStatus;
use crate::config::Config;
use crate::domain::alert::AlertRecord;
use crate::domain::budget::{Budget, BudgetState};
use crate::domain::operation::Operation;
use crate::platform::Env;
use crate::store::{BudgetKey, SessionRow};

/// The details of one budget.
struct BudgetDetails {
    budget: Budget,
    value: String,
    /// `None` if it was deleted, or nothing is known.
    state: Option<BudgetState>,
    /// Why nothing is known about its window, for a budget in percent.
    unknown: Option<UnknownBudget>,
    /// Decisions and alerts; `None` if the store is unreachable, since only it has them.
    history: Option<(Vec<Operation>, Vec<AlertRecord>)>,
    /// The store's status, if it is unreachable.
    store: Option<StoreStatus>,
}

/// The details as JSON.
#[derive(Serialize)]
struct BudgetDetailsJson {
    budget: Option<BudgetStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<UnknownBudget>,
    operations: Option<Vec<OperationStatus>>,
    alerts: Option<Vec<AlertStatus>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<StoreStatus>,
}

/// Runs the command.
///
/// # Errors
/// Unknown budget or value, an unusable store.
pub fn run(target: &BudgetTarget, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let found = match query_store(target, env, io) {
        Ok(found) => found,
        Err(error) => query_last_known(
            target,
            &last_known::read_last_known(env, error, io)?,
            &select::configuration(env)?,
            env,
        )?,
    };
    if target.json {
        let (operations, alerts) = found.history.as_ref().map(|(o, a)| (&o[..], &a[..])).unzip();
        let shown = BudgetDetailsJson {
            budget: found.state.as_ref().map(BudgetStatus::from_state),
            unknown: found.unknown,
            operations: operations.map(|all| {
                all.iter()
                    .map(|operation| OperationStatus::from_operation(operation, found.budget.unit))
                    .collect()
            }),
            alerts: alerts.map(|all| all.iter().map(AlertStatus::from_record).collect()),
            store: found.store,
        };
        render::json(io.out, &shown)?;
        return Ok(0);
    }
    match (&found.state, &found.unknown) {
        (Some(state), _) => print_state(state, io)?,
        (None, Some(unknown)) => io.line(&unknown.line())?,
        (None, None) => {
            let (name, scope) = (&found.budget.name, found.budget.scope.name());
            io.line(&format!("Budget {name} was deleted for {scope} {}.", found.value))?;
        }
    }
    let Some((operations, records)) = &found.history else {
        let dim = Style::new().dimmed();
        io.line(&format!(
            "  {dim}decisions and alerts: not available while the store is unreachable{dim:#}"
        ))?;
        return Ok(0);
    };
    for operation in operations {
        let what = describe_operation(&operation.kind, found.budget.unit);
        let Operation { at, actor, reason, .. } = operation;
        io.line(&format!("  {}  {what} by {actor}: {reason}", at.to_rfc3339()))?;
    }
    for record in records.iter().rev() {
        let alert = &record.alert;
        let (at, limit, used) =
            (alert.at.to_rfc3339(), number(alert.limit, alert.unit), number(alert.used, alert.unit));
        let percent = (alert.threshold * 100.0).round();
        let acknowledged = match &record.acknowledged {
            Some(acknowledgement) => alerts::acknowledged(acknowledgement),
            None => format!("not acknowledged (alert {})", alert.id),
        };
        io.line(&format!("  {at}  passed {percent}% of {limit} ({used} used), {acknowledged}"))?;
    }
    Ok(0)
}

/// The details from the store.
fn query_store(target: &BudgetTarget, env: &Env, io: &mut Io) -> anyhow::Result<BudgetDetails> {
    let (ConfiguredStore { mut store, .. }, budget, value) = resolve(target, env, io)?;
    if let Some(unknown) = unknown(&budget, &value, env) {
        let history = Some((Vec::new(), Vec::new()));
        return Ok(BudgetDetails {
            budget,
            value,
            state: None,
            unknown: Some(unknown),
            history,
            store: None,
        });
    }
    let key = BudgetKey { budget: budget.clone(), value: value.clone() };
    let state = operate::budget_state(&mut store, &key, env.now)?;
    let start = budget.window_at(env.now).start;
    let name = budget.name.as_str();
    let (mut operations, mut alerts) =
        store.call(|store| Ok((store.operations(Some(name))?, store.alerts()?)))?;
    operations.retain(|o| o.value == value && o.window_start == start);
    alerts.retain(|a| a.alert.budget == name && a.alert.value == value && a.alert.window_start == start);
    let history = Some((operations, alerts));
    Ok(BudgetDetails { budget, value, state, unknown: None, history, store: None })
}

/// Why nothing is known about a budget in percent.
fn unknown(budget: &Budget, value: &str, env: &Env) -> Option<UnknownBudget> {
    operate::ensure_known(env, budget, value).is_err().then(|| plan::unknown(budget, value, env))
}

/// The details that this machine knows.
fn query_last_known(
    target: &BudgetTarget,
    known: &LastKnown,
    own: &Config,
    env: &Env,
) -> anyhow::Result<BudgetDetails> {
    let rows = known.rows();
    if let Some(id) = &target.session {
        last_known::find_session(&rows, id)?;
    }
    let config_of = |row: &SessionRow| known.config(row).unwrap_or(own).clone();
    let ResolvedBudget { budget, value, .. } = resolve_among(target, &rows, own, config_of, env)?;
    let KnownBudget { state, store } =
        known.budget(&BudgetKey { budget: budget.clone(), value: value.clone() });
    let unknown = unknown(&budget, &value, env);
    let state = Some(state).filter(|_| unknown.is_none());
    Ok(BudgetDetails { budget, value, state, unknown, history: None, store: Some(store) })
}

fn print_state(state: &BudgetState, io: &mut Io) -> anyhow::Result<()> {
    let bold = Style::new().bold();
    let BudgetState { budget, value, .. } = state;
    io.line(&format!("{bold}{}{bold:#}  {} {value}", budget.name, budget.scope.name()))?;
    let bar = render::bar::bar(state.utilization());
    io.line(&format!("  {bar}  {}  {}", share(state), render::bar::status(state.status())))?;
    let mut parts = vec![format!("configured limit {}", number(budget.limit, budget.unit))];
    if state.extension > 0 {
        parts.push(format!("extended by {}", number(state.extension, budget.unit)));
    }
    if state.history > 0 {
        parts.push(format!(
            "raised by {} used before Fusebox was installed",
            number(state.history, budget.unit)
        ));
    }
    if let Some(hard) = state.hard_limit() {
        parts.push(format!("hard limit {}", number(hard, budget.unit)));
    }
    io.line(&format!("  {}", parts.join(" · ")))?;
    let window = match forecasts::window_end(state) {
        Some(end) => format!("{}, resets at {end}", budget.window.period),
        None => "lifetime".to_owned(),
    };
    io.line(&format!("  window {window}"))?;
    if let Some(pace) = forecasts::pace(state) {
        io.line(&format!("  {pace}"))?;
    }
    Ok(())
}
