//! The REST API, described by OpenAPI at `/api/openapi.json`. A file for each kind of thing.

// The macros of utoipa write the full names of types.
#![allow(unused_qualifications)]

mod alerts;
mod budgets;
mod circuits;
mod page;

pub use self::budgets::checked_reason;

use std::sync::Arc;

use axum::middleware::from_fn_with_state;
use axum::routing::get;
use axum::{Json, Router};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use super::{Server, access, etag, idempotency};

/// The description of the API, to which each address adds its own.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Fusebox",
        description = "Budgets, circuit breakers and alerts of coding agents: read, extend, reset, acknowledge.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    servers((url = "/api"))
)]
struct Description;

/// All addresses of the API.
pub fn router(server: &Arc<Server>) -> Router<Arc<Server>> {
    let (router, description) = OpenApiRouter::with_openapi(Description::openapi())
        .merge(alerts::router())
        .merge(budgets::router())
        .merge(circuits::router())
        .split_for_parts();
    router
        .route("/openapi.json", get(move || std::future::ready(Json(description.clone()))))
        .fallback(super::not_found)
        .layer(from_fn_with_state(Arc::clone(server), idempotency::repeat))
        .layer(axum::middleware::from_fn(etag::tag))
        .layer(from_fn_with_state(Arc::clone(server), access::check_token))
}
