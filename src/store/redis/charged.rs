//! To whom sessions are charged, as it is kept.

use serde::{Deserialize, Serialize};

use crate::domain::time::Timestamp;
use crate::store::ClientProcess;

/// To whom a session is charged, and who started it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Charged {
    /// Its project, hashed.
    pub project: String,
    /// Its user.
    pub user: String,
    /// Its team.
    pub team: String,
    /// Its task type.
    pub task_type: String,
    /// The session that started it.
    pub parent: Option<String>,
    /// From when on that one bears what it brings.
    pub parent_since: Option<Timestamp>,
    /// Its client.
    pub client: Option<ClientProcess>,
    /// The machine that it runs on.
    pub machine: Option<String>,
}
