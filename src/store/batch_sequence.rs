//! Counts the batches of a session from one machine. If a store is rolled back and then gets batches of other machines,
//! its total may look right; the count of this machine's own batches shows that some are missing.

use serde::{Deserialize, Serialize};

/// The batches of a session that one machine recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchSequence {
    /// The machine; empty if there is only one.
    pub machine: String,
    /// Their number.
    pub batches: u64,
}

impl BatchSequence {
    /// The number of batches from a machine.
    pub const fn new(machine: String, batches: u64) -> Self {
        Self { machine, batches }
    }

    /// Whether batches in `known` are missing. False if `known` is another machine's.
    pub fn is_behind(&self, known: &Self) -> bool {
        !self.machine.is_empty() && self.machine == known.machine && self.batches < known.batches
    }

    /// The minimum count in the answer to the next batch.
    #[must_use]
    pub fn next(&self) -> Self {
        Self::new(self.machine.clone(), self.batches + 1)
    }

    /// Adopts a store's answer, unless it is older: answers to parallel hooks arrive in any order.
    pub fn update(&mut self, answer: &Self) {
        if answer.machine != self.machine || answer.batches > self.batches {
            *self = answer.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(machine: &str, batches: u64) -> BatchSequence {
        BatchSequence::new(machine.into(), batches)
    }

    #[test]
    fn only_batches_of_the_same_machine_can_be_missing() {
        let mut known = BatchSequence::default();
        assert!(!own("a", 1).is_behind(&known.next()), "nothing is known yet");
        known.update(&own("a", 3));
        known.update(&own("a", 2));
        assert_eq!((known.machine.as_str(), known.batches), ("a", 3));
        assert!(!own("a", 4).is_behind(&known.next()));
        assert!(own("a", 3).is_behind(&known.next()), "one was counted that is not there");
        assert!(!own("b", 1).is_behind(&known.next()));
        assert!(!own("", 0).is_behind(&own("", 1)), "the embedded store has one number for all");
        known.update(&own("b", 1));
        assert_eq!(known, own("b", 1));
    }
}
