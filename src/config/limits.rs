//! Checks the limits of a budget against its unit, and against each other.

use super::draft::{BudgetDraft, Draft};
use super::file::BudgetTable;
use crate::domain::budget::Unit;

/// The most dollars that a limit may be: about as many as a counter holds exactly.
const MAX_USD: f64 = 9e6;

impl Draft {
    /// Refuses amounts that the unit does not have: fractions of tokens, or more dollars than a counter holds.
    pub(super) fn check_amounts(
        &mut self,
        table: &BudgetTable,
        prefix: &str,
        old: &BudgetDraft,
        new: &mut BudgetDraft,
    ) {
        let is_usd = new.values.get("unit").is_some_and(|unit| unit.value == Unit::Usd.name());
        for key in ["limit", "hard_limit"] {
            let Some(amount) = new.number(key) else { continue };
            let message = match is_usd {
                true if amount > MAX_USD => format!("must be at most {MAX_USD} dollars (found {amount})"),
                false if amount.fract() != 0.0 => {
                    format!("must be a whole number, because the unit is not usd (found {amount})")
                }
                _ => continue,
            };
            if let Some(blamed) = table.keys.iter().rfind(|assignment| assignment.key == key) {
                self.refuse(blamed, prefix, message);
            }
            new.values.retain(|known, _| *known != key);
            new.values.extend(old.values.get_key_value(key).map(|(k, v)| (*k, v.clone())));
        }
    }

    /// Refuses a hard limit below the limit; if only the limit was set here, refuses the limit.
    pub(super) fn check_limits(
        &mut self,
        table: &BudgetTable,
        prefix: &str,
        old: &BudgetDraft,
        new: &mut BudgetDraft,
    ) {
        let (Some(limit), Some(hard)) = (new.number("limit"), new.number("hard_limit")) else {
            return;
        };
        let taken = |key: &str| new.values.get(key) != old.values.get(key);
        let find = |key: &str| table.keys.iter().rfind(|assignment| assignment.key == key && taken(key));
        let (blamed, message) = match (find("hard_limit"), find("limit")) {
            (Some(blamed), _) => (blamed, format!("must be at least the limit, {limit} (found {hard})")),
            (_, Some(blamed)) => (blamed, format!("must be at most the hard_limit, {hard} (found {limit})")),
            _ => return,
        };
        if hard < limit {
            self.refuse(blamed, prefix, message);
            new.values.retain(|key, _| *key != blamed.key);
            new.values.extend(old.values.get_key_value(blamed.key.as_str()).map(|(k, v)| (*k, v.clone())));
        }
    }
}
