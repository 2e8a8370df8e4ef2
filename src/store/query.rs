//! Querying: the states of budgets, and lists of what was recorded.

use super::batch::{BudgetKey, CircuitRow};
use super::error::Result;
use super::session::{ClientProcess, SessionRow, SessionTotal};
use crate::domain::alert::AlertRecord;
use crate::domain::budget::{BudgetState, Scope};
use crate::domain::event::Event;
use crate::domain::operation::Operation;
use crate::domain::throttle::Slots;
use crate::domain::time::Timestamp;

/// The kind of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// A file of this machine: nobody else counts there.
    Embedded,
    /// A server that several machines use.
    Shared,
}

/// Reads recorded data without changing it; missing counters may be computed and stored.
pub trait Query {
    /// What kind of store this is.
    fn kind(&self) -> StoreKind;

    /// The states of budgets; deleted ones are left out.
    ///
    /// # Errors
    /// The store cannot be read.
    fn states(&mut self, budgets: &[BudgetKey], now: Timestamp) -> Result<Vec<BudgetState>>;

    /// The states of budgets just before a moment, by the messages that are known now; deleted ones are left out.
    ///
    /// # Errors
    /// The store cannot be read.
    fn states_before(&mut self, budgets: &[BudgetKey], moment: Timestamp) -> Result<Vec<BudgetState>>;

    /// Events, oldest first: of a session, about the call with this hash, or all.
    ///
    /// # Errors
    /// The store cannot be read.
    fn events(&mut self, session: Option<&str>, call: Option<u64>) -> Result<Vec<Event>>;

    /// Breakers, of the session seen last first: of one session, or all.
    ///
    /// # Errors
    /// The store cannot be read.
    fn circuits(&mut self, session: Option<&str>) -> Result<Vec<CircuitRow>>;

    /// The subagents of a session that hold slots.
    ///
    /// # Errors
    /// The store cannot be read.
    fn slots(&mut self, session: &str) -> Result<Slots>;

    /// All alerts, newest first.
    ///
    /// # Errors
    /// The store cannot be read.
    fn alerts(&mut self) -> Result<Vec<AlertRecord>>;

    /// Operations on a budget, oldest first; all of them without a name.
    ///
    /// # Errors
    /// The store cannot be read.
    fn operations(&mut self, budget: Option<&str>) -> Result<Vec<Operation>>;

    /// The total of a session; `None` when the store does not know it.
    ///
    /// # Errors
    /// The store cannot be read.
    fn session_total(&mut self, session: &str) -> Result<Option<SessionTotal>>;

    /// The sessions, last seen first.
    ///
    /// # Errors
    /// The store cannot be read.
    fn sessions(&mut self) -> Result<Vec<SessionRow>>;

    /// One session.
    ///
    /// # Errors
    /// The store cannot be read.
    fn session(&mut self, id: &str) -> Result<Option<SessionRow>>;

    /// The session whose client is this process.
    ///
    /// # Errors
    /// The store cannot be read.
    fn session_of_client(&mut self, client: ClientProcess) -> Result<Option<String>>;

    /// The values that budgets of this scope were counted for since a moment. Precise to the minute: windows start on whole
    /// minutes.
    ///
    /// # Errors
    /// The store cannot be read.
    fn values(&mut self, scope: Scope, since: Timestamp) -> Result<Vec<String>>;
}
