//! The shared store: Redis, for several machines with one budget.
//!
//! A step is prepared by the same code as for the embedded store, from what the last one read (see [`read_cache`]). A script
//! checks that nothing differs and does the step, or returns what differs. All of it can be read again from transcripts.

pub mod acl;
mod agent_state_fields;
mod alerts;
pub mod connection;
mod counters;
mod decide;
mod keys;
mod ledger;
mod query;
mod read_cache;
mod record;
mod recover;
mod scripts;
mod session_record;
mod step;
mod unit_of_work;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use self::keys::Keys;
use self::read_cache::ReadCache;
use self::scripts::Scripts;
use crate::config::redis_address::Address;

/// Seconds for which data of hooks is kept: 40 days, longer than the longest window that it counts in.
const RETENTION_S: i64 = 40 * 24 * 3600;

/// Seconds for which decisions are kept: 400 days. Hooks cannot extend that.
const DECISIONS_S: i64 = 400 * 24 * 3600;

/// Where the shared store is, and who asks.
#[derive(Clone, Debug)]
pub struct RedisLocation {
    /// The servers.
    pub address: Address,
    /// How long to wait for a connection, and for each reply.
    pub wait: Duration,
    /// The tenant: hash tag of every key.
    pub tenant: String,
    /// The name of this machine (see [`machine_id`](super::shared_names::machine_id)).
    pub machine: String,
    /// The file in which the session's hooks keep what they read.
    pub read_cache: Option<PathBuf>,
}

/// A store in Redis.
pub struct RedisStore {
    keys: Keys,
    scripts: Scripts,
    cache: ReadCache,
    machine: String,
    damaged: BTreeSet<String>,
}

impl RedisStore {
    /// The store at this location. Connects when it is first used.
    pub fn new(place: RedisLocation) -> Self {
        let RedisLocation { address, wait, tenant, machine, read_cache: memory } = place;
        let (keys, memory) = (Keys::for_tenant(&tenant), ReadCache::load(memory));
        // Of another address nothing is known.
        let node = memory.node.as_ref().filter(|(of, _)| *of == address.to_string());
        let scripts = Scripts::new(address, wait, node.map(|(_, node)| node.as_str()));
        Self { keys, scripts, cache: memory, machine, damaged: BTreeSet::new() }
    }
}
