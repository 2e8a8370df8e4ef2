//! Circuit breakers: list, show, acknowledge, reset.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Server;
use super::super::access::Caller;
use super::super::decisions::CircuitRequest;
use super::super::extract::{Body, Path, Query};
use super::super::problem::Problem;
use super::names::CircuitState;
use super::page::{Listed, Page};
use super::requests::{CircuitId, ReasonRequest, checked_reason};
use crate::app::messages;
use crate::app::snapshot::{CircuitEntry, Snapshot};
use crate::domain::event::CircuitDecision;
use crate::domain::time::Timestamp;

/// The addresses.
pub fn router() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(reset))
        .routes(routes!(acknowledge))
}

/// The circuit breaker of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CircuitJson {
    /// Names the breaker in addresses.
    #[schema(pattern = "^[0-9a-f]{16}$", example = "3f2a1b2c4d5e6f70")]
    circuit_id: String,
    /// The session's id.
    session: String,
    /// `main`, or the subagent's id.
    agent_id: String,
    /// Its state.
    #[schema(value_type = CircuitState)]
    state: &'static str,
    /// Calls since a person's last prompt.
    iterations: u64,
    /// The most calls that are allowed; `null`: no limit.
    max_iterations: Option<u32>,
    /// How often the agent's last call came, or what the rule that tripped counted.
    duplicates: u32,
    /// Why it tripped; `null` if it is closed.
    trip_reason: Option<String>,
    /// The rule that tripped; `null` if it is closed.
    rule: Option<String>,
    /// When it tripped (RFC 3339, UTC); `null` if it is closed.
    #[schema(format = DateTime)]
    tripped_at: Option<String>,
    /// Whether its session is live.
    active: bool,
}

impl CircuitJson {
    /// The breaker as JSON.
    pub fn new(entry: &CircuitEntry, snapshot: &Snapshot) -> Self {
        let (row, trip) = (&entry.row, entry.row.breaker.phase.trip());
        Self {
            circuit_id: entry.id.clone(),
            session: row.session.clone(),
            agent_id: if row.agent.is_empty() { "main".to_owned() } else { row.agent.clone() },
            state: row.breaker.phase.name(),
            iterations: row.breaker.iterations,
            max_iterations: snapshot.config.breaker.limits.get("iterations"),
            duplicates: trip.map_or_else(|| row.breaker.history.repeats_of_last(), |trip| trip.count),
            trip_reason: trip.map(messages::trip_summary),
            rule: trip.map(|trip| trip.rule.clone()),
            tripped_at: trip.map(|trip| Timestamp::to_rfc3339(trip.at)),
            active: entry.is_live,
        }
    }
}

/// A list of breakers.
#[derive(Debug, Serialize, ToSchema)]
struct CircuitList {
    /// The breakers of this page.
    circuits: Vec<CircuitJson>,
    /// How many there are on all pages.
    total: usize,
}

/// Selects breakers.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CircuitFilter {
    /// Include those of sessions that have ended.
    #[serde(default)]
    #[param(default = false)]
    all: bool,
    /// Only breakers in this state.
    state: Option<CircuitState>,
    /// Only breakers of this session.
    session: Option<String>,
}

impl CircuitFilter {
    fn matches(&self, entry: &CircuitEntry) -> bool {
        let is = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|one| one == value);
        (self.all || entry.is_live)
            && self.state.is_none_or(|state| state.name() == entry.row.breaker.phase.name())
            && is(&self.session, &entry.row.session)
    }
}

/// List the circuit breakers of live sessions.
#[utoipa::path(
    get, path = "/circuit", tag = "circuits", operation_id = "list_circuits", params(CircuitFilter, Page),
    responses((status = 200, body = CircuitList, description = "The breakers"))
)]
async fn list(
    State(server): State<Arc<Server>>,
    uri: Uri,
    Query(filter): Query<CircuitFilter>,
    Query(page): Query<Page>,
) -> Result<Listed<CircuitList>, Problem> {
    let snapshot = server.watcher.snapshot().await?;
    let (found, total) = page.select(snapshot.circuits.iter().filter(|entry| filter.matches(entry)));
    let circuits = found.into_iter().map(|entry| CircuitJson::new(entry, &snapshot)).collect();
    Ok(page.list(&uri, total, CircuitList { circuits, total }))
}

/// Show a circuit breaker.
#[utoipa::path(
    get, path = "/circuit/{circuit_id}", tag = "circuits", operation_id = "show_circuit",
    params(CircuitId),
    responses((status = 200, body = CircuitJson, description = "The breaker"))
)]
async fn show(
    State(server): State<Arc<Server>>,
    Path(id): Path<String>,
) -> Result<Json<CircuitJson>, Problem> {
    let snapshot = server.watcher.snapshot().await?;
    let entry = snapshot.circuit(&id).ok_or_else(|| Problem::not_found("circuit", &id))?;
    Ok(Json(CircuitJson::new(entry, &snapshot)))
}

/// Close a circuit breaker, and clear its counts.
#[utoipa::path(
    post, path = "/circuit/{circuit_id}/reset", tag = "circuits", operation_id = "reset_circuit",
    params(CircuitId),
    request_body = ReasonRequest,
    responses((status = 200, body = CircuitJson, description = "The changed breaker"))
)]
async fn reset(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Body(request): Body<ReasonRequest>,
) -> Result<Json<CircuitJson>, Problem> {
    decide(&server, &caller, &id, CircuitDecision::Reset, &request.reason).await
}

/// Let an open circuit breaker try one call.
#[utoipa::path(
    post, path = "/circuit/{circuit_id}/acknowledge", tag = "circuits", operation_id = "acknowledge_circuit",
    params(CircuitId),
    request_body = ReasonRequest,
    responses((status = 200, body = CircuitJson, description = "The changed breaker"))
)]
async fn acknowledge(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Body(request): Body<ReasonRequest>,
) -> Result<Json<CircuitJson>, Problem> {
    decide(&server, &caller, &id, CircuitDecision::Acknowledge, &request.reason).await
}

async fn decide(
    server: &Arc<Server>,
    caller: &Caller,
    id: &str,
    decision: CircuitDecision,
    reason: &str,
) -> Result<Json<CircuitJson>, Problem> {
    let reason = checked_reason(reason)?;
    let snapshot = server.watcher.snapshot().await?;
    let entry = snapshot.circuit(id).ok_or_else(|| Problem::not_found("circuit", id))?;
    let (session, agent) = (entry.row.session.clone(), entry.row.agent.clone());
    server
        .decide_circuit(CircuitRequest { session, agent, decision, actor: caller.name.clone(), reason })
        .await?;
    show(State(Arc::clone(server)), Path(id.to_owned())).await
}
