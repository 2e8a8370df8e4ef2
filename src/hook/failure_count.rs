//! How often hooks failed on this machine, for monitoring: the lines that were ever written to the journal.
//!
//! The journal's size is limited, so what was counted is kept in a file beside it, with the place up to which it was. A lost
//! update is harmless: the next count goes on from an earlier place. Lines are missed only if the journal is started anew
//! twice between two counts.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::journal::{self, JournalEntry};
use crate::agents::hook;
use crate::domain::message::MessageKey;
use crate::platform::files;

/// Name of the file.
pub const FILE: &str = "journal-count.json";

/// The name for lines of unknown programs.
const OTHER: &str = "other";

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counted {
    /// Identifies the journal: hash of its first line.
    journal: String,
    /// Bytes of it that are counted.
    bytes: usize,
    /// Failures by hook.
    failures: BTreeMap<String, u64>,
}

/// The failures so far, by hook, with 0 for those that never failed.
pub fn count(state_dir: &Path) -> BTreeMap<String, u64> {
    let (path, journal) = (state_dir.join(FILE), journal::path(state_dir));
    let read = |path: &Path| std::fs::read(path).unwrap_or_default();
    let known: Counted = serde_json::from_slice(&read(&path)).unwrap_or_default();
    let mut counted = known.clone();
    counted.go_on(&read(&journal), &read(&journal.with_extension(journal::OLD_EXTENSION)));
    if counted != known {
        // If this fails, the same lines are counted again from the same place.
        let _ = files::write(&path, &serde_json::to_vec(&counted).unwrap_or_default());
    }
    let none = hook::programs().map(|name| (name.to_owned(), 0));
    none.chain(counted.failures).collect()
}

impl Counted {
    /// Counts what was added to the journal. `old`: the one before it.
    fn go_on(&mut self, current: &[u8], old: &[u8]) {
        let Some(id) = identity(current) else { return };
        if self.journal != id {
            // Read between the two, the old one may be the current one.
            if let Some(old_id) = identity(old).filter(|old_id| *old_id != id) {
                let from = if old_id == self.journal { self.bytes } else { 0 };
                self.add(old.get(from..).unwrap_or_default());
            }
            (self.journal, self.bytes) = (id, 0);
        }
        let end = current.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        self.add(current.get(self.bytes..end).unwrap_or_default());
        self.bytes = self.bytes.max(end);
    }

    fn add(&mut self, lines: &[u8]) {
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let entry: Option<JournalEntry> = serde_json::from_slice(line).ok();
            let name = entry.and_then(|entry| hook::programs().find(|name| *name == entry.hook));
            *self.failures.entry(name.unwrap_or(OTHER).to_owned()).or_default() += 1;
        }
    }
}

fn identity(journal: &[u8]) -> Option<String> {
    let end = journal.iter().position(|byte| *byte == b'\n')?;
    Some(MessageKey::from_parts(&[&String::from_utf8_lossy(&journal[..end])]).hex())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    fn lines(from: i64, count: i64) -> Vec<u8> {
        (from..from + count).flat_map(|n| journal::line(Timestamp(n), "pre-tool-use", "why")).collect()
    }

    #[test]
    fn what_was_counted_is_not_counted_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let counted = || count(dir.path())["pre-tool-use"];
        assert_eq!(counted(), 0);
        journal::append(dir.path(), &lines(1, 2));
        assert_eq!([counted(), counted()], [2, 2]);
        journal::append(dir.path(), &lines(3, 1));
        assert_eq!(counted(), 3);
        std::fs::remove_file(journal::path(dir.path())).expect("removed");
        assert_eq!(counted(), 3, "it never goes down");
        journal::append(dir.path(), b"{}\n");
        assert_eq!((counted(), count(dir.path())[OTHER]), (3, 1));
    }

    #[test]
    fn a_journal_that_is_started_anew_loses_no_line() {
        let dir = tempfile::tempdir().expect("a folder");
        let (journal, mut written, mut renamed) = (journal::path(dir.path()), 0, 0);
        for round in 0..40 {
            let before = std::fs::metadata(&journal).map_or(0, |found| found.len());
            journal::append(dir.path(), &lines(written, 600 + round));
            written += 600 + round;
            renamed += u32::from(std::fs::metadata(&journal).is_ok_and(|found| found.len() < before));
            if round % 3 == 0 {
                assert_eq!(count(dir.path())["pre-tool-use"], written.unsigned_abs());
            }
        }
        assert!(renamed > 2, "{renamed}: it was started anew");
    }

    #[test]
    fn the_end_of_a_line_is_awaited() {
        let (mut counted, whole) = (Counted::default(), lines(1, 2));
        for end in 0..=whole.len() {
            counted.go_on(&whole[..end], b"");
        }
        assert_eq!(counted.failures["pre-tool-use"], 2);
    }
}
