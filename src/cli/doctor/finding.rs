//! What a check found, and how to fix it.

use serde::Serialize;

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Everything is in order.
    Ok,
    /// Worth knowing.
    Note,
    /// The guard works, but less well than it could, or not everywhere.
    Warning,
    /// The guard would not work.
    Problem,
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How serious it is.
    pub severity: Severity,
    /// What was found.
    pub found: String,
    /// How to fix it, if there is anything to fix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    /// Everything is in order.
    pub fn ok(found: impl Into<String>) -> Self {
        Self { severity: Severity::Ok, found: found.into(), fix: None }
    }

    /// Worth knowing.
    pub fn note(found: impl Into<String>) -> Self {
        Self { severity: Severity::Note, found: found.into(), fix: None }
    }

    /// Less good than it could be.
    pub fn warning(found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, found: found.into(), fix: Some(fix.into()) }
    }

    /// The guard would not work.
    pub fn problem(found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { severity: Severity::Problem, found: found.into(), fix: Some(fix.into()) }
    }
}
