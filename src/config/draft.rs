//! The configuration, built up layer by layer. Keeps the source of every value; later layers override earlier ones, the
//! project may only tighten, and the managed file's bounds are applied last.

use std::collections::BTreeMap;

use serde_json::Value;

use super::field::{self, BUDGET, Field, HARD_LIMIT, ProjectPolicy, SETTINGS, Strictness, TABLES};
use super::file::{Assignment, BudgetTable, Layer};
use super::limits;
use super::prices;
use super::source::{Problem, Source};
use super::value::{RawValue, ValueKind};
use super::variable::variable_for;
use crate::domain::breaker::policy::Preset;

/// The default budget.
pub(super) const SESSION: &str = "session";

/// The budget of a declared task type. Its default limit is that of the type.
pub(super) const TASK: &str = "task";

/// The maximum number of budgets. More would slow down every hook, and a slow hook lets calls through.
const MAX_BUDGETS: usize = 64;

/// A value and its source.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SourcedValue {
    /// Normalized by [`ValueKind::parse`].
    pub value: Value,
    /// Where it came from.
    pub source: Source,
}

/// A budget under construction. Keys that were not set have their defaults.
#[derive(Clone, Debug)]
pub(super) struct BudgetDraft {
    /// Unique name.
    pub name: String,
    pub(super) values: BTreeMap<&'static str, SourcedValue>,
}

/// The configuration under construction.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    settings: BTreeMap<String, SourcedValue>,
    budgets: Vec<BudgetDraft>,
    /// The declared task type.
    pub task_type: Option<SourcedValue>,
    /// Values refused so far.
    pub problems: Vec<Problem>,
    /// Renamed keys that were set under their old names.
    pub notes: Vec<Problem>,
    /// Throttling limits that were set: source, line and key.
    throttle_keys: Vec<(Source, Option<usize>, String)>,
}

impl BudgetDraft {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), values: BTreeMap::new() }
    }

    /// The value of a key: as set, or the default.
    pub fn get(&self, field: &Field) -> SourcedValue {
        let default = || SourcedValue { value: (field.default)(), source: Source::Default };
        self.values.get(field.name).cloned().unwrap_or_else(default)
    }

    fn set(&mut self, field: &Field, value: Value, source: &Source) {
        self.values.insert(field.name, SourcedValue { value, source: source.clone() });
    }

    pub(super) fn number(&self, key: &str) -> Option<f64> {
        self.values.get(key)?.value.as_f64()
    }

    fn same_identity(&self, other: &Self) -> bool {
        let mut identity = BUDGET.iter().filter(|field| field.strictness == Strictness::Identity);
        identity.all(|field| self.get(field).value == other.get(field).value)
    }
}

impl Draft {
    /// The draft without any configuration.
    pub fn new(task_type: Option<SourcedValue>) -> Self {
        let mut session = BudgetDraft::new(SESSION);
        session
            .values
            .insert("limit", SourcedValue { value: field::SESSION_LIMIT.into(), source: Source::Default });
        let types = field::TASK_TYPES.iter().map(|(name, limit)| {
            (format!("task_type.{name}"), SourcedValue { value: (*limit).into(), source: Source::Default })
        });
        Self {
            settings: types.collect(),
            budgets: vec![session, BudgetDraft::new(TASK)],
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

    fn value_at(&self, key: &str, field: &Field) -> SourcedValue {
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

    /// All budgets, including removed ones.
    pub fn budgets(&self) -> &[BudgetDraft] {
        &self.budgets
    }

    /// The names of all budgets, including removed ones.
    pub fn budget_names(&self) -> impl Iterator<Item = &str> {
        self.budgets.iter().map(|budget| budget.name.as_str())
    }

    /// The value of a budget's key. The limit of [`TASK`] may be that of the declared type. No limit exceeds the hard
    /// limit, which may come from another layer.
    pub fn budget_value(&self, budget: &BudgetDraft, field: &Field) -> SourcedValue {
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
        let mut seen: Vec<RawValue> = Vec::new();
        for table in layer.budgets {
            let again = seen.contains(&table.name);
            seen.push(table.name.clone());
            match self.apply_budget(&table, again) {
                Ok(()) => {}
                Err(message) => {
                    self.problems.push(Problem::at(&table.source, table.line, "budget.name", message));
                }
            }
        }
    }

    fn apply_setting(&mut self, assignment: &Assignment) {
        let key = field::new_name(&assignment.key).unwrap_or(&assignment.key);
        let checked = match field::setting(key) {
            Some(field) => check_assignment(field, assignment, &self.value_at(key, field), false),
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

    /// Takes the valid keys of a budget. If a key that defines what the budget counts is refused, takes none: a limit
    /// meant in dollars is not a limit in tokens. `Err`: what is wrong with the budget's name.
    fn apply_budget(&mut self, table: &BudgetTable, again: bool) -> Result<(), String> {
        let name = ValueKind::Name.parse(&table.name)?;
        let name = name.as_str().unwrap_or_default();
        if again {
            return Err(format!("must be unique in a file (found \"{name}\" again)"));
        }
        let place = self.budgets.iter().position(|budget| budget.name == name);
        if place.is_none() && self.budgets.len() >= MAX_BUDGETS {
            return Err(format!("must not add to {MAX_BUDGETS} budgets, the maximum"));
        }
        let old = place.map_or_else(|| BudgetDraft::new(name), |i| self.budgets[i].clone());
        let mut new = old.clone();
        let prefix = format!("budget.{name}.");
        let mut sound = true;
        for assignment in &table.keys {
            let Some(field) = field::budget_field(&assignment.key) else {
                self.refuse(assignment, &prefix, unknown_in_budget(&assignment.key));
                // In a new budget, the key may have been meant to define what it counts.
                sound &= place.is_some();
                continue;
            };
            let current = self.budget_value(&old, field);
            match check_assignment(field, assignment, &current, place.is_none()) {
                Ok(Some(value)) => new.set(field, value, &assignment.source),
                Ok(None) => {}
                Err(message) => {
                    let message = limits::in_dollars(table, &old, field, assignment).unwrap_or(message);
                    let repeated =
                        field.kind.parse(&assignment.raw).is_ok_and(|value| value == current.value);
                    sound &= repeated
                        || !matches!(field.strictness, Strictness::Identity) && !field.kind.is_reserved();
                    self.refuse(assignment, &prefix, message);
                }
            }
        }
        sound &= self.check_plan(table, &prefix, &new);
        self.check_amounts(table, &prefix, &old, &mut new);
        self.check_limits(table, &prefix, &old, &mut new);
        if place.is_none() && new.number("limit").is_none() {
            if !table.keys.iter().any(|assignment| assignment.key == "limit") {
                let allowed = limits::allowed(limits::unit(table, &old));
                let message = format!("is required for a new budget: {allowed}");
                let key = format!("{prefix}limit");
                self.problems.push(Problem::at(&table.source, table.line, &key, message));
            }
            sound = false;
        }
        match place {
            _ if !sound => {}
            Some(i) => self.budgets[i] = new,
            None => self.budgets.push(new),
        }
        Ok(())
    }

    /// Makes a built-in budget what it is without any configuration.
    pub(super) fn restore_budget(&mut self, name: &str) {
        let built_in = Self::new(None).budgets.into_iter().find(|budget| budget.name == name);
        let place = self.budgets.iter_mut().find(|budget| budget.name == name);
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

    /// Bounds the configuration by the managed file: its values, or stricter ones, apply. `managed` is the draft after
    /// that layer. If it names a budget, the keys it omits there are bounded as well: a limit would be worthless if
    /// `mode` or `match` were free.
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
        for bound in &managed.budgets {
            let Some(source) =
                bound.values.values().find(|value| by_managed(value)).map(|value| &value.source)
            else {
                continue;
            };
            let Some(budget) = self.budgets.iter_mut().find(|budget| budget.name == bound.name) else {
                continue;
            };
            if !budget.same_identity(bound) {
                *budget = bound.clone();
                continue;
            }
            for field in &BUDGET {
                // A default limit is not a bound.
                let said = bound.values.get(field.name).filter(|value| by_managed(value));
                let limit = said.map_or_else(|| (field.default)(), |value| value.value.clone());
                let now = budget.get(field).value;
                let value = field.stricter(&now, &limit);
                if value != now {
                    budget.set(field, value, source);
                }
            }
        }
    }
}

/// Checks a value, and whether its source may set it. `None`: a later layer has already set the key. `is_new`: the
/// budget is new, so the project may define it freely.
fn check_assignment(
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
        let tightened =
            |name: &&str| field::budget_field(name).is_some_and(|f| f.project == ProjectPolicy::Tighten);
        let allowed: Vec<&str> = field::supported(&BUDGET).filter(tightened).collect();
        return Err(format!(
            "cannot be set by the project, which may only add budgets, and tighten existing ones ({}), [breaker] and [throttle]",
            allowed.join(", ")
        ));
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

fn unknown_setting(key: &str) -> String {
    let tables = ["budget", "task_type.<type>", "prices.<model>.<key>"].map(str::to_owned);
    let known: Vec<String> = field::supported(&SETTINGS).map(str::to_owned).chain(tables).collect();
    field::unknown_name("unknown key", key, &known.iter().map(String::as_str).collect::<Vec<_>>())
}

fn unknown_in_budget(key: &str) -> String {
    let known: Vec<&str> = ["name"].into_iter().chain(field::supported(&BUDGET)).collect();
    field::unknown_name("unknown key", key, &known)
}
