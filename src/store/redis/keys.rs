//! Names of keys. All of a tenant share one hash tag, so that one script reaches them on a cluster, too.
//!
//! What hooks write lies under `d:`; what only people decide under `o:`, which a hook's user need only be able to read.
//!
//! Names that others choose (sessions, values of scopes) are percent-encoded where they are no printable ASCII, so that no
//! line break or escape sequence comes into the lists and logs of whoever looks at the server.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::domain::message::MessageKey;
use crate::domain::time::Timestamp;
use crate::store::ClientProcess;

/// What is encoded; `add_up.lua` encodes the same.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// The keys of one tenant.
#[derive(Clone, Debug)]
pub struct Keys {
    prefix: String,
}

impl Keys {
    /// The keys of `tenant`.
    pub fn of(tenant: &str) -> Self {
        Self { prefix: format!("fusebox:{{{tenant}}}:") }
    }

    /// What the keys begin with that hooks write.
    pub fn data_prefix(&self) -> String {
        self.data(&[])
    }

    /// What the keys begin with that only people write.
    pub fn decided_prefix(&self) -> String {
        self.decided(&[])
    }

    fn data(&self, rest: &[&str]) -> String {
        self.of_kind("d:", rest)
    }

    fn decided(&self, rest: &[&str]) -> String {
        self.of_kind("o:", rest)
    }

    fn of_kind(&self, kind: &str, rest: &[&str]) -> String {
        let mut key = format!("{}{kind}", self.prefix);
        rest.iter().for_each(|part| key.extend(utf8_percent_encode(part, ENCODED)));
        key
    }

    /// Which store this is.
    pub fn epoch(&self) -> String {
        self.data(&["epoch"])
    }

    /// The families of counters, with when they were first wanted, as JSON.
    pub fn families(&self) -> String {
        self.data(&["families"])
    }

    /// The machines of the tenant (with a user each), by when they were seen.
    pub fn machines(&self) -> String {
        self.data(&["machines"])
    }

    /// The machines that have read everything for the store of this name.
    pub fn filled(&self, epoch: &str) -> String {
        self.data(&["filled:", epoch])
    }

    /// There while the store is to be filled from transcripts: the name of the store that is.
    pub fn rebuilding(&self) -> String {
        self.data(&["rebuilding"])
    }

    /// When Fusebox was installed.
    pub fn installed(&self) -> String {
        self.decided(&["installed"])
    }

    /// To whom a session is charged, as JSON.
    pub fn session(&self, id: &str) -> String {
        self.data(&["session:", id])
    }

    /// What changes of a session: batches recorded, when it was seen, whether it ended.
    pub fn live(&self, id: &str) -> String {
        self.data(&["live:", id])
    }

    /// There where a client's total, or a fork, of a session is known.
    pub fn settles(&self, id: &str) -> String {
        self.data(&["settles:", id])
    }

    /// All sessions, by when they were seen.
    pub fn sessions(&self) -> String {
        self.data(&["sessions"])
    }

    /// A message.
    pub fn message(&self, key: &MessageKey) -> String {
        self.data(&["message:", &key.hex()])
    }

    /// What the keys of messages begin with; their hexadecimal digits follow.
    pub fn message_prefix(&self) -> String {
        self.data(&["message:"])
    }

    /// The messages that count in a session, by date.
    pub fn messages_of(&self, id: &str) -> String {
        self.data(&["messages:", id])
    }

    /// The client's totals of a session, as JSON.
    pub fn totals(&self, id: &str) -> String {
        self.data(&["totals:", id])
    }

    /// The sessions that were forked from one.
    pub fn forks(&self, origin: &str) -> String {
        self.data(&["forks:", origin])
    }

    /// The sessions that one was forked from.
    pub fn origins(&self, id: &str) -> String {
        self.data(&["origins:", id])
    }

    /// The counters of a family, a value and a window, by the moment since which they count. `registered`: since when the family is kept up. Where that was forgotten, and the family is kept up anew, what
    /// was not counted in between is in no counter under this name.
    pub fn counter(&self, family: &str, registered: i64, value: &str, start: i64) -> String {
        let (registered, start) = (registered.to_string(), start.to_string());
        self.data(&["counter:", family, "|", &registered, "|", &start, "|", value])
    }

    /// Models and types of agents, by the latest date of a message that was counted for them.
    pub fn values(&self) -> String {
        self.data(&["values"])
    }

    /// The session of a client process on a machine.
    pub fn client(&self, machine: &str, client: ClientProcess) -> String {
        self.data(&["client:", machine, ":", &client.pid.to_string(), ":", &client.started.to_string()])
    }

    /// What is kept of a session by name.
    pub fn standings(&self, id: &str) -> String {
        self.data(&["standings:", id])
    }

    /// The events of a session, by number.
    pub fn events(&self, id: &str) -> String {
        self.data(&["events:", id])
    }

    /// Those of them that nobody has told, with the agents that they are about.
    pub fn untold(&self, id: &str) -> String {
        self.data(&["untold:", id])
    }

    /// The sessions that have events.
    pub fn evented(&self) -> String {
        self.data(&["evented"])
    }

    /// The number of the last event.
    pub fn event_number(&self) -> String {
        self.data(&["event_number"])
    }

    /// What the names of claims on events begin with.
    pub fn event_prefix(&self) -> String {
        self.data(&["event:"])
    }

    /// An alert, as JSON.
    pub fn alert(&self, id: &str) -> String {
        self.data(&["alert:", id])
    }

    /// There where an alert was raised.
    pub fn raised(&self, parts: &[&str]) -> String {
        self.data(&["raised:", &hash(parts)])
    }

    /// All alerts, by number.
    pub fn alerts(&self) -> String {
        self.data(&["alerts"])
    }

    /// The number of the last alert.
    pub fn alert_number(&self) -> String {
        self.data(&["alert_number"])
    }

    /// The alerts that nobody has shown, of a budget, a value and a window.
    pub fn unshown(&self, parts: &[&str]) -> String {
        self.data(&["unshown:", &hash(parts)])
    }

    /// What the last steps of a session moved, by their numbers: see `step.lua`.
    pub fn unchecked(&self, id: &str) -> String {
        self.data(&["unchecked:", id])
    }

    /// What could not be read, and was set aside: by key, and field.
    pub fn damaged(&self) -> String {
        self.data(&["damaged"])
    }

    /// Who took notice of which alert.
    pub fn acknowledged(&self) -> String {
        self.decided(&["acknowledged"])
    }

    /// The operations on a value of a budget in a window, as JSON.
    pub fn operations(&self, budget: &str, value: &str, start: Timestamp) -> String {
        let (length, start) = (budget.len().to_string(), start.0.to_string());
        self.decided(&["operations:", &length, ":", budget, "|", &start, "|", value])
    }

    /// All operations, in their order: keys and ids.
    pub fn operated(&self) -> String {
        self.decided(&["operated"])
    }
}

fn hash(parts: &[&str]) -> String {
    format!("{:016x}", MessageKey::of(parts).short())
}
