//! The shared store: Redis, for several machines with one budget.
//!
//! A step is made by the same code as with the embedded store, from what the last one found (see [`memory`]); a script looks
//! whether that is still so, and does the step, or says what differs. Nothing here is precious: it can all be read again.

pub mod acl;
mod alerts;
mod charged;
pub mod connection;
mod counters;
mod decide;
mod keys;
mod ledger;
mod memory;
mod query;
mod record;
mod recover;
mod scripts;
mod standings;
mod step;
mod workspace;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use self::keys::Keys;
use self::memory::Memory;
use self::scripts::Scripts;
use crate::config::redis_address::Address;

/// Seconds that what hooks write lives on: 40 days, longer than the longest window that it counts in.
const KEPT_S: i64 = 40 * 24 * 3600;

/// Seconds that what people decide lives on: 400 days. Hooks, which see a session go on, cannot make it live longer.
const DECIDED_S: i64 = 400 * 24 * 3600;

/// Where the shared store is, and who asks.
#[derive(Clone, Debug)]
pub struct Place {
    /// The servers.
    pub address: Address,
    /// How long to wait for a connection, and for each reply.
    pub wait: Duration,
    /// The tenant: hash tag of every key.
    pub tenant: String,
    /// What this machine is called (see [`machine`](super::shared_names::machine)).
    pub machine: String,
    /// Where the session's hooks tell each other what they found.
    pub memory: Option<PathBuf>,
}

/// A store in Redis.
pub struct RedisStore {
    keys: Keys,
    scripts: Scripts,
    memory: Memory,
    machine: String,
    damaged: BTreeSet<String>,
}

impl RedisStore {
    /// The store at this place. Connects when it is first used.
    pub fn new(place: Place) -> Self {
        let Place { address, wait, tenant, machine, memory } = place;
        let (keys, memory) = (Keys::of_tenant(&tenant), Memory::of(memory));
        // Of another address nothing is known.
        let node = memory.node.as_ref().filter(|(of, _)| *of == address.to_string());
        let scripts = Scripts::new(address, wait, node.map(|(_, node)| node.as_str()));
        Self { keys, scripts, memory, machine, damaged: BTreeSet::new() }
    }
}
