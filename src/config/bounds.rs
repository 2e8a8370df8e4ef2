//! The bounds of the managed file.

use super::draft::{Draft, SourcedValue};
use super::field;
use super::prices;
use super::source::Source;
use super::table::{TableDraft, TableKind};

impl Draft {
    /// Bounds the configuration by the managed file: its values, or stricter ones, apply. `managed` is the draft after
    /// that layer. If it names a budget, the keys it omits there are bounded as well: a limit would be worthless if
    /// `mode` or `match` were free. A platform that it names stays as it is there.
    pub fn bound_by(&mut self, managed: &Self) {
        let by_managed = |value: &SourcedValue| matches!(value.source, Source::Managed(_));
        for (key, bound) in managed.settings.iter().filter(|(_, value)| by_managed(value)) {
            let Some(field) = field::setting(key) else { continue };
            if field.stricter(&self.value_at(key, field).value, &bound.value) == bound.value {
                self.settings.insert(key.clone(), bound.clone());
            }
        }
        // Otherwise a user could give models a price of nothing.
        if managed.settings.iter().any(|(key, value)| prices::is_price(key) && by_managed(value)) {
            self.settings.retain(|key, value| !prices::is_price(key) || by_managed(value));
        }
        for bound in &managed.tables {
            let Some(source) =
                bound.values.values().find(|value| by_managed(value)).map(|value| &value.source)
            else {
                continue;
            };
            let same = |table: &&mut TableDraft| {
                table.name == bound.name && table.kind.shares_names_with(bound.kind)
            };
            let Some(table) = self.tables.iter_mut().find(same) else { continue };
            if bound.kind == TableKind::Platform || !table.same_identity(bound) {
                *table = bound.clone();
                continue;
            }
            for field in bound.kind.fields() {
                // A default limit is not a bound.
                let said = bound.values.get(field.name).filter(|value| by_managed(value));
                let limit = said.map_or_else(|| (field.default)(), |value| value.value.clone());
                let now = table.get(field).value;
                let value = field.stricter(&now, &limit);
                if value != now {
                    table.set(field, value, source);
                }
            }
        }
    }
}
