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
    /// Each member of a team (`scope = "team"` with `per = "user"`). The value is `team/user`.
    Member,
    /// A service that agents and scripts call, such as Gemini: its calls, not the agent's own responses.
    Platform,
    /// A chain of tasks (`FUSEBOX_CHAIN`, else the session): the responses of its sessions and its calls of platforms.
    Chain,
    /// What a session used before Fusebox watched it. Counted separately and added to the session's limits. Not
    /// available in the configuration.
    #[serde(skip_deserializing)]
    History,
}

impl Scope {
    /// Every scope that can be configured, and its name.
    pub const ALL: [(&'static str, Self); 10] = [
        ("session", Self::Session),
        ("project", Self::Project),
        ("user", Self::User),
        ("team", Self::Team),
        ("model", Self::Model),
        ("agent_type", Self::AgentType),
        ("task_type", Self::TaskType),
        ("member", Self::Member),
        ("platform", Self::Platform),
        ("chain", Self::Chain),
    ];

    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, s)| *s == self).map_or("history", |(n, _)| n)
    }
}
