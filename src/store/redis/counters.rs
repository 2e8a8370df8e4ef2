//! Counters of budgets: which are wanted, and what they come to by the messages.

use std::collections::BTreeMap;

use serde::Serialize;

use super::RedisStore;
use super::keys::Keys;
use super::names::Shared;
use super::scripts::text;
use super::step::{Found, Wanted, counts};
use super::workspace::{Workspace, json};
use super::{DECIDED_S, KEPT_S};
use crate::domain::budget::{BudgetState, Scope};
use crate::domain::counter::CounterKey;
use crate::domain::operation::{Effect, Operation};
use crate::domain::time::Timestamp;
use crate::store::counts::{CLASSES, CounterDelta};
use crate::store::ledger::family;
use crate::store::{Result, Watch};

/// Families of counters, with the moment from which on they are kept up: what was counted since then is in their counters.
pub type Families = BTreeMap<String, i64>;

/// A counter of a budget.
pub struct Counter {
    /// Which.
    pub key: CounterKey,
    /// The end of its window.
    pub end: Option<Timestamp>,
}

/// What becomes of a sum.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// It is only wanted.
    Nothing,
    /// It is kept where there is no counter, or one that cannot be read.
    Missing,
    /// It is kept in place of what is there.
    All,
}

/// What `add_up.lua` is asked.
#[derive(Serialize)]
struct Ask {
    data: String,
    damaged: String,
    data_ttl: i64,
    decided_ttl: i64,
    classes: usize,
    keep: Keep,
    counters: Vec<AskOf>,
}

/// One counter to be added up.
#[derive(Serialize)]
struct AskOf {
    key: String,
    since: String,
    scope: &'static str,
    value: String,
    from: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
}

/// What names of counters depend on besides what they count.
pub struct Naming {
    /// The families that are kept up.
    pub families: Families,
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

    /// A counter, as a step wants it.
    pub fn wanted(&self, keys: &Keys, counter: &CounterKey) -> Wanted {
        let key = self.key(keys, &family(&counter.spec), &counter.value, counter.start.0);
        Wanted { key, since: counter.since.0.to_string() }
    }
}

impl RedisStore {
    /// Counters, added up from the messages.
    pub(super) fn add_up<'c>(
        &mut self,
        counters: impl IntoIterator<Item = &'c Counter>,
        naming: &Naming,
        keep: Keep,
    ) -> Result<Vec<CounterDelta>> {
        let ask_of = |Counter { key, end }: &Counter| {
            let Wanted { key: name, since } = naming.wanted(&self.keys, key);
            let mut end = end.map(|end| end.0);
            if key.spec.scope == Scope::History {
                let installed = naming.installed.map_or(i64::MIN, |at| at.0);
                end = Some(end.map_or(installed, |end| end.min(installed)));
            }
            let from = key.since.max(key.start).0;
            AskOf {
                key: name,
                since,
                scope: key.spec.scope.name(),
                value: key.value.clone(),
                from: if from == i64::MIN { "-inf".into() } else { from.to_string() },
                to: end.map(|end| end.to_string()),
            }
        };
        let ask = Ask {
            data: self.keys.data_prefix(),
            damaged: self.keys.damaged(),
            data_ttl: KEPT_S,
            decided_ttl: DECIDED_S,
            classes: CLASSES.len(),
            keep,
            counters: counters.into_iter().map(ask_of).collect(),
        };
        let sums = self.scripts.add_up(&self.keys, json(&ask)?)?;
        sums.into_iter().map(|sum| counts(&text(sum)?)).collect()
    }

    /// Budgets in the windows of `at`, by their messages: those before a moment, or all.
    pub(super) fn added_up(
        &mut self,
        watches: &[Watch],
        at: Timestamp,
        before: Option<Timestamp>,
        keep: Keep,
    ) -> Result<Vec<BudgetState>> {
        let shared = Shared::of(watches);
        let mut states = Vec::new();
        for watch in &shared.watches {
            let (naming, found) = self.in_step("", |workspace| {
                Ok((Naming::of(workspace), decided(workspace, watch, at, before)))
            })?;
            let Some((state, counters)) = found else { continue };
            let counters: Vec<Counter> =
                counters.into_iter().map(|c| Counter { end: before.or(c.end), ..c }).collect();
            let sums = self.add_up(&counters, &naming, keep)?;
            let scopes = counters.iter().map(|counter| counter.key.spec.scope);
            states.push(state.counting(scopes.zip(sums.into_iter().map(CounterDelta::amount))));
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
) -> Option<(BudgetState, Vec<Counter>)> {
    let Watch { budget, value } = watch;
    let window = budget.window.at(now);
    let key = workspace.keys.operations(&budget.name, value, window.start);
    let operations: Vec<Operation> = workspace.record(&key, "").unwrap_or_default();
    let meant = operations.iter().filter(|operation| before.is_none_or(|end| operation.at < end));
    let effect = Effect::of(meant.map(|operation| operation.decision));
    if effect.deleted {
        return None;
    }
    let since = effect.since.unwrap_or(window.start).max(window.start);
    let of = |spec| {
        let key = CounterKey { spec, value: value.clone(), start: window.start, since };
        Counter { key, end: window.end }
    };
    let counters = budget.counters().into_iter().map(of).collect();
    Some((BudgetState::fresh(budget, value, window).decided(&effect), counters))
}

/// What counters hold after a step, for the next one that takes it for given.
pub fn held(wanted: &[Wanted], after: impl Iterator<Item = CounterDelta>) -> Found {
    let place = |wanted: &Wanted| (wanted.key.clone(), wanted.since.clone());
    wanted.iter().zip(after).map(|(w, counts)| (place(w), Some(counts.to_string().into_bytes()))).collect()
}
