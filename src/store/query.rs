//! Queries: the states of budgets, and lists of recorded data.

use super::batch::{BudgetKey, CircuitRow};
use super::error::Result;
use super::metrics::MetricTotal;
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
    /// A file on this machine, which only this machine counts in.
    Embedded,
    /// A server shared by several machines.
    Shared,
}

/// Reads recorded data without changing it. May compute and store missing counters.
pub trait Query {
    /// The kind of this store.
    fn kind(&self) -> StoreKind;

    /// The states of budgets, except deleted ones.
    ///
    /// # Errors
    /// The store cannot be read.
    fn states(&mut self, budgets: &[BudgetKey], now: Timestamp) -> Result<Vec<BudgetState>>;

    /// The states of budgets just before a moment, from the messages known now, except deleted budgets.
    ///
    /// # Errors
    /// The store cannot be read.
    fn states_before(&mut self, budgets: &[BudgetKey], moment: Timestamp) -> Result<Vec<BudgetState>>;

    /// Events, oldest first: of a session, about the call with this hash, or all.
    ///
    /// # Errors
    /// The store cannot be read.
    fn events(&mut self, session: Option<&str>, call: Option<u64>) -> Result<Vec<Event>>;

    /// The newest events of all sessions, newest first, at most this many.
    ///
    /// # Errors
    /// The store cannot be read.
    fn recent_events(&mut self, most: usize) -> Result<Vec<Event>> {
        let mut all = self.events(None, None)?;
        all.reverse();
        all.truncate(most);
        Ok(all)
    }

    /// Breakers of one session or all, the most recently seen session first.
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

    /// Operations on a budget, or all, oldest first.
    ///
    /// # Errors
    /// The store cannot be read.
    fn operations(&mut self, budget: Option<&str>) -> Result<Vec<Operation>>;

    /// The total of a session; `None` if the session is unknown.
    ///
    /// # Errors
    /// The store cannot be read.
    fn session_total(&mut self, session: &str) -> Result<Option<SessionTotal>>;

    /// The sessions, most recently seen first.
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

    /// The values of this scope with charges since a moment. Precise to the minute: windows start on whole minutes.
    ///
    /// # Errors
    /// The store cannot be read.
    fn values(&mut self, scope: Scope, since: Timestamp) -> Result<Vec<String>>;

    /// The totals for monitoring, by kind and label.
    ///
    /// # Errors
    /// The store cannot be read.
    fn metrics(&mut self) -> Result<Vec<MetricTotal>>;
}
