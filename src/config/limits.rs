//! Checks the limits of a budget against its unit, and against each other; and that only budgets in percent follow the
//! windows of a subscription.

use super::draft::Draft;
use super::field::{Field, budget_field};
use super::file::{Assignment, NamedTable};
use super::source::{Problem, Source};
use super::table::{TableDraft, TableKind};
use super::value::{MAX_NUMBER, ValueKind};
use crate::domain::budget::{Scope, Unit};
use crate::domain::money::NANOS_PER_USD;
use crate::domain::plan::{PlanWindow, UNITS_PER_PERCENT};

/// The most dollars that a limit may be: about as many as a counter holds exactly.
const MAX_USD: f64 = 9e6;

/// The limits that a unit allows.
pub(super) fn allowed(unit: &str) -> String {
    match unit {
        unit if unit == Unit::Usd.name() => "must be dollars from 0 to 9,000,000, such as 5.00".to_owned(),
        unit if unit == Unit::Percent.name() => "must be percent from 0 to 100, such as 90".to_owned(),
        _ => ValueKind::Whole(MAX_NUMBER).allowed(),
    }
}

/// The unit that a table gives a budget.
pub(super) fn unit<'a>(table: &'a NamedTable, old: &'a TableDraft) -> &'a str {
    let set = table.keys.iter().rfind(|assignment| assignment.key == "unit").and_then(|unit| unit.raw.text());
    let known = || old.values.get("unit").and_then(|unit| unit.value.as_str());
    set.or_else(known).unwrap_or(Unit::Tokens.name())
}

/// The message for an amount that is none, if the budget counts dollars.
pub(super) fn in_dollars(
    table: &NamedTable,
    old: &TableDraft,
    field: &Field,
    assignment: &Assignment,
) -> Option<String> {
    let is_amount = matches!(field.kind, ValueKind::Amount(_)) && field.kind.parse(&assignment.raw).is_err();
    let unit = Some(unit(table, old)).filter(|unit| *unit == Unit::Usd.name() && is_amount)?;
    Some(format!("{} (found {})", allowed(unit), assignment.raw))
}

impl Draft {
    /// Refuses percent of anything but a window of the subscription, and such a window for any other unit or for a part of
    /// the account's use. Returns whether it refused nothing.
    pub(super) fn check_plan(&mut self, table: &NamedTable, prefix: &str, new: &TableDraft) -> bool {
        let is =
            |key: &str, value: &str| budget_field(key).is_some_and(|field| new.get(field).value == value);
        let plan = PlanWindow::ALL.iter().find(|(name, _)| is("window", name));
        let is_percent = is("unit", Unit::Percent.name());
        let windows = PlanWindow::ALL.map(|(name, _)| format!("window = \"{name}\"")).join(" or ");
        let (key, message) = match (is_percent, plan) {
            (true, None) => ("unit", format!("\"percent\" needs {windows}")),
            (false, Some((window, _))) => ("window", format!("\"{window}\" needs unit = \"percent\"")),
            (true, Some(_)) if !is("scope", Scope::User.name()) => {
                let why = "the windows of a subscription are those of a user, over all sessions";
                ("scope", format!("must be \"user\" with unit = \"percent\" ({why}): write scope = \"user\""))
            }
            (true, Some(_)) if !is("match", "*") => {
                ("match", "must be \"*\" with unit = \"percent\": it applies to every user".to_owned())
            }
            _ => return true,
        };
        self.blame(table, prefix, key, message);
        false
    }

    /// Refuses a new budget without a limit, or a new rate without its period. Returns whether it refused nothing.
    pub(super) fn check_required(&mut self, table: &NamedTable, prefix: &str, new: &TableDraft) -> bool {
        let keys: &[&str] = if table.kind == TableKind::Rate { &["limit", "minutes"] } else { &["limit"] };
        let missing: Vec<&&str> = keys.iter().filter(|key| new.number(key).is_none()).collect();
        for key in &missing {
            // One that was refused is known already.
            if table.keys.iter().any(|assignment| assignment.key == ***key) {
                continue;
            }
            let allowed = match **key {
                "limit" => allowed(unit(table, new)),
                key => table.kind.field(key).map(|field| field.kind.allowed()).unwrap_or_default(),
            };
            let message = format!("is required for a new {}: {allowed}", table.kind.name());
            self.problems.push(Problem::at(&table.source, table.line, &format!("{prefix}{key}"), message));
        }
        missing.is_empty()
    }

    /// Refuses another unit than tokens for a built-in budget without a limit: the default is a number of tokens.
    pub(super) fn check_units(&mut self) {
        let mut refused = Vec::new();
        for budget in self.budgets() {
            let of = |key: &str| budget_field(key).map(|field| self.budget_value(budget, field));
            let (Some(unit), Some(limit)) = (of("unit"), of("limit")) else { continue };
            let name = unit.value.as_str().unwrap_or_default();
            if name == Unit::Tokens.name() || limit.source != Source::Default || limit.value.is_null() {
                continue;
            }
            let key = format!("budget.{}.limit", budget.name);
            let message = format!("is required, because the unit is {name}: {}", allowed(name));
            refused.push((budget.name.clone(), Problem::at(&unit.source, None, &key, message)));
        }
        for (name, problem) in refused {
            self.problems.push(problem);
            self.restore_budget(&name);
        }
    }

    /// Refuses amounts that the unit does not have: fractions of tokens, more dollars than a counter holds, or more
    /// percent than there are.
    pub(super) fn check_amounts(
        &mut self,
        table: &NamedTable,
        prefix: &str,
        old: &TableDraft,
        new: &mut TableDraft,
    ) {
        let is_in = |unit: Unit| new.values.get("unit").is_some_and(|set| set.value == unit.name());
        let (is_usd, is_percent) = (is_in(Unit::Usd), is_in(Unit::Percent));
        for key in ["limit", "hard_limit"] {
            let Some(amount) = new.number(key) else { continue };
            let hundredths = amount * UNITS_PER_PERCENT as f64;
            let message = match (is_usd, is_percent) {
                (true, _) if amount > MAX_USD => format!("{} (found {amount})", allowed(Unit::Usd.name())),
                (true, _) if amount > 0.0 && amount * (NANOS_PER_USD as f64) < 1.0 => {
                    format!("must be 0, or at least 0.000000001 dollars (found {amount})")
                }
                (_, true) if amount > 100.0 || (hundredths - hundredths.round()).abs() > 1e-6 => {
                    format!("must be at most 100 percent, with at most two decimals (found {amount})")
                }
                (false, false) if amount.fract() != 0.0 => {
                    format!("must be a whole number, because the unit is not usd or percent (found {amount})")
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
        table: &NamedTable,
        prefix: &str,
        old: &TableDraft,
        new: &mut TableDraft,
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
