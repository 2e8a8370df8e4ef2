//! Budgets: list, show, extend, reset.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::access::Caller;
use super::super::extract::{Body, Path, Query};
use super::super::problem::{DecisionProblems, Problem, ReadProblems};
use super::super::{Server, idempotency};
use super::page::Page;
use crate::app::operate::{BudgetChange, OperationRequest};
use crate::app::snapshot::{BudgetEntry, Snapshot};
use crate::domain::amount::{Count, WrittenAmount};
use crate::domain::budget::{BudgetState, Mode, Scope, Unit};
use crate::domain::money::NANOS_PER_USD;
use crate::domain::plan::UNITS_PER_PERCENT;
use crate::domain::time::Timestamp;

/// The addresses.
pub fn router() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(extend))
        .routes(routes!(reset))
}

/// A budget for one value of its scope.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct BudgetJson {
    /// Names the budget in addresses.
    budget_id: String,
    /// The name in the configuration.
    name: String,
    /// What it counts over: `session`, `user`, `team`, …
    scope: &'static str,
    /// The value of the scope, such as a session's id.
    value: String,
    /// The agent that it counts: a session's id, or a type of agents; `null` for other scopes.
    agent_id: Option<String>,
    /// The task: the type of tasks that it counts, or that its session declared; `null` if there is none.
    task_id: Option<String>,
    /// What it counts: `tokens`, `usd`, …
    #[schema(value_type = String)]
    unit: Unit,
    /// Tokens used in the window; `null` if it counts something else.
    tokens_used: Option<u64>,
    /// Units used in the window.
    #[schema(value_type = f64)]
    used: Count,
    /// The limit in tokens; `null` if it counts something else.
    max_tokens: Option<u64>,
    /// The limit in force, with extensions.
    #[schema(value_type = f64)]
    limit: Count,
    /// The hard limit in force, which extensions cannot pass; `null` if there is none.
    #[schema(value_type = Option<f64>)]
    hard_limit: Option<Count>,
    /// Units added by extensions; included in `limit`.
    #[schema(value_type = f64)]
    extension: Count,
    /// Used divided by limit.
    utilization: f64,
    /// Units left until the limit; never below 0.
    #[schema(value_type = f64)]
    remaining: Count,
    /// `active`, `warning`, `paused` (at the limit) or `exhausted` (at the hard limit).
    status: &'static str,
    /// `enforce` or `shadow`.
    #[schema(value_type = String)]
    mode: Mode,
    /// The window: `lifetime`, `day`, `week`, …
    window: &'static str,
    /// When the window ends (RFC 3339, UTC); `null`: never.
    resets_at: Option<String>,
    /// Whether anything can be charged to it now: not if its session has ended.
    active: bool,
}

impl BudgetJson {
    fn new(entry: &BudgetEntry, snapshot: &Snapshot) -> Self {
        Self::from_state(&entry.id, &entry.state, entry.is_active, snapshot)
    }

    fn from_state(id: &str, state: &BudgetState, is_active: bool, snapshot: &Snapshot) -> Self {
        let unit = state.budget.unit;
        let count = |units| Count::new(units, unit);
        let tokens = |units| (unit == Unit::Tokens).then_some(units);
        let value = state.value.clone();
        let (agent_id, task_id) = match state.budget.scope {
            Scope::Session => {
                let task = snapshot.session(&value).map(|found| found.row.session.task_type.clone());
                (Some(value.clone()), task.filter(|task| !task.is_empty()))
            }
            Scope::AgentType => (Some(value.clone()), None),
            Scope::TaskType => (None, Some(value.clone())),
            _ => (None, None),
        };
        Self {
            budget_id: id.to_owned(),
            name: state.budget.name.clone(),
            scope: state.budget.scope.name(),
            value,
            agent_id,
            task_id,
            unit,
            tokens_used: tokens(state.used),
            used: count(state.used),
            max_tokens: tokens(state.limit()),
            limit: count(state.limit()),
            hard_limit: state.hard_limit().map(count),
            extension: count(state.extension),
            utilization: state.utilization(),
            remaining: count(state.remaining()),
            status: state.status().name(),
            mode: state.budget.mode,
            window: state.budget.window.period.name(),
            resets_at: state.window.end.map(Timestamp::to_rfc3339),
            active: is_active,
        }
    }
}

/// A list of budgets.
#[derive(Debug, Serialize, ToSchema)]
struct BudgetList {
    /// The budgets of this page.
    budgets: Vec<BudgetJson>,
    /// How many there are on all pages.
    total: usize,
}

/// Selects budgets.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct BudgetFilter {
    /// Include those of sessions that have ended.
    #[serde(default)]
    all: bool,
    /// Only budgets with this status: `active`, `warning`, `paused` or `exhausted`.
    status: Option<String>,
    /// Only budgets of this name.
    name: Option<String>,
    /// Only budgets of this scope.
    scope: Option<String>,
    /// Only budgets of this value, such as a session's id.
    value: Option<String>,
}

impl BudgetFilter {
    fn matches(&self, entry: &BudgetEntry) -> bool {
        let is = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|one| one == value);
        let state = &entry.state;
        (self.all || entry.is_active)
            && is(&self.status, state.status().name())
            && is(&self.name, &state.budget.name)
            && is(&self.scope, state.budget.scope.name())
            && is(&self.value, &state.value)
    }
}

/// List budgets: of live sessions, and of everything charged in the current windows.
#[utoipa::path(
    get, path = "/budget", tag = "budgets", operation_id = "list_budgets", params(BudgetFilter, Page),
    responses((status = 200, body = BudgetList), ReadProblems)
)]
async fn list(
    State(server): State<Arc<Server>>,
    Query(filter): Query<BudgetFilter>,
    Query(page): Query<Page>,
) -> Result<Json<BudgetList>, Problem> {
    let snapshot = server.watcher.snapshot().await?;
    let (found, total) = page.select(snapshot.budgets.iter().filter(|entry| filter.matches(entry)));
    let budgets = found.into_iter().map(|entry| BudgetJson::new(entry, &snapshot)).collect();
    Ok(Json(BudgetList { budgets, total }))
}

/// Show a budget.
#[utoipa::path(
    get, path = "/budget/{budget_id}", tag = "budgets", operation_id = "show_budget",
    params(("budget_id" = String, Path, description = "The id of the budget")),
    responses((status = 200, body = BudgetJson), ReadProblems)
)]
async fn show(
    State(server): State<Arc<Server>>,
    Path(id): Path<String>,
) -> Result<Json<BudgetJson>, Problem> {
    let snapshot = server.watcher.snapshot().await?;
    let entry = snapshot.budget(&id).ok_or_else(|| Problem::not_found("budget", &id))?;
    Ok(Json(BudgetJson::new(entry, &snapshot)))
}

/// How much to add to a limit, in the budget's unit, and why. Exactly one amount is given.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ExtendRequest {
    /// Tokens to add.
    #[schema(minimum = 1)]
    additional_tokens: Option<u64>,
    /// Dollars to add.
    #[schema(exclusive_minimum = 0.0)]
    additional_usd: Option<f64>,
    /// Requests to add.
    #[schema(minimum = 1)]
    additional_requests: Option<u64>,
    /// Tool calls to add.
    #[schema(minimum = 1)]
    additional_tool_calls: Option<u64>,
    /// Percent of the subscription's window to add.
    #[schema(exclusive_minimum = 0.0)]
    additional_percent: Option<f64>,
    /// The reason, which is stored with the decision.
    #[schema(min_length = 1, max_length = 1000)]
    reason: String,
}

/// The longest reason, in characters.
pub const MAX_REASON: usize = 1000;

impl ExtendRequest {
    /// The amount and its unit. One that cannot be added is 0.
    fn amount(&self) -> Result<(WrittenAmount, Unit), Problem> {
        let units_of = |number: f64, one: f64| {
            let is_amount = number.is_finite() && (0.0..1e9).contains(&number);
            if is_amount { (number * one).round() as u64 } else { 0 }
        };
        let given = [
            (self.additional_tokens, Unit::Tokens),
            (self.additional_usd.map(|usd| units_of(usd, NANOS_PER_USD as f64)), Unit::Usd),
            (self.additional_requests, Unit::Requests),
            (self.additional_tool_calls, Unit::ToolCalls),
            (
                self.additional_percent.map(|percent| units_of(percent, UNITS_PER_PERCENT as f64)),
                Unit::Percent,
            ),
        ];
        let mut given = given.into_iter().filter_map(|(count, unit)| Some((count?, unit)));
        match (given.next(), given.next()) {
            (Some((count, unit)), None) => Ok((WrittenAmount::from_count(count), unit)),
            (None, _) => Err(Problem::bad_request("an amount is required, such as additional_tokens")),
            (Some(_), Some(_)) => Err(Problem::bad_request("more than one amount is given")),
        }
    }
}

/// Why something is reset or acknowledged.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReasonRequest {
    /// The reason, which is stored with the decision.
    #[schema(min_length = 1, max_length = 1000)]
    pub reason: String,
}

/// Checks a reason.
///
/// # Errors
/// There is none, or it is too long.
pub fn checked_reason(reason: &str) -> Result<String, Problem> {
    let reason = reason.trim();
    match reason.chars().count() {
        0 => Err(Problem::bad_request("a reason is required")),
        1..=MAX_REASON => Ok(reason.to_owned()),
        _ => Err(Problem::bad_request(format!("the reason must have at most {MAX_REASON} characters"))),
    }
}

/// Raise the limit of a budget.
#[utoipa::path(
    post, path = "/budget/{budget_id}/extend", tag = "budgets", operation_id = "extend_budget",
    params(
        ("budget_id" = String, Path, description = "The id of the budget"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key counts once"),
    ),
    request_body = ExtendRequest,
    security(("operator" = [])),
    responses((status = 200, body = BudgetJson), DecisionProblems)
)]
async fn extend(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Body(request): Body<ExtendRequest>,
) -> Result<Json<BudgetJson>, Problem> {
    let (amount, unit) = request.amount()?;
    let change = BudgetChange::Extend { amount, unit: Some(unit) };
    operate(&server, &caller, &id, &headers, change, &request.reason).await
}

/// Start counting again from zero.
#[utoipa::path(
    post, path = "/budget/{budget_id}/reset", tag = "budgets", operation_id = "reset_budget",
    params(
        ("budget_id" = String, Path, description = "The id of the budget"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key counts once"),
    ),
    request_body = ReasonRequest,
    security(("operator" = [])),
    responses((status = 200, body = BudgetJson), DecisionProblems)
)]
async fn reset(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Body(request): Body<ReasonRequest>,
) -> Result<Json<BudgetJson>, Problem> {
    operate(&server, &caller, &id, &headers, BudgetChange::Reset, &request.reason).await
}

async fn operate(
    server: &Arc<Server>,
    caller: &Caller,
    id: &str,
    headers: &HeaderMap,
    change: BudgetChange,
    reason: &str,
) -> Result<Json<BudgetJson>, Problem> {
    let reason = checked_reason(reason)?;
    let snapshot = server.watcher.snapshot().await?;
    let entry = snapshot.budget(id).ok_or_else(|| Problem::not_found("budget", id))?;
    let key = idempotency::key(headers).map(|key| format!("{}\n{key}", caller.name));
    let request = OperationRequest {
        budget: entry.state.budget.name.clone(),
        value: entry.state.value.clone(),
        change,
        reason,
        actor: caller.name.clone(),
        idempotency_key: key.unwrap_or_default(),
    };
    let done = server.operate(request).await?;
    let after = done.after.ok_or_else(|| Problem::not_found("budget", id))?;
    Ok(Json(BudgetJson::from_state(id, &after, entry.is_active, &snapshot)))
}
