//! Counters: what one value of a scope used in one window. Budgets are views on counters.

use super::budget::Scope;
use super::time::Timestamp;
use super::window::WindowRule;

/// A family of counters: one for every value of `scope` and every window of `rule`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// Counted over.
    pub scope: Scope,
    /// Starts afresh by.
    pub rule: WindowRule,
}

/// One counter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CounterKey {
    /// Its family.
    pub spec: Spec,
    /// The value of the scope.
    pub value: String,
    /// Start of the window.
    pub start: Timestamp,
    /// Messages before this moment do not count: the last reset, else the window's start.
    pub since: Timestamp,
}
