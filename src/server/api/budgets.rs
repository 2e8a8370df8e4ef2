//! Budgets: list, show, extend, reset.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::access::Caller;
use super::super::extract::{Body, Path, Query};
use super::super::problem::Problem;
use super::super::{Server, idempotency};
use super::names::{BudgetMode, BudgetScope, BudgetStatus, BudgetUnit};
use super::page::{Listed, Page};
use super::requests::{BudgetId, ExtendRequest, ReasonRequest, checked_reason};
use crate::app::operate::{BudgetChange, OperationRequest};
use crate::app::snapshot::{BudgetEntry, Snapshot};
use crate::domain::amount::Count;
use crate::domain::budget::{BudgetState, Mode, Scope, Unit};
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
    #[schema(pattern = "^[0-9a-f]{16}$", example = "3f2a1b2c4d5e6f70")]
    budget_id: String,
    /// The name in the configuration.
    name: String,
    /// Whose use it adds up.
    #[schema(value_type = BudgetScope)]
    scope: &'static str,
    /// The value of the scope, such as a session's id.
    value: String,
    /// The agent that it counts: a session's id, or a type of agents; `null` for other scopes.
    agent_id: Option<String>,
    /// The task: the type of tasks that it counts, or that its session declared; `null` if there is none.
    task_id: Option<String>,
    /// What it counts.
    #[schema(value_type = BudgetUnit)]
    unit: Unit,
    /// Tokens used in the window; `null` if it counts something else.
    tokens_used: Option<u64>,
    /// Units used in the window.
    #[schema(value_type = f64, minimum = 0)]
    used: Count,
    /// The limit in tokens; `null` if it counts something else.
    max_tokens: Option<u64>,
    /// The limit in force, with extensions and history.
    #[schema(value_type = f64, minimum = 0)]
    limit: Count,
    /// The hard limit in force, which extensions cannot pass; `null` if there is none.
    #[schema(value_type = Option<f64>, minimum = 0)]
    hard_limit: Option<Count>,
    /// Units that the session used before Fusebox watched it; included in `used`, `limit` and `hard_limit`.
    #[schema(value_type = f64)]
    history: Count,
    /// Units added by extensions; included in `limit`.
    #[schema(value_type = f64, minimum = 0)]
    extension: Count,
    /// Used divided by limit.
    #[schema(minimum = 0, example = 0.55)]
    utilization: f64,
    /// Units left until the limit; never below 0.
    #[schema(value_type = f64, minimum = 0)]
    remaining: Count,
    /// How much of it is used.
    #[schema(value_type = BudgetStatus)]
    status: &'static str,
    /// Whether it only observes, or stops calls.
    #[schema(value_type = BudgetMode)]
    mode: Mode,
    /// The window: `lifetime`, `day`, `week`, …; `10m` and `5h` begin every so many minutes and hours.
    window: String,
    /// When the window ends (RFC 3339, UTC); `null`: never.
    #[schema(format = DateTime)]
    resets_at: Option<String>,
    /// Whether anything can be charged to it now: not if its session has ended.
    active: bool,
}

impl BudgetJson {
    /// The budget as JSON.
    pub fn new(entry: &BudgetEntry, snapshot: &Snapshot) -> Self {
        Self::from_state(&entry.id, &entry.state, entry.is_active, snapshot)
    }

    /// The budget with this id in this state.
    pub fn from_state(id: &str, state: &BudgetState, is_active: bool, snapshot: &Snapshot) -> Self {
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
            history: count(state.history),
            extension: count(state.extension),
            utilization: state.utilization(),
            remaining: count(state.remaining()),
            status: state.status().name(),
            mode: state.budget.mode,
            window: state.budget.window.period.to_string(),
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
    #[param(default = false)]
    all: bool,
    /// Only budgets with this status.
    status: Option<BudgetStatus>,
    /// Only budgets of this name.
    name: Option<String>,
    /// Only budgets of this scope.
    scope: Option<BudgetScope>,
    /// Only budgets of this value, such as a session's id.
    value: Option<String>,
}

impl BudgetFilter {
    fn matches(&self, entry: &BudgetEntry) -> bool {
        let is = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|one| one == value);
        let state = &entry.state;
        self.status.is_none_or(|status| status.name() == state.status().name())
            && is(&self.name, &state.budget.name)
            && self.scope.is_none_or(|scope| scope.name() == state.budget.scope.name())
            && is(&self.value, &state.value)
    }
}

/// List budgets: of live sessions, and of everything charged in the current windows.
#[utoipa::path(
    get, path = "/budget", tag = "budgets", operation_id = "list_budgets", params(BudgetFilter, Page),
    responses((status = 200, body = BudgetList, description = "The budgets"))
)]
async fn list(
    State(server): State<Arc<Server>>,
    uri: Uri,
    Query(filter): Query<BudgetFilter>,
    Query(page): Query<Page>,
) -> Result<Listed<BudgetList>, Problem> {
    let snapshot = server.watcher.snapshot().await?;
    let listed = if filter.all { &snapshot.budgets } else { snapshot.active_budgets() };
    let (found, total) = page.select(listed.iter().filter(|entry| filter.matches(entry)));
    let budgets = found.into_iter().map(|entry| BudgetJson::new(entry, &snapshot)).collect();
    Ok(page.list(&uri, total, BudgetList { budgets, total }))
}

/// Show a budget.
#[utoipa::path(
    get, path = "/budget/{budget_id}", tag = "budgets", operation_id = "show_budget",
    params(BudgetId),
    responses((status = 200, body = BudgetJson, description = "The budget"))
)]
async fn show(
    State(server): State<Arc<Server>>,
    Path(id): Path<String>,
) -> Result<Json<BudgetJson>, Problem> {
    let snapshot = server.watcher.snapshot().await?;
    let entry = snapshot.budget(&id).ok_or_else(|| Problem::not_found("budget", &id))?;
    Ok(Json(BudgetJson::new(entry, &snapshot)))
}

/// Raise the limit of a budget.
#[utoipa::path(
    post, path = "/budget/{budget_id}/extend", tag = "budgets", operation_id = "extend_budget",
    params(BudgetId),
    request_body = ExtendRequest,
    responses((status = 200, body = BudgetJson, description = "The changed budget"))
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
    params(BudgetId),
    request_body = ReasonRequest,
    responses((status = 200, body = BudgetJson, description = "The changed budget"))
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
    let done = server.operate(request(entry, caller, headers, change, reason)).await?;
    let after = done.after.ok_or_else(|| Problem::not_found("budget", id))?;
    Ok(Json(BudgetJson::from_state(id, &after, entry.is_active, &snapshot)))
}

/// The request of this caller to change a budget.
pub fn request(
    entry: &BudgetEntry,
    caller: &Caller,
    headers: &HeaderMap,
    change: BudgetChange,
    reason: String,
) -> OperationRequest {
    let key = idempotency::key(headers).map(|key| format!("{}\n{key}", caller.name));
    OperationRequest {
        budget: entry.state.budget.name.clone(),
        value: entry.state.value.clone(),
        change,
        reason,
        actor: caller.name.clone(),
        idempotency_key: key.unwrap_or_default(),
    }
}
