//! The platforms, from `[[platform]]`.

use super::checked::CheckedValue;
use super::draft::Draft;
use super::field::PLATFORM;
use super::source::Problem;
use super::table::{TableDraft, TableKind};
use crate::domain::platform::Platform;
use crate::domain::reservation::OnExcess;

impl Draft {
    /// The platforms.
    ///
    /// # Errors
    /// A value has the wrong type, which is a bug in Fusebox.
    pub(super) fn platforms(&self) -> Result<Vec<Platform>, Problem> {
        self.tables.iter().filter(|table| table.kind == TableKind::Platform).map(platform).collect()
    }
}

fn platform(table: &TableDraft) -> Result<Platform, Problem> {
    let [commands, tools, ttl, on_excess] = PLATFORM
        .each_ref()
        .map(|field| CheckedValue { key: table.path(field.name), sourced: table.get(field) });
    Ok(Platform {
        name: table.name.clone(),
        commands: commands.texts()?,
        tools: tools.texts()?,
        ttl_s: ttl.number()?,
        on_excess: on_excess.one_of(&OnExcess::ALL)?,
    })
}
