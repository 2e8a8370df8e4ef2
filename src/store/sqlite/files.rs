//! The files of the embedded store: its folder, the database and its side files.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::domain::time::Timestamp;
use crate::store::{Result, StoreError};

/// Prefix of the names of quarantined databases.
const QUARANTINE_PREFIX: &str = "state.db.corrupt";

/// Device and inode; `None` if there is no file.
pub(super) type FileId = Option<(u64, u64)>;

/// The identity of the file at a path.
pub(super) fn file_id(path: &Path) -> FileId {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Locks the store's folder: shared to open a database, exclusive to replace it.
pub(super) fn lock(dir: &Path, how: fn(&File) -> std::io::Result<()>) -> std::io::Result<File> {
    let dir = File::open(dir)?;
    how(&dir)?;
    Ok(dir)
}

/// Quarantines a corrupt database with its side files. They are renamed, never overwritten.
pub(super) fn quarantine(path: &Path, now: Timestamp) -> std::io::Result<PathBuf> {
    let named = |suffix: &str| PathBuf::from(format!("{}{suffix}", path.display()));
    let called = |name: String| path.with_file_name(name);
    let aside =
        (0..).map(|n| called(format!("{QUARANTINE_PREFIX}-{}", now.0 + n))).find(|name| !name.exists());
    let aside = aside.unwrap_or_else(|| called(QUARANTINE_PREFIX.to_owned()));
    // The log first: a new database must not find the old one's.
    for suffix in ["-wal", "-shm"] {
        if named(suffix).exists() {
            std::fs::rename(named(suffix), format!("{}{suffix}", aside.display()))?;
        }
    }
    std::fs::rename(path, &aside)?;
    Ok(aside)
}

/// Whether a corrupt database was quarantined here before.
pub(super) fn has_quarantined(path: &Path) -> bool {
    let entries = path.parent().and_then(|dir| std::fs::read_dir(dir).ok());
    let is_aside = |name: std::ffi::OsString| name.to_string_lossy().starts_with(QUARANTINE_PREFIX);
    entries.into_iter().flatten().flatten().any(|entry| is_aside(entry.file_name()))
}

/// Creates a folder that only its owner can read.
///
/// # Errors
/// It cannot be created; says which folder, and what to do.
pub fn make_private_dir(dir: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|e| unusable(dir, &e.to_string()))
}

/// Creates an empty file that only its owner can read. SQLite's side files get the same mode.
pub(super) fn make_private_file(path: &Path) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let made = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    made.map(drop).map_err(|e| unusable(path, &e.to_string()))
}

pub(super) fn unusable(path: &Path, problem: &str) -> StoreError {
    StoreError::Unusable {
        path: path.to_owned(),
        problem: problem.to_owned(),
        remedy: "Make it readable and writable for your user, or set FUSEBOX_STATE_DIR to a folder that is"
            .into(),
    }
}

/// The same for an error of the store, unless it already says so.
pub(super) fn unusable_by(path: &Path, error: StoreError) -> StoreError {
    match error {
        StoreError::Unusable { .. } => error,
        other => unusable(path, &other.to_string()),
    }
}
