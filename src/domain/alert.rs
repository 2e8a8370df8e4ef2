//! Alerts: a budget crossed a threshold.

use serde::{Deserialize, Serialize};

use super::budget::{BudgetState, Mode, OnLimit, Scope, Status, Unit};
use super::time::Timestamp;

/// How urgent an alert is. Source of the bounds: below 0.7 info, below 0.9 warning, else critical.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Worth knowing.
    Info,
    /// Worth acting on.
    Warning,
    /// At or close to the limit.
    Critical,
}

impl Level {
    /// The level of a threshold, a fraction of the limit.
    pub fn of(threshold: f64) -> Self {
        match threshold {
            t if t < 0.7 => Self::Info,
            t if t < 0.9 => Self::Warning,
            _ => Self::Critical,
        }
    }
}

/// A budget crossed a threshold. One is stored for each budget, value, window, threshold and limit in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BudgetAlert {
    /// Number in the store; 0 before it is stored.
    pub id: i64,
    /// Name of the budget.
    pub budget: String,
    /// Scope of the budget.
    pub scope: Scope,
    /// Value of the scope.
    pub value: String,
    /// Start of the window.
    pub window_start: Timestamp,
    /// The threshold crossed, a fraction of the limit.
    pub threshold: f64,
    /// How urgent.
    pub level: Level,
    /// Used when it was crossed, in units.
    pub used: u64,
    /// Limit in force when it was crossed, in units.
    pub limit: u64,
    /// Unit of both.
    pub unit: Unit,
    /// Whether the budget acts.
    pub mode: Mode,
    /// What the budget does at the limit.
    pub on_limit: OnLimit,
    /// When it was crossed.
    pub at: Timestamp,
}

impl BudgetAlert {
    /// The alert for `threshold` of `state`.
    pub fn of(state: &BudgetState, threshold: f64, at: Timestamp) -> Self {
        Self {
            id: 0,
            budget: state.budget.name.clone(),
            scope: state.budget.scope,
            value: state.value.clone(),
            window_start: state.window.start,
            threshold,
            level: Level::of(threshold),
            used: state.used,
            limit: state.limit(),
            unit: state.budget.unit,
            mode: state.budget.mode,
            on_limit: state.budget.on_limit,
            at,
        }
    }

    /// The status that this threshold stands for.
    pub fn status(&self) -> Status {
        if self.used >= self.limit { Status::Paused } else { Status::Warning }
    }
}
