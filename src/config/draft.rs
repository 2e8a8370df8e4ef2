//! The configuration as the layers build it up: every value with its source, later layers over earlier ones, the
//! project's word only where it tightens, and the managed file's bounds at the end.

use std::collections::BTreeMap;

use serde_json::Value;

use super::field::{self, BUDGET, ByProject, Field, HARD_LIMIT, Rule, SETTINGS, TABLES};
use super::file::{Entry, Layer, Stated};
use super::source::{Problem, Source};
use super::value::{Kind, Raw};
use crate::domain::breaker::policy::Preset;

/// The budget that is there without any configuration.
pub(super) const SESSION: &str = "session";

/// The budget of a declared task type. Without a `limit` of its own it has that of the type.
pub(super) const TASK: &str = "task";

/// More budgets than this would make every hook slow, and a slow hook lets calls through.
const MOST_BUDGETS: usize = 64;

/// A value and who said so.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Held {
    /// In the one form that [`Kind::parse`] makes.
    pub value: Value,
    /// Who said it.
    pub source: Source,
}

/// A budget in the making: only what was said; all else has its default.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// Unique name.
    pub name: String,
    held: BTreeMap<&'static str, Held>,
}

/// The configuration in the making.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    settings: BTreeMap<String, Held>,
    budgets: Vec<Record>,
    /// The declared task type.
    pub task_type: Option<Held>,
    /// What was refused so far.
    pub problems: Vec<Problem>,
    /// Numbers for throttling: who asked for them, where, by which key.
    throttled: Vec<(Source, Option<usize>, String)>,
}

impl Record {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), held: BTreeMap::new() }
    }

    /// The value of a key: said, or the default.
    pub fn get(&self, field: &Field) -> Held {
        let default = || Held { value: (field.default)(), source: Source::Default };
        self.held.get(field.name).cloned().unwrap_or_else(default)
    }

    fn set(&mut self, field: &Field, value: Value, source: &Source) {
        self.held.insert(field.name, Held { value, source: source.clone() });
    }

    fn stated_number(&self, key: &str) -> Option<u64> {
        self.held.get(key)?.value.as_u64()
    }

    fn same_identity(&self, other: &Self) -> bool {
        let mut identity = BUDGET.iter().filter(|field| field.rule == Rule::Identity);
        identity.all(|field| self.get(field).value == other.get(field).value)
    }
}

impl Draft {
    /// What holds without any configuration.
    pub fn new(task_type: Option<Held>) -> Self {
        let mut session = Record::new(SESSION);
        session.held.insert("limit", Held { value: field::SESSION_LIMIT.into(), source: Source::Default });
        let types = field::TASK_TYPES.iter().map(|(name, limit)| {
            (format!("task_type.{name}"), Held { value: (*limit).into(), source: Source::Default })
        });
        Self {
            settings: types.collect(),
            budgets: vec![session, Record::new(TASK)],
            task_type,
            problems: Vec::new(),
            throttled: Vec::new(),
        }
    }

    /// The value of a key outside of budgets: said, or the default.
    pub fn get(&self, field: &Field) -> Held {
        self.at(field.name, field)
    }

    fn at(&self, key: &str, field: &Field) -> Held {
        let default = || match (field.default)() {
            Value::Null if key.starts_with("breaker.") => field::by_preset(self.preset(), key),
            value => value,
        };
        let held = self.settings.get(key).cloned();
        held.unwrap_or_else(|| Held { value: default(), source: Source::Default })
    }

    /// The breaker's preset.
    pub fn preset(&self) -> Preset {
        let named = self.settings.get("breaker.preset").and_then(|held| held.value.as_str());
        let known = field::PRESETS.iter().find(|(name, _)| Some(*name) == named);
        known.map_or_else(Preset::default, |(_, preset)| *preset)
    }

    /// Refuses numbers for throttling where nobody said what they are measured against: there is no limit that fits all.
    pub fn check_throttle(&mut self) {
        if self.settings.contains_key(HARD_LIMIT) {
            return;
        }
        let problems = std::mem::take(&mut self.throttled).into_iter().map(|(source, line, key)| {
            let message =
                format!("needs {HARD_LIMIT}, which has no default: without it nothing is throttled");
            Problem::at(&source, line, &key, message)
        });
        self.problems.extend(problems);
    }

    /// The limits of task types, by their keys.
    pub fn task_types(&self) -> impl Iterator<Item = (&String, &Held)> {
        self.settings.iter().filter(|(key, _)| key.starts_with("task_type."))
    }

    /// All budgets, removed ones too.
    pub fn budgets(&self) -> &[Record] {
        &self.budgets
    }

    /// The names of all budgets, removed ones too.
    pub fn budget_names(&self) -> impl Iterator<Item = &str> {
        self.budgets.iter().map(|record| record.name.as_str())
    }

    /// The value of a budget's key. The limit of [`TASK`] may be that of the declared type; and no limit is above
    /// the hard limit, which may come from another layer.
    pub fn budget_value(&self, record: &Record, field: &Field) -> Held {
        let held = record.get(field);
        if field.name != "limit" {
            return held;
        }
        let limit = match &self.task_type {
            Some(declared) if held.value.is_null() && record.name == TASK => {
                let key = format!("task_type.{}", declared.value.as_str().unwrap_or_default());
                self.settings.get(&key).cloned().unwrap_or(held)
            }
            _ => held,
        };
        match record.held.get("hard_limit") {
            Some(hard) if hard.value.as_u64() < limit.value.as_u64() => hard.clone(),
            _ => limit,
        }
    }

    /// Puts a layer over what there is.
    pub fn apply(&mut self, layer: Layer) {
        self.problems.extend(layer.problems);
        for stated in &layer.settings {
            self.apply_setting(stated);
        }
        let mut seen: Vec<Raw> = Vec::new();
        for entry in layer.budgets {
            let again = seen.contains(&entry.name);
            seen.push(entry.name.clone());
            match self.apply_entry(&entry, again) {
                Ok(()) => {}
                Err(message) => {
                    self.problems.push(Problem::at(&entry.source, entry.line, "budget.name", message));
                }
            }
        }
    }

    fn apply_setting(&mut self, stated: &Stated) {
        let judged = match field::setting(&stated.key) {
            Some(field) => judge(field, stated, &self.at(&stated.key, field), false),
            None if TABLES.contains(&stated.key.as_str()) => {
                Err(format!("must be a table, [{}] (found {})", stated.key, stated.raw))
            }
            None => Err(unknown_setting(&stated.key)),
        };
        match judged {
            Ok(Some(value)) => {
                if stated.key.starts_with("throttle.") {
                    self.throttled.push((stated.source.clone(), stated.line, stated.key.clone()));
                }
                self.settings.insert(stated.key.clone(), Held { value, source: stated.source.clone() });
            }
            Ok(None) => {}
            Err(message) => self.refuse(stated, "", message),
        }
    }

    /// Takes a budget's keys, those that are right. Where one that says what the budget is about is refused, none
    /// is taken: a limit meant in dollars is no limit in tokens. `Err`: what is wrong with the budget's name.
    fn apply_entry(&mut self, entry: &Entry, again: bool) -> Result<(), String> {
        let name = Kind::Name.parse(&entry.name)?;
        let name = name.as_str().unwrap_or_default();
        if again {
            return Err(format!("must be given once in a file (found \"{name}\" again)"));
        }
        let place = self.budgets.iter().position(|record| record.name == name);
        if place.is_none() && self.budgets.len() >= MOST_BUDGETS {
            return Err(format!(
                "must not add to the {MOST_BUDGETS} budgets that there are, which is the most"
            ));
        }
        let old = place.map_or_else(|| Record::new(name), |i| self.budgets[i].clone());
        let mut new = old.clone();
        let prefix = format!("budget.{name}.");
        let mut sound = true;
        for stated in &entry.keys {
            let Some(field) = field::of_budget(&stated.key) else {
                self.refuse(stated, &prefix, unknown_in_budget(&stated.key));
                // In a new budget the key may have been meant for what it is about.
                sound &= place.is_some();
                continue;
            };
            let held = self.budget_value(&old, field);
            match judge(field, stated, &held, place.is_none()) {
                Ok(Some(value)) => new.set(field, value, &stated.source),
                Ok(None) => {}
                Err(message) => {
                    let repeated = field.kind.parse(&stated.raw).is_ok_and(|value| value == held.value);
                    sound &= repeated || !matches!(field.rule, Rule::Identity) && field.kind != Kind::Later;
                    self.refuse(stated, &prefix, message);
                }
            }
        }
        self.check_limits(entry, &prefix, &old, &mut new);
        if place.is_none() && new.stated_number("limit").is_none() {
            if !entry.keys.iter().any(|stated| stated.key == "limit") {
                let message = "is required for a new budget: must be a whole number";
                let key = format!("{prefix}limit");
                self.problems.push(Problem::at(&entry.source, entry.line, &key, message));
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

    /// Refuses a hard limit below the limit, or the limit where only that was stated.
    fn check_limits(&mut self, entry: &Entry, prefix: &str, old: &Record, new: &mut Record) {
        let (Some(limit), Some(hard)) = (new.stated_number("limit"), new.stated_number("hard_limit")) else {
            return;
        };
        let taken = |key: &str| new.held.get(key) != old.held.get(key);
        let stated = |key: &str| entry.keys.iter().rfind(|stated| stated.key == key && taken(key));
        let (blamed, message) = match (stated("hard_limit"), stated("limit")) {
            (Some(blamed), _) => (blamed, format!("must be at least the limit, {limit} (found {hard})")),
            (_, Some(blamed)) => (blamed, format!("must be at most the hard_limit, {hard} (found {limit})")),
            _ => return,
        };
        if hard < limit {
            self.refuse(blamed, prefix, message);
            new.held.retain(|key, _| *key != blamed.key);
            new.held.extend(old.held.get_key_value(blamed.key.as_str()).map(|(k, v)| (*k, v.clone())));
        }
    }

    fn refuse(&mut self, stated: &Stated, prefix: &str, message: String) {
        let key = format!("{prefix}{}", stated.key);
        self.problems.push(Problem::at(&stated.source, stated.line, &key, message));
    }

    /// Holds the configuration to what the managed file said, which `managed` (the draft as it left that layer)
    /// still has: its values, or stricter ones. Of a budget that it names, also the keys it leaves out: a limit
    /// would be worth nothing if `mode` or `match` were free.
    pub fn hold_to(&mut self, managed: &Self) {
        let by_managed = |held: &Held| matches!(held.source, Source::Managed(_));
        for (key, bound) in managed.settings.iter().filter(|(_, held)| by_managed(held)) {
            let Some(field) = field::setting(key) else { continue };
            if field.stricter(&self.at(key, field).value, &bound.value) == bound.value {
                self.settings.insert(key.clone(), bound.clone());
            }
        }
        for bound in &managed.budgets {
            let Some(source) = bound.held.values().find(|held| by_managed(held)).map(|held| &held.source)
            else {
                continue;
            };
            let Some(record) = self.budgets.iter_mut().find(|record| record.name == bound.name) else {
                continue;
            };
            if !record.same_identity(bound) {
                *record = bound.clone();
                continue;
            }
            for field in &BUDGET {
                // A default limit is no bound: it is only what held before anyone spoke.
                let said = bound.held.get(field.name).filter(|held| by_managed(held));
                let limit = said.map_or_else(|| (field.default)(), |held| held.value.clone());
                let now = record.get(field).value;
                let value = field.stricter(&now, &limit);
                if value != now {
                    record.set(field, value, source);
                }
            }
        }
    }
}

/// The value to take, if it is right and whoever says so may; `None` where a later layer has spoken already.
/// `fresh`: the budget is a new one, which the project may shape as it likes.
fn judge(field: &Field, stated: &Stated, held: &Held, fresh: bool) -> Result<Option<Value>, String> {
    let by_project = stated.source.is_project();
    let may = match field.project {
        ByProject::Never => field.kind == Kind::Later,
        ByProject::InNew => fresh,
        ByProject::Tighten => true,
    };
    if by_project && !may {
        let tightened = |name: &&str| field::of_budget(name).is_some_and(|f| f.project == ByProject::Tighten);
        let allowed: Vec<&str> = field::supported(&BUDGET).filter(tightened).collect();
        return Err(format!(
            "may not be set by the project, which may add budgets, and tighten in others: {}; and the numbers of [breaker] and \
             [throttle]",
            allowed.join(", ")
        ));
    }
    let value = field.kind.parse(&stated.raw)?;
    if by_project && !fresh {
        field.tightens(&held.value, &value)?;
        // Variables are a later layer than the project's file. A value repeated stays whose it was.
        if matches!(held.source, Source::Variable(_)) || held.value == value {
            return Ok(None);
        }
    }
    Ok(Some(value))
}

fn unknown_setting(key: &str) -> String {
    let tables = ["budget".to_owned(), "task_type.<type>".to_owned()];
    let known: Vec<String> = field::supported(&SETTINGS).map(str::to_owned).chain(tables).collect();
    field::unknown("unknown key", key, &known.iter().map(String::as_str).collect::<Vec<_>>())
}

fn unknown_in_budget(key: &str) -> String {
    let known: Vec<&str> = ["name"].into_iter().chain(field::supported(&BUDGET)).collect();
    field::unknown("unknown key", key, &known)
}
