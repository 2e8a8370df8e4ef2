//! What operators look at, as the store has it at one moment: sessions, budgets, breakers, alerts, decisions and events of
//! all sessions. For the server, which answers many requests from one snapshot.
//!
//! [`reader`] reads it, and [`index`] finds out once what many requests need.

mod index;
mod reader;

use std::collections::HashMap;

pub use self::index::Happening;
use self::index::Index;
pub use self::reader::SnapshotReader;
pub(super) use self::reader::states;
use super::meters::ClassTokens;
use super::plan::UnknownBudget;
use super::quota::PlatformStatus;
use super::store_status::StoreStatus;
use crate::config::Config;
use crate::domain::alert::AlertRecord;
use crate::domain::budget::BudgetState;
use crate::domain::event::Event;
use crate::domain::message::MessageKey;
use crate::domain::operation::Operation;
use crate::domain::time::Timestamp;
use crate::store::metrics::MetricTotal;
use crate::store::{CircuitRow, SessionRow};

/// The most events that are kept, the newest.
pub const MAX_EVENTS: usize = 1000;

/// Everything at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The moment.
    pub at: Timestamp,
    /// The store; `None`: there is none yet.
    pub store: Option<StoreStatus>,
    /// The sessions, most recently seen first.
    pub sessions: Vec<SessionSummary>,
    /// The budgets of live sessions and of everything charged in the current windows, then those of ended sessions.
    pub budgets: Vec<BudgetEntry>,
    /// Tokens by class of active budgets in tokens, by the ids of the budgets.
    pub classes: HashMap<String, ClassTokens>,
    /// Budgets in percent about which nothing is known.
    pub unknown_budgets: Vec<UnknownBudget>,
    /// The breakers, the most recently seen session first.
    pub circuits: Vec<CircuitEntry>,
    /// The alerts, newest first.
    pub alerts: Vec<AlertRecord>,
    /// Decisions about budgets, newest first.
    pub operations: Vec<Operation>,
    /// Events, newest first.
    pub events: Vec<Event>,
    /// The totals for monitoring.
    pub metrics: Vec<MetricTotal>,
    /// Where each platform stands.
    pub quotas: Vec<PlatformStatus>,
    /// The configuration that the budgets are of.
    pub config: Config,
    index: Index,
}

/// A session in a snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionSummary {
    /// The session.
    pub row: SessionRow,
    /// Whether it is live.
    pub is_live: bool,
    /// What it used.
    pub used: SessionUse,
    /// Its subagents that are working.
    pub subagents: u32,
}

/// What a session used since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionUse {
    /// Input, output and cache writes.
    pub fresh_tokens: u64,
    /// Tokens of all classes.
    pub tokens: u64,
    /// Model responses.
    pub requests: u64,
    /// Tool calls.
    pub tool_calls: u64,
    /// Cost in nano-dollars.
    pub nano_usd: u64,
}

/// A budget in a snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetEntry {
    /// Names it in addresses: a hash of the budget's name and the value.
    pub id: String,
    /// The state.
    pub state: BudgetState,
    /// Whether anything can be charged to it now: not if its session has ended.
    pub is_active: bool,
}

/// A breaker in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircuitEntry {
    /// Names it in addresses: a hash of the session and the agent.
    pub id: String,
    /// The breaker.
    pub row: CircuitRow,
    /// Whether its session is live.
    pub is_live: bool,
}

/// The id of a budget for one value.
pub fn budget_id(budget: &str, value: &str) -> String {
    format!("{:016x}", MessageKey::from_parts(&["budget", budget, value]).short())
}

/// The id of an agent's breaker.
pub fn circuit_id(session: &str, agent: &str) -> String {
    format!("{:016x}", MessageKey::from_parts(&["circuit", session, agent]).short())
}

impl Snapshot {
    /// The budget with this id.
    pub fn budget(&self, id: &str) -> Option<&BudgetEntry> {
        self.budgets.iter().find(|budget| budget.id == id)
    }

    /// The breaker with this id.
    pub fn circuit(&self, id: &str) -> Option<&CircuitEntry> {
        self.circuits.iter().find(|circuit| circuit.id == id)
    }
}
