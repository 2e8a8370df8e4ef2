//! How many batches of a session one machine recorded. A store that went back in time and then counted the batches of
//! other machines has as many as it had, or more: that one's are missing all the same, and only this number tells.

use serde::{Deserialize, Serialize};

/// How many batches of a session one machine recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Own {
    /// The machine; empty where there is one only.
    pub machine: String,
    /// Its batches.
    pub batches: u64,
}

impl Own {
    /// Whether some are missing of those that are `known`. Of another machine's nothing is known.
    pub fn lacks(&self, known: &Self) -> bool {
        !self.machine.is_empty() && self.machine == known.machine && self.batches < known.batches
    }

    /// With the next batch.
    #[must_use]
    pub fn next(&self) -> Self {
        Self { batches: self.batches + 1, ..self.clone() }
    }

    /// Takes over what a store answered: answers to parallel hooks come in any order.
    pub fn learn(&mut self, answered: Self) {
        if answered.machine != self.machine || answered.batches > self.batches {
            *self = answered;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(machine: &str, batches: u64) -> Own {
        Own { machine: machine.into(), batches }
    }

    #[test]
    fn only_batches_of_the_same_machine_can_be_missing() {
        let mut known = Own::default();
        assert!(!own("a", 1).lacks(&known.next()), "nothing is known yet");
        known.learn(own("a", 3));
        known.learn(own("a", 2));
        assert_eq!(known, own("a", 3));
        assert!(!own("a", 4).lacks(&known.next()));
        assert!(own("a", 3).lacks(&known.next()), "one was counted that is not there");
        assert!(!own("b", 1).lacks(&known.next()));
        assert!(!own("", 0).lacks(&own("", 1)), "the embedded store has one number for all");
        known.learn(own("b", 1));
        assert_eq!(known, own("b", 1));
    }
}
