//! The models seen that have no exact price, in the ledger and in the store.

use crate::domain::budget::{Budget, Mode, OnLimit, Scope, StoreDown, TokenClasses, Unit};
use crate::domain::money::Terms;
use crate::domain::time::Timestamp;
use crate::domain::window::WindowRule;
use crate::ledger::EstimatedModel;
use crate::prices::{Prices, priced_like};
use crate::store::{BudgetKey, Result, Store};

/// Where a model was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeenIn {
    /// The ledger: this machine's history, and recorded calls.
    Ledger,
    /// The store: also responses that no transcript shows, and those of other machines.
    Store,
}

impl SeenIn {
    /// The name in output and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::Store => "store",
        }
    }
}

/// A model without an exact price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnpricedModel {
    /// The model, as the responses name it.
    pub model: String,
    /// The model whose price it gets.
    pub like: Option<&'static str>,
    /// Model responses and calls.
    pub requests: u64,
    /// Tokens of all classes.
    pub tokens: u64,
    /// What was charged at estimated prices, in nano-dollars.
    pub estimated_nanos: u64,
    /// Where these numbers are from.
    pub seen_in: SeenIn,
}

impl From<EstimatedModel> for UnpricedModel {
    fn from(model: EstimatedModel) -> Self {
        let EstimatedModel { model, like, requests, tokens, estimated_nanos, .. } = model;
        Self { model, like, requests, tokens, estimated_nanos, seen_in: SeenIn::Ledger }
    }
}

/// The models that the store has responses of and that have no exact price at standard speed, by name. Changes nothing.
///
/// # Errors
/// The store cannot be read.
pub fn unpriced_in_store(
    store: &mut dyn Store,
    prices: &Prices,
    now: Timestamp,
) -> Result<Vec<UnpricedModel>> {
    let mut models = store.values(Scope::Model, Timestamp(i64::MIN))?;
    models.retain(|model| prices.quote(model, now, 0, Terms::default()).is_estimate);
    let mut found = Vec::new();
    for model in models {
        let keys = [Unit::Requests, Unit::Tokens, Unit::Usd].map(|unit| all_of(&model, unit));
        // Not `states`, which would make the store keep counters for them.
        let states = store.states_before(&keys, Timestamp(i64::MAX))?;
        let used: Vec<u64> = states.iter().map(|state| state.used).collect();
        let [requests, tokens, estimated_nanos] = used[..] else { continue };
        let like = priced_like(&model, now, 0, false).map(|like| like.label().model);
        let seen_in = SeenIn::Store;
        found.push(UnpricedModel { model, like, requests, tokens, estimated_nanos, seen_in });
    }
    found.retain(|model| model.requests > 0 || model.tokens > 0);
    Ok(found)
}

/// Both, by name. Most responses are in both, so of each model the larger numbers are kept, never their sum.
pub fn merged(mut ledger: Vec<UnpricedModel>, store: Vec<UnpricedModel>) -> Vec<UnpricedModel> {
    for model in store {
        match ledger.iter_mut().find(|known| known.model == model.model) {
            Some(known) if known.requests >= model.requests => {}
            Some(known) => *known = model,
            None => ledger.push(model),
        }
    }
    ledger.sort_by(|one, other| one.model.cmp(&other.model));
    ledger
}

/// Counts everything that a model was used for. Not a configured budget: it neither warns nor blocks.
fn all_of(model: &str, unit: Unit) -> BudgetKey {
    let budget = Budget {
        name: "[prices]".to_owned(),
        scope: Scope::Model,
        unit,
        count: TokenClasses { cache_read: true, ..TokenClasses::FRESH },
        window: WindowRule::LIFETIME,
        limit: u64::MAX,
        on_limit: OnLimit::Warn,
        mode: Mode::Shadow,
        store_down: StoreDown::Local,
        ..Budget::placeholder()
    };
    BudgetKey { budget, value: model.to_owned() }
}
