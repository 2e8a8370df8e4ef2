//! Recording: what hooks and transcript readers write.

use super::batch::{Applied, Batch};
use super::error::Result;
use super::session::Session;
use crate::domain::alert::BudgetAlert;
use crate::domain::budget::BudgetState;
use crate::domain::event::Event;
use crate::domain::time::Timestamp;

/// Records messages, sessions and events.
pub trait Record {
    /// Records a batch in one atomic step. Returns the states of its budgets.
    ///
    /// # Errors
    /// Nothing was recorded.
    fn apply(&mut self, batch: &Batch) -> Result<Applied>;

    /// Starts to connect, if that takes time, while the caller reads files.
    ///
    /// # Errors
    /// The store is unreachable, so other calls would fail as well.
    fn connect(&mut self) -> Result<()> {
        Ok(())
    }

    /// Claims the alerts of budgets that nobody was shown yet, oldest first. The caller shows and
    /// [confirms](Self::confirm_shown) them.
    ///
    /// # Errors
    /// None was claimed.
    fn claim_alerts(&mut self, budgets: &[BudgetState], now: Timestamp) -> Result<Vec<BudgetAlert>>;

    /// Confirms that these alerts were shown and these events reported. Unconfirmed claims expire.
    ///
    /// # Errors
    /// They may be shown again.
    fn confirm_shown(&mut self, alerts: &[i64], events: &[i64]) -> Result<()>;

    /// Records an event.
    ///
    /// # Errors
    /// The event was not recorded.
    fn record_event(&mut self, event: &Event) -> Result<()>;

    /// Records that a session was seen, or (`ended`) that it ended.
    ///
    /// # Errors
    /// Nothing was recorded.
    fn touch_session(&mut self, session: &Session, now: Timestamp, ended: bool) -> Result<()>;

    /// Marks a session as completely read, unless it was seen after `seen`.
    ///
    /// # Errors
    /// It was not marked.
    fn mark_complete(&mut self, session: &str, seen: Timestamp) -> Result<()>;

    /// Maintenance that can wait until the hook has answered. `idle`: the agent is not working, so it may take longer.
    ///
    /// # Errors
    /// It was not done, and is left to the next process.
    fn maintain(&mut self, _idle: bool) -> Result<()> {
        Ok(())
    }
}
