//! Names as every shared store has them: a project's says where it lies on somebody's disk, so its hash is shared.

use std::collections::BTreeMap;
use std::path::Path;

use super::{BudgetKey, Session};
use crate::domain::budget::{BudgetState, Scope};
use crate::domain::message::MessageKey;

/// A session as it is shared: where its files lie is nobody else's business, and its project is hashed.
pub fn shared_session(session: &Session) -> Session {
    Session { transcript: None, project: hash_project(&session.project), ..session.clone() }
}

/// A value as it is shared: a project's name says where it lies on somebody's disk, so its hash is shared.
pub fn shared_value(scope: Scope, value: &str) -> String {
    if scope == Scope::Project { hash_project(value) } else { value.to_owned() }
}

/// The hash of a project's name; what has no name, or is hashed already, stays.
pub fn hash_project(project: &str) -> String {
    if project.is_empty() || project.starts_with(HASH_PREFIX) {
        return project.to_owned();
    }
    format!("{HASH_PREFIX}{:016x}", MessageKey::from_parts(&["project", project]).short())
}

/// What a machine is called among those that share a store, or rather who works on one: each state folder has transcripts
/// that no other one has. An empty folder adds nothing to the machine's name.
pub fn machine_id(name: &str, folder: &Path) -> String {
    let folder = folder.to_string_lossy();
    if folder.is_empty() {
        return name.to_owned();
    }
    format!("{:016x}", MessageKey::from_parts(&["machine", name, &folder]).short())
}

/// What hashed names of projects begin with. No folder does: they begin with a slash.
const HASH_PREFIX: &str = "project-";

/// Budgets under the values that the shared store knows: projects have no names there.
pub struct SharedNames {
    /// The same budgets, under these values.
    pub budgets: Vec<BudgetKey>,
    names: BTreeMap<String, String>,
}

impl SharedNames {
    /// These budgets.
    pub fn new(budgets: &[BudgetKey]) -> Self {
        let mut names = BTreeMap::new();
        let shared = |key: &BudgetKey| {
            let value = shared_value(key.budget.scope, &key.value);
            names.insert(value.clone(), key.value.clone());
            BudgetKey { budget: key.budget.clone(), value }
        };
        let budgets = budgets.iter().map(shared).collect();
        Self { budgets, names }
    }

    /// What a value is called on this machine.
    pub fn local_name(&self, value: &str) -> String {
        self.names.get(value).map_or(value, String::as_str).to_owned()
    }

    /// Budgets as this machine calls them.
    pub fn with_local_names(&self, mut states: Vec<BudgetState>) -> Vec<BudgetState> {
        states.iter_mut().for_each(|state| state.value = self.local_name(&state.value));
        states
    }
}
