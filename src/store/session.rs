//! Sessions as stored.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::domain::counter::{Attribution, member};
use crate::domain::message::{ClientTotal, Message, UsageSource};
use crate::domain::time::Timestamp;
use crate::domain::usage::Amount;

/// A client process, used to find the parent of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientProcess {
    /// Process id.
    pub pid: u32,
    /// Start time in clock ticks since boot. Process ids are reused; the pair is unique.
    pub started: u64,
}

/// A session as seen by a hook.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// The client's session id.
    pub id: String,
    /// Its transcript.
    pub transcript: Option<PathBuf>,
    /// The project that it is charged to. This and the next three fields are fixed when the session is first seen, so
    /// that charges do not move.
    pub project: String,
    /// The user that it is charged to.
    pub user: String,
    /// The team that it is charged to; empty if none. (Caches of earlier versions lack it.)
    #[serde(default)]
    pub team: String,
    /// Declared task type; empty if none.
    pub task_type: String,
    /// The chain of tasks that it is charged to. (Caches and records of earlier versions lack it.)
    #[serde(default)]
    pub chain: String,
    /// Its parent session, if any.
    pub parent: Option<String>,
    /// Its client process.
    pub client: Option<ClientProcess>,
}

impl Session {
    /// What the session is charged to.
    pub fn attribution(&self) -> Attribution {
        Attribution {
            project: self.project.clone(),
            user: self.user.clone(),
            team: self.team.clone(),
            task_type: self.task_type.clone(),
            chain: self.chain.clone(),
            member: member(&self.team, &self.user),
        }
    }
}

/// A session as listed by the store.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SessionRow {
    /// The session.
    #[serde(flatten)]
    pub session: Session,
    /// When a hook last saw it.
    pub last_seen: Timestamp,
    /// When it ended, if it did.
    pub ended: Option<Timestamp>,
    /// Whether all its files were read after it ended, or after its client exited.
    pub complete: bool,
}

/// The total of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionTotal {
    /// Everything charged to the session.
    pub amount: Amount,
    /// Messages with an estimated charge.
    pub estimated_messages: u64,
    /// Those among them that no transcript shows.
    pub unseen_messages: u64,
    /// What the client itself reckons, in nano-dollars; `None`: not known.
    pub client_nano_usd: Option<u64>,
}

impl SessionTotal {
    /// The total of these messages with their amounts, and of the client's own totals.
    pub fn new<'m>(messages: impl Iterator<Item = (&'m Message, Amount)>, totals: &[ClientTotal]) -> Self {
        let mut total = Self { client_nano_usd: ClientTotal::reckoning(totals), ..Self::default() };
        messages.for_each(|(message, amount)| total.add(message, amount));
        total
    }

    /// Adds a message that counts as this amount.
    pub fn add(&mut self, message: &Message, amount: Amount) {
        let estimated = message.is_estimated();
        self.amount = self.amount.plus(amount);
        self.estimated_messages += u64::from(estimated);
        self.unseen_messages += u64::from(estimated && message.source == UsageSource::Unseen);
    }
}
