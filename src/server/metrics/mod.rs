//! `/metrics`: what Prometheus reads.
//!
//! A scrape succeeds even if the store does not answer: `store_up` is then 0, counters have their last known values, and
//! what only says how things are now is left out.

mod families;
mod read_times;
mod text;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

pub use self::read_times::ReadTimes;
use self::text::Format;
pub use self::text::check_prefix;
use super::Server;
use crate::hook::failure_count;

/// How long a scrape waits for the store. Prometheus gives up after ten seconds.
const MAX_WAIT: Duration = Duration::from_secs(3);

/// Answers a scrape.
pub async fn scrape(State(server): State<Arc<Server>>, headers: HeaderMap) -> Response {
    let view = server.watcher.view_within(MAX_WAIT).await;
    let state_dir = server.env.state_dir();
    let failures = tokio::task::spawn_blocking(move || state_dir.map(|dir| failure_count::count(&dir)));
    let failures = failures.await.ok().flatten().unwrap_or_default();
    let accept: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let format = Format::preferred(&accept.join(","));
    let families = families::all(&view, &failures);
    let text = text::encode(format, &server.options.metrics_prefix, &families);
    ([(CONTENT_TYPE, format.content_type())], text).into_response()
}
