//! Counters: the usage of one value of a scope in one window. Budgets read counters.

use super::message::Message;
use super::scope::Scope;
use super::time::Timestamp;
use super::window::WindowRule;

/// A family of counters: one for every value of `scope` and every window of `rule`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CounterFamily {
    /// The scope.
    pub scope: Scope,
    /// When the count restarts.
    pub rule: WindowRule,
}

/// One counter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CounterKey {
    /// The family.
    pub family: CounterFamily,
    /// The value of the scope.
    pub value: String,
    /// Start of the window.
    pub start: Timestamp,
    /// Messages before this moment do not count: the last reset, else the start of the window.
    pub since: Timestamp,
}

/// What a session, and each message first read for it, is charged to. Fixed when the session is first seen. An empty
/// part means none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attribution {
    /// The project.
    pub project: String,
    /// The user.
    pub user: String,
    /// The user's team.
    pub team: String,
    /// The declared task type.
    pub task_type: String,
    /// The chain of tasks.
    pub chain: String,
    /// The user as a member of the team; see [`member`].
    pub member: String,
}

/// The value of [`Scope::Member`]: `team/user`. Empty if one of them is.
pub fn member(team: &str, user: &str) -> String {
    if team.is_empty() || user.is_empty() { String::new() } else { format!("{team}/{user}") }
}

impl Attribution {
    /// The value for a scope. `None` if the session does not determine that scope.
    pub fn value(&self, scope: Scope) -> Option<&str> {
        match scope {
            Scope::Project => Some(&self.project),
            Scope::User => Some(&self.user),
            Scope::Team => Some(&self.team),
            Scope::TaskType => Some(&self.task_type),
            Scope::Member => Some(&self.member),
            Scope::Chain => Some(&self.chain),
            Scope::Session | Scope::History | Scope::Model | Scope::AgentType | Scope::Platform => None,
        }
    }
}

/// What a message is charged to, besides its own model and agent type.
#[derive(Clone, Debug)]
pub struct ChargeTargets<'a> {
    /// Sessions whose files contain the message, and their parent sessions.
    pub sessions: Vec<&'a str>,
    /// Attribution of the session that the message was first read for.
    pub attribution: &'a Attribution,
}

/// The counters of one family that `message` belongs to: the scope values and the window of its earliest time. None if
/// the message has no value in that scope, such as a task type.
pub fn charged_values<'a>(
    family: &CounterFamily,
    message: &'a Message,
    targets: &ChargeTargets<'a>,
    watched_from: Option<Timestamp>,
) -> Vec<&'a str> {
    let mut values = match family.scope {
        Scope::Session => targets.sessions.clone(),
        Scope::History if message.held && watched_from.is_some_and(|from| message.at < from) => {
            targets.sessions.clone()
        }
        // Responses of agents are no calls of a platform.
        Scope::History | Scope::Platform => Vec::new(),
        Scope::Project | Scope::User | Scope::Team | Scope::TaskType | Scope::Member | Scope::Chain => {
            targets.attribution.value(family.scope).into_iter().collect()
        }
        Scope::Model => vec![message.model.as_str()],
        Scope::AgentType => vec![message.agent_type.as_str()],
    };
    values.retain(|v| !v.is_empty());
    values
}
