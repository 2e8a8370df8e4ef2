//! Whether the server runs, and whether it can answer.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Server;
use super::super::problem::Problem;

/// The addresses.
pub fn router() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(ready))
}

/// The server runs.
#[derive(Debug, Serialize, ToSchema)]
struct Health {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
    /// The version of Fusebox.
    #[schema(example = "0.1.0")]
    version: &'static str,
}

/// The server can answer.
#[derive(Debug, Serialize, ToSchema)]
struct Ready {
    /// Always `ready`.
    #[schema(example = "ready")]
    status: &'static str,
    /// The kind of the store, `embedded` or `redis`; `null`: nothing has been recorded yet.
    #[schema(example = "embedded")]
    store: Option<&'static str>,
    /// The machines that have not read their transcripts again since the store lost data.
    recovering: Vec<String>,
}

/// Whether the server runs. It does not ask the store.
#[utoipa::path(
    get, path = "/health", tag = "health", operation_id = "health",
    responses((status = 200, body = Health, description = "It runs"))
)]
async fn health() -> Json<Health> {
    Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION") })
}

/// Whether the store answers. If it does not: 503.
#[utoipa::path(
    get, path = "/ready", tag = "health", operation_id = "ready",
    responses((status = 200, body = Ready, description = "The store answers"))
)]
async fn ready(State(server): State<Arc<Server>>) -> Result<Json<Ready>, Problem> {
    let snapshot = server.watcher.snapshot().await?;
    let store = snapshot.store.as_ref();
    let recovering = store.map(|store| store.recovering.clone()).unwrap_or_default();
    Ok(Json(Ready { status: "ready", store: store.map(|store| store.kind), recovering }))
}
