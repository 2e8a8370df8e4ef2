//! Checks what a budget counts against its scope.

use super::draft::Draft;
use super::field::{Field, budget_field};
use super::file::{Assignment, NamedTable};
use super::source::Problem;
use super::table::TableDraft;
use crate::domain::budget::{Scope, Unit};

/// The message for a scope that is not written as one.
pub(super) fn hint(field: &Field, assignment: &Assignment) -> Option<String> {
    let is_member = field.name == "scope" && assignment.raw.text() == Some(Scope::Member.name());
    is_member.then(|| {
        "\"member\" is written in another way: scope = \"team\" with per = \"user\" counts each member of a team separately"
            .to_owned()
    })
}

impl Draft {
    /// Refuses `per` for anything but a team, and units that calls of a platform do not have. Returns whether it refused
    /// nothing.
    pub(super) fn check_scope(&mut self, table: &NamedTable, prefix: &str, new: &TableDraft) -> bool {
        let is =
            |key: &str, value: &str| budget_field(key).is_some_and(|field| new.get(field).value == value);
        if is("per", "user") && !is("scope", Scope::Team.name()) {
            let message = "needs scope = \"team\": it counts each member of a team separately";
            self.blame(table, prefix, "per", message.to_owned());
        } else if is("scope", Scope::Platform.name())
            && (is("unit", Unit::ToolCalls.name()) || is("unit", Unit::Percent.name()))
        {
            let message = "must be requests, tokens or usd with scope = \"platform\": nothing else is known of calls of a platform";
            self.blame(table, prefix, "unit", message.to_owned());
        } else {
            return true;
        }
        false
    }

    /// Adds a problem with a key of a table; at the table's name if the key is not there.
    pub(super) fn blame(&mut self, table: &NamedTable, prefix: &str, key: &str, message: String) {
        match table.keys.iter().rfind(|assignment| assignment.key == key) {
            Some(blamed) => self.refuse(blamed, prefix, message),
            None => {
                let key = format!("{prefix}{key}");
                self.problems.push(Problem::at(&table.source, table.line, &key, message));
            }
        }
    }
}
