//! The shared store: Redis, for several machines with common budgets.
//!
//! A step is prepared by the same code as for the embedded store, from the values that the last step read
//! (`read_cache`). A script checks that they are current and runs the step, or returns what differs.

pub mod acl;
mod agent_state_fields;
mod alerts;
pub mod connection;
mod counters;
mod decide;
mod keys;
mod ledger;
mod query;
mod quota;
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

/// How long data of hooks is kept, in seconds (40 days): longer than the longest window.
const RETENTION_S: i64 = 40 * 24 * 3600;

/// How long decisions are kept, in seconds (400 days). Hooks cannot extend this.
const DECISIONS_S: i64 = 400 * 24 * 3600;

/// The location of the shared store, and the caller.
#[derive(Clone, Debug)]
pub struct RedisLocation {
    /// The servers.
    pub address: Address,
    /// Timeout for connecting, and for each reply.
    pub wait: Duration,
    /// The tenant: hash tag of every key.
    pub tenant: String,
    /// The name of this machine (see [`machine_id`](super::shared_names::machine_id)).
    pub machine: String,
    /// The file in which the session's hooks cache what they read.
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
    /// The store at this location. Connects at its first use.
    pub fn new(place: RedisLocation) -> Self {
        let RedisLocation { address, wait, tenant, machine, read_cache: memory } = place;
        let (keys, memory) = (Keys::for_tenant(&tenant), ReadCache::load(memory));
        // Only valid for the same address.
        let node = memory.node.as_ref().filter(|(of, _)| *of == address.to_string());
        let scripts = Scripts::new(address, wait, node.map(|(_, node)| node.as_str()));
        Self { keys, scripts, cache: memory, machine, damaged: BTreeSet::new() }
    }
}
