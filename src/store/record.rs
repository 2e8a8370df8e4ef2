//! Recording: what hooks and readers of transcripts write.

use super::batch::{Applied, Batch};
use super::error::Result;
use super::session::Session;
use crate::domain::event::Event;
use crate::domain::time::Timestamp;

/// Records messages, sessions and events.
pub trait Record {
    /// Records a batch, in one atomic step, and returns the states of its budgets.
    ///
    /// # Errors
    /// Nothing was recorded.
    fn apply(&mut self, batch: &Batch) -> Result<Applied>;

    /// Begins to connect, where that takes time: it goes on while files are read.
    ///
    /// # Errors
    /// The store is out of reach; it would not answer either.
    fn connect(&mut self) -> Result<()> {
        Ok(())
    }

    /// Confirms that these alerts were shown and these events reported. Other claimed ones can be claimed again after a
    /// while.
    ///
    /// # Errors
    /// They may be shown again.
    fn confirm_shown(&mut self, alerts: &[i64], events: &[i64]) -> Result<()>;

    /// Records an event.
    ///
    /// # Errors
    /// It was not recorded.
    fn record_event(&mut self, event: &Event) -> Result<()>;

    /// Records that a session was seen (`ended`: that it ended then).
    ///
    /// # Errors
    /// It was not recorded.
    fn touch_session(&mut self, session: &Session, now: Timestamp, ended: bool) -> Result<()>;

    /// Marks a session as completely read, unless it was seen after `seen`.
    ///
    /// # Errors
    /// It was not marked.
    fn mark_complete(&mut self, session: &str, seen: Timestamp) -> Result<()>;

    /// Does maintenance that can wait until the hook has answered. `idle`: the agent is not working, so it may take longer.
    ///
    /// # Errors
    /// It was not done, and is left to the next process.
    fn maintain(&mut self, _idle: bool) -> Result<()> {
        Ok(())
    }
}
