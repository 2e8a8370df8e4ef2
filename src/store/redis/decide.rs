//! Decisions of people about budgets, breakers and alerts.

use super::RedisStore;
use super::agent_state_fields::RedisAgentStates;
use super::alerts::unshown_key;
use super::unit_of_work::to_json;
use crate::domain::alert::{Acknowledgement, BudgetAlert};
use crate::domain::breaker::circuit::Trip;
use crate::domain::budget::BudgetState;
use crate::domain::event::CircuitDecision;
use crate::domain::operation::Operation;
use crate::domain::time::Timestamp;
use crate::store::shared_names::shared_value;
use crate::store::{BudgetKey, Decide, Query, Result, agent_states};

impl Decide for RedisStore {
    fn add_operation(&mut self, operation: &Operation, state: &BudgetState) -> Result<Option<BudgetState>> {
        let value = shared_value(state.budget.scope, &operation.value);
        let operation = Operation { value: value.clone(), ..operation.clone() };
        let key = self.keys.operations(&operation.budget, &value, operation.window_start);
        let log = self.keys.operation_log();
        // Alerts not shown yet refer to the old limit.
        let unshown = unshown_key(&self.keys, &BudgetState { value, ..state.clone() });
        self.in_step("", |work| {
            let mut known: Vec<Operation> = work.get_record(&key, "").unwrap_or_default();
            if known.iter().all(|known| known.id != operation.id) {
                known.push(operation.clone());
                // An operation restored after a loss may be older than the stored ones.
                known.sort_by_key(|operation| operation.at);
                work.put_record(&key, "", &known)?;
                work.write(&["RPUSH", &log, &to_json(&(&key, &operation.id))?]);
                work.write(&["EXPIRE", &unshown, "0"]);
            }
            Ok(())
        })?;
        let key = [BudgetKey { budget: state.budget.clone(), value: state.value.clone() }];
        Ok(self.states(&key, operation.at)?.pop())
    }

    fn decide_circuit(
        &mut self,
        session: &str,
        agent: Option<&str>,
        decision: CircuitDecision,
        by: (&str, &str),
        now: Timestamp,
    ) -> Result<Vec<(String, Option<Trip>)>> {
        self.in_step(session, |work| {
            agent_states::decide(&mut RedisAgentStates { work, id: session }, agent, decision, by, now)
        })
    }

    fn acknowledge(&mut self, alerts: &[i64], acknowledgement: &Acknowledgement) -> Result<Vec<i64>> {
        let (key, text) = (self.keys.acknowledged(), to_json(acknowledgement)?);
        self.in_step("", |work| {
            let mut done = Vec::new();
            for id in alerts {
                let (alert, field) = (work.keys.alert(&id.to_string()), id.to_string());
                let Some(alert) = work.get_record::<BudgetAlert>(&alert, "") else { continue };
                let known: Option<Acknowledgement> = work.get_record(&key, &field);
                if known.is_none_or(|known| known.at < alert.at) {
                    work.put(&key, &field, text.clone());
                    done.push(*id);
                }
            }
            Ok(done)
        })
    }
}
