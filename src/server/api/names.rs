//! The names of kinds and states: what filters accept and answers contain.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Enumerations with the names of their values.
macro_rules! names {
    ($($(#[$about:meta])* $name:ident { $($variant:ident $text:tt),+ })+) => {$(
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, ToSchema)]
        #[allow(missing_docs)]
        pub enum $name {
            $(#[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// The name.
            #[allow(dead_code)] // Of some, only the description uses it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }
    )+};
}

names! {
    /// How much of a budget is used: `paused` is at the limit, `exhausted` at the hard limit.
    BudgetStatus { Active "active", Warning "warning", Paused "paused", Exhausted "exhausted" }

    /// Whose use a budget adds up.
    BudgetScope {
        Session "session", Project "project", User "user", Team "team", Model "model", AgentType "agent_type",
        TaskType "task_type", Member "member", Platform "platform", Chain "chain"
    }

    /// What a budget counts.
    BudgetUnit { Tokens "tokens", Requests "requests", ToolCalls "tool_calls", Usd "usd", Percent "percent" }

    /// Whether a budget only observes, or stops calls.
    BudgetMode { Shadow "shadow", Enforce "enforce" }

    /// The state of a circuit breaker: `half_open` lets one call through.
    CircuitState { Closed "closed", Open "open", HalfOpen "half_open" }

    /// How urgent an alert is.
    AlertLevel { Info "info", Warning "warning", Critical "critical" }

    /// What happened.
    EventName {
        CircuitWarning "CIRCUIT_WARNING", CircuitOpened "CIRCUIT_OPENED", CircuitWouldOpen "CIRCUIT_WOULD_OPEN",
        CircuitHalfOpened "CIRCUIT_HALF_OPENED", CircuitClosed "CIRCUIT_CLOSED", CircuitDecided "CIRCUIT_DECIDED",
        ConcurrencyThrottled "CONCURRENCY_THROTTLED", ConcurrencyRestored "CONCURRENCY_RESTORED",
        CallDenied "CALL_DENIED", BudgetAlert "BUDGET_ALERT", BudgetDecided "BUDGET_DECIDED"
    }

    /// What denied a call.
    DeniedBy { Budget "budget", Circuit "circuit", Throttle "throttle", Protection "protection" }

    /// What the rows of a report are.
    CostsBy {
        Day "day", Week "week", Month "month", Session "session", Model "model", Project "project", Branch "branch",
        Agent "agent", Platform "platform", Chain "chain", Task "task"
    }

    /// What rows are sorted by.
    CostsSort { Key "key", Usd "usd", Tokens "tokens" }

    /// Ascending or descending.
    Order { Ascending "asc", Descending "desc" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::budget::{Scope, Status, Unit};

    fn parsed<T: serde::de::DeserializeOwned>(name: &str) -> T {
        serde_json::from_value(name.into()).expect(name)
    }

    #[test]
    fn all_names_of_the_domain_are_there() {
        for (name, _) in Scope::ALL {
            assert_eq!(parsed::<BudgetScope>(name).name(), name);
        }
        for (name, _) in Unit::ALL {
            assert_eq!(parsed::<BudgetUnit>(name).name(), name);
        }
        for status in [Status::Active, Status::Warning, Status::Paused, Status::Exhausted] {
            assert_eq!(parsed::<BudgetStatus>(status.name()).name(), status.name());
        }
    }
}
