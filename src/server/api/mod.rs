//! The REST API, described by OpenAPI at `/api/openapi.json`. A file for each kind of thing.

// The macros of utoipa write the full names of types.
#![allow(unused_qualifications)]

mod alerts;
mod budgets;
mod bulk;
mod circuits;
mod costs;
mod describe;
mod docs;
mod health;
mod history;
mod names;
mod page;
mod quotas;
mod requests;
mod sessions;

pub use self::requests::checked_reason;

use std::sync::Arc;

use axum::middleware::from_fn_with_state;
use axum::routing::get;
use axum::{Json, Router};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

pub use self::describe::KnownParameters;
use super::{Server, access, etag, idempotency, parameters};

/// The description of the API, to which each address adds its own.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Fusebox",
        description = "Budgets, circuit breakers, alerts, sessions and costs of coding agents: read, extend, reset, \
                       acknowledge. Failures are problems (RFC 9457). Unknown query parameters and fields are refused.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    servers((url = "/api")),
    // Those that only parameters use.
    components(schemas(names::CostsBy, names::CostsSort, names::Order)),
    tags(
        (name = "budgets", description = "How much may be used"),
        (name = "circuits", description = "The circuit breakers of agents"),
        (name = "alerts", description = "Budgets that passed a threshold"),
        (name = "sessions", description = "What each session used"),
        (name = "quotas", description = "How much of other services may be used, and is reserved"),
        (name = "history", description = "What happened"),
        (name = "costs", description = "What was used and what it cost, from the ledger of all history"),
        (name = "health", description = "Whether the server runs, and can answer")
    )
)]
struct Description;

/// All addresses of the API.
pub fn router(server: &Arc<Server>) -> Router<Arc<Server>> {
    let (router, description) = OpenApiRouter::with_openapi(Description::openapi())
        .merge(alerts::router())
        .merge(budgets::router())
        .merge(bulk::router())
        .merge(circuits::router())
        .merge(sessions::router())
        .merge(quotas::router())
        .merge(history::router())
        .merge(costs::router())
        .merge(health::router())
        .split_for_parts();
    let mut document = serde_json::to_value(description).unwrap_or_default();
    describe::complete(&mut document, server.options.reads_are_open());
    let known = Arc::new(describe::known_parameters(&document));
    router
        .route("/openapi.json", get(move || std::future::ready(Json(document.clone()))))
        .merge(docs::router())
        .fallback(super::not_found)
        .layer(from_fn_with_state(known, parameters::check))
        .layer(from_fn_with_state(Arc::clone(server), idempotency::repeat))
        .layer(axum::middleware::from_fn(etag::tag))
        .layer(from_fn_with_state(Arc::clone(server), access::check_token))
}
