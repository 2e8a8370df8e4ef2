//! The conformance suite of [`fusebox::store::Store`]: what every store must do, whatever its storage.
//!
//! A test is a function that takes a `&dyn Backend`; `conformance!(..)` runs it on each backend, as
//! `store::messages::counted_once::sqlite`. To add a backend, add a line to that macro.

/// Makes a test of each function on each backend.
macro_rules! conformance {
    ($($test:ident),+ $(,)?) => {$(
        mod $test {
            crate::store::backends!($test, sqlite: Sqlite, redis: Redis);
        }
    )+};
}

/// Makes a test of one function on each of these backends.
macro_rules! backends {
    ($test:ident, $($name:ident: $backend:ident),+ $(,)?) => {$(
        #[test]
        fn $name() {
            crate::store::backend::check::<crate::store::backend::$backend>(super::$test);
        }
    )+};
}
use backends;

mod alerts;
mod backend;
pub mod batch_builder;
mod breaker;
mod claims;
mod counters;
mod events;
mod facts;
mod history;
mod lineage;
mod machines;
mod messages;
mod metrics;
mod names;
mod operations;
mod orders;
mod parallel;
mod quota;
mod renewal;
mod sessions;
mod settling;
mod settling_forks;
mod teams;
mod throttling;
