//! Names of keys. All of a tenant share one hash tag, so that one script reaches them on a cluster, too.
//!
//! What hooks write lies under `d:`; what only people decide under `o:`, which a hook's user need only be able to read.
//! Session ids and values are percent-encoded, so that no control character reaches the logs of the server.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::domain::message::MessageKey;
use crate::domain::time::Timestamp;
use crate::store::ClientProcess;

/// What is encoded; `counters.lua` encodes the same.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// The keys of one tenant.
#[derive(Clone, Debug)]
pub struct Keys {
    prefix: String,
}

/// Defines a function for each key, which may take a last part.
macro_rules! names {
    ($($(#[$doc:meta])* $function:ident($($part:ident)?) = $name:literal;)*) => {
        impl Keys {
            $($(#[$doc])* pub fn $function(&self $(, $part: &str)?) -> String {
                self.key(&[$name $(, $part)?])
            })*
        }
    };
}

names! {
    /// What the keys begin with that hooks write.
    data_prefix() = "d:";
    /// What the keys begin with that only people write.
    decided_prefix() = "o:";
    /// Which store this is.
    store_id() = "d:epoch";
    /// The families of counters, with when they were first wanted, as JSON.
    families() = "d:families";
    /// The machines of the tenant (with a user each), by when they were seen.
    machines() = "d:machines";
    /// The machines that have read everything for the store with this id.
    filled(store_id) = "d:filled:";
    /// Exists while a store is to be filled from transcripts: the id of that store.
    rebuilding() = "d:rebuilding";
    /// To whom a session is charged, as JSON.
    session(id) = "d:session:";
    /// What changes of a session: batches recorded, when it was seen, whether it ended.
    live(id) = "d:live:";
    /// Exists where a client's total, or a fork, of a session is known.
    settles(id) = "d:settles:";
    /// All sessions, by when they were seen.
    sessions() = "d:sessions";
    /// A message, by its hexadecimal digits.
    message(hex) = "d:message:";
    /// The messages that count in a session, by date.
    messages_of(id) = "d:messages:";
    /// The client's totals of a session, as JSON.
    totals(id) = "d:totals:";
    /// The sessions that were forked from one.
    forks(origin) = "d:forks:";
    /// The sessions that one was forked from.
    origins(id) = "d:origins:";
    /// Models and types of agents, by the latest date of a message that was counted for them.
    values() = "d:values";
    /// The breakers and slots of a session, by name.
    states(id) = "d:standings:";
    /// The events of a session, by number.
    events(id) = "d:events:";
    /// The events that were not yet reported, with the agents that they are about.
    untold_events(id) = "d:untold:";
    /// The sessions that have events.
    sessions_with_events() = "d:evented";
    /// The number of the last event.
    event_number() = "d:event_number";
    /// An event, by its number: only claims on it stand there.
    event(number) = "d:event:";
    /// An alert, by its number, as JSON.
    alert(number) = "d:alert:";
    /// All alerts, by number.
    alerts() = "d:alerts";
    /// The number of the last alert.
    alert_number() = "d:alert_number";
    /// What the last steps of a session moved, by their numbers: see `step.lua`.
    unchecked(id) = "d:unchecked:";
    /// What could not be read and was quarantined: by key and field.
    damaged() = "d:damaged";
    /// When Fusebox was installed.
    installed() = "o:installed";
    /// Who took notice of which alert.
    acknowledged() = "o:acknowledged";
    /// All operations, in their order: keys and ids.
    operation_log() = "o:operated";
}

impl Keys {
    /// The keys of `tenant`.
    pub fn for_tenant(tenant: &str) -> Self {
        Self { prefix: format!("fusebox:{{{tenant}}}:") }
    }

    /// Whether a key is a message's.
    pub fn is_message(&self, key: &str) -> bool {
        key.strip_prefix(&self.prefix).is_some_and(|name| name.starts_with("d:message:"))
    }

    fn key(&self, parts: &[&str]) -> String {
        let mut key = self.prefix.clone();
        parts.iter().for_each(|part| key.extend(utf8_percent_encode(part, ENCODED)));
        key
    }

    /// The counters of a family, a value and a window, by the moment since which they count. `registered`: since when the
    /// family is counted. If it was forgotten and registered again, its counters get new names, so no gap is in them.
    pub fn counter(&self, family: &str, registered: i64, value: &str, start: i64) -> String {
        let (registered, start) = (registered.to_string(), start.to_string());
        self.key(&["d:counter:", family, "|", &registered, "|", &start, "|", value])
    }

    /// The session of a client process on a machine.
    pub fn client(&self, machine: &str, client: ClientProcess) -> String {
        let (pid, started) = (client.pid.to_string(), client.started.to_string());
        self.key(&["d:client:", machine, ":", &pid, ":", &started])
    }

    /// Exists where an alert was raised.
    pub fn raised(&self, parts: &[&str]) -> String {
        self.key(&["d:raised:", &short_hash(parts)])
    }

    /// The alerts that nobody has shown, of a budget, a value and a window.
    pub fn unshown(&self, parts: &[&str]) -> String {
        self.key(&["d:unshown:", &short_hash(parts)])
    }

    /// The operations on a value of a budget in a window, as JSON.
    pub fn operations(&self, budget: &str, value: &str, start: Timestamp) -> String {
        let (length, start) = (budget.len().to_string(), start.0.to_string());
        self.key(&["o:operations:", &length, ":", budget, "|", &start, "|", value])
    }
}

fn short_hash(parts: &[&str]) -> String {
    format!("{:016x}", MessageKey::from_parts(parts).short())
}
