//! Recovery: detects that a store lost data, and refills it from the transcripts.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use super::batch::BudgetKey;
use super::batch_sequence::BatchSequence;
use super::error::Result;
use crate::domain::time::Timestamp;

/// Identifies a store, finds missing data, and replaces a damaged store.
pub trait Recover {
    /// The id of the store (see [`Applied::store_id`](super::Applied::store_id)).
    ///
    /// # Errors
    /// The store cannot be read.
    fn store_id(&mut self) -> Result<String>;

    /// Whether the store lost data that this machine has not refilled yet.
    ///
    /// # Errors
    /// The store cannot be read.
    fn is_rebuilding(&mut self) -> Result<bool>;

    /// Marks the store to be refilled from the transcripts (a shared one by every machine), or this machine as done.
    ///
    /// # Errors
    /// It was not marked.
    fn set_rebuilding(&mut self, rebuilding: bool) -> Result<()>;

    /// The machines seen recently that have not refilled the store yet (see [`Recover::is_rebuilding`]).
    ///
    /// # Errors
    /// The store cannot be read.
    fn rebuilding_machines(&mut self, now: Timestamp) -> Result<Vec<String>>;

    /// Gives a new id to a store that went back in time (a restored copy, a truncated log), so that it is refilled from
    /// the transcripts. Does nothing if its id is no longer `store_id`. Returns its new id.
    ///
    /// # Errors
    /// It was not done.
    fn reset_store(&mut self, store_id: &str) -> Result<String>;

    /// The number of batches of each session in the store (see [`Applied::sequence`](super::Applied::sequence)).
    ///
    /// # Errors
    /// The store cannot be read.
    fn sequences(&mut self) -> Result<HashMap<String, u64>>;

    /// The number of batches of each session from this machine, if there are other machines (see
    /// [`Applied::batch_sequence`](super::Applied::batch_sequence)).
    ///
    /// # Errors
    /// The store cannot be read.
    fn batch_sequences(&mut self) -> Result<HashMap<String, BatchSequence>> {
        Ok(HashMap::new())
    }

    /// Recomputes the counters of these budgets from the messages. (Only needed for a shared store, which others can
    /// write to.)
    ///
    /// # Errors
    /// Some counters keep their old values.
    fn recount(&mut self, _budget_keys: &[BudgetKey], _now: Timestamp) -> Result<()> {
        Ok(())
    }

    /// The keys of unreadable records, which were quarantined or left out of answers.
    ///
    /// # Errors
    /// The store cannot be read.
    fn damaged_records(&mut self) -> Result<BTreeSet<String>> {
        Ok(BTreeSet::new())
    }

    /// When Fusebox was installed: earlier messages of a session count as its history.
    ///
    /// # Errors
    /// The store cannot be read.
    fn installed_at(&mut self) -> Result<Option<Timestamp>>;

    /// Records the time of installation, once.
    ///
    /// # Errors
    /// It was not recorded.
    fn note_installation(&mut self, now: Timestamp) -> Result<()>;

    /// Quarantines a damaged store: renames it, and returns the new path. The next opening creates a new one. `None` if
    /// there was nothing to do; a shared store is never quarantined.
    ///
    /// # Errors
    /// It could not be renamed.
    fn quarantine(self: Box<Self>, _now: Timestamp) -> std::io::Result<Option<PathBuf>> {
        Ok(None)
    }
}
