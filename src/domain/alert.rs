//! Alerts: a budget crossed a threshold.

use serde::{Deserialize, Serialize};

use super::budget::{BudgetState, Mode, OnLimit, Scope, Status, Unit};
use super::time::Timestamp;

/// How urgent an alert is: below 0.7 of the limit info, below 0.9 warning, else critical.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertLevel {
    /// Worth knowing.
    Info,
    /// Worth acting on.
    Warning,
    /// At or close to the limit.
    Critical,
}

impl AlertLevel {
    /// Every level with its name, mildest first.
    pub const ALL: [(&'static str, Self); 3] =
        [("info", Self::Info), ("warning", Self::Warning), ("critical", Self::Critical)];

    /// The name that people and JSON see.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, level)| *level == self).map_or("critical", |(name, _)| name)
    }

    /// The level of a threshold, a fraction of the limit.
    pub fn from_threshold(threshold: f64) -> Self {
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
    pub level: AlertLevel,
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
    pub fn new(state: &BudgetState, threshold: f64, at: Timestamp) -> Self {
        Self {
            id: 0,
            budget: state.budget.name.clone(),
            scope: state.budget.scope,
            value: state.value.clone(),
            window_start: state.window.start,
            threshold,
            level: AlertLevel::from_threshold(threshold),
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

/// A person's acknowledgement of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why, if they gave a reason.
    pub reason: Option<String>,
}

/// A stored alert with its acknowledgement.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRecord {
    /// The alert.
    pub alert: BudgetAlert,
    /// Who acknowledged it; `None`: nobody yet.
    pub acknowledged: Option<Acknowledgement>,
}

/// Selects alerts: those that meet all conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// Of this budget.
    pub budget: Option<String>,
    /// Of budgets that count this session.
    pub session: Option<String>,
    /// Of this level.
    pub level: Option<AlertLevel>,
    /// Raised before this moment.
    pub before: Option<Timestamp>,
    /// Acknowledged ones too.
    pub acknowledged: bool,
}

impl AlertFilter {
    /// Whether this alert is selected.
    pub fn matches(&self, record: &AlertRecord) -> bool {
        let alert = &record.alert;
        let of_session = |id: &String| alert.scope == Scope::Session && alert.value == *id;
        self.budget.as_ref().is_none_or(|name| alert.budget == *name)
            && self.session.as_ref().is_none_or(of_session)
            && self.level.is_none_or(|level| alert.level == level)
            && self.before.is_none_or(|moment| alert.at < moment)
            && (self.acknowledged || record.acknowledged.is_none())
    }
}
