//! Detects whether the configuration may have changed, without reading any file.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::paths::{self, MANAGED_FILE};
use crate::platform::Env;

/// Fingerprint of everything that [`load`](super::load) looks at: of each file its path and whether, when and at
/// what size it was written; of the variables their values. Equal stamps: nothing changed since. (A file written
/// twice within one tick of the file system's clock, at one size and in place, is not noticed.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stamp(u64);

impl Stamp {
    /// Equal to no stamp that [`Stamp::current`] makes: forces the configuration to be read each time.
    pub const NEVER: Self = Self(0);

    /// The current stamp.
    pub fn current(env: &Env, project_dir: Option<&Path>) -> Self {
        Self::with_managed(env, project_dir, Path::new(MANAGED_FILE))
    }

    /// The same, with another managed file.
    pub(super) fn with_managed(env: &Env, project_dir: Option<&Path>, managed: &Path) -> Self {
        // Compared with what the same program wrote; another version's stamp only means that all is read once more.
        let mut hash = DefaultHasher::new();
        let mut add = |part: &[u8]| part.hash(&mut hash);
        let counts = |name: &str| name.starts_with("FUSEBOX_") || name == "HOME" || name == "XDG_CONFIG_HOME";
        for (name, value) in env.vars.iter().filter(|(name, _)| counts(name)) {
            add(name.as_bytes());
            add(value.as_bytes());
        }
        // Two lists of parts follow one another: this keeps a path from being taken for a variable.
        add(b"");
        for path in paths::candidate_files(env, project_dir, managed) {
            add(path.as_os_str().as_encoded_bytes());
            match std::fs::metadata(&path) {
                Ok(found) => {
                    // The time of change too, which `touch` cannot set; and the file's number, for a replaced one.
                    let (m, c) = ((found.mtime(), found.mtime_nsec()), (found.ctime(), found.ctime_nsec()));
                    add(format!("{m:?} {c:?} {} {}", found.ino(), found.len()).as_bytes());
                }
                Err(_) => add(b"absent"),
            }
        }
        Self(hash.finish().max(1))
    }
}
