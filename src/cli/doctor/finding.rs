//! What a check found, and how to fix it.

use serde::Serialize;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// The guard holds, but not as well as it could, or not everywhere.
    Warning,
    /// The guard would not hold.
    Problem,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What was found.
    pub found: String,
    /// How to fix it; `None` where there is nothing to fix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    /// As it should be.
    pub fn ok(found: impl Into<String>) -> Self {
        Self { severity: Severity::Ok, found: found.into(), fix: None }
    }

    /// Worth knowing.
    pub fn note(found: impl Into<String>) -> Self {
        Self { severity: Severity::Note, found: found.into(), fix: None }
    }

    /// Not as well as it could be.
    pub fn warning(found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, found: found.into(), fix: Some(fix.into()) }
    }

    /// The guard would not hold.
    pub fn problem(found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { severity: Severity::Problem, found: found.into(), fix: Some(fix.into()) }
    }
}
