//! The input of Claude Code's status line.
//!
//! Source: `tests/fixtures/hooks/statusLine.json` (2.1.330). `rate_limits` was never seen live: it is read as documented
//! (code.claude.com/docs/en/statusline): `{five_hour, seven_day}.{used_percentage, resets_at}`, the time in seconds since
//! 1970, only with a subscription, and only after the first response of a session.

use std::path::PathBuf;

use serde::Deserialize;

use super::ClaudeCode;
use super::payload::lenient;
use crate::agents::event::EventSource;
use crate::agents::status_line::{ContextUse, StatusLineInput};
use crate::domain::money::nanos_from_usd;
use crate::domain::plan::{PlanReading, PlanWindow, UNITS_PER_PERCENT};
use crate::domain::time::Timestamp;

/// Times after this one (the year 3000, in seconds) are no times of a reset.
const MAX_SECONDS: f64 = 32_503_680_000.0;

/// More percent than this are no use of a plan.
const MAX_PERCENT: f64 = 1_000_000.0;

#[derive(Deserialize)]
struct Payload {
    session_id: String,
    #[serde(default, deserialize_with = "lenient")]
    transcript_path: Option<PathBuf>,
    #[serde(default, deserialize_with = "lenient")]
    cwd: Option<PathBuf>,
    #[serde(default, deserialize_with = "lenient")]
    model: Option<Model>,
    #[serde(default, deserialize_with = "lenient")]
    fast_mode: Option<bool>,
    #[serde(default, deserialize_with = "lenient")]
    context_window: Option<ContextWindow>,
    #[serde(default, deserialize_with = "lenient")]
    cost: Option<Cost>,
    #[serde(default, deserialize_with = "lenient")]
    rate_limits: Option<RateLimits>,
}

#[derive(Deserialize)]
struct Model {
    #[serde(default, deserialize_with = "lenient")]
    id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    display_name: Option<String>,
}

#[derive(Deserialize)]
struct ContextWindow {
    #[serde(default, deserialize_with = "lenient")]
    used_percentage: Option<f64>,
    #[serde(default, deserialize_with = "lenient")]
    context_window_size: Option<u64>,
}

#[derive(Deserialize)]
struct Cost {
    #[serde(default, deserialize_with = "lenient")]
    total_cost_usd: Option<f64>,
}

#[derive(Deserialize)]
struct RateLimits {
    #[serde(default, deserialize_with = "lenient")]
    five_hour: Option<RateLimit>,
    #[serde(default, deserialize_with = "lenient")]
    seven_day: Option<RateLimit>,
}

#[derive(Deserialize)]
struct RateLimit {
    used_percentage: f64,
    resets_at: f64,
}

impl RateLimit {
    /// The reading; `None` if a number cannot be true.
    fn reading(&self, now: Timestamp) -> Option<PlanReading> {
        let is_percent = (0.0..=MAX_PERCENT).contains(&self.used_percentage);
        let is_time = (1.0..=MAX_SECONDS).contains(&self.resets_at);
        (is_percent && is_time).then(|| PlanReading {
            used: (self.used_percentage * UNITS_PER_PERCENT as f64).round() as u64,
            resets_at: Timestamp((self.resets_at * 1000.0) as i64),
            at: now,
        })
    }
}

/// Parses standard input; `None` unless it is a JSON object with a session.
pub fn parse(text: &str, now: Timestamp) -> Option<StatusLineInput> {
    let payload: Payload = serde_json::from_str(text).ok()?;
    if payload.session_id.is_empty() {
        return None;
    }
    let named = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    let model = payload.model.and_then(|model| named(model.display_name).or(named(model.id)));
    let context = payload.context_window.and_then(|window| {
        let percent = window.used_percentage.filter(|percent| (0.0..=MAX_PERCENT).contains(percent))?;
        let size = window.context_window_size.unwrap_or(0);
        Some(ContextUse { percent: percent.round() as u64, size })
    });
    let limits = payload
        .rate_limits
        .map(|limits| [(PlanWindow::FiveHours, limits.five_hour), (PlanWindow::Week, limits.seven_day)]);
    let reading = |(window, limit): (PlanWindow, Option<RateLimit>)| Some((window, limit?.reading(now)?));
    Some(StatusLineInput {
        source: EventSource {
            client: &ClaudeCode,
            session: payload.session_id,
            transcript: payload.transcript_path.filter(|path| !path.as_os_str().is_empty()),
            cwd: payload.cwd,
            ..EventSource::default()
        },
        model,
        is_fast: payload.fast_mode.unwrap_or(false),
        context,
        nano_usd: payload
            .cost
            .and_then(|cost| cost.total_cost_usd)
            .filter(|usd| *usd >= 0.0)
            .map(nanos_from_usd),
        plan: limits.into_iter().flatten().filter_map(reading).collect(),
    })
}
