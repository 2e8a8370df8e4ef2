//! The connection to Redis, against real servers: `Server::start()`, and in front of it `Proxy::to(&server)` where the
//! network is to count, or to fail.

// Each test uses some of the rig.
#![allow(dead_code, unused_imports)]

mod certificates;
mod scripts;
mod server;

use std::time::Duration;

use fusebox::store::redis::address::Address;
use fusebox::store::redis::connection::{Connection, Limits};
pub use server::{Options, PATIENCE, Server, free_port, skip, text};

/// Limits that no test on a busy machine runs into.
pub const LIMITS: Limits = Limits { connect: PATIENCE, read: PATIENCE, write: PATIENCE };

/// A connection to what a URL names.
pub fn open(url: &str) -> Connection {
    Connection::open(&Address::parse(url).unwrap(), LIMITS).unwrap()
}
