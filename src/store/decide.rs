//! Decisions of people about budgets, breakers and alerts.

use super::error::Result;
use crate::domain::alert::Acknowledgement;
use crate::domain::breaker::circuit::Trip;
use crate::domain::budget::BudgetState;
use crate::domain::event::CircuitDecision;
use crate::domain::operation::Operation;
use crate::domain::time::Timestamp;

/// Records decisions of people, with who made them and why.
pub trait Decide {
    /// Records an operation. Does nothing if its id is known. `state`: its budget before. Returns the budget after it,
    /// or `None` if deleted.
    ///
    /// # Errors
    /// The operation was not recorded.
    fn add_operation(&mut self, operation: &Operation, state: &BudgetState) -> Result<Option<BudgetState>>;

    /// A person (`by`, with a reason) decides about the breakers of one agent, or of all agents of a session. Returns
    /// those that changed, and why they had tripped, if they had.
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

    /// Acknowledges these alerts, except unknown and acknowledged ones. Returns those newly acknowledged.
    ///
    /// # Errors
    /// None was acknowledged.
    fn acknowledge(&mut self, alerts: &[i64], acknowledgement: &Acknowledgement) -> Result<Vec<i64>>;
}
