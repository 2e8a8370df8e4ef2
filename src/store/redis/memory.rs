//! What the last step of a session found, in a file beside the session's cache, so that the next one need not ask. No count
//! depends on it: the script looks at everything that a step takes for given.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::step::{Found, Place};
use crate::platform::files;

/// What is known.
#[derive(Debug, Default)]
pub struct Memory {
    known: Found,
    /// An address, and the node that has the keys there, where it is not the first one.
    pub node: Option<(String, String)>,
    /// The store, and the number of the session's last step whose thresholds were looked for.
    pub checked: Option<(String, u64)>,
    path: Option<PathBuf>,
}

/// What stands in the file.
#[derive(Default, Serialize, Deserialize)]
struct Written {
    node: Option<(String, String)>,
    checked: Option<(String, u64)>,
    known: Vec<(String, String, Option<String>)>,
}

impl Memory {
    /// What stands in the file at `path`, which need not be there, nor make sense.
    pub fn of(path: Option<PathBuf>) -> Self {
        let read = path.as_ref().and_then(|path| fs::read(path).ok()).unwrap_or_default();
        let Written { node, checked, known } = serde_json::from_slice(&read).unwrap_or_default();
        let known = known.into_iter();
        let known = known.map(|(key, field, value)| ((key, field), value.map(String::into_bytes)));
        Self { known: known.collect(), node, checked, path }
    }

    /// What stood at a place; nothing, as far as is known.
    pub fn get(&self, place: &Place) -> Option<Vec<u8>> {
        self.known.get(place).cloned().flatten()
    }

    /// Learns what stands at places.
    pub fn learn(&mut self, found: Found) {
        self.known.extend(found);
    }

    /// Forgets what stands elsewhere than at the places that `stay`.
    pub fn retain(&mut self, stays: impl Fn(&Place) -> bool) {
        self.known.retain(|place, _| stays(place));
    }

    /// Writes it down for the session's next hook. Where that fails, that one asks.
    pub fn write_down(&self) {
        let _ = self.path.as_ref().map(|path| self.write_to(path));
    }

    fn write_to(&self, path: &Path) -> std::io::Result<()> {
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        let known = self.known.iter();
        let known = known.map(|((key, field), value)| (key.clone(), field.clone(), value.as_ref().map(text)));
        let written =
            Written { node: self.node.clone(), checked: self.checked.clone(), known: known.collect() };
        let bytes = serde_json::to_vec(&written)?;
        let file = files::private().write(true).create(true).truncate(false).open(path)?;
        // Over what is there: some file systems bring a file that was emptied to disk at once. Half of it, or of two at once,
        // makes no sense to the reader, or is noticed by the script.
        file.write_all_at(&bytes, 0)?;
        file.set_len(bytes.len() as u64)
    }
}
