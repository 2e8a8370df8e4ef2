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

/// What is encoded; `counters.lua` encodes the same.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// The keys of one tenant.
#[derive(Clone, Debug)]
pub struct Keys {
    prefix: String,
}

/// Makes a function of each name, which may have a part that follows it.
macro_rules! names {
    ($($(#[$doc:meta])* $function:ident($($part:ident)?) = $name:literal;)*) => {
        impl Keys {
            $($(#[$doc])* pub fn $function(&self $(, $part: &str)?) -> String {
                self.of(&[$name $(, $part)?])
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
    epoch() = "d:epoch";
    /// The families of counters, with when they were first wanted, as JSON.
    families() = "d:families";
    /// The machines of the tenant (with a user each), by when they were seen.
    machines() = "d:machines";
    /// The machines that have read everything for the store of this name.
    filled(epoch) = "d:filled:";
    /// There while the store is to be filled from transcripts: the name of the store that is.
    rebuilding() = "d:rebuilding";
    /// To whom a session is charged, as JSON.
    session(id) = "d:session:";
    /// What changes of a session: batches recorded, when it was seen, whether it ended.
    live(id) = "d:live:";
    /// There where a client's total, or a fork, of a session is known.
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
    /// What is kept of a session by name.
    standings(id) = "d:standings:";
    /// The events of a session, by number.
    events(id) = "d:events:";
    /// Those of them that nobody has told, with the agents that they are about.
    untold(id) = "d:untold:";
    /// The sessions that have events.
    evented() = "d:evented";
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
    /// What could not be read, and was set aside: by key, and field.
    damaged() = "d:damaged";
    /// When Fusebox was installed.
    installed() = "o:installed";
    /// Who took notice of which alert.
    acknowledged() = "o:acknowledged";
    /// All operations, in their order: keys and ids.
    operated() = "o:operated";
}

impl Keys {
    /// The keys of `tenant`.
    pub fn of_tenant(tenant: &str) -> Self {
        Self { prefix: format!("fusebox:{{{tenant}}}:") }
    }

    /// Whether a key is a message's.
    pub fn is_message(&self, key: &str) -> bool {
        key.strip_prefix(&self.prefix).is_some_and(|name| name.starts_with("d:message:"))
    }

    fn of(&self, parts: &[&str]) -> String {
        let mut key = self.prefix.clone();
        parts.iter().for_each(|part| key.extend(utf8_percent_encode(part, ENCODED)));
        key
    }

    /// The counters of a family, a value and a window, by the moment since which they count. `registered`: since when the
    /// family is kept up. Where that was forgotten, and the family is kept up anew, what was not counted in between is in no
    /// counter under this name.
    pub fn counter(&self, family: &str, registered: i64, value: &str, start: i64) -> String {
        let (registered, start) = (registered.to_string(), start.to_string());
        self.of(&["d:counter:", family, "|", &registered, "|", &start, "|", value])
    }

    /// The session of a client process on a machine.
    pub fn client(&self, machine: &str, client: ClientProcess) -> String {
        let (pid, started) = (client.pid.to_string(), client.started.to_string());
        self.of(&["d:client:", machine, ":", &pid, ":", &started])
    }

    /// There where an alert was raised.
    pub fn raised(&self, parts: &[&str]) -> String {
        self.of(&["d:raised:", &hash(parts)])
    }

    /// The alerts that nobody has shown, of a budget, a value and a window.
    pub fn unshown(&self, parts: &[&str]) -> String {
        self.of(&["d:unshown:", &hash(parts)])
    }

    /// The operations on a value of a budget in a window, as JSON.
    pub fn operations(&self, budget: &str, value: &str, start: Timestamp) -> String {
        let (length, start) = (budget.len().to_string(), start.0.to_string());
        self.of(&["o:operations:", &length, ":", budget, "|", &start, "|", value])
    }
}

fn hash(parts: &[&str]) -> String {
    format!("{:016x}", MessageKey::of(parts).short())
}
