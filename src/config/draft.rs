//! The configuration, built up layer by layer. Keeps the source of every value; later layers override earlier ones, the
//! project may only tighten, and the managed file's bounds are applied last.

use std::collections::BTreeMap;

use serde_json::Value;

use super::field::{self, Field, HARD_LIMIT, ProjectPolicy, SETTINGS, Strictness, TABLES};
use super::file::{Assignment, Layer, NamedTable};
use super::limits;
use super::prices;
use super::scopes;
use super::source::{Problem, Source};
use super::table::{TableDraft, TableKind};
use super::value::{RawValue, ValueKind};
use super::variable::variable_for;
use crate::domain::breaker::policy::Preset;

/// The default budget.
pub(super) const SESSION: &str = "session";

/// The budget of a declared task type. Its default limit is that of the type.
pub(super) const TASK: &str = "task";

/// The maximum number of budgets, and of platforms. More would slow down every hook, and a slow hook lets calls through.
const MAX_TABLES: usize = 64;

/// A value and its source.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SourcedValue {
    /// Normalized by [`ValueKind::parse`].
    pub value: Value,
    /// Where it came from.
    pub source: Source,
}

/// The configuration under construction.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    /// Keys outside tables with names.
    pub(super) settings: BTreeMap<String, SourcedValue>,
    /// Budgets, rates and platforms, including removed budgets.
    pub(super) tables: Vec<TableDraft>,
    /// The declared task type.
    pub task_type: Option<SourcedValue>,
    /// Values refused so far.
    pub problems: Vec<Problem>,
    /// Renamed keys that were set under their old names.
    pub notes: Vec<Problem>,
    /// Throttling limits that were set: source, line and key.
    throttle_keys: Vec<(Source, Option<usize>, String)>,
}

impl Draft {
    /// The draft without any configuration.
    pub fn new(task_type: Option<SourcedValue>) -> Self {
        let mut session = TableDraft::new(TableKind::Budget, SESSION);
        session
            .values
            .insert("limit", SourcedValue { value: field::SESSION_LIMIT.into(), source: Source::Default });
        let types = field::TASK_TYPES.iter().map(|(name, limit)| {
            (format!("task_type.{name}"), SourcedValue { value: (*limit).into(), source: Source::Default })
        });
        Self {
            settings: types.collect(),
            tables: vec![session, TableDraft::new(TableKind::Budget, TASK)],
            task_type,
            problems: Vec::new(),
            notes: Vec::new(),
            throttle_keys: Vec::new(),
        }
    }

    /// The value of a key outside budgets: as set, or the default.
    pub fn get(&self, field: &Field) -> SourcedValue {
        self.value_at(field.name, field)
    }

    /// The value of the key at this path.
    pub(super) fn value_at(&self, key: &str, field: &Field) -> SourcedValue {
        let default = || match (field.default)() {
            Value::Null if key.starts_with("breaker.") => field::preset_default(self.preset(), key),
            value => value,
        };
        let current = self.settings.get(key).cloned();
        current.unwrap_or_else(|| SourcedValue { value: default(), source: Source::Default })
    }

    /// The breaker's preset.
    pub fn preset(&self) -> Preset {
        let named = self.settings.get("breaker.preset").and_then(|current| current.value.as_str());
        let known = field::PRESETS.iter().find(|(name, _)| Some(*name) == named);
        known.map_or_else(Preset::default, |(_, preset)| *preset)
    }

    /// Refuses throttling limits without the hard limit that they refer to. It has no default, because none would fit
    /// everyone.
    pub fn check_throttle(&mut self) {
        if self.settings.contains_key(HARD_LIMIT) {
            return;
        }
        let problems = std::mem::take(&mut self.throttle_keys).into_iter().map(|(source, line, key)| {
            let message =
                format!("needs {HARD_LIMIT}, which has no default: without it nothing is throttled");
            Problem::at(&source, line, &key, message)
        });
        self.problems.extend(problems);
    }

    /// The limits of task types, by key.
    pub fn task_types(&self) -> impl Iterator<Item = (&String, &SourcedValue)> {
        self.settings.iter().filter(|(key, _)| key.starts_with("task_type."))
    }

    /// What is set for single models, by key.
    pub fn model_prices(&self) -> impl Iterator<Item = (&String, &SourcedValue)> {
        self.settings.iter().filter(|(key, _)| field::model_price(key).is_some())
    }

    /// All budgets and rates, including removed ones.
    pub fn budgets(&self) -> impl Iterator<Item = &TableDraft> {
        self.tables.iter().filter(|table| table.kind != TableKind::Platform)
    }

    /// The names of all tables of a kind, including removed ones.
    pub fn names(&self, kind: TableKind) -> impl Iterator<Item = &str> {
        self.tables.iter().filter(move |table| table.kind == kind).map(|table| table.name.as_str())
    }

    /// The value of a budget's key. The limit of [`TASK`] may be that of the declared type. No limit exceeds the hard
    /// limit, which may come from another layer.
    pub fn budget_value(&self, budget: &TableDraft, field: &Field) -> SourcedValue {
        let current = budget.get(field);
        if field.name != "limit" {
            return current;
        }
        let limit = match &self.task_type {
            Some(declared) if current.value.is_null() && budget.name == TASK => {
                let key = format!("task_type.{}", declared.value.as_str().unwrap_or_default());
                self.settings.get(&key).cloned().unwrap_or(current)
            }
            _ => current,
        };
        match budget.values.get("hard_limit") {
            Some(hard) if hard.value.as_f64() < limit.value.as_f64() => hard.clone(),
            _ => limit,
        }
    }

    /// Applies a layer over the earlier ones.
    pub fn apply(&mut self, layer: Layer) {
        self.problems.extend(layer.problems);
        for assignment in &layer.settings {
            let new_name = field::new_name(&assignment.key);
            if new_name.is_some_and(|name| layer.settings.iter().any(|other| other.key == name)) {
                self.note_renamed(assignment, "it is ignored, because both are set");
            } else {
                self.apply_setting(assignment);
            }
        }
        let mut seen: Vec<(TableKind, RawValue)> = Vec::new();
        for table in layer.tables {
            let of = (table.kind, table.name.clone());
            let again = seen.contains(&of);
            seen.push(of);
            if let Err(message) = self.apply_table(&table, again) {
                let key = format!("{}.name", table.kind.name());
                self.problems.push(Problem::at(&table.source, table.line, &key, message));
            }
        }
    }

    fn apply_setting(&mut self, assignment: &Assignment) {
        let key = field::new_name(&assignment.key).unwrap_or(&assignment.key);
        let checked = match field::setting(key) {
            Some(field) => check_assignment(None, field, assignment, &self.value_at(key, field), false),
            None if TABLES.contains(&assignment.key.as_str()) => {
                Err(format!("must be a table, [{}] (found {})", assignment.key, assignment.raw))
            }
            None if prices::is_price(key) => Err(prices::unknown_key(key)),
            None => Err(unknown_setting(key)),
        };
        match checked {
            Ok(Some(value)) => {
                self.note_renamed(assignment, "the old name works only in this version");
                let source = assignment.source.clone();
                if key.starts_with("throttle.") {
                    self.throttle_keys.push((source.clone(), assignment.line, key.to_owned()));
                }
                self.settings.insert(key.to_owned(), SourcedValue { value, source });
            }
            Ok(None) => {}
            Err(message) => self.refuse(assignment, "", message),
        }
    }

    /// Takes the valid keys of a table. If a key that defines what a budget counts is refused, takes none: a limit
    /// meant in dollars is not a limit in tokens. `Err`: what is wrong with the table's name.
    fn apply_table(&mut self, table: &NamedTable, again: bool) -> Result<(), String> {
        let name = ValueKind::Name.parse(&table.name)?;
        let name = name.as_str().unwrap_or_default();
        if again {
            return Err(format!("must be unique in a file (found \"{name}\" again)"));
        }
        let (place, old) = self.find(table.kind, name)?;
        let mut new = old.clone();
        let prefix = new.path("");
        let mut sound = true;
        for assignment in &table.keys {
            let Some(field) = table.kind.field(&assignment.key) else {
                self.refuse(assignment, &prefix, unknown_in_table(table.kind, &assignment.key));
                // In a new budget, the key may have been meant to define what it counts.
                sound &= place.is_some();
                continue;
            };
            let current = self.budget_value(&old, field);
            match check_assignment(Some(table.kind), field, assignment, &current, place.is_none()) {
                Ok(Some(value)) => new.set(field, value, &assignment.source),
                Ok(None) => {}
                Err(message) => {
                    let better = limits::in_dollars(table, &old, field, assignment);
                    let message = better.or_else(|| scopes::hint(field, assignment)).unwrap_or(message);
                    let repeated =
                        field.kind.parse(&assignment.raw).is_ok_and(|value| value == current.value);
                    sound &= repeated
                        || !matches!(field.strictness, Strictness::Identity) && !field.kind.is_reserved();
                    self.refuse(assignment, &prefix, message);
                }
            }
        }
        if table.kind != TableKind::Platform {
            sound &= self.check_scope(table, &prefix, &new) && self.check_plan(table, &prefix, &new);
            self.check_amounts(table, &prefix, &old, &mut new);
            self.check_limits(table, &prefix, &old, &mut new);
            sound &= place.is_some() || self.check_required(table, &prefix, &new);
        }
        match place {
            _ if !sound => {}
            Some(i) => self.tables[i] = new,
            None => self.tables.push(new),
        }
        Ok(())
    }

    /// The place of a table, and what is known of it. `Err`: why there can be none with this name.
    fn find(&self, kind: TableKind, name: &str) -> Result<(Option<usize>, TableDraft), String> {
        let named = |table: &TableDraft| table.kind.shares_names_with(kind);
        match self.tables.iter().position(|table| named(table) && table.name == name) {
            Some(place) if self.tables[place].kind == kind => Ok((Some(place), self.tables[place].clone())),
            Some(place) => {
                let other = self.tables[place].kind.name();
                Err(format!("must not be the name of a {other} (found \"{name}\")"))
            }
            None if self.tables.iter().filter(|table| named(table)).count() >= MAX_TABLES => {
                let what = if kind == TableKind::Platform { "platforms" } else { "budgets" };
                Err(format!("must not add to {MAX_TABLES} {what}, the maximum"))
            }
            None => Ok((None, TableDraft::new(kind, name))),
        }
    }

    /// Makes a built-in budget what it is without any configuration.
    pub(super) fn restore_budget(&mut self, name: &str) {
        let named = |table: &TableDraft| table.kind == TableKind::Budget && table.name == name;
        let built_in = Self::new(None).tables.into_iter().find(&named);
        let place = self.tables.iter_mut().find(|table| named(table));
        if let (Some(budget), Some(built_in)) = (place, built_in) {
            *budget = built_in;
        }
    }

    /// Adds a note about a key that was set under its old name.
    fn note_renamed(&mut self, assignment: &Assignment, consequence: &str) {
        let Assignment { key, source, line, .. } = assignment;
        let Some(new) = field::new_name(key) else { return };
        let new = match source {
            Source::Variable(_) | Source::ProjectVariable(_) => variable_for(new),
            _ => format!("{new}, at the top level"),
        };
        self.notes.push(Problem::at(source, *line, key, format!("is now {new}; {consequence}")));
    }

    pub(super) fn refuse(&mut self, assignment: &Assignment, prefix: &str, message: String) {
        let key = format!("{prefix}{}", assignment.key);
        self.problems.push(Problem::at(&assignment.source, assignment.line, &key, message));
    }
}

/// Checks a value, and whether its source may set it. `None`: a later layer has already set the key. `kind`: that of the
/// table it is in. `is_new`: the table is new, so the project may define it freely.
fn check_assignment(
    kind: Option<TableKind>,
    field: &Field,
    assignment: &Assignment,
    current: &SourcedValue,
    is_new: bool,
) -> Result<Option<Value>, String> {
    let by_project = assignment.source.is_project();
    let may = match field.project {
        ProjectPolicy::Never => field.kind.is_reserved(),
        ProjectPolicy::InNew => is_new,
        ProjectPolicy::Tighten => true,
    };
    if by_project && !may {
        return Err(not_for_projects(kind));
    }
    let value = field.kind.parse(&assignment.raw)?;
    if by_project && !is_new {
        field.tightens(&current.value, &value)?;
        // Variables rank above the project's file. A repeated value keeps its first source.
        if matches!(current.source, Source::Variable(_)) || current.value == value {
            return Ok(None);
        }
    }
    Ok(Some(value))
}

/// The message for a key that the project may not set. `kind`: that of the table it is in.
fn not_for_projects(kind: Option<TableKind>) -> String {
    let (what, fields) = match kind {
        Some(TableKind::Platform) => {
            return "cannot be set by the project, which may only add platforms, and change none of others"
                .into();
        }
        Some(TableKind::Rate) => ("rates", TableKind::Rate.fields()),
        Some(TableKind::Budget) => ("budgets", TableKind::Budget.fields()),
        None => ("budgets, rates and platforms", TableKind::Budget.fields()),
    };
    let tightened = fields.iter().filter(|field| field.project == ProjectPolicy::Tighten);
    let allowed: Vec<&str> = tightened.map(|field| field.name).collect();
    format!(
        "cannot be set by the project, which may only add {what}, and tighten existing ones ({}), [breaker] and [throttle]",
        allowed.join(", ")
    )
}

fn unknown_setting(key: &str) -> String {
    let tables =
        ["budget", "rate", "platform", "task_type.<type>", "prices.<model>.<key>"].map(str::to_owned);
    let known: Vec<String> = field::supported(&SETTINGS).map(str::to_owned).chain(tables).collect();
    field::unknown_name("unknown key", key, &known.iter().map(String::as_str).collect::<Vec<_>>())
}

fn unknown_in_table(kind: TableKind, key: &str) -> String {
    let known: Vec<&str> = ["name"].into_iter().chain(field::supported(kind.fields())).collect();
    field::unknown_name("unknown key", key, &known)
}
