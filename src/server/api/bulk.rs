//! Decisions about many budgets or breakers at once. Each is decided by itself: the answer says which were changed, and
//! which were refused, and why.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Server;
use super::super::access::Caller;
use super::super::decisions::CircuitRequest;
use super::super::extract::Body;
use super::super::idempotency::TryAgain;
use super::super::problem::Problem;
use super::budgets::{self, BudgetJson};
use super::circuits::CircuitJson;
use super::requests::{
    CircuitsRequest, ExtendManyRequest, ExtendRequest, ResetManyRequest, checked_ids, checked_reason,
};
use crate::app::operate::BudgetChange;
use crate::domain::event::CircuitDecision;

/// The addresses.
pub fn router() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::new()
        .routes(routes!(extend))
        .routes(routes!(reset))
        .routes(routes!(reset_circuits))
        .routes(routes!(acknowledge_circuits))
}

/// What became of each budget.
#[derive(Debug, Serialize, ToSchema)]
struct ChangedBudgets {
    /// Those that were changed, as they are now.
    budgets: Vec<BudgetJson>,
    /// Those that were not.
    refused: Vec<RefusedBudget>,
    /// How many were changed.
    total: usize,
}

/// A budget that was not changed.
#[derive(Debug, Serialize, ToSchema)]
struct RefusedBudget {
    /// The id in the request.
    budget_id: String,
    /// Why.
    problem: Problem,
}

/// What became of each breaker.
#[derive(Debug, Serialize, ToSchema)]
struct ChangedCircuits {
    /// Those that were changed, as they are now.
    circuits: Vec<CircuitJson>,
    /// Those that were not.
    refused: Vec<RefusedCircuit>,
    /// How many were changed.
    total: usize,
}

/// A breaker that was not changed.
#[derive(Debug, Serialize, ToSchema)]
struct RefusedCircuit {
    /// The id in the request.
    circuit_id: String,
    /// Why.
    problem: Problem,
}

/// Raise the limits of many budgets, by the same amount.
///
/// Each budget is extended by itself: `refused` says which were not, and why.
#[utoipa::path(
    post, path = "/budget/extend", tag = "budgets", operation_id = "extend_budgets", request_body = ExtendManyRequest,
    responses((status = 200, body = ChangedBudgets, description = "What became of each budget"))
)]
async fn extend(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Body(mut request): Body<ExtendManyRequest>,
) -> Result<Response, Problem> {
    let ids = std::mem::take(&mut request.budget_ids);
    let request = ExtendRequest::from(request);
    let (amount, unit) = request.amount()?;
    let change = BudgetChange::Extend { amount, unit: Some(unit) };
    change_budgets(&server, &caller, &headers, ids, change, &request.reason).await
}

/// Start counting again from zero, for many budgets.
///
/// Each budget is reset by itself: `refused` says which were not, and why.
#[utoipa::path(
    post, path = "/budget/reset", tag = "budgets", operation_id = "reset_budgets", request_body = ResetManyRequest,
    responses((status = 200, body = ChangedBudgets, description = "What became of each budget"))
)]
async fn reset(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Body(request): Body<ResetManyRequest>,
) -> Result<Response, Problem> {
    change_budgets(&server, &caller, &headers, request.budget_ids, BudgetChange::Reset, &request.reason).await
}

async fn change_budgets(
    server: &Arc<Server>,
    caller: &Caller,
    headers: &HeaderMap,
    ids: Vec<String>,
    change: BudgetChange,
    reason: &str,
) -> Result<Response, Problem> {
    let (ids, reason) = (checked_ids(ids)?, checked_reason(reason)?);
    let snapshot = server.watcher.snapshot().await?;
    let (mut entries, mut requests, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for id in ids {
        match snapshot.budget(&id) {
            Some(entry) => {
                requests.push(budgets::request(entry, caller, headers, change, reason.clone()));
                entries.push(entry);
            }
            None => {
                let problem = Problem::not_found("budget", &id);
                refused.push(RefusedBudget { budget_id: id, problem });
            }
        }
    }
    let mut changed = Vec::new();
    for (entry, done) in entries.iter().zip(server.operate_each(requests).await?) {
        let after = done.and_then(|done| done.after.ok_or_else(|| Problem::not_found("budget", &entry.id)));
        match after {
            Ok(after) => changed.push(BudgetJson::from_state(&entry.id, &after, entry.is_active, &snapshot)),
            Err(problem) => refused.push(RefusedBudget { budget_id: entry.id.clone(), problem }),
        }
    }
    let may_succeed = temporary(changed.len(), refused.iter().map(|refused| &refused.problem))?;
    let total = changed.len();
    Ok(answer(ChangedBudgets { budgets: changed, refused, total }, may_succeed))
}

/// Close many circuit breakers, and clear their counts.
///
/// Each breaker is reset by itself: `refused` says which were not, and why.
#[utoipa::path(
    post, path = "/circuit/reset", tag = "circuits", operation_id = "reset_circuits", request_body = CircuitsRequest,
    responses((status = 200, body = ChangedCircuits, description = "What became of each breaker"))
)]
async fn reset_circuits(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<CircuitsRequest>,
) -> Result<Response, Problem> {
    change_circuits(&server, &caller, request, CircuitDecision::Reset).await
}

/// Let many open circuit breakers try one call.
///
/// Each breaker is acknowledged by itself: `refused` says which were not, and why.
#[utoipa::path(
    post, path = "/circuit/acknowledge", tag = "circuits", operation_id = "acknowledge_circuits",
    request_body = CircuitsRequest,
    responses((status = 200, body = ChangedCircuits, description = "What became of each breaker"))
)]
async fn acknowledge_circuits(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<CircuitsRequest>,
) -> Result<Response, Problem> {
    change_circuits(&server, &caller, request, CircuitDecision::Acknowledge).await
}

async fn change_circuits(
    server: &Arc<Server>,
    caller: &Caller,
    request: CircuitsRequest,
    decision: CircuitDecision,
) -> Result<Response, Problem> {
    let (ids, reason) = (checked_ids(request.circuit_ids)?, checked_reason(&request.reason)?);
    let snapshot = server.watcher.snapshot().await?;
    let (mut known, mut requests, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for id in ids {
        match snapshot.circuit(&id) {
            Some(entry) => {
                let (session, agent) = (entry.row.session.clone(), entry.row.agent.clone());
                let (actor, reason) = (caller.name.clone(), reason.clone());
                requests.push(CircuitRequest { session, agent, decision, actor, reason });
                known.push(id);
            }
            None => {
                let problem = Problem::not_found("circuit", &id);
                refused.push(RefusedCircuit { circuit_id: id, problem });
            }
        }
    }
    let mut changed = Vec::new();
    for (id, done) in known.into_iter().zip(server.decide_circuits(requests).await?) {
        match done {
            Ok(_) => changed.push(id),
            Err(problem) => refused.push(RefusedCircuit { circuit_id: id, problem }),
        }
    }
    let may_succeed = temporary(changed.len(), refused.iter().map(|refused| &refused.problem))?;
    let snapshot = server.watcher.snapshot().await?;
    let entries = changed.iter().filter_map(|id| snapshot.circuit(id));
    let circuits: Vec<CircuitJson> = entries.map(|entry| CircuitJson::new(entry, &snapshot)).collect();
    let total = changed.len();
    Ok(answer(ChangedCircuits { circuits, refused, total }, may_succeed))
}

/// Whether some were refused because the store does not answer.
///
/// # Errors
/// All were: that is the answer.
fn temporary<'p>(changed: usize, refused: impl Iterator<Item = &'p Problem>) -> Result<bool, Problem> {
    let (down, other): (Vec<&Problem>, Vec<&Problem>) =
        refused.partition(|problem| problem.status().is_server_error());
    match down.first() {
        Some(problem) if changed == 0 && other.is_empty() => Err((*problem).clone()),
        found => Ok(found.is_some()),
    }
}

fn answer<T: Serialize>(answer: T, may_succeed: bool) -> Response {
    let mut response = Json(answer).into_response();
    if may_succeed {
        response.extensions_mut().insert(TryAgain);
    }
    response
}
