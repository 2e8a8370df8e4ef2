//! Whose use budgets and counters add up.

use serde::{Deserialize, Serialize};

/// Whose use a budget adds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// One client session, its subagents and its child clients.
    Session,
    /// The main worktree of the repository, else the project folder.
    Project,
    /// The person.
    User,
    /// The person's team (`store.team`).
    Team,
    /// The model.
    Model,
    /// `main`, or the type of the subagent.
    AgentType,
    /// The declared purpose of the session (`FUSEBOX_TASK_TYPE`).
    TaskType,
    /// What a session used before Fusebox watched it. Counted separately and added to the session's limits. Not
    /// available in the configuration.
    #[serde(skip_deserializing)]
    History,
}

impl Scope {
    /// Every scope that can be configured, and its name.
    pub const ALL: [(&'static str, Self); 7] = [
        ("session", Self::Session),
        ("project", Self::Project),
        ("user", Self::User),
        ("team", Self::Team),
        ("model", Self::Model),
        ("agent_type", Self::AgentType),
        ("task_type", Self::TaskType),
    ];

    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, s)| *s == self).map_or("history", |(n, _)| n)
    }
}
