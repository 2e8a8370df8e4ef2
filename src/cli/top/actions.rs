//! Carries out a decision, by the same rules as the commands `budget extend`, `budget reset`, `circuit ack`,
//! `circuit reset` and `alerts ack`.

use crate::app::circuit_decisions;
use crate::app::messages::replies::still_blocked;
use crate::app::messages::share;
use crate::app::operate::{self, AppliedOperation, BudgetChange, OperationRequest};
use crate::app::{backfill, operator};
use crate::cli::select::{self, ConfiguredStore};
use crate::cli::{UsageError, alerts, budget, person_only};
use crate::domain::amount::WrittenAmount;
use crate::domain::budget::BudgetState;
use crate::domain::event::CircuitDecision;
use crate::platform::Env;

/// A person's decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// The session that it is made in, by its id.
    pub session: String,
    /// What changes.
    pub change: Change,
    /// Why.
    pub reason: String,
}

/// What changes.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Raise the limit of a budget.
    Extend {
        /// Its name.
        budget: String,
        /// The value of its scope.
        value: String,
        /// What to add.
        amount: WrittenAmount,
    },
    /// Start a budget again from zero.
    ResetBudget {
        /// Its name.
        budget: String,
        /// The value of its scope.
        value: String,
    },
    /// Close an agent's breaker.
    ResetCircuit {
        /// The subagent; empty for the main agent.
        agent: String,
    },
    /// Let an agent's open breaker try one call.
    AcknowledgeCircuit {
        /// The subagent; empty for the main agent.
        agent: String,
    },
    /// Note that alerts were seen.
    AcknowledgeAlerts {
        /// Their numbers.
        ids: Vec<i64>,
    },
}

impl Change {
    /// The command that does the same.
    fn command(&self) -> &'static str {
        match self {
            Self::Extend { .. } => "fusebox budget extend",
            Self::ResetBudget { .. } => "fusebox budget reset",
            Self::ResetCircuit { .. } => "fusebox circuit reset",
            Self::AcknowledgeCircuit { .. } => "fusebox circuit ack",
            Self::AcknowledgeAlerts { .. } => "fusebox alerts ack",
        }
    }

    /// What is being done, while it is being done.
    pub fn progress(&self) -> &'static str {
        match self {
            Self::Extend { .. } => "Extending …",
            Self::ResetBudget { .. } | Self::ResetCircuit { .. } => "Resetting …",
            Self::AcknowledgeCircuit { .. } | Self::AcknowledgeAlerts { .. } => "Acknowledging …",
        }
    }
}

/// Carries out a decision. Returns what changed, for people.
///
/// # Errors
/// Why nothing was changed.
pub fn act(env: &Env, action: &Action) -> anyhow::Result<String> {
    person_only::refuse_in_agent(env, action.change.command())?;
    let mut opened = open(env).map_err(select::with_unchanged)?;
    match &action.change {
        Change::Extend { budget, value, amount } => {
            let change = BudgetChange::Extend { amount: *amount, unit: None };
            change_budget(env, opened, action, (budget, value), change)
        }
        Change::ResetBudget { budget, value } => {
            change_budget(env, opened, action, (budget, value), BudgetChange::Reset)
        }
        Change::ResetCircuit { agent } => {
            change_circuit(env, &mut opened, action, agent, CircuitDecision::Reset)
        }
        Change::AcknowledgeCircuit { agent } => {
            change_circuit(env, &mut opened, action, agent, CircuitDecision::Acknowledge)
        }
        Change::AcknowledgeAlerts { ids } => {
            let done = alerts::acknowledge(&mut opened, ids, Some(&action.reason), env)?;
            Ok(match done.len() {
                0 => "Somebody else has acknowledged this already.".to_owned(),
                1 => "1 alert was acknowledged.".to_owned(),
                n => format!("{n} alerts were acknowledged."),
            })
        }
    }
}

/// Opens the store. One that lost its data is not refilled: that can take minutes.
fn open(env: &Env) -> anyhow::Result<ConfiguredStore<'_>> {
    let mut warnings = Vec::new();
    let (opened, is_rebuilding) = select::open_as_is(env, &mut warnings)?;
    if is_rebuilding {
        let problem =
            "nothing was changed: the store lost data and must be refilled first. Run `fusebox status`";
        return Err(UsageError(problem.to_owned()).into());
    }
    Ok(opened)
}

fn change_budget(
    env: &Env,
    mut opened: ConfiguredStore,
    action: &Action,
    (budget, value): (&str, &str),
    change: BudgetChange,
) -> anyhow::Result<String> {
    let rows = select::sessions(&mut opened.store).map_err(|error| select::with_unchanged(error.into()))?;
    let row = select::find_session(&rows, &action.session)?;
    // The session's own configuration defines its budgets, and the decision is based on its current numbers.
    let (mut ctx, recorded) = backfill::catch_up(env, row, u64::MAX);
    if let Some(failure) = recorded.failure {
        return Err(select::with_unchanged(failure.into()));
    }
    operator::use_own_login(&mut ctx, &opened.config);
    let request = OperationRequest {
        budget: budget.to_owned(),
        value: value.to_owned(),
        change,
        reason: action.reason.clone(),
        actor: env.user(),
        idempotency_key: String::new(),
    };
    let done = operate::operate(env, &ctx.config, &mut ctx.store, &request);
    let AppliedOperation { before, after, warnings, .. } = done.map_err(budget::refusal_error)?;
    let of = |state: &Option<BudgetState>| state.as_ref().map_or("deleted".to_owned(), share);
    let mut text = format!("{budget}: {} → {}.", of(&before), of(&after));
    if let Some(state) = after.filter(BudgetState::blocks) {
        text += &format!(" {}", still_blocked(&state));
    }
    for warning in warnings {
        text += &format!(" {warning}");
    }
    Ok(text)
}

fn change_circuit(
    env: &Env,
    opened: &mut ConfiguredStore,
    action: &Action,
    agent: &str,
    decision: CircuitDecision,
) -> anyhow::Result<String> {
    let ConfiguredStore { store, .. } = opened;
    circuit_decisions::decide_circuit(
        env,
        store,
        &action.session,
        Some(agent),
        decision,
        (&env.user(), &action.reason),
    )
    .map_err(budget::refusal_error)?;
    let of = if agent.is_empty() { "the main agent".to_owned() } else { format!("agent {agent}") };
    let now = match decision {
        CircuitDecision::Acknowledge => "half-open: the next call is a test",
        CircuitDecision::Reset => "closed",
    };
    Ok(format!("The circuit breaker of {of} is {now}."))
}
