//! What people decide about budgets, breakers and alerts.

use super::alerts::unshown;
use super::names::shared_value;
use super::scripts::{command, number};
use super::standings::OfSession;
use super::workspace::json;
use super::{DECIDED_S, RedisStore};
use crate::domain::alert::Acknowledgement;
use crate::domain::breaker::circuit::Trip;
use crate::domain::budget::BudgetState;
use crate::domain::event::CircuitDecision;
use crate::domain::operation::Operation;
use crate::domain::time::Timestamp;
use crate::store::{Decide, Query, Result, Watch, standing};

impl Decide for RedisStore {
    fn operate(&mut self, operation: &Operation, state: &BudgetState) -> Result<Option<BudgetState>> {
        let value = shared_value(state.budget.scope, &operation.value);
        let operation = Operation { value: value.clone(), ..operation.clone() };
        let key = self.keys.operations(&operation.budget, &value, operation.window_start);
        let operated = self.keys.operated();
        // Alerts that nobody saw speak of a limit that is no longer in force.
        let unshown = unshown(&self.keys, &BudgetState { value, ..state.clone() });
        self.in_step("", |workspace| {
            let mut known: Vec<Operation> = workspace.record(&key, "").unwrap_or_default();
            if known.iter().all(|known| known.id != operation.id) {
                known.push(operation.clone());
                // One that is told again after a loss comes after what was decided since.
                known.sort_by_key(|operation| operation.at);
                workspace.put_record(&key, "", &known)?;
                workspace.write(&["RPUSH", &operated, &json(&(&key, &operation.id))?]);
                workspace.remove(&unshown);
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
        let text = json(acknowledgement)?;
        let exists = |id: &i64| command(&["EXISTS", &self.keys.alert(&id.to_string())]);
        let there: Vec<_> = alerts.iter().map(exists).collect();
        let there = self.scripts.commands(&self.keys, &there)?;
        let mut known = Vec::new();
        for (id, there) in alerts.iter().zip(there) {
            if number::<u64>(there)? > 0 && !known.contains(id) {
                known.push(*id);
            }
        }
        let key = self.keys.acknowledged();
        let note = |id: &i64| command(&["HSETNX", &key, &id.to_string(), &text]);
        let mut commands: Vec<_> = known.iter().map(note).collect();
        commands.push(command(&["EXPIRE", &key, &DECIDED_S.to_string()]));
        let replies = self.scripts.commands(&self.keys, &commands)?;
        let mut done = Vec::new();
        for (id, reply) in known.into_iter().zip(replies) {
            if number::<u64>(reply)? > 0 {
                done.push(id);
            }
        }
        Ok(done)
    }
}
