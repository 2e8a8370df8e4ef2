//! Decisions of people about budgets. Each has an id, so replaying one has no further effect.

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// What a person decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum OperationKind {
    /// Raises the limit.
    Extend {
        /// Units to add.
        amount: u64,
    },
    /// Charges before this moment no longer count; earlier extensions end.
    Reset {
        /// The moment.
        baseline: Timestamp,
    },
    /// The budget no longer applies to this value in this window, until a reset.
    Delete,
}

impl OperationKind {
    /// `extend`, `reset` or `delete`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Extend { .. } => "extend",
            Self::Reset { .. } => "reset",
            Self::Delete => "delete",
        }
    }
}

/// A decision about one value of one budget, in one window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Unique id. Recording the same operation twice counts once.
    pub id: String,
    /// What was decided.
    #[serde(flatten)]
    pub kind: OperationKind,
    /// Name of the budget.
    pub budget: String,
    /// Value of the scope.
    pub value: String,
    /// Start of the window that it applies to.
    pub window_start: Timestamp,
    /// The reason given.
    pub reason: String,
    /// Who decided.
    pub actor: String,
    /// When it was decided.
    pub at: Timestamp,
}

/// The combined result of all operations on one value in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Adjustment {
    /// Units added to the limit since the last reset.
    pub extension: u64,
    /// Moment of the last reset.
    pub since: Option<Timestamp>,
    /// Whether the budget is deleted.
    pub deleted: bool,
    /// Number of operations.
    pub count: u32,
}

impl Adjustment {
    /// Combines operations in order.
    pub fn from_operations(kinds: impl IntoIterator<Item = OperationKind>) -> Self {
        kinds.into_iter().fold(Self::default(), |sum, kind| {
            let sum = Self { count: sum.count + 1, ..sum };
            match kind {
                OperationKind::Extend { amount } => {
                    Self { extension: sum.extension.saturating_add(amount), ..sum }
                }
                OperationKind::Reset { baseline } => {
                    Self { extension: 0, since: Some(baseline), deleted: false, ..sum }
                }
                OperationKind::Delete => Self { deleted: true, ..sum },
            }
        })
    }
}
