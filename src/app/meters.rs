//! Budgets that limit nothing, and only count: what sessions used, and tokens by class.

use std::collections::HashMap;

use super::snapshot::{BudgetEntry, states};
use crate::domain::budget::{Budget, TokenClasses, Unit};
use crate::domain::time::Timestamp;
use crate::store::{BudgetKey, Result, Store};

/// Tokens in a budget's window since its last reset, by class, whichever of them it counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassTokens {
    /// Fresh input.
    pub input: u64,
    /// Output.
    pub output: u64,
    /// Cache writes of both lifetimes.
    pub cache_write: u64,
    /// Cache reads.
    pub cache_read: u64,
}

const NONE: TokenClasses =
    TokenClasses { input: false, output: false, cache_write: false, cache_read: false };

/// Each class alone, in the order of the fields of [`ClassTokens`].
const EACH: [TokenClasses; 4] = [
    TokenClasses { input: true, ..NONE },
    TokenClasses { output: true, ..NONE },
    TokenClasses { cache_write: true, ..NONE },
    TokenClasses { cache_read: true, ..NONE },
];

/// Count what [`SessionUse`](super::snapshot::SessionUse) says, in the order of its fields.
pub fn of_sessions() -> [Budget; 5] {
    let of = |unit, count| Budget { unit, count, matches: "*".to_owned(), ..Budget::placeholder() };
    let all = TokenClasses { cache_read: true, ..TokenClasses::FRESH };
    [
        of(Unit::Tokens, TokenClasses::FRESH),
        of(Unit::Tokens, all),
        of(Unit::Requests, TokenClasses::FRESH),
        of(Unit::ToolCalls, TokenClasses::FRESH),
        of(Unit::Usd, TokenClasses::FRESH),
    ]
}

/// Reads the classes of the active budgets in tokens, by the ids of the budgets.
///
/// # Errors
/// The store cannot be read.
pub fn classes(
    store: &mut dyn Store,
    budgets: &[BudgetEntry],
    now: Timestamp,
) -> Result<HashMap<String, ClassTokens>> {
    let counted = budgets.iter().filter(|entry| entry.is_active && entry.state.budget.unit == Unit::Tokens);
    let (mut ids, mut keys) = (HashMap::new(), Vec::new());
    for BudgetEntry { id, state, .. } in counted {
        ids.insert((state.budget.name.as_str(), state.value.as_str()), id);
        keys.extend(EACH.map(|count| BudgetKey {
            budget: Budget { count, ..state.budget.clone() },
            value: state.value.clone(),
        }));
    }
    let mut read: HashMap<String, ClassTokens> = HashMap::new();
    for state in states(store, &keys, now)? {
        let Some(id) = ids.get(&(state.budget.name.as_str(), state.value.as_str())) else { continue };
        let tokens = read.entry((*id).clone()).or_default();
        match EACH.iter().position(|class| *class == state.budget.count) {
            Some(0) => tokens.input = state.used,
            Some(1) => tokens.output = state.used,
            Some(2) => tokens.cache_write = state.used,
            _ => tokens.cache_read = state.used,
        }
    }
    Ok(read)
}
