//! The journal of failures in hooks, which would otherwise go unnoticed. One line of JSON per failure, in the state
//! folder.
//!
//! It contains no prompts, tool input or tool output, only names, paths and the system's error texts.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::domain::time::Timestamp;
use crate::platform::files;

/// Name of the file.
pub const FILE: &str = "journal.jsonl";

/// A larger file is renamed to `journal.jsonl.1`, and a new one is started.
const MAX_BYTES: u64 = 256 * 1024;

/// The extension of the file before this one.
pub const OLD_EXTENSION: &str = "jsonl.1";

/// One failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// When it happened.
    pub at: Timestamp,
    /// The hook.
    pub hook: String,
    /// The error.
    pub problem: String,
}

/// The path of the journal.
pub fn path(state_dir: &Path) -> PathBuf {
    state_dir.join(FILE)
}

/// Formats one entry as a line.
pub fn line(at: Timestamp, hook: &str, problem: &str) -> Vec<u8> {
    let entry = JournalEntry { at, hook: hook.into(), problem: problem.chars().take(2000).collect() };
    let mut line = serde_json::to_vec(&entry).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Appends lines. Ignores failures: there is nowhere left to report them.
pub fn append(state_dir: &Path, lines: &[u8]) {
    let path = path(state_dir);
    if std::fs::metadata(&path).is_ok_and(|m| m.len() > MAX_BYTES) {
        let _ = std::fs::rename(&path, path.with_extension(OLD_EXTENSION));
    }
    let open = || files::private().create(true).append(true).open(&path);
    let file = open().or_else(|_| {
        let _ = crate::store::sqlite::make_private_dir(state_dir);
        open()
    });
    if let Ok(mut file) = file {
        let _ = file.write_all(lines);
    }
}

/// The entries, oldest first, without unreadable lines.
pub fn read(state_dir: &Path) -> Vec<JournalEntry> {
    let text = std::fs::read_to_string(path(state_dir)).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
