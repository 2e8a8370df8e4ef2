//! Names in a shared store. Projects are hashed, since their names are local paths.

use std::collections::BTreeMap;
use std::path::Path;

use super::{BudgetKey, Session};
use crate::domain::budget::{BudgetState, Scope};
use crate::domain::message::MessageKey;

/// A session as shared: without its transcript path, and with its project hashed.
pub fn shared_session(session: &Session) -> Session {
    Session { transcript: None, project: hash_project(&session.project), ..session.clone() }
}

/// A scope value as shared: hashed if it is a project.
pub fn shared_value(scope: Scope, value: &str) -> String {
    if scope == Scope::Project { hash_project(value) } else { value.to_owned() }
}

/// The hash of a project's name. Empty and hashed names are unchanged.
pub fn hash_project(project: &str) -> String {
    if project.is_empty() || project.starts_with(HASH_PREFIX) {
        return project.to_owned();
    }
    format!("{HASH_PREFIX}{:016x}", MessageKey::from_parts(&["project", project]).short())
}

/// Identifies a machine, or rather a user on it, among those that share a store: each state folder has its own
/// transcripts. An empty folder adds nothing to the machine's name.
pub fn machine_id(name: &str, folder: &Path) -> String {
    let folder = folder.to_string_lossy();
    if folder.is_empty() {
        return name.to_owned();
    }
    format!("{:016x}", MessageKey::from_parts(&["machine", name, &folder]).short())
}

/// Prefix of hashed project names. Paths start with a slash.
const HASH_PREFIX: &str = "project-";

/// Budgets with shared values, and the local names of these values.
pub struct SharedNames {
    /// The budgets, with shared values.
    pub budgets: Vec<BudgetKey>,
    names: BTreeMap<String, String>,
}

impl SharedNames {
    /// Converts the values of these budgets.
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

    /// The local name of a shared value.
    pub fn local_name(&self, value: &str) -> String {
        self.names.get(value).map_or(value, String::as_str).to_owned()
    }

    /// The states, with local names.
    pub fn with_local_names(&self, mut states: Vec<BudgetState>) -> Vec<BudgetState> {
        states.iter_mut().for_each(|state| state.value = self.local_name(&state.value));
        states
    }
}
