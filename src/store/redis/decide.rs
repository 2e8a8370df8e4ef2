//! What people decide about budgets, breakers and alerts.

use super::RedisStore;
use super::alerts::unshown;
use super::standings::OfSession;
use super::workspace::to_json;
use crate::domain::alert::{Acknowledgement, BudgetAlert};
use crate::domain::breaker::circuit::Trip;
use crate::domain::budget::BudgetState;
use crate::domain::event::CircuitDecision;
use crate::domain::operation::Operation;
use crate::domain::time::Timestamp;
use crate::store::shared_names::shared_value;
use crate::store::{Decide, Query, Result, Watch, standing};

impl Decide for RedisStore {
    fn operate(&mut self, operation: &Operation, state: &BudgetState) -> Result<Option<BudgetState>> {
        let value = shared_value(state.budget.scope, &operation.value);
        let operation = Operation { value: value.clone(), ..operation.clone() };
        let (key, operated) =
            (self.keys.operations(&operation.budget, &value, operation.window_start), self.keys.operated());
        // Alerts that nobody saw speak of a limit that is no longer in force.
        let unshown = unshown(&self.keys, &BudgetState { value, ..state.clone() });
        self.in_step("", |workspace| {
            let mut known: Vec<Operation> = workspace.record(&key, "").unwrap_or_default();
            if known.iter().all(|known| known.id != operation.id) {
                known.push(operation.clone());
                // One that is told again after a loss comes after what was decided since.
                known.sort_by_key(|operation| operation.at);
                workspace.put_record(&key, "", &known)?;
                workspace.write(&["RPUSH", &operated, &to_json(&(&key, &operation.id))?]);
                workspace.write(&["EXPIRE", &unshown, "0"]);
            }
            Ok(())
        })?;
        let watch = [Watch { budget: state.budget.clone(), value: state.value.clone() }];
        Ok(self.states(&watch, operation.at)?.pop())
    }

    fn decide_circuit(
        &mut self,
        session: &str,
        agent: Option<&str>,
        decision: CircuitDecision,
        by: (&str, &str),
        now: Timestamp,
    ) -> Result<Vec<(String, Option<Trip>)>> {
        self.in_step(session, |workspace| {
            standing::decide(&mut OfSession { workspace, id: session }, agent, decision, by, now)
        })
    }

    fn acknowledge(&mut self, alerts: &[i64], acknowledgement: &Acknowledgement) -> Result<Vec<i64>> {
        let (key, text) = (self.keys.acknowledged(), to_json(acknowledgement)?);
        self.in_step("", |workspace| {
            let mut done = Vec::new();
            for id in alerts {
                let (alert, field) = (workspace.keys.alert(&id.to_string()), id.to_string());
                let Some(alert) = workspace.record::<BudgetAlert>(&alert, "") else { continue };
                let known: Option<Acknowledgement> = workspace.record(&key, &field);
                if known.is_none_or(|known| known.at < alert.at) {
                    workspace.put(&key, &field, text.clone());
                    done.push(*id);
                }
            }
            Ok(done)
        })
    }
}
