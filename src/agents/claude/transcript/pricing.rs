//! What a line says about the price of a response.

use super::object::{Object, number, object, text};
use crate::domain::money::{Terms, nanos_from_usd};

/// The most web searches believed for one response.
const MAX_SEARCHES: u64 = 1 << 20;

/// What changes the price of a response besides its tokens: terms of the request, and web searches.
pub fn terms(counts: &Object) -> (Terms, u64) {
    let is = |name: &str, value: &str| text(counts, name).is_some_and(|found| found == value);
    let terms = Terms {
        fast: is("speed", "fast"),
        us_only: is("inference_geo", "us"),
        batch: is("service_tier", "batch"),
    };
    let tools = counts.get("server_tool_use").and_then(|tools| object(tools.get()));
    let searches = tools.map_or(0, |tools| number(&tools, "web_search_requests"));
    (terms, searches.min(MAX_SEARCHES))
}

/// What the client reckons that a model costs.
pub fn nano_usd(counts: &Object) -> Option<u64> {
    let dollars: f64 = serde_json::from_str(counts.get("costUSD")?.get()).ok()?;
    (dollars >= 0.0).then(|| nanos_from_usd(dollars))
}
