//! Names as every shared store has them: a project's says where it lies on somebody's disk, so its hash is shared.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Session, Watch};
use crate::domain::budget::{BudgetState, Scope};
use crate::domain::message::MessageKey;

/// A session as it is shared: where its files lie is nobody else's business, and its project is hashed.
pub fn shared(session: &Session) -> Session {
    Session { transcript: None, project: hashed(&session.project), ..session.clone() }
}

/// A value as it is shared: a project's name says where it lies on somebody's disk, so its hash is shared.
pub fn shared_value(scope: Scope, value: &str) -> String {
    if scope == Scope::Project { hashed(value) } else { value.to_owned() }
}

/// The hash of a project's name; what has no name, or is hashed already, stays.
pub fn hashed(project: &str) -> String {
    if project.is_empty() || project.starts_with(HASHED) {
        return project.to_owned();
    }
    format!("{HASHED}{:016x}", MessageKey::of(&["project", project]).short())
}

/// What a machine is called among those that share a store, or rather who works on one: each state folder has transcripts
/// that no other one has. An empty folder adds nothing to the machine's name.
pub fn machine(name: &str, folder: &Path) -> String {
    let folder = folder.to_string_lossy();
    if folder.is_empty() {
        return name.to_owned();
    }
    format!("{:016x}", MessageKey::of(&["machine", name, &folder]).short())
}

/// What hashed names of projects begin with. No folder does: they begin with a slash.
const HASHED: &str = "project-";

/// Budgets under the values that the shared store knows: projects have no names there.
pub struct Shared {
    /// The same budgets, under these values.
    pub watches: Vec<Watch>,
    names: BTreeMap<String, String>,
}

impl Shared {
    /// These budgets.
    pub fn of(watches: &[Watch]) -> Self {
        let mut names = BTreeMap::new();
        let shared = |watch: &Watch| {
            let value = shared_value(watch.budget.scope, &watch.value);
            names.insert(value.clone(), watch.value.clone());
            Watch { budget: watch.budget.clone(), value }
        };
        let watches = watches.iter().map(shared).collect();
        Self { watches, names }
    }

    /// What a value is called on this machine.
    pub fn name_here(&self, value: &str) -> String {
        self.names.get(value).map_or(value, String::as_str).to_owned()
    }

    /// Budgets as this machine calls them.
    pub fn named_here(&self, mut states: Vec<BudgetState>) -> Vec<BudgetState> {
        states.iter_mut().for_each(|state| state.value = self.name_here(&state.value));
        states
    }
}
