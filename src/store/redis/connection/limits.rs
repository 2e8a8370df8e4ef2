//! How long to wait.

use std::time::{Duration, Instant};

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For a connection: names resolved, connected, TLS agreed.
    pub connect: Duration,
    /// For the whole reply to a request.
    pub read: Duration,
    /// For a request to be sent.
    pub write: Duration,
}

/// The moment until which the first of `count` attempts may last, so that each gets as much of the time to `deadline`.
pub(super) fn share(deadline: Instant, count: usize) -> Instant {
    let now = Instant::now();
    now + deadline.saturating_duration_since(now) / u32::try_from(count).unwrap_or(u32::MAX).max(1)
}
