//! The shared store: Redis, for several machines with one budget.
//!
//! A step (see [`plan`]) is made by the same code as with the embedded store, from what is known of the records that it
//! touches; a script looks at those, and does it in one go, or says how they are. What is known comes from the last step
//! (see [`memory`]), so that one round trip is enough. Nothing here is precious: it can all be read again.

pub mod acl;
mod alerting;
mod apply;
mod arguments;
mod charged;
mod charging;
pub mod connection;
mod keys;
mod link;
mod lists;
mod memory;
mod messages;
mod names;
mod operations;
mod plan;
mod recovery;
mod sessions;
mod standings;
mod store;
mod workspace;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use self::connection::Limits;
use self::keys::Keys;
use self::link::Link;
use self::memory::Memory;
pub use self::names::{shared, shared_value};
use self::plan::{Found, Plan};
use crate::config::redis_address::Address;
use crate::domain::message::MessageKey;

/// Seconds that what hooks write lives on: 40 days, longer than the longest window. What counts must be known for as long
/// as it is counted.
const KEPT_S: i64 = 40 * 24 * 3600;

/// Seconds that what people decide lives on: 400 days. Hooks, which see a session go on, cannot make it live longer.
const DECIDED_S: i64 = 400 * 24 * 3600;

/// How often a step is made again: each time somebody else's was done.
const ROUNDS: usize = 200;

/// Where the shared store is, and who asks.
#[derive(Clone, Debug)]
pub struct Place {
    /// The servers.
    pub address: Address,
    /// How long to wait for them.
    pub limits: Limits,
    /// The tenant: hash tag of every key.
    pub tenant: String,
    /// What this machine is called (asked where it matters): process ids mean something here only.
    pub machine: Machine,
    /// Where the session's hooks tell each other what they found.
    pub memory: Option<PathBuf>,
}

/// A machine, or rather who works on one: each state folder has transcripts that no other one has.
#[derive(Clone, Debug)]
pub struct Machine {
    name: fn() -> String,
    folder: PathBuf,
}

impl Machine {
    /// The machine of this name (asked when it matters), and the state folder on it; an empty one adds nothing to the name.
    pub fn of(name: fn() -> String, folder: &Path) -> Self {
        Self { name, folder: folder.to_owned() }
    }

    /// What it is called among those that share a store.
    pub fn name(&self) -> String {
        let folder = self.folder.to_string_lossy();
        if folder.is_empty() {
            return (self.name)();
        }
        format!("{:016x}", MessageKey::of(&["machine", &(self.name)(), &folder]).short())
    }
}

/// A store in Redis.
pub struct RedisStore {
    keys: Keys,
    link: Link,
    memory: Memory,
    machine: Machine,
    /// The sessions of the events that were claimed, by number.
    claimed: BTreeMap<i64, String>,
}

impl RedisStore {
    /// The store at this place. Connects when it is first used.
    pub fn new(place: Place) -> Self {
        let Place { address, limits, tenant, machine, memory } = place;
        let (keys, memory) = (Keys::of(&tenant), Memory::of(memory));
        let link = Link::new(address, limits, memory.node.clone());
        Self { keys, link, memory, machine, claimed: BTreeMap::new() }
    }

    /// What this machine is called: it need not be asked twice.
    fn machine_name(&mut self) -> &str {
        self.memory.machine(|| self.machine.name())
    }

    /// What the next hook of the session will want to know, after a step that leaves this.
    fn of_use(&self, plan: &Plan, after: Found) -> Found {
        let prefix = self.keys.message_prefix();
        let of_message: Vec<&plan::Place> =
            plan.given.iter().map(|(place, _)| place).filter(|(key, _)| key.starts_with(&prefix)).collect();
        // Lines of a message follow each other.
        let latest = &of_message[of_message.len().saturating_sub(MESSAGES)..];
        let counters: Vec<&String> = plan.wanted.iter().map(|wanted| &wanted.key).collect();
        let values = self.keys.values();
        let is_given = |place: &plan::Place| plan.given.iter().any(|(given, _)| given == place);
        self.memory.with(after, |place| match place.0.starts_with(&prefix) {
            true => latest.contains(&place),
            false => is_given(place) || counters.contains(&&place.0) || place.0 == values,
        })
    }
}

/// How many messages are remembered.
const MESSAGES: usize = 3;

/// A name for a store that nobody has named.
fn new_epoch() -> String {
    use std::hash::{BuildHasher, Hasher};
    format!("{:016x}", std::collections::hash_map::RandomState::new().build_hasher().finish())
}
