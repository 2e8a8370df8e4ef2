//! The wall clock, and a stopwatch.

use crate::domain::time::Timestamp;

/// Measures elapsed time, independent of the wall clock. For waiting only.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts a stopwatch.
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// Milliseconds since the start.
    pub fn ms(&self) -> i64 {
        i64::try_from(self.0.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

/// The wall clock now. Decisions use [`Env::now`](super::Env::now); this is for code that dates things itself, such as
/// tests.
#[allow(clippy::disallowed_methods)]
pub fn clock() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let read = since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
    Timestamp(read.saturating_add(test_offset()).saturating_add(test_skew()))
}

/// The time of a store's clock, which tests move together with the clocks of all machines.
pub fn store_clock(read: Timestamp) -> Timestamp {
    read.plus_millis(test_offset())
}

/// Milliseconds by which tests move the clock, read from the file that `FUSEBOX_TEST_CLOCK` names. Only in builds with
/// the feature `test-clock`: otherwise an agent could use it to evade a budget.
#[cfg(feature = "test-clock")]
#[allow(clippy::disallowed_methods)]
fn test_offset() -> i64 {
    let file = std::env::var_os("FUSEBOX_TEST_CLOCK");
    let text = file.and_then(|file| std::fs::read_to_string(file).ok());
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

#[cfg(not(feature = "test-clock"))]
const fn test_offset() -> i64 {
    0
}

/// Milliseconds by which tests set the clock of one machine wrong (`FUSEBOX_TEST_SKEW`). In builds with the feature
/// `test-clock` only.
#[cfg(feature = "test-clock")]
#[allow(clippy::disallowed_methods)]
fn test_skew() -> i64 {
    std::env::var("FUSEBOX_TEST_SKEW").ok().and_then(|ms| ms.parse().ok()).unwrap_or(0)
}

#[cfg(not(feature = "test-clock"))]
const fn test_skew() -> i64 {
    0
}

/// The factor by which tests extend deadlines and time limits (`FUSEBOX_TEST_PATIENCE`), so that a busy machine does not fail
/// those that are about something else. In builds with the feature `test-clock` only.
#[cfg(feature = "test-clock")]
#[allow(clippy::disallowed_methods)]
pub fn test_patience() -> u32 {
    std::env::var("FUSEBOX_TEST_PATIENCE").ok().and_then(|factor| factor.parse().ok()).unwrap_or(1)
}

/// Always 1 outside test builds.
#[cfg(not(feature = "test-clock"))]
pub const fn test_patience() -> u32 {
    1
}

/// Panics if tests ask for it (`FUSEBOX_TEST_PANIC` names this place), to see what a panic leaves behind. In builds with the
/// feature `test-clock` only.
#[cfg(feature = "test-clock")]
#[allow(clippy::disallowed_methods)]
pub fn test_panic(place: &str) {
    assert!(
        std::env::var("FUSEBOX_TEST_PANIC").as_deref() != Ok(place),
        "a test asked for a panic in {place}"
    );
}

/// Does nothing outside test builds.
#[cfg(not(feature = "test-clock"))]
pub const fn test_panic(_place: &str) {}
