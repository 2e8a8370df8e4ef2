//! How many batches of a session one machine recorded, and for which of them a hook had an answer. A store that went back
//! in time and then counted batches again has as many as it had, or more: some are missing all the same. Of those that
//! other machines sent then, the number of one's own tells; of those that parallel hooks sent, that a number comes twice.

use serde::{Deserialize, Serialize};

/// The batches of a session that one machine recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Own {
    /// The machine; empty where there is one only.
    pub machine: String,
    /// How many they are.
    pub batches: u64,
    /// Which of the last 64 the store answered for, as far as is known here: the lowest bit stands for the last one.
    #[serde(default)]
    answered: u64,
}

impl Own {
    /// So many, as a store has them. As an answer: to the last one.
    pub const fn of(machine: String, batches: u64) -> Self {
        Self { machine, batches, answered: 1 }
    }

    /// Whether some are missing of those that are `known`. Of another machine's nothing is known.
    pub fn lacks(&self, known: &Self) -> bool {
        !self.machine.is_empty() && self.machine == known.machine && self.batches < known.batches
    }

    /// What a store has to answer to the next batch, at least.
    #[must_use]
    pub fn next(&self) -> Self {
        Self::of(self.machine.clone(), self.batches + 1)
    }

    /// Takes over what a store answered: answers to parallel hooks come in any order, and each has a number of its own.
    /// False: another batch had this number, so the store went back in time in between, and lacks that one.
    pub fn learn(&mut self, answer: &Self) -> bool {
        if answer.machine != self.machine {
            *self = answer.clone();
            return true;
        }
        let moved =
            |bits: u64, by: u64| u32::try_from(by).ok().and_then(|by| bits.checked_shl(by)).unwrap_or(0);
        let last = self.batches.max(answer.batches);
        self.answered = moved(self.answered, last - self.batches);
        self.batches = last;
        let bit = moved(1, last - answer.batches);
        let is_new = self.answered & bit == 0;
        self.answered |= bit;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(machine: &str, batches: u64) -> Own {
        Own::of(machine.into(), batches)
    }

    #[test]
    fn only_batches_of_the_same_machine_can_be_missing() {
        let mut known = Own::default();
        assert!(!own("a", 1).lacks(&known.next()), "nothing is known yet");
        assert!(known.learn(&own("a", 3)) && known.learn(&own("a", 2)));
        assert_eq!((known.machine.as_str(), known.batches), ("a", 3));
        assert!(!own("a", 4).lacks(&known.next()));
        assert!(own("a", 3).lacks(&known.next()), "one was counted that is not there");
        assert!(!own("b", 1).lacks(&known.next()));
        assert!(!own("", 0).lacks(&own("", 1)), "the embedded store has one number for all");
        assert!(known.learn(&own("b", 1)));
        assert_eq!(known, own("b", 1));
    }

    #[test]
    fn a_number_is_answered_once() {
        let mut known = Own::default();
        for (batches, is_new) in [
            (5, true),
            (7, true),
            (5, false),
            (6, true),
            (7, false),
            (6, false),
            (70, true),
            (7, false),
            (6, true),
        ] {
            assert_eq!(known.learn(&own("a", batches)), is_new, "{batches}: {known:?}");
        }
        assert!(known.learn(&own("a", u64::MAX)) && !known.learn(&own("a", u64::MAX)));
        assert!(known.learn(&own("a", 70)), "so long ago that nothing is known of it");
        // As versions wrote it that did not know of this.
        let mut known: Own = serde_json::from_str(r#"{"machine": "a", "batches": 3}"#).unwrap();
        assert!(known.learn(&own("a", 3)) && !known.learn(&own("a", 3)));
    }
}
