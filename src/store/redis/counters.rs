//! Counters of budgets: which are wanted, and what they come to by the messages.

use std::collections::BTreeMap;

use serde_json::json;

use super::RedisStore;
use super::keys::Keys;
use super::scripts::ADD_UP;
use super::step::{Wanted, counts};
use super::workspace::Workspace;
use super::{DECIDED_S, KEPT_S};
use crate::domain::budget::{BudgetState, Scope};
use crate::domain::counter::CounterKey;
use crate::domain::operation::Operation;
use crate::domain::time::Timestamp;
use crate::store::counts::CLASSES;
use crate::store::ledger::family;
use crate::store::shared_names::Shared;
use crate::store::{Result, Watch};

/// What names of counters depend on besides what they count.
pub struct Naming {
    /// The families that are kept up, with the moment from which on they are: what was counted since is in their counters.
    pub families: BTreeMap<String, i64>,
    /// When Fusebox was installed, as far as is known: what was counted as history before that was known is none of it.
    pub installed: Option<Timestamp>,
}

impl Naming {
    /// As a step finds it, which takes it for given.
    pub fn of(workspace: &mut Workspace) -> Self {
        let families = workspace.record(&workspace.keys.families(), "").unwrap_or_default();
        let installed = workspace.number_at(&workspace.keys.installed(), "").map(Timestamp);
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

    /// A counter, as scripts want it; `end`: of the messages that count.
    pub fn wanted(&self, keys: &Keys, counter: &CounterKey, mut end: Option<Timestamp>) -> Wanted {
        let CounterKey { spec, value, start, since } = counter;
        if spec.scope == Scope::History {
            let installed = self.installed.unwrap_or(Timestamp(i64::MIN));
            end = Some(end.map_or(installed, |end| end.min(installed)));
        }
        let from = since.max(start).0;
        Wanted {
            key: self.key(keys, &family(spec), value, start.0),
            since: since.0.to_string(),
            scope: spec.scope.name(),
            value: value.clone(),
            from: if from == i64::MIN { "-inf".into() } else { from.to_string() },
            to: end.map(|end| end.0.to_string()),
        }
    }
}

impl RedisStore {
    /// Budgets in the windows of `at`, by their messages: those before a moment, or all. `keep`: in place of their counters.
    pub(super) fn added_up(
        &mut self,
        watches: &[Watch],
        at: Timestamp,
        before: Option<Timestamp>,
        keep: bool,
    ) -> Result<Vec<BudgetState>> {
        let shared = Shared::of(watches);
        let mut states = Vec::new();
        for watch in &shared.watches {
            let (naming, found) = self.in_step("", |workspace| {
                Ok((Naming::of(workspace), decided(workspace, watch, at, before)))
            })?;
            let Some((state, counters)) = found else { continue };
            let end = before.or(state.window.end);
            let wanted: Vec<Wanted> =
                counters.iter().map(|key| naming.wanted(&self.keys, key, end)).collect();
            let ask = json!({
                "data": self.keys.data_prefix(), "damaged": self.keys.damaged(), "data_ttl": KEPT_S,
                "decided_ttl": DECIDED_S, "classes": CLASSES.len(), "keep": keep, "counters": wanted,
            });
            let sums: Vec<String> = self.scripts.run(ADD_UP, &self.keys, &[ask.to_string()])?;
            let mut found = Vec::new();
            for (key, sum) in counters.iter().zip(&sums) {
                found.push((key.spec.scope, counts(sum)?.amount()));
            }
            states.push(state.counting(found));
        }
        Ok(shared.named_here(states))
    }
}

/// A budget by what people decided about it (before a moment, or ever), and its counters; `None`: it is deleted.
pub fn decided(
    workspace: &mut Workspace,
    watch: &Watch,
    now: Timestamp,
    before: Option<Timestamp>,
) -> Option<(BudgetState, Vec<CounterKey>)> {
    let start = watch.budget.window.at(now).start;
    let key = workspace.keys.operations(&watch.budget.name, &watch.value, start);
    let mut operations: Vec<Operation> = workspace.record(&key, "").unwrap_or_default();
    operations.retain(|operation| before.is_none_or(|end| operation.at < end));
    watch.decided(now, operations)
}
