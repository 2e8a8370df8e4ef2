//! What people decide about budgets, and what there is one of in a store.

use redis::Value;

use super::alerting::place;
use super::apply::Keeping;
use super::names::Shared;
use super::plan::command;
use super::plan::{self, Command};
use super::{DECIDED_S, RedisStore, shared_value};
use crate::domain::budget::{BudgetState, Scope};
use crate::domain::counter::CounterKey;
use crate::domain::operation::{Effect, Operation};
use crate::domain::time::Timestamp;
use crate::store::counts::CounterDelta;
use crate::store::{Result, StoreError, Watch};

impl RedisStore {
    pub(super) fn operate(
        &mut self,
        operation: &Operation,
        state: &BudgetState,
    ) -> Result<Option<BudgetState>> {
        let value = shared_value(state.budget.scope, &operation.value);
        let operation = Operation { value: value.clone(), ..operation.clone() };
        let key = self.keys.operations(&operation.budget, &value, operation.window_start);
        let operated = self.keys.operated();
        let is_new = self.in_step("", operation.at, |workspace| {
            let mut known: Vec<Operation> = workspace.record(&key)?.unwrap_or_default();
            let is_new = known.iter().all(|known| known.id != operation.id);
            if is_new {
                known.push(operation.clone());
                // One that is told again after a loss comes after what was decided since.
                known.sort_by_key(|operation| operation.at);
                workspace.put_record(&key, &known)?;
                let entry = serde_json::to_string(&(&key, &operation.id));
                let entry = entry.map_err(|e| StoreError::Damaged(e.to_string()))?;
                let words = command(&["RPUSH", &operated, &entry]);
                workspace.plan.commands.push(Command { kind: None, words });
            }
            Ok(is_new)
        })?;
        let ttl = DECIDED_S.to_string();
        let long = [&key, &operated].map(|key| command(&["EXPIRE", key, &ttl]));
        self.link.commands(&self.keys, &long)?;
        // Alerts that nobody saw speak of a limit that is no longer in force.
        let place = place(&BudgetState { value, ..state.clone() });
        let unshown = if is_new { self.texts(&["SMEMBERS", &self.keys.unshown()])? } else { Vec::new() };
        for id in unshown {
            let key = format!("{}{id}", self.keys.alert_prefix());
            if plan::text(self.ask(&["HGET", &key, "place"])?)? == place {
                self.ask(&["SREM", &self.keys.unshown(), &id])?;
            }
        }
        let watch = [Watch { budget: state.budget.clone(), value: state.value.clone() }];
        Ok(self.states(&watch, operation.at)?.pop())
    }

    pub(super) fn operations(&mut self, budget: Option<&str>) -> Result<Vec<Operation>> {
        let entries = self.texts(&["LRANGE", &self.keys.operated(), "0", "-1"])?;
        let entries = entries.iter().filter_map(|entry| serde_json::from_str::<(String, String)>(entry).ok());
        let entries: Vec<(String, String)> = entries.collect();
        let commands: Vec<_> = entries.iter().map(|(key, _)| command(&["GET", key])).collect();
        let mut all: Vec<Operation> = Vec::new();
        for ((_, id), answer) in entries.iter().zip(self.in_turn(&commands)?) {
            if let Some(text) = plan::bytes(answer)? {
                all.extend(parse(&text)?.into_iter().filter(|operation| operation.id == *id));
            }
        }
        all.retain(|operation| budget.is_none_or(|name| operation.budget == name));
        Ok(all)
    }

    pub(super) fn states_before(&mut self, watches: &[Watch], moment: Timestamp) -> Result<Vec<BudgetState>> {
        self.added_up(watches, moment, Some(moment), Keeping::Nothing)
    }

    pub(super) fn count_anew(&mut self, watches: &[Watch], now: Timestamp) -> Result<()> {
        for watch in watches.iter().filter(|watch| watch.budget.scope == Scope::Session) {
            self.in_step(&watch.value, now, |workspace| workspace.mend_counts(&watch.value))?;
        }
        self.added_up(watches, now, None, Keeping::Over).map(drop)
    }

    /// Budgets in the windows of `at`, by their messages: those before a moment, or all.
    fn added_up(
        &mut self,
        watches: &[Watch],
        at: Timestamp,
        before: Option<Timestamp>,
        keeping: Keeping,
    ) -> Result<Vec<BudgetState>> {
        let installed = self.installed()?;
        let shared = Shared::of(watches);
        let mut states = Vec::new();
        for Watch { budget, value } in &shared.watches {
            let window = budget.window.at(at);
            let text =
                plan::bytes(self.ask(&["GET", &self.keys.operations(&budget.name, value, window.start)])?)?;
            let all = text.map(|text| parse(&text)).transpose()?.unwrap_or_default();
            let effect =
                Effect::of(all.iter().filter(|o| before.is_none_or(|end| o.at < end)).map(|o| o.decision));
            if effect.deleted {
                continue;
            }
            let since = effect.since.unwrap_or(window.start).max(window.start);
            let of = |spec| CounterKey { spec, value: value.clone(), start: window.start, since };
            let counters: Vec<CounterKey> = budget.counters().into_iter().map(of).collect();
            let end = before.or(window.end);
            let sums = self.add_up(counters.iter().map(|key| (key, end)), installed, keeping)?;
            let scopes = counters.iter().map(|key| key.spec.scope);
            let fresh = BudgetState::fresh(budget, value, window).decided(&effect);
            states.push(fresh.counting(scopes.zip(sums.into_iter().map(CounterDelta::amount))));
        }
        Ok(shared.named_here(states))
    }

    pub(super) fn epoch(&mut self) -> Result<String> {
        let (new, key) = (super::new_epoch(), self.keys.epoch());
        let made = command(&["SET", &key, &new, "NX", "EX", &super::KEPT_S.to_string()]);
        let answers = self.link.commands(&self.keys, &[made, command(&["GET", &key])])?;
        plan::text(answers.into_iter().nth(1).unwrap_or(Value::Nil))
    }

    pub(super) fn install(&mut self, now: Timestamp) -> Result<()> {
        let key = self.keys.installed();
        let ttl = (10 * DECIDED_S).to_string();
        self.ask(&["SET", &key, &now.0.to_string(), "NX", "EX", &ttl]).map(drop)
    }
}

fn parse(text: &[u8]) -> Result<Vec<Operation>> {
    serde_json::from_slice(text).map_err(|e| StoreError::Damaged(format!("operations: {e}")))
}
