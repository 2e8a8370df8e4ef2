//! Counters: what one value of a scope used in one window. Budgets read counters.

use super::message::Message;
use super::scope::Scope;
use super::time::Timestamp;
use super::window::WindowRule;

/// A family of counters: one for every value of `scope` and every window of `rule`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CounterFamily {
    /// The scope.
    pub scope: Scope,
    /// When the count starts afresh.
    pub rule: WindowRule,
}

/// One counter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CounterKey {
    /// Its family.
    pub family: CounterFamily,
    /// The value of the scope.
    pub value: String,
    /// Start of the window.
    pub start: Timestamp,
    /// Messages before this moment do not count: the last reset, else the window's start.
    pub since: Timestamp,
}

/// To whom a session, and each message that it brings first, is charged. Decided when the session is first seen; empty
/// parts mean none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attribution {
    /// Its project.
    pub project: String,
    /// Its user.
    pub user: String,
    /// The user's team.
    pub team: String,
    /// Its declared task type.
    pub task_type: String,
}

impl Attribution {
    /// Its value in a scope; `None`: the session does not decide that scope.
    pub fn value(&self, scope: Scope) -> Option<&str> {
        match scope {
            Scope::Project => Some(&self.project),
            Scope::User => Some(&self.user),
            Scope::Team => Some(&self.team),
            Scope::TaskType => Some(&self.task_type),
            Scope::Session | Scope::History | Scope::Model | Scope::AgentType => None,
        }
    }
}

/// Who a message is charged to, besides its own model and agent type.
#[derive(Clone, Debug)]
pub struct ChargeTargets<'a> {
    /// Sessions in whose files it stands, and the sessions that started those.
    pub sessions: Vec<&'a str>,
    /// The attribution of the session that it was first read for.
    pub attribution: &'a Attribution,
}

/// The counters of one family that `message` belongs to: scope values, and the window of its first moment.
/// A message without a value in that scope (no task type, say) belongs to none.
pub fn charged_values<'a>(
    family: &CounterFamily,
    message: &'a Message,
    targets: &ChargeTargets<'a>,
    watched_from: Option<Timestamp>,
) -> Vec<&'a str> {
    let mut values = match family.scope {
        Scope::Session => targets.sessions.clone(),
        Scope::History if watched_from.is_some_and(|from| message.at < from) => targets.sessions.clone(),
        Scope::History => Vec::new(),
        Scope::Project | Scope::User | Scope::Team | Scope::TaskType => {
            targets.attribution.value(family.scope).into_iter().collect()
        }
        Scope::Model => vec![message.model.as_str()],
        Scope::AgentType => vec![message.agent_type.as_str()],
    };
    values.retain(|v| !v.is_empty());
    values
}
