//! Counters of budgets: which to read, and how to compute them from the messages.

use std::collections::BTreeMap;

use serde_json::json;

use super::RedisStore;
use super::keys::Keys;
use super::scripts::ADD_UP;
use super::step::{CounterRead, parse_counts};
use super::unit_of_work::UnitOfWork;
use super::{DECISIONS_S, RETENTION_S};
use crate::domain::budget::{BudgetState, Scope};
use crate::domain::counter::CounterKey;
use crate::domain::operation::Operation;
use crate::domain::time::Timestamp;
use crate::store::counts::CLASSES;
use crate::store::ledger::family_name;
use crate::store::shared_names::SharedNames;
use crate::store::{BudgetKey, Result};

/// What the names of counters depend on, besides their key.
pub struct CounterNames {
    /// The maintained families, with the moment of registration: their counters include later charges.
    pub families: BTreeMap<String, i64>,
    /// When Fusebox was installed, if known. Part of the name of history counters, since it changes what they count.
    pub installed: Option<Timestamp>,
}

impl CounterNames {
    /// Reads it; the step expects it to stay unchanged.
    pub fn read(work: &mut UnitOfWork) -> Self {
        let families = work.get_record(&work.keys.families(), "").unwrap_or_default();
        let installed = work.get_number(&work.keys.installed(), "").map(Timestamp);
        Self { families, installed }
    }

    /// The key of a counter.
    pub fn key(&self, keys: &Keys, family: &str, value: &str, start: i64) -> String {
        let registered = self.families.get(family).copied().unwrap_or_default();
        match self.installed {
            Some(at) if family.starts_with("history ") => {
                keys.counter(&format!("{family} {}", at.0), registered, value, start)
            }
            _ => keys.counter(family, registered, value, start),
        }
    }

    /// How scripts read a counter. `end`: only earlier messages count.
    pub fn counter_read(&self, keys: &Keys, counter: &CounterKey, mut end: Option<Timestamp>) -> CounterRead {
        let CounterKey { family, value, start, since } = counter;
        if family.scope == Scope::History {
            let installed = self.installed.unwrap_or(Timestamp(i64::MIN));
            end = Some(end.map_or(installed, |end| end.min(installed)));
        }
        let from = since.max(start).0;
        CounterRead {
            key: self.key(keys, &family_name(family), value, start.0),
            since: since.0.to_string(),
            scope: family.scope.name(),
            value: value.clone(),
            from: if from == i64::MIN { "-inf".into() } else { from.to_string() },
            to: end.map(|end| end.0.to_string()),
        }
    }
}

impl RedisStore {
    /// Budgets in the windows of `at`, computed from all messages, or those before a moment. `keep`: store the
    /// counters.
    pub(super) fn recounted_states(
        &mut self,
        budgets: &[BudgetKey],
        at: Timestamp,
        before: Option<Timestamp>,
        keep: bool,
    ) -> Result<Vec<BudgetState>> {
        let shared = SharedNames::new(budgets);
        let mut states = Vec::new();
        for key in &shared.budgets {
            let (names, found) =
                self.in_step("", |work| Ok((CounterNames::read(work), resolve(work, key, at, before))))?;
            let Some((state, counters)) = found else { continue };
            let end = before.or(state.window.end);
            let wanted: Vec<CounterRead> =
                counters.iter().map(|key| names.counter_read(&self.keys, key, end)).collect();
            let ask = json!({
                "data": self.keys.data_prefix(), "damaged": self.keys.damaged(), "data_ttl": RETENTION_S,
                "decided_ttl": DECISIONS_S, "classes": CLASSES.len(), "keep": keep, "counters": wanted,
            });
            let sums: Vec<String> = self.scripts.run(ADD_UP, &self.keys, &[ask.to_string()])?;
            let counted = counters.iter().zip(&sums);
            let counted = counted.map(|(key, sum)| Ok((key.family.scope, parse_counts(sum)?.amount())));
            states.push(state.with_counters(counted.collect::<Result<Vec<_>>>()?));
        }
        Ok(shared.with_local_names(states))
    }
}

/// A budget after people's decisions (all, or those before a moment), and its counters. `None` if it is deleted.
pub fn resolve(
    work: &mut UnitOfWork,
    key: &BudgetKey,
    now: Timestamp,
    before: Option<Timestamp>,
) -> Option<(BudgetState, Vec<CounterKey>)> {
    let start = key.budget.window_at(now).start;
    let operations = work.keys.operations(&key.budget.name, &key.value, start);
    let mut operations: Vec<Operation> = work.get_record(&operations, "").unwrap_or_default();
    operations.retain(|operation| before.is_none_or(|end| operation.at < end));
    key.resolve(now, operations)
}
