//! What a decision can be about: a budget, a circuit breaker, or alerts.

use super::activity;
use super::view::Pane;
use crate::app::overview::{Overview, SessionOverview};
use crate::cli::render::fit::fit;
use crate::cli::render::{counted, table};
use crate::domain::budget::{BudgetState, Unit};

/// A kind of decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Raise a budget's limit.
    Extend,
    /// Start a budget again from zero, or close a breaker.
    Reset,
    /// Let an open breaker try one call, or note that alerts were seen.
    Acknowledge,
}

impl Decision {
    /// The title of its dialog.
    pub fn title(self) -> &'static str {
        match self {
            Self::Extend => "Extend",
            Self::Reset => "Reset",
            Self::Acknowledge => "Acknowledge",
        }
    }
}

/// What it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A budget for one value.
    Budget {
        /// Its name.
        name: String,
        /// The value.
        value: String,
        /// What it counts.
        unit: Unit,
        /// For people.
        label: String,
    },
    /// The breaker of an agent.
    Circuit {
        /// The subagent; empty for the main agent.
        agent: String,
    },
    /// Alerts.
    Alerts {
        /// Their numbers.
        ids: Vec<i64>,
        /// For people.
        label: String,
    },
}

impl Subject {
    fn budget(state: &BudgetState) -> Self {
        let (name, unit) = (state.budget.name.clone(), state.budget.unit);
        let of = table::short_value(state.budget.scope, &state.value);
        let label = format!("budget {name} ({} {of})", state.budget.scope.name());
        Self::Budget { name, value: state.value.clone(), unit, label }
    }

    /// For people: `budget daily (user alice)`.
    pub fn label(&self) -> String {
        match self {
            Self::Budget { label, .. } | Self::Alerts { label, .. } => fit(label, 60),
            Self::Circuit { agent } if agent.is_empty() => "circuit breaker of the main agent".to_owned(),
            Self::Circuit { agent } => format!("circuit breaker of agent {}", fit(agent, 24)),
        }
    }
}

/// What a decision about a session can be about, the likeliest first: what is selected in `pane`, or anything.
///
/// # Errors
/// Why there is nothing to decide.
pub fn subjects(
    decision: Decision,
    data: &Overview,
    session: &SessionOverview,
    (pane, at): (Pane, usize),
) -> Result<Vec<Subject>, String> {
    let mut budgets: Vec<&BudgetState> = session.states.iter().collect();
    let circuits = circuits(session);
    let tripped = circuits.iter().filter(|(_, state)| *state != "closed");
    let tripped = tripped.map(|(agent, _)| Subject::Circuit { agent: agent.clone() });
    match (decision, pane) {
        (Decision::Extend | Decision::Reset, Pane::Budgets) => {
            let chosen = budgets.get(at).map(|state| vec![Subject::budget(state)]);
            return chosen.ok_or_else(no_budget);
        }
        (Decision::Reset, Pane::Agents) => {
            let chosen = circuits.get(at).map(|(agent, _)| vec![Subject::Circuit { agent: agent.clone() }]);
            return chosen.ok_or_else(|| "The circuit breaker is turned off.".to_owned());
        }
        (Decision::Acknowledge, Pane::Agents) => {
            let chosen = circuits.get(at).filter(|(_, state)| *state == "open");
            let chosen = chosen.map(|(agent, _)| vec![Subject::Circuit { agent: agent.clone() }]);
            return chosen.ok_or_else(|| "This circuit breaker is not open.".to_owned());
        }
        (Decision::Acknowledge, Pane::Activity) => {
            let entries = activity::entries(data, session);
            if let Some(record) = entries.get(at).and_then(|entry| entry.alert) {
                let label = format!("alert: {}", activity::alert_line(record));
                return Ok(vec![Subject::Alerts { ids: vec![record.alert.id], label }]);
            }
        }
        _ => {}
    }
    budgets.sort_by(|a, b| b.utilization().total_cmp(&a.utilization()));
    let budgets = budgets.into_iter().map(Subject::budget);
    let found: Vec<Subject> = match decision {
        Decision::Extend => budgets.collect(),
        Decision::Reset => budgets.chain(tripped).collect(),
        Decision::Acknowledge => {
            let open = circuits.iter().filter(|(_, state)| *state == "open");
            let open = open.map(|(agent, _)| Subject::Circuit { agent: agent.clone() });
            open.chain(alerts(data, session)).collect()
        }
    };
    match decision {
        _ if !found.is_empty() => Ok(found),
        Decision::Extend | Decision::Reset => Err(no_budget()),
        Decision::Acknowledge => {
            Err("Nothing to acknowledge: no breaker is open, and no alert is new.".into())
        }
    }
}

fn no_budget() -> String {
    "No budget concerns this session.".to_owned()
}

/// The alerts of the session's budgets, and all alerts.
fn alerts(data: &Overview, session: &SessionOverview) -> Vec<Subject> {
    let own: Vec<i64> = activity::own_alerts(data, session).map(|record| record.alert.id).collect();
    let all: Vec<i64> = data.alerts.iter().map(|record| record.alert.id).collect();
    let mut found = Vec::new();
    if !own.is_empty() {
        let label = format!("{} of this session's budgets", counted(own.len(), "alert"));
        found.push(Subject::Alerts { ids: own.clone(), label });
    }
    if all.len() > own.len() {
        let label = format!("{} of all budgets", counted(all.len(), "alert"));
        found.push(Subject::Alerts { ids: all, label });
    }
    found
}

/// The agents of a session with the states of their breakers, the main agent first; none if breakers are turned off.
pub fn circuits(session: &SessionOverview) -> Vec<(String, &'static str)> {
    let main = session.status.circuit.iter().map(|circuit| (String::new(), circuit.state));
    main.chain(session.status.agents.iter().map(|(id, agent)| (id.clone(), agent.circuit.state))).collect()
}
