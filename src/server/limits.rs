//! Bounds on what one client may ask for.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::{DefaultKeyedRateLimiter, Quota};
use tokio::sync::Semaphore;

use super::Server;
use super::problem::Problem;

/// Requests that are answered at the same time.
const AT_ONCE: usize = 256;

/// How long a request may take, with the reading of its body.
const MAX_TIME: Duration = Duration::from_secs(60);

/// Requests of one client per second. Far above what people and scrapers need.
const REQUESTS: u32 = 5_000;

/// Decisions of one client per second, and how many may come at once.
const DECISIONS: (u32, u32) = (50, 500);

/// Wrong tokens of one client per minute, and how many may come at once.
const WRONG_TOKENS: (u32, u32) = (20, 20);

/// How often each client asked.
pub struct Limits {
    at_once: Semaphore,
    requests: DefaultKeyedRateLimiter<IpAddr>,
    decisions: DefaultKeyedRateLimiter<IpAddr>,
    wrong_tokens: DefaultKeyedRateLimiter<IpAddr>,
}

impl Default for Limits {
    fn default() -> Self {
        let number = |n: u32| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let per_second = |(rate, burst)| Quota::per_second(number(rate)).allow_burst(number(burst));
        let per_minute = |(rate, burst)| Quota::per_minute(number(rate)).allow_burst(number(burst));
        Self {
            at_once: Semaphore::new(AT_ONCE),
            requests: DefaultKeyedRateLimiter::keyed(per_second((REQUESTS, REQUESTS))),
            decisions: DefaultKeyedRateLimiter::keyed(per_second(DECISIONS)),
            wrong_tokens: DefaultKeyedRateLimiter::keyed(per_minute(WRONG_TOKENS)),
        }
    }
}

impl Limits {
    /// Counts a wrong token.
    ///
    /// # Errors
    /// There were too many.
    pub fn count_wrong_token(&self, client: IpAddr) -> Result<(), Problem> {
        let counted = self.wrong_tokens.check_key(&client);
        counted.map_err(|_| Problem::too_many("too many wrong tokens: try again in a minute", 60))
    }
}

/// Refuses requests of a client that asks too often, and of all clients while too many are being answered.
pub async fn limit(
    State(server): State<Arc<Server>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let limits = &server.limits;
    let is_decision = !request.method().is_safe();
    let too_often = limits.requests.check_key(&client.ip()).is_err()
        || (is_decision && limits.decisions.check_key(&client.ip()).is_err());
    if too_often {
        return Problem::too_many("too many requests: try again in a second", 1).into_response();
    }
    let Ok(_permit) = limits.at_once.try_acquire() else {
        return Problem::unavailable("too many requests are being answered").into_response();
    };
    match tokio::time::timeout(MAX_TIME, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(StatusCode::REQUEST_TIMEOUT, "the request took too long").into_response(),
    }
}
