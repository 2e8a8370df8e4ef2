//! A viewer of the API's description at `/api/docs`: RapiDoc, which is part of the executable.

use std::sync::Arc;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::super::Server;
use super::super::problem::Problem;

/// The page.
const PAGE: &str = include_str!("../assets/docs.html");

/// The viewer, compressed by gzip.
const VIEWER: &[u8] = include_bytes!("../assets/rapidoc-9.3.8.min.js.gz");

/// Everything comes from this server. The exception are styles: the viewer writes its own into the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The addresses, below `/api`.
pub fn router() -> Router<Arc<Server>> {
    Router::new().route("/docs", get(page)).route("/docs/rapidoc.js", get(viewer))
}

async fn page() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, POLICY)], PAGE)
}

async fn viewer(headers: HeaderMap) -> Result<Response, Problem> {
    let accepts = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    if !accepts.is_some_and(|accepts| accepts.contains("gzip")) {
        return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, "the viewer is sent compressed by gzip only"));
    }
    let headers: [(HeaderName, &str); 3] = [
        (CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (CONTENT_ENCODING, "gzip"),
        (CACHE_CONTROL, "private, max-age=86400"),
    ];
    Ok((headers, VIEWER).into_response())
}
