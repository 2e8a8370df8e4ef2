//! Refuses query parameters that an address does not have: a misspelt filter would select everything.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::api::KnownParameters;
use super::problem::Problem;

/// Refuses unknown parameters. Addresses without a description pass.
pub async fn check(State(known): State<Arc<KnownParameters>>, request: Request, next: Next) -> Response {
    match unknown(&known, &request) {
        Some(detail) => Problem::bad_request(detail).into_response(),
        None => next.run(request).await,
    }
}

fn unknown(known: &KnownParameters, request: &Request) -> Option<String> {
    let path = request.extensions().get::<MatchedPath>()?.as_str();
    let path = path.strip_prefix("/api").unwrap_or(path);
    let known = known.get(&(path.to_owned(), request.method().as_str().to_owned()))?;
    let query = request.uri().query().unwrap_or_default();
    let names = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    let name = names.filter(|name| !name.is_empty()).find(|name| !known.contains(*name))?;
    let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    Some(match known.is_empty() {
        true => format!("unknown parameter {name}: this address has none"),
        false => format!("unknown parameter {name}: use {}", known.join(", ")),
    })
}
