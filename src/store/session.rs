//! Sessions, as stores know them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::domain::counter::Attribution;
use crate::domain::time::Timestamp;
use crate::domain::usage::Amount;

/// A client process, to find the session that started another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientProcess {
    /// Process id.
    pub pid: u32,
    /// Start time in clock ticks since boot: a process id is used again, the pair is not.
    pub started: u64,
}

/// A session as a hook saw it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// The client's session id.
    pub id: String,
    /// Its transcript.
    pub transcript: Option<PathBuf>,
    /// The project that it is charged to. Decided when the session is first seen, like the next three: what was
    /// charged must not move.
    pub project: String,
    /// The user that it is charged to.
    pub user: String,
    /// The team that it is charged to, empty when none. (Caches of earlier versions say nothing of it.)
    #[serde(default)]
    pub team: String,
    /// Declared task type, empty when none.
    pub task_type: String,
    /// The session that started it.
    pub parent: Option<String>,
    /// Its client.
    pub client: Option<ClientProcess>,
}

impl Session {
    /// To whom it is charged.
    pub fn attribution(&self) -> Attribution {
        Attribution {
            project: self.project.clone(),
            user: self.user.clone(),
            team: self.team.clone(),
            task_type: self.task_type.clone(),
        }
    }
}

/// A session as the store lists it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SessionRow {
    /// The session.
    #[serde(flatten)]
    pub session: Session,
    /// When a hook was last seen.
    pub last_seen: Timestamp,
    /// When it ended, if it did.
    pub ended: Option<Timestamp>,
    /// Everything in its files was read after it ended, or after its client was gone.
    pub complete: bool,
}

/// The total of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionTotal {
    /// Everything charged to it.
    pub amount: Amount,
    /// Messages with an estimated charge.
    pub estimated_messages: u64,
}
