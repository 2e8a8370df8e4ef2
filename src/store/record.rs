//! Recording: what hooks and readers of transcripts put into a store.

use super::batch::{Applied, Batch};
use super::error::Result;
use super::session::Session;
use crate::domain::event::Event;
use crate::domain::time::Timestamp;

/// Records what was seen: messages, sessions, events.
pub trait Record {
    /// Records a batch, in one atomic step, and answers for the watched budgets.
    ///
    /// # Errors
    /// Nothing was recorded.
    fn apply(&mut self, batch: &Batch) -> Result<Applied>;

    /// Begins to connect, where that takes time: the server gets ready while files are read.
    ///
    /// # Errors
    /// The store is out of reach; it would not answer either.
    fn connect(&mut self) -> Result<()> {
        Ok(())
    }

    /// Notes that these alerts reached a person, and that these events were told; the rest of the claim is given back after
    /// its time.
    ///
    /// # Errors
    /// They may be shown once more.
    fn confirm_shown(&mut self, alerts: &[i64], events: &[i64]) -> Result<()>;

    /// Notes an event of its session.
    ///
    /// # Errors
    /// It was not noted.
    fn record_event(&mut self, event: &Event) -> Result<()>;

    /// Notes that a session was seen (`ended`: that it ended then).
    ///
    /// # Errors
    /// It was not noted.
    fn touch_session(&mut self, session: &Session, now: Timestamp, ended: bool) -> Result<()>;

    /// Notes that all of a session was read, and that nothing more can come, unless it was seen after `seen`.
    ///
    /// # Errors
    /// It was not noted.
    fn mark_complete(&mut self, session: &str, seen: Timestamp) -> Result<()>;

    /// Does upkeep that can wait until the answer is out. `idle`: the agent is not at work, so more of it. A server does its own.
    ///
    /// # Errors
    /// It was not done, and is left to the next one.
    fn maintain(&mut self, _idle: bool) -> Result<()> {
        Ok(())
    }
}
