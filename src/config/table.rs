//! The tables with names, of which a file may have many: `[[budget]]`, `[[rate]]` and `[[platform]]`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::draft::SourcedValue;
use super::field::{self, BUDGET, Field, PLATFORM, RATE, Strictness};
use super::source::Source;

/// What a table with a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TableKind {
    /// A budget.
    Budget,
    /// A burn rate: a budget over short periods.
    Rate,
    /// A platform.
    Platform,
}

impl TableKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Budget, Self::Rate, Self::Platform];

    /// The name of the table in a file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::Rate => "rate",
            Self::Platform => "platform",
        }
    }

    /// Its keys, except `name`.
    pub fn fields(self) -> &'static [Field] {
        match self {
            Self::Budget => &BUDGET,
            Self::Rate => &RATE,
            Self::Platform => &PLATFORM,
        }
    }

    /// The key with this name.
    pub fn field(self, name: &str) -> Option<&'static Field> {
        match self {
            Self::Budget => field::budget_field(name),
            Self::Rate | Self::Platform => self.fields().iter().find(|field| field.name == name),
        }
    }

    /// Whether two tables of these kinds must have different names: a rate is a budget, too.
    pub fn shares_names_with(self, other: Self) -> bool {
        (self == Self::Platform) == (other == Self::Platform)
    }
}

/// A table under construction. Keys that were not set have their defaults.
#[derive(Clone, Debug)]
pub(super) struct TableDraft {
    /// What it is.
    pub kind: TableKind,
    /// Unique name.
    pub name: String,
    /// What was set.
    pub values: BTreeMap<&'static str, SourcedValue>,
}

impl TableDraft {
    /// A table without any values.
    pub fn new(kind: TableKind, name: &str) -> Self {
        Self { kind, name: name.to_owned(), values: BTreeMap::new() }
    }

    /// The path of a key: `budget.session.limit`.
    pub fn path(&self, key: &str) -> String {
        format!("{}.{}.{key}", self.kind.name(), self.name)
    }

    /// The value of a key: as set, or the default.
    pub fn get(&self, field: &Field) -> SourcedValue {
        let default = || SourcedValue { value: (field.default)(), source: Source::Default };
        self.values.get(field.name).cloned().unwrap_or_else(default)
    }

    /// Sets a key.
    pub fn set(&mut self, field: &Field, value: Value, source: &Source) {
        self.values.insert(field.name, SourcedValue { value, source: source.clone() });
    }

    /// The number that a key was set to.
    pub fn number(&self, key: &str) -> Option<f64> {
        self.values.get(key)?.value.as_f64()
    }

    /// Whether both count the same.
    pub fn same_identity(&self, other: &Self) -> bool {
        let mut identity = self.kind.fields().iter().filter(|field| field.strictness == Strictness::Identity);
        self.kind == other.kind && identity.all(|field| self.get(field).value == other.get(field).value)
    }
}
