//! Alerts: a budget crossed a threshold.

use serde::{Deserialize, Serialize};

use super::budget::{BudgetState, Mode, OnLimit, Scope, Status, Unit};
use super::time::Timestamp;

/// How urgent an alert is: info below 0.7 of the limit, warning below 0.9, else critical.
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
    /// Every level and its name, mildest first.
    pub const ALL: [(&'static str, Self); 3] =
        [("info", Self::Info), ("warning", Self::Warning), ("critical", Self::Critical)];

    /// The name in output and JSON.
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

/// A budget crossed a threshold. Stored once per budget, value, window, threshold and limit.
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
    /// How urgent it is.
    pub level: AlertLevel,
    /// Units used when the threshold was crossed.
    pub used: u64,
    /// Limit in force at that time, in units.
    pub limit: u64,
    /// Unit of `used` and `limit`.
    pub unit: Unit,
    /// Whether the budget enforces its limit.
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

    /// Whether the budget reached its limit: the threshold is the limit itself.
    pub fn is_pause(&self) -> bool {
        (self.threshold * 1e6).round() == 1e6
    }

    /// The status that this alert reports.
    pub fn status(&self) -> Status {
        if self.used >= self.limit { Status::Paused } else { Status::Warning }
    }
}

/// A person's acknowledgement of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Who acknowledged it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// The reason, if given.
    pub reason: Option<String>,
}

/// A stored alert with its acknowledgement.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRecord {
    /// The alert.
    pub alert: BudgetAlert,
    /// The acknowledgement, if any.
    pub acknowledged: Option<Acknowledgement>,
}

/// Selects the alerts that meet all conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// Only alerts of this budget.
    pub budget: Option<String>,
    /// Only alerts of budgets that count this session.
    pub session: Option<String>,
    /// Only alerts of this level.
    pub level: Option<AlertLevel>,
    /// Only alerts raised before this moment.
    pub before: Option<Timestamp>,
    /// Whether to include acknowledged alerts.
    pub acknowledged: bool,
}

impl AlertFilter {
    /// Whether the filter selects this alert.
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
