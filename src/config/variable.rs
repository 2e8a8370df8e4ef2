//! Reads `FUSEBOX_*` variables into assignments, and determines which variables the project's settings name.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::draft::Draft;
use super::field::{RENAMED, SETTINGS, supported, unknown_name};
use super::file::{Assignment, Layer, NamedTable, read_text};
use super::source::{Problem, Source};
use super::table::TableKind;
use super::value::RawValue;
use crate::platform::Env;

const PREFIX: &str = "FUSEBOX_";

/// Variables that are not settings.
const NOT_SETTINGS: [&str; 7] = [
    "FUSEBOX_CONFIG",
    "FUSEBOX_STATE_DIR",
    "FUSEBOX_CACHE_DIR",
    "FUSEBOX_USER",
    "FUSEBOX_TASK_TYPE",
    "FUSEBOX_TASK",
    "FUSEBOX_CHAIN",
];

/// Variables that locate the user's configuration file. Ignored if the project's settings name them.
pub(super) const CONFIG_LOCATION: [&str; 3] = ["FUSEBOX_CONFIG", "XDG_CONFIG_HOME", "HOME"];

/// Variables that determine where, and for whom, usage is counted.
const COUNT_LOCATION: [&str; 6] =
    ["FUSEBOX_STATE_DIR", "XDG_STATE_HOME", "FUSEBOX_CACHE_DIR", "FUSEBOX_USER", "FUSEBOX_CHAIN", "USER"];

const MAX_SETTINGS_BYTES: u64 = 4 << 20;

/// The variables that a project's settings files name.
#[derive(Debug, Default)]
pub(super) struct ProjectVariables {
    named: BTreeSet<String>,
    /// Files that could not be read, and so may name any variable.
    unread: Vec<Problem>,
}

impl ProjectVariables {
    /// Reads the client's settings files, each with its display name. If a file cannot be parsed, every variable
    /// mentioned in its text counts as named.
    pub fn read<'a>(files: impl IntoIterator<Item = (&'a Path, String)>) -> Self {
        let mut found = Self::default();
        for (path, shown) in files {
            match read_text(path, MAX_SETTINGS_BYTES) {
                Ok(text) => found.named.extend(text.map(|text| named_variables(&text)).unwrap_or_default()),
                Err(message) => {
                    found.unread.push(Problem::at(&Source::Project(shown), None, "", message));
                }
            }
        }
        found
    }

    /// Whether the project's settings name this variable.
    pub fn names(&self, variable: &str) -> bool {
        self.named.contains(variable) || (!self.unread.is_empty() && variable.starts_with(PREFIX))
    }

    /// The source of a variable's value.
    pub fn source(&self, variable: &str) -> Source {
        match self.names(variable) {
            true => Source::ProjectVariable(variable.into()),
            false => Source::Variable(variable.into()),
        }
    }

    /// The problems with folders and files that the project's settings select.
    pub fn problems(&self) -> Vec<Problem> {
        let say = |names: &[&str], message: &str| -> Vec<Problem> {
            let named = names.iter().filter(|name| self.named.contains(**name));
            named
                .map(|name| Problem::at(&Source::ProjectVariable((*name).into()), None, "", message))
                .collect()
        };
        let config = "set by the project's settings, which may not choose the configuration: ignored";
        let counts =
            "set by the project's settings, which should not choose where, or for whom, Fusebox counts";
        [self.unread.clone(), say(&CONFIG_LOCATION, config), say(&COUNT_LOCATION, counts)].concat()
    }
}

fn named_variables(settings: &str) -> Vec<String> {
    match serde_json::from_str::<Value>(settings) {
        Ok(value) => value["env"].as_object().map(|env| env.keys().cloned().collect()).unwrap_or_default(),
        Err(_) => {
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let words = settings.split(|c| !word(c));
            words
                .filter(|w| w.starts_with(PREFIX) || CONFIG_LOCATION.contains(w))
                .map(str::to_owned)
                .collect()
        }
    }
}

/// The assignments from variables.
#[derive(Debug, Default)]
pub(super) struct Variables {
    /// The person's.
    pub own: Layer,
    /// The project's: variables that its settings name.
    pub project: Layer,
    /// Variables of budgets that do not exist yet, because the project may add them.
    pub pending: Vec<(String, String)>,
}

/// Reads the variables. `draft` has the budgets so far.
pub(super) fn read(env: &Env, by_project: &ProjectVariables, draft: &Draft) -> Variables {
    let mut found = Variables::default();
    for (name, value) in env.vars.iter().filter(|(name, value)| is_setting(name) && !value.is_empty()) {
        let source = by_project.source(name);
        let rest = &name[PREFIX.len()..];
        if let Some((kind, rest)) = of_table(rest) {
            // The project's own are read once its tables exist.
            if source.is_project() || !found.own.table_key(kind, rest, value, &source, draft) {
                found.pending.push((name.clone(), value.clone()));
            }
            continue;
        }
        let layer = if source.is_project() { &mut found.project } else { &mut found.own };
        match setting_key(rest) {
            Some(key) => {
                let raw = RawValue::Variable(value.clone());
                layer.settings.push(Assignment { key, raw, source, line: None });
            }
            None => layer.problems.push(Problem::at(&source, None, "", unknown_variable(name))),
        }
    }
    found
}

/// Reads the pending variables, once the project's budgets exist.
pub(super) fn read_pending(
    pending: &[(String, String)],
    by_project: &ProjectVariables,
    draft: &Draft,
) -> Layer {
    let mut layer = Layer::default();
    for (name, value) in pending {
        let source = by_project.source(name);
        let Some((kind, rest)) = of_table(&name[PREFIX.len()..]) else { continue };
        if !layer.table_key(kind, rest, value, &source, draft) {
            let names: Vec<String> = draft.names(kind).map(variable_part).collect();
            let keys: Vec<String> = supported(kind.fields()).map(variable_part).collect();
            let names = match names.is_empty() {
                true => format!("the name of a {0} (there is no {0} yet)", kind.name()),
                false => format!("one of the names {}", names.join(", ")),
            };
            let message = format!(
                "is not a key of a {}: must be {PREFIX}{}_<NAME>_<KEY> with {names} and one of the keys {}",
                kind.name(),
                variable_part(kind.name()),
                keys.join(", ")
            );
            layer.problems.push(Problem::at(&source, None, "", message));
        }
    }
    layer
}

impl Layer {
    /// Adds a key of a table. Returns whether the table and the key exist. If a variable is ambiguous (A_HARD_LIMIT
    /// with budgets `a` and `a-hard`), the table with the shortest name wins.
    fn table_key(
        &mut self,
        kind: TableKind,
        rest: &str,
        value: &str,
        source: &Source,
        draft: &Draft,
    ) -> bool {
        let key_for = |name: &str| {
            let key = rest.strip_prefix(&variable_part(name))?.strip_prefix('_')?;
            let reserved = (kind == TableKind::Budget).then_some("anchor");
            let mut keys = kind.fields().iter().map(|field| field.name).chain(reserved);
            keys.find(|name| variable_part(name) == key)
        };
        let meant = draft.names(kind).filter_map(|name| Some((name, key_for(name)?)));
        let Some((named, key)) = meant.min_by_key(|(name, _)| name.len()) else {
            return false;
        };
        let raw = RawValue::Variable(value.to_owned());
        let assignment = Assignment { key: key.to_owned(), raw, source: source.clone(), line: None };
        let name = RawValue::Text(named.to_owned());
        match self.tables.iter_mut().find(|entry| entry.kind == kind && entry.name == name) {
            Some(entry) => entry.keys.push(assignment),
            None => self.tables.push(NamedTable {
                kind,
                name,
                source: source.clone(),
                line: None,
                keys: vec![assignment],
            }),
        }
        true
    }
}

fn is_setting(name: &str) -> bool {
    name.starts_with(PREFIX) && !NOT_SETTINGS.contains(&name) && !name.starts_with("FUSEBOX_TEST_")
}

/// The kind of the table that a variable is about, and the rest of its name: `SESSION_LIMIT`.
fn of_table(rest: &str) -> Option<(TableKind, &str)> {
    TableKind::ALL.into_iter().find_map(|kind| {
        let rest = rest.strip_prefix(&variable_part(kind.name()))?.strip_prefix('_')?;
        Some((kind, rest))
    })
}

fn variable_part(name: &str) -> String {
    name.to_ascii_uppercase().replace(['-', '.'], "_")
}

/// The variable for a key outside budgets.
pub(super) fn variable_for(key: &str) -> String {
    format!("{PREFIX}{}", variable_part(key))
}

/// The key outside budgets for a variable such as `STORE_TENANT`.
fn setting_key(rest: &str) -> Option<String> {
    if let Some(task_type) = rest.strip_prefix("TASK_TYPE_") {
        return Some(format!("task_type.{}", task_type.to_ascii_lowercase()));
    }
    if let Some((old, _)) = RENAMED.iter().find(|(old, _)| variable_part(old) == rest) {
        return Some((*old).to_owned());
    }
    SETTINGS.iter().find(|field| variable_part(field.name) == rest).map(|field| field.name.to_owned())
}

fn unknown_variable(name: &str) -> String {
    let keys = supported(&SETTINGS).map(variable_for);
    let known: Vec<String> = keys
        .chain(TableKind::ALL.map(|kind| format!("{PREFIX}{}_<NAME>_<KEY>", variable_part(kind.name()))))
        .chain(["FUSEBOX_TASK_TYPE_<TYPE>".into()])
        .chain(NOT_SETTINGS.map(str::to_owned))
        .collect();
    unknown_name("unknown variable", name, &known.iter().map(String::as_str).collect::<Vec<_>>())
}
