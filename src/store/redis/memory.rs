//! What the last step of a session found, in a file beside the session's cache, so that the next one need not ask. No count
//! depends on it: the script looks at everything that a step takes for given.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::step::{Found, Place};
use crate::domain::time::Timestamp;

/// Milliseconds after which what a step only reads lives on from then, too: a day.
const REFRESH_MS: i64 = 24 * 3600 * 1000;

/// Bytes of the file that are read at most.
const MOST_BYTES: u64 = 4 * 1024 * 1024;

/// What is known.
#[derive(Debug, Default)]
pub struct Memory {
    known: Found,
    /// When the session's keys last lived on.
    refreshed: Option<Timestamp>,
    /// The node that has the keys, where it is not the first one of the address.
    pub node: Option<String>,
    /// The store, and the number of the session's last step whose thresholds were looked for.
    pub checked: Option<(String, u64)>,
    path: Option<PathBuf>,
}

/// What stands in the file.
#[derive(Default, Serialize, Deserialize)]
struct Written {
    refreshed: Option<Timestamp>,
    node: Option<String>,
    checked: Option<(String, u64)>,
    /// Key, field, value.
    known: Vec<(String, String, Option<String>)>,
}

impl Memory {
    /// What stands in the file at `path`, which need not be there, nor make sense.
    pub fn of(path: Option<PathBuf>) -> Self {
        let read = path.as_deref().and_then(|path| read(path).ok()).unwrap_or_default();
        let mut written: Written = serde_json::from_slice(&read).unwrap_or_default();
        let known = std::mem::take(&mut written.known).into_iter();
        let known = known.map(|(key, field, value)| ((key, field), value.map(String::into_bytes)));
        let Written { refreshed, node, checked, .. } = written;
        Self { known: known.collect(), refreshed, node, checked, path }
    }

    /// What stood at a place; nothing, as far as is known.
    pub fn get(&self, place: &Place) -> Option<Vec<u8>> {
        self.known.get(place).cloned().flatten()
    }

    /// Learns what stands at places.
    pub fn learn(&mut self, found: Found) {
        self.known.extend(found);
    }

    /// Forgets everything.
    pub fn forget(&mut self) {
        self.known.clear();
    }

    /// Whether what the session's steps only read is to live on from now.
    pub fn is_to_refresh(&self, now: Timestamp) -> bool {
        self.refreshed.is_none_or(|at| !(0..REFRESH_MS).contains(&now.millis_since(at)))
    }

    /// It does.
    pub fn refreshed(&mut self, now: Timestamp) {
        self.refreshed = Some(now);
    }

    /// Knows what stands after a step, and of what was known before only the places that `stay`.
    pub fn replace(&mut self, after: Found, stays: impl Fn(&Place) -> bool) {
        self.known.retain(|place, _| stays(place));
        self.known.extend(after);
    }

    /// Writes it down for the session's next hook. Where that fails, that one asks.
    pub fn write_down(&self) {
        let _ = self.path.as_ref().map(|path| self.write_to(path));
    }

    fn write_to(&self, path: &Path) -> std::io::Result<()> {
        // What is no UTF-8 was not written by Fusebox, and is asked for anew.
        let text = |value: &Option<Vec<u8>>| match value {
            None => Some(None),
            Some(bytes) => String::from_utf8(bytes.clone()).ok().map(Some),
        };
        let known = self.known.iter();
        let known =
            known.filter_map(|((key, field), value)| Some((key.clone(), field.clone(), text(value)?)));
        let written = Written {
            refreshed: self.refreshed,
            node: self.node.clone(),
            checked: self.checked.clone(),
            known: known.collect(),
        };
        let bytes = serde_json::to_vec(&written)?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let file = options.open(path)?;
        // Over what is there: some file systems bring a file that was emptied to disk at once. Half of it, or of two at once,
        // makes no sense to the reader, or is noticed by the script.
        file.write_all_at(&bytes, 0)?;
        file.set_len(bytes.len() as u64)
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let file: File = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path)?;
    let mut bytes = Vec::with_capacity(16 * 1024);
    file.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}
