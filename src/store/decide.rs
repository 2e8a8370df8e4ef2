//! Deciding: what people do about budgets, breakers and alerts.

use super::error::Result;
use crate::domain::alert::Acknowledgement;
use crate::domain::breaker::circuit::Trip;
use crate::domain::budget::BudgetState;
use crate::domain::event::CircuitDecision;
use crate::domain::operation::Operation;
use crate::domain::time::Timestamp;

/// Records the decisions of people, each with who made it and why.
pub trait Decide {
    /// Records an operation; one with a known id changes nothing. `state`: its budget before. Returns the budget after it;
    /// `None` when it is deleted.
    ///
    /// # Errors
    /// It was not recorded.
    fn add_operation(&mut self, operation: &Operation, state: &BudgetState) -> Result<Option<BudgetState>>;

    /// A person (`by`, with a reason) decides about the breakers of a session: of one agent, or of all. Returns those that
    /// changed, with why they had tripped, if they had.
    ///
    /// # Errors
    /// Nothing was changed.
    fn decide_circuit(
        &mut self,
        session: &str,
        agent: Option<&str>,
        decision: CircuitDecision,
        by: (&str, &str),
        now: Timestamp,
    ) -> Result<Vec<(String, Option<Trip>)>>;

    /// Acknowledges these alerts, except those that are acknowledged already or do not exist. Returns which were acknowledged
    /// now.
    ///
    /// # Errors
    /// None was acknowledged.
    fn acknowledge(&mut self, alerts: &[i64], acknowledgement: &Acknowledgement) -> Result<Vec<i64>>;
}
