//! Names of keys. All keys of a tenant share a hash tag, so that one script can access them on a cluster.
//!
//! Keys that hooks write are under `d:`; those that only people write are under `o:`, which the hooks' user need only
//! read. Session ids and values are percent-encoded, so that no control character gets into the server's logs.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::domain::message::MessageKey;
use crate::domain::time::Timestamp;
use crate::store::ClientProcess;

/// The encoded characters; `counters.lua` encodes the same.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// The keys of one tenant.
#[derive(Clone, Debug)]
pub struct Keys {
    prefix: String,
}

/// Defines a function per key, with an optional last part.
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
    /// Prefix of keys that hooks write.
    data_prefix() = "d:";
    /// Prefix of keys that only people write.
    decided_prefix() = "o:";
    /// The id of the store.
    store_id() = "d:epoch";
    /// The counter families and when they were registered, as JSON.
    families() = "d:families";
    /// The machines of the tenant (one per user), by when they were last seen.
    machines() = "d:machines";
    /// The machines that have refilled the store with this id.
    filled(store_id) = "d:filled:";
    /// The id of a store that has to be refilled from transcripts.
    rebuilding() = "d:rebuilding";
    /// A session and its attribution, as JSON.
    session(id) = "d:session:";
    /// Changing data of a session: number of batches, last seen, ended.
    live(id) = "d:live:";
    /// Exists if the session or a fork of it has a client total.
    settles(id) = "d:settles:";
    /// All sessions, by when they were last seen.
    sessions() = "d:sessions";
    /// A message, by hexadecimal digits.
    message(hex) = "d:message:";
    /// The messages of a session, by date.
    messages_of(id) = "d:messages:";
    /// The client totals of a session, as JSON.
    totals(id) = "d:totals:";
    /// The forks of a session.
    forks(origin) = "d:forks:";
    /// The sessions that a session was forked from.
    origins(id) = "d:origins:";
    /// Models and agent types, by the latest date of their messages.
    values() = "d:values";
    /// Totals for monitoring, by kind and label.
    metrics() = "d:metrics";
    /// The breakers and slots of a session, by name.
    states(id) = "d:standings:";
    /// The events of a session, by number.
    events(id) = "d:events:";
    /// The events not reported yet, with their agents.
    untold_events(id) = "d:untold:";
    /// The sessions that have events.
    sessions_with_events() = "d:evented";
    /// The number of the last event.
    event_number() = "d:event_number";
    /// Prefix of the claim on an event.
    event(number) = "d:event:";
    /// An alert, by its number, as JSON.
    alert(number) = "d:alert:";
    /// All alerts, by number.
    alerts() = "d:alerts";
    /// The number of the last alert.
    alert_number() = "d:alert_number";
    /// The counter changes of a session's last steps, by step number: see `step.lua`.
    unchecked(id) = "d:unchecked:";
    /// The reservations that have not ended, as JSON.
    open_reservations() = "d:open_reservations";
    /// A reservation, as JSON.
    reservation(id) = "d:reservation:";
    /// All reservations, by when they were made.
    reservations() = "d:reservations";
    /// Quarantined values that could not be read, by key and field.
    damaged() = "d:damaged";
    /// When Fusebox was installed.
    installed() = "o:installed";
    /// Acknowledgements, by alert.
    acknowledged() = "o:acknowledged";
    /// All operations in order, as keys and ids.
    operation_log() = "o:operated";
}

impl Keys {
    /// The keys of `tenant`.
    pub fn for_tenant(tenant: &str) -> Self {
        Self { prefix: format!("fusebox:{{{tenant}}}:") }
    }

    /// Whether this is the key of a message.
    pub fn is_message(&self, key: &str) -> bool {
        key.strip_prefix(&self.prefix).is_some_and(|name| name.starts_with("d:message:"))
    }

    fn key(&self, parts: &[&str]) -> String {
        let mut key = self.prefix.clone();
        parts.iter().for_each(|part| key.extend(utf8_percent_encode(part, ENCODED)));
        key
    }

    /// The counters of a family, value and window, by the start of counting. `registered`: when the family was
    /// registered. A family registered again gets new names, because its old counters have gaps.
    pub fn counter(&self, family: &str, registered: i64, value: &str, start: i64) -> String {
        let (registered, start) = (registered.to_string(), start.to_string());
        self.key(&["d:counter:", family, "|", &registered, "|", &start, "|", value])
    }

    /// The session of a client process.
    pub fn client(&self, machine: &str, client: ClientProcess) -> String {
        let (pid, started) = (client.pid.to_string(), client.started.to_string());
        self.key(&["d:client:", machine, ":", &pid, ":", &started])
    }

    /// Exists once an alert was raised.
    pub fn raised(&self, parts: &[&str]) -> String {
        self.key(&["d:raised:", &short_hash(parts)])
    }

    /// The alerts of a budget, value and window that were not shown.
    pub fn unshown(&self, parts: &[&str]) -> String {
        self.key(&["d:unshown:", &short_hash(parts)])
    }

    /// The operations on a budget's value in a window, as JSON.
    pub fn operations(&self, budget: &str, value: &str, start: Timestamp) -> String {
        let (length, start) = (budget.len().to_string(), start.0.to_string());
        self.key(&["o:operations:", &length, ":", budget, "|", &start, "|", value])
    }
}

fn short_hash(parts: &[&str]) -> String {
    format!("{:016x}", MessageKey::from_parts(parts).short())
}
