//! Detects whether the configuration may have changed, without reading files.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::paths::{self, MANAGED_FILE};
use crate::platform::Env;

/// Fingerprint of everything that [`load`](super::load) reads: path, existence, times and size of each file, and values
/// of variables. If two stamps are equal, nothing changed. (Misses a file rewritten in place, at the same size, within
/// one tick of the file system's clock.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stamp(u64);

impl Stamp {
    /// Never equal to a stamp from [`Stamp::current`]: forces the configuration to be read.
    pub const NEVER: Self = Self(0);

    /// The current stamp.
    pub fn current(env: &Env, project_dir: Option<&Path>) -> Self {
        Self::with_managed(env, project_dir, Path::new(MANAGED_FILE))
    }

    /// Like [`Stamp::current`], with another managed file.
    pub(super) fn with_managed(env: &Env, project_dir: Option<&Path>, managed: &Path) -> Self {
        // Only compared with stamps of the same program; after an upgrade, the configuration is read once more.
        let mut hash = DefaultHasher::new();
        let mut add = |part: &[u8]| part.hash(&mut hash);
        let counts = |name: &str| name.starts_with("FUSEBOX_") || name == "HOME" || name == "XDG_CONFIG_HOME";
        for (name, value) in env.vars.iter().filter(|(name, _)| counts(name)) {
            add(name.as_bytes());
            add(value.as_bytes());
        }
        // Separates the two lists, so that a path cannot be taken for a variable.
        add(b"");
        for path in paths::candidate_files(env, project_dir, managed) {
            add(path.as_os_str().as_encoded_bytes());
            match std::fs::metadata(&path) {
                Ok(found) => {
                    // Includes the ctime, which `touch` cannot set, and the inode, for a replaced file.
                    let (m, c) = ((found.mtime(), found.mtime_nsec()), (found.ctime(), found.ctime_nsec()));
                    add(format!("{m:?} {c:?} {} {}", found.ino(), found.len()).as_bytes());
                }
                Err(_) => add(b"absent"),
            }
        }
        Self(hash.finish().max(1))
    }
}
