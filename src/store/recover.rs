//! Recovering: knowing that a store lost data, and filling it again from the transcripts.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use super::batch::BudgetKey;
use super::batch_sequence::BatchSequence;
use super::error::Result;
use crate::domain::time::Timestamp;

/// Tells one store from another, says what it lacks, and replaces a damaged one.
pub trait Recover {
    /// Which store this is (see [`Applied::epoch`](super::Applied::epoch)).
    ///
    /// # Errors
    /// The store cannot be read.
    fn store_id(&mut self) -> Result<String>;

    /// Whether the store lost what it knew, and is still to be filled from the transcripts of this machine.
    ///
    /// # Errors
    /// The store cannot be read.
    fn is_rebuilding(&mut self) -> Result<bool>;

    /// Notes that the store is to be filled from the transcripts (a shared one: by every machine), or that this machine
    /// has done so.
    ///
    /// # Errors
    /// It was not noted.
    fn set_rebuilding(&mut self, rebuilding: bool) -> Result<()>;

    /// The machines that were seen lately, and have not filled the store yet (see [`Recover::is_rebuilding`]).
    ///
    /// # Errors
    /// The store cannot be read.
    fn rebuilding_machines(&mut self, now: Timestamp) -> Result<Vec<String>>;

    /// Makes another store of one that went back in time (a restored copy, a log that lost its end): with another epoch,
    /// to be filled from the transcripts. One that is not called `epoch` any more is left as it is. Answers what it is
    /// called then.
    ///
    /// # Errors
    /// It was not done.
    fn reset_store(&mut self, store_id: &str) -> Result<String>;

    /// How many batches of each session the store recorded (see [`Applied::sequence`](super::Applied::sequence)).
    ///
    /// # Errors
    /// The store cannot be read.
    fn sequences(&mut self) -> Result<HashMap<String, u64>>;

    /// How many batches of each session this machine recorded, where there are others (see [`Applied::own`](super::Applied::own)).
    ///
    /// # Errors
    /// The store cannot be read.
    fn batch_sequences(&mut self) -> Result<HashMap<String, BatchSequence>> {
        Ok(HashMap::new())
    }

    /// Adds up anew, from the messages, what these budgets count. (What a store keeps by itself cannot differ from that; a
    /// shared one can be written by others.)
    ///
    /// # Errors
    /// Some counters keep their old values.
    fn recount(&mut self, _watches: &[BudgetKey], _now: Timestamp) -> Result<()> {
        Ok(())
    }

    /// The names of records that could not be read: they were set aside, or left out of what this store answered.
    ///
    /// # Errors
    /// The store cannot be read.
    fn damaged_records(&mut self) -> Result<BTreeSet<String>> {
        Ok(BTreeSet::new())
    }

    /// When Fusebox was installed: what a session held before counts as its history.
    ///
    /// # Errors
    /// The store cannot be read.
    fn installed_at(&mut self) -> Result<Option<Timestamp>>;

    /// Notes the installation; a later one changes nothing.
    ///
    /// # Errors
    /// It was not noted.
    fn note_installation(&mut self, now: Timestamp) -> Result<()>;

    /// Gives up a store that turned out to be damaged: keeps it under another name, and answers where. The next opening
    /// begins a new one. `None`: there was nothing to give up; a shared store is others' too, who can say more of it.
    ///
    /// # Errors
    /// It could not be renamed.
    fn quarantine(self: Box<Self>, _now: Timestamp) -> std::io::Result<Option<PathBuf>> {
        Ok(None)
    }
}
