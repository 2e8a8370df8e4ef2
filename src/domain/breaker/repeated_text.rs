//! Texts that an agent repeats beside its calls.

use serde::{Deserialize, Serialize};

use super::fingerprint::Fingerprint;

/// The shortest text that is compared, in letters: "Next." and "Let me continue." are common.
const MIN_LETTERS: usize = 30;

/// The last text of an agent, and how many times in a row it was written. Derived from the transcript.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepeatedText {
    /// Hash of its letters.
    text: u32,
    /// How many times in a row it was written.
    pub times: u32,
}

impl RepeatedText {
    /// Adds a text. Digits, punctuation and case are ignored.
    pub fn observe(&mut self, text: &str) {
        let mut letters = String::with_capacity(text.len());
        for word in text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()) {
            letters.extend(word.chars().flat_map(char::to_lowercase));
            letters.push(' ');
        }
        if letters.len() < MIN_LETTERS {
            return;
        }
        let text = Fingerprint::from_text(&letters).to_u32();
        let times = if text == self.text { self.times.saturating_add(1) } else { 1 };
        *self = Self { text, times };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_words_running() {
        let mut said = RepeatedText::default();
        for text in [
            "Attempt 1: I will fix the import of the parser now.",
            "attempt 2 – I will fix the import of the parser now!",
            "Next.",
        ] {
            said.observe(text);
        }
        assert_eq!(said.times, 2);
        said.observe("Something else altogether, which was not said before.");
        assert_eq!(said.times, 1);
    }
}
