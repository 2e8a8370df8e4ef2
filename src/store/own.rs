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
    /// Which of the last 64 the store answered for, as far as is known here: the lowest bit stands for the last one.
    #[serde(default)]
    answered: u64,
}

impl Own {
    /// What a store answers to the last of so many batches.
    pub const fn of(machine: String, batches: u64) -> Self {
        Self { machine, batches, answered: 1 }
    }

    /// Whether some are missing of those that are `known`. Of another machine's nothing is known.
    pub fn lacks(&self, known: &Self) -> bool {
        !self.machine.is_empty() && self.machine == known.machine && self.batches < known.batches
    }

    /// With the next batch.
    #[must_use]
    pub fn next(&self) -> Self {
        Self { batches: self.batches + 1, ..self.clone() }
    }

    /// Takes over what a store answered: answers to parallel hooks come in any order, and each has a number of its own.
    /// False: another batch had this number, so the store went back in time in between, and lacks that one.
    pub fn learn(&mut self, answer: &Self) -> bool {
        if answer.machine != self.machine {
            *self = answer.clone();
            return true;
        }
        let shifted =
            |bits: u64, by: u64| u32::try_from(by).ok().and_then(|by| bits.checked_shl(by)).unwrap_or(0);
        let is_later = answer.batches > self.batches;
        let mut of_answer = answer.answered;
        if is_later {
            self.answered = shifted(self.answered, answer.batches - self.batches);
            self.batches = answer.batches;
        } else {
            of_answer = shifted(of_answer, self.batches - answer.batches);
        }
        let is_new = self.answered & of_answer == 0;
        self.answered |= of_answer;
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
