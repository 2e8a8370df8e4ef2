//! The budgets that hold a session back, and why.

use serde::Serialize;

use super::messages::verdicts;
use crate::domain::budget::BudgetState;

/// A budget that denies something.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeldBy {
    /// The budget's name.
    pub budget: String,
    /// What it denies, with the numbers, until when, and how a person can continue.
    pub why: String,
}

impl HeldBy {
    /// Those of these budgets that deny something.
    pub fn among(states: &[BudgetState]) -> Vec<Self> {
        let blocking = states.iter().filter(|state| state.blocks());
        blocking
            .map(|state| Self { budget: state.budget.name.clone(), why: verdicts::held_back(state) })
            .collect()
    }
}
