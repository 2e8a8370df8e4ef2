//! What `init` recorded: the time of installation, and the paths in force then, to tell a variable set later by a
//! project from the person's own.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::domain::time::Timestamp;

/// Name of the file in the state folder.
pub const FILE: &str = "install.json";

/// The record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installation {
    /// When Fusebox was first installed, to the second.
    #[serde(with = "rfc3339")]
    pub installed_at: Timestamp,
    /// Folder of the embedded store.
    pub state_dir: PathBuf,
    /// Folder of the session caches.
    pub cache_dir: PathBuf,
    /// The user's configuration file, whether or not it exists.
    pub config: Option<PathBuf>,
    /// The settings file that the hooks were last registered in.
    pub settings_file: PathBuf,
    /// The hook executables.
    pub binaries: Vec<PathBuf>,
    /// Version of Fusebox.
    pub version: String,
}

impl Installation {
    /// The record in a state folder; `None` if it is missing or unreadable.
    pub fn read(state_dir: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(state_dir.join(FILE)).ok()?).ok()
    }

    /// Writes the record to its state folder, which must exist, if it changed.
    ///
    /// # Errors
    /// It cannot be written; the old one is unchanged.
    pub fn write(&self) -> std::io::Result<()> {
        if Self::read(&self.state_dir).as_ref() == Some(self) {
            return Ok(());
        }
        let mut file = tempfile::NamedTempFile::new_in(&self.state_dir)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.write_all(b"\n")?;
        file.persist(self.state_dir.join(FILE))?;
        Ok(())
    }
}

mod rfc3339 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::domain::time::Timestamp;

    pub fn serialize<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&time.to_rfc3339())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(from)?;
        Timestamp::parse(&text).ok_or_else(|| D::Error::custom("not an RFC 3339 time"))
    }
}
