//! Recovering: noticing that a store lost data, and filling it again from the transcripts.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use super::batch::BudgetKey;
use super::batch_sequence::BatchSequence;
use super::error::Result;
use crate::domain::time::Timestamp;

/// Identifies a store, finds what it lacks, and replaces a damaged one.
pub trait Recover {
    /// The id of the store (see [`Applied::store_id`](super::Applied::store_id)).
    ///
    /// # Errors
    /// The store cannot be read.
    fn store_id(&mut self) -> Result<String>;

    /// Whether the store lost data, and this machine has not filled it again yet.
    ///
    /// # Errors
    /// The store cannot be read.
    fn is_rebuilding(&mut self) -> Result<bool>;

    /// Marks the store as to be filled from the transcripts (a shared one: by every machine), or this machine as done.
    ///
    /// # Errors
    /// It was not marked.
    fn set_rebuilding(&mut self, rebuilding: bool) -> Result<()>;

    /// The machines that were seen lately and have not filled the store yet (see [`Recover::is_rebuilding`]).
    ///
    /// # Errors
    /// The store cannot be read.
    fn rebuilding_machines(&mut self, now: Timestamp) -> Result<Vec<String>>;

    /// Gives a new id to a store that went back in time (a restored copy, a log that lost its end), to be filled from the
    /// transcripts. Does nothing if its id is no longer `store_id`. Returns its id then.
    ///
    /// # Errors
    /// It was not done.
    fn reset_store(&mut self, store_id: &str) -> Result<String>;

    /// How many batches of each session the store recorded (see [`Applied::sequence`](super::Applied::sequence)).
    ///
    /// # Errors
    /// The store cannot be read.
    fn sequences(&mut self) -> Result<HashMap<String, u64>>;

    /// How many batches of each session this machine recorded, where there are other machines (see
    /// [`Applied::batch_sequence`](super::Applied::batch_sequence)).
    ///
    /// # Errors
    /// The store cannot be read.
    fn batch_sequences(&mut self) -> Result<HashMap<String, BatchSequence>> {
        Ok(HashMap::new())
    }

    /// Computes the counters of these budgets again from the messages. (Only those of a shared store can differ: others can
    /// write it.)
    ///
    /// # Errors
    /// Some counters keep their old values.
    fn recount(&mut self, _watches: &[BudgetKey], _now: Timestamp) -> Result<()> {
        Ok(())
    }

    /// The names of records that could not be read: they were quarantined, or left out of answers.
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

    /// Records the time of the installation, once.
    ///
    /// # Errors
    /// It was not recorded.
    fn note_installation(&mut self, now: Timestamp) -> Result<()>;

    /// Quarantines a damaged store: keeps it under another name, and returns where. The next opening begins a new one.
    /// `None`: there was nothing to do; a shared store is never quarantined.
    ///
    /// # Errors
    /// It could not be renamed.
    fn quarantine(self: Box<Self>, _now: Timestamp) -> std::io::Result<Option<PathBuf>> {
        Ok(None)
    }
}
