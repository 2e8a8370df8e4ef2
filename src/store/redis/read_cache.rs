//! What the last step of a session read, cached in a file so that the next step need not read it. Counts do not depend
//! on it: the script checks everything that a step expects.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::step::{FieldKey, FieldValues};
use crate::platform::files;

/// Cached values of the store's fields.
#[derive(Debug, Default)]
pub struct ReadCache {
    fields: FieldValues,
    /// An address and the node with its keys, unless that is the first node.
    pub node: Option<(String, String)>,
    /// The store, and the session's last step whose thresholds were checked.
    pub checked: Option<(String, u64)>,
    path: Option<PathBuf>,
}

/// The content of the file: `node`, `checked`, and the fields.
type SavedCache = (Option<(String, String)>, Option<(String, u64)>, Vec<(FieldKey, Option<String>)>);

impl ReadCache {
    /// Loads the file at `path`; empty if it is missing or unreadable.
    pub fn load(path: Option<PathBuf>) -> Self {
        let read = path.as_ref().and_then(|path| fs::read(path).ok()).unwrap_or_default();
        let (node, checked, known): SavedCache = serde_json::from_slice(&read).unwrap_or_default();
        let fields = known.into_iter().map(|(place, value)| (place, value.map(String::into_bytes)));
        Self { fields: fields.collect(), node, checked, path }
    }

    /// The cached value of a field; `None` if there is none.
    pub fn get(&self, place: &FieldKey) -> Option<Vec<u8>> {
        self.fields.get(place).cloned().flatten()
    }

    /// Adds or replaces values.
    pub fn extend(&mut self, found: FieldValues) {
        self.fields.extend(found);
    }

    /// Removes all fields except those for which `stays` is true.
    pub fn retain(&mut self, stays: impl Fn(&FieldKey) -> bool) {
        self.fields.retain(|place, _| stays(place));
    }

    /// Saves the cache. If that fails, the session's next hook reads everything again.
    pub fn save(&self) {
        let _ = self.path.as_ref().map(|path| self.save_to(path));
    }

    fn save_to(&self, path: &Path) -> std::io::Result<()> {
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        let known = self.fields.iter().map(|(place, value)| (place, value.as_ref().map(text)));
        let bytes = serde_json::to_vec(&(&self.node, &self.checked, known.collect::<Vec<_>>()))?;
        let file = files::private().write(true).create(true).truncate(false).open(path)?;
        // Overwrite in place: some file systems flush truncated files. The reader or the script detects a torn file.
        file.write_all_at(&bytes, 0)?;
        file.set_len(bytes.len() as u64)
    }
}
