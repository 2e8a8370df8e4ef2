//! Names as they are shared: a project's says where it lies on somebody's disk.

use std::collections::BTreeMap;

use crate::domain::budget::{BudgetState, Scope};
use crate::domain::message::MessageKey;
use crate::store::{Session, Watch};

/// A session as it is shared: where its files lie is nobody else's business, and its project is hashed.
pub fn shared(session: &Session) -> Session {
    Session { transcript: None, project: hashed(&session.project), ..session.clone() }
}

/// A value as it is shared: a project's name says where it lies on somebody's disk, so its hash is shared.
pub fn shared_value(scope: Scope, value: &str) -> String {
    if scope == Scope::Project { hashed(value) } else { value.to_owned() }
}

/// The hash of a project's name; what has no name, or is hashed already, stays.
pub(super) fn hashed(project: &str) -> String {
    if project.is_empty() || project.starts_with(HASHED) {
        return project.to_owned();
    }
    format!("{HASHED}{:016x}", MessageKey::of(&["project", project]).short())
}

/// What hashed names of projects begin with. No folder does: they begin with a slash.
const HASHED: &str = "project-";

/// Budgets under the values that the shared store knows: projects have no names there.
pub(super) struct Shared {
    pub watches: Vec<Watch>,
    names: BTreeMap<String, String>,
}

impl Shared {
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

    pub fn name_here(&self, value: &str) -> String {
        self.names.get(value).map_or(value, String::as_str).to_owned()
    }

    pub fn named_here(&self, mut states: Vec<BudgetState>) -> Vec<BudgetState> {
        states.iter_mut().for_each(|state| state.value = self.name_here(&state.value));
        states
    }
}
