//! Names of keys. All of a tenant share one hash tag, so that one script reaches them on a cluster, too.
//!
//! What hooks write lies under `d:`; what only people decide under `o:`, which a hook's user need only be able to read.

use crate::domain::message::MessageKey;
use crate::domain::time::Timestamp;
use crate::store::ClientProcess;

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
        self.data("")
    }

    /// What the keys begin with that only people write.
    pub fn decided_prefix(&self) -> String {
        self.decided("")
    }

    fn data(&self, rest: &str) -> String {
        format!("{}d:{rest}", self.prefix)
    }

    fn decided(&self, rest: &str) -> String {
        format!("{}o:{rest}", self.prefix)
    }

    /// Which store this is.
    pub fn epoch(&self) -> String {
        self.data("epoch")
    }

    /// The families of counters, with when they were first wanted, as JSON.
    pub fn families(&self) -> String {
        self.data("families")
    }

    /// The machines of the tenant (with a user each), by when they were seen.
    pub fn machines(&self) -> String {
        self.data("machines")
    }

    /// The machines that have read everything for the store of this name.
    pub fn filled(&self, epoch: &str) -> String {
        self.data(&format!("filled:{epoch}"))
    }

    /// There while the store is to be filled from transcripts: the name of the store that is.
    pub fn rebuilding(&self) -> String {
        self.data("rebuilding")
    }

    /// When Fusebox was installed.
    pub fn installed(&self) -> String {
        self.decided("installed")
    }

    /// To whom a session is charged, as JSON.
    pub fn session(&self, id: &str) -> String {
        self.data(&format!("session:{id}"))
    }

    /// What changes of a session: batches recorded, when it was seen, whether it ended.
    pub fn live(&self, id: &str) -> String {
        self.data(&format!("live:{id}"))
    }

    /// There where a client's total, or a fork, of a session is known.
    pub fn settles(&self, id: &str) -> String {
        self.data(&format!("settles:{id}"))
    }

    /// All sessions, by when they were seen.
    pub fn sessions(&self) -> String {
        self.data("sessions")
    }

    /// A message.
    pub fn message(&self, key: &MessageKey) -> String {
        let hex: String = key.0.iter().map(|byte| format!("{byte:02x}")).collect();
        self.data(&format!("message:{hex}"))
    }

    /// The messages that count in a session, by date.
    pub fn messages_of(&self, id: &str) -> String {
        self.data(&format!("messages:{id}"))
    }

    /// The client's totals of a session, as JSON.
    pub fn totals(&self, id: &str) -> String {
        self.data(&format!("totals:{id}"))
    }

    /// The sessions that were forked from one.
    pub fn forks(&self, origin: &str) -> String {
        self.data(&format!("forks:{origin}"))
    }

    /// The sessions that one was forked from.
    pub fn origins(&self, id: &str) -> String {
        self.data(&format!("origins:{id}"))
    }

    /// The counters of a family, a value and a window, by the moment since which they count.
    pub fn counter(&self, spec: &str, value: &str, start: i64) -> String {
        self.data(&format!("counter:{spec}|{start}|{value}"))
    }

    /// Models, types of agents and `any`, by the latest date of a message that was counted for them.
    pub fn values(&self) -> String {
        self.data("values")
    }

    /// The session of a client process on a machine.
    pub fn client(&self, machine: &str, client: ClientProcess) -> String {
        self.data(&format!("client:{machine}:{}:{}", client.pid, client.started))
    }

    /// What is kept of a session by name.
    pub fn standings(&self, id: &str) -> String {
        self.data(&format!("standings:{id}"))
    }

    /// The events of a session, by number.
    pub fn events(&self, id: &str) -> String {
        self.data(&format!("events:{id}"))
    }

    /// Those of them that nobody has told: until when they are claimed, and of which agent they are.
    pub fn untold(&self, id: &str) -> String {
        self.data(&format!("untold:{id}"))
    }

    /// The number of the last event.
    pub fn event_number(&self) -> String {
        self.data("event_number")
    }

    /// The sessions that have events.
    pub fn evented(&self) -> String {
        self.data("evented")
    }

    /// An alert.
    pub fn alert(&self, id: i64) -> String {
        self.data(&format!("alert:{id}"))
    }

    /// What the names of alerts begin with.
    pub fn alert_prefix(&self) -> String {
        self.data("alert:")
    }

    /// There where an alert was raised.
    pub fn raised(&self, parts: &[&str]) -> String {
        self.data(&format!("raised:{:016x}", MessageKey::of(parts).short()))
    }

    /// All alerts, by number.
    pub fn alerts(&self) -> String {
        self.data("alerts")
    }

    /// Those that nobody has shown.
    pub fn unshown(&self) -> String {
        self.data("unshown")
    }

    /// The number of the last alert.
    pub fn alert_number(&self) -> String {
        self.data("alert_number")
    }

    /// Who took notice of which alert.
    pub fn acknowledged(&self) -> String {
        self.decided("acknowledged")
    }

    /// The operations on a value of a budget in a window, as JSON.
    pub fn operations(&self, budget: &str, value: &str, start: Timestamp) -> String {
        self.decided(&format!("operations:{}:{budget}|{}|{value}", budget.len(), start.0))
    }

    /// All operations, in their order: keys and ids.
    pub fn operated(&self) -> String {
        self.decided("operated")
    }
}
