//! What people and scripts are told: the status of sessions, and of budgets.

use serde::Serialize;
use wildmatch::WildMatch;

use super::ancestry;
use super::guard::Guard;
use super::operate::Refusal;
use super::rebuild;
use crate::domain::budget::{BudgetState, Scope};
use crate::domain::time::Timestamp;
use crate::domain::usage::Usage;
use crate::env::Env;
use crate::store::{SessionRow, Watch};

/// The status of a session.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SessionStatus {
    /// The client's session id.
    pub session: String,
    /// Tokens by class.
    pub tokens: Usage,
    /// Model responses.
    pub requests: u64,
    /// Tool calls.
    pub tool_calls: u64,
    /// Messages whose charge is an estimate (cut streams, compactions that the client has not totalled yet).
    pub estimated_messages: u64,
    /// The budgets that concern it.
    pub budgets: Vec<BudgetStatus>,
    /// Whether a budget stopped it, and still holds it.
    pub stopped: bool,
}

/// The status of a budget for one value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BudgetStatus {
    /// Name.
    pub name: String,
    /// Scope.
    pub scope: &'static str,
    /// Value of the scope.
    pub value: String,
    /// Unit of the numbers.
    pub unit: &'static str,
    /// Window: `lifetime`, `day`, …
    pub window: &'static str,
    /// Used in the window.
    pub used: u64,
    /// Limit in force.
    pub limit: u64,
    /// Hard limit in force, if there is one.
    pub hard_limit: Option<u64>,
    /// Added by extensions: part of `limit`.
    pub extension: u64,
    /// Held before Fusebox watched: part of `used` and of `limit`.
    pub history: u64,
    /// Left until the limit.
    pub remaining: u64,
    /// Used ÷ limit.
    pub utilization: f64,
    /// `active`, `warning`, `paused`, `exhausted`.
    pub status: &'static str,
    /// `enforce` or `shadow`.
    pub mode: crate::domain::budget::Mode,
    /// When the window ends (RFC 3339, UTC); `null`: never.
    pub resets_at: Option<String>,
}

impl BudgetStatus {
    /// The status that `state` is.
    pub fn of(state: &BudgetState) -> Self {
        Self {
            name: state.budget.name.clone(),
            scope: state.budget.scope.name(),
            value: state.value.clone(),
            unit: state.budget.unit.name(),
            window: state.budget.window.period.name(),
            used: state.used,
            limit: state.limit(),
            hard_limit: state.hard_limit(),
            extension: state.extension,
            history: state.history,
            remaining: state.remaining(),
            utilization: state.utilization(),
            status: state.status().name(),
            mode: state.budget.mode,
            resets_at: state.window.end.map(Timestamp::to_rfc3339),
        }
    }
}

/// Reads a session to its end, and says where it stands.
///
/// # Errors
/// The store cannot be read or written.
pub fn session(env: &Env, row: &SessionRow) -> Result<(SessionStatus, Vec<BudgetState>), Refusal> {
    let (mut guard, metered) = rebuild::read_on(env, row, u64::MAX);
    let total = guard.with_store(|store| store.session_total(&row.session.id));
    let Some(total) = total.filter(|_| metered.stored) else {
        return Err(Refusal::Store(guard.notes.join("; ")));
    };
    let total = total.unwrap_or_default();
    let status = SessionStatus {
        session: row.session.id.clone(),
        tokens: total.amount.usage,
        requests: total.amount.requests,
        tool_calls: total.amount.tool_calls,
        estimated_messages: total.estimated_messages,
        budgets: metered.states.iter().map(BudgetStatus::of).collect(),
        stopped: guard.is_stopped(&metered),
    };
    Ok((status, metered.states))
}

/// Every budget of the configuration, for every value that it counts: live sessions (all known ones with `all`), and
/// for other scopes who was charged in the window.
///
/// # Errors
/// The store cannot be read.
pub fn budgets(guard: &mut Guard, rows: &[SessionRow], all: bool) -> Result<Vec<BudgetState>, Refusal> {
    let now = guard.env.now;
    let mut watches = Vec::new();
    for budget in guard.config.budgets.clone() {
        let values = match budget.scope {
            Scope::Session => {
                let shown = rows.iter().filter(|row| all || ancestry::is_live(row, now));
                shown.map(|row| row.session.id.clone()).collect()
            }
            scope => guard.values(scope, budget.window.at(now).start)?,
        };
        let glob = WildMatch::new(&budget.matches);
        let fits = values.into_iter().filter(|value| glob.matches(value));
        watches.extend(fits.map(|value| Watch { budget: budget.clone(), value }));
    }
    let noted = guard.notes.len();
    let states = guard.with_store(|store| store.states(&watches, now));
    states.ok_or_else(|| Refusal::Store(guard.notes[noted..].join("; ")))
}
