//! Decisions of persons about budgets, recorded so that they can be replayed under their ids.

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// What a person decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum OperationKind {
    /// The limit is raised by so many units.
    Extend {
        /// Units.
        amount: u64,
    },
    /// Charges dated before this moment no longer count; earlier extensions end.
    Reset {
        /// The moment.
        baseline: Timestamp,
    },
    /// The budget no longer applies to this value in this window, until it is reset.
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
    /// Unique; the same operation recorded twice counts once.
    pub id: String,
    /// What was decided.
    #[serde(flatten)]
    pub kind: OperationKind,
    /// Name of the budget.
    pub budget: String,
    /// Value of its scope.
    pub value: String,
    /// Start of the window that it holds in.
    pub window_start: Timestamp,
    /// Why, in the words of the person.
    pub reason: String,
    /// Who.
    pub actor: String,
    /// When.
    pub at: Timestamp,
}

/// The combined result of all operations on one value in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Adjustment {
    /// Units added to the limit since the last reset.
    pub extension: u64,
    /// Moment of the last reset.
    pub since: Option<Timestamp>,
    /// Whether the budget was deleted.
    pub deleted: bool,
    /// How many operations there were.
    pub count: u32,
}

impl Adjustment {
    /// Combines operations, in their order.
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
