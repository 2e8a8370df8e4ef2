//! The connection to Redis, with real servers: `Server::start()`, with `Proxy::to(&server)` in front of it to count or
//! break the traffic.

// Each test uses only a part of the rig.
#![allow(dead_code, unused_imports)]

mod addresses;
pub mod certificates;
mod cluster;
mod failures;
mod nodes;
mod proxy;
mod scripts;
mod server;
mod tls;
mod tls_nodes;
pub mod users;
mod wire;

use std::time::Duration;

pub use cluster::Cluster;
use fusebox::config::redis_address::Address;
use fusebox::store::redis::connection::{Connection, Failure};
pub use proxy::{Manner, Proxy, Seen};
pub use server::{Options, PATIENCE, Server, bytes, free_port, text};

/// A timeout that no test reaches, even on a busy machine.
pub const WAIT: Duration = PATIENCE;

/// A connection to a URL.
pub fn open(url: &str) -> Connection {
    Connection::open(&Address::parse(url).unwrap(), WAIT).unwrap()
}

/// A connection to this address, after a first script ran over it.
pub fn connect(address: &Address, wait: Duration) -> Result<Connection, Failure> {
    let mut connection = Connection::open(address, wait)?;
    connection.run("return 1", &[], &[])?;
    Ok(connection)
}

/// The reply to a command.
pub fn call(connection: &mut Connection, words: &[&str]) -> Result<redis::Value, Failure> {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    connection.run("return redis.call(unpack(ARGV))", &[], &words)
}

/// A timeout that tests are meant to reach.
pub const SHORT: Duration = Duration::from_millis(100);

/// The failure of a request to a URL, with this timeout.
pub fn failure(url: &str, wait: Duration) -> Failure {
    let address = Address::parse(url).unwrap();
    let count = "return redis.call('INCR', KEYS[1])";
    let answer = Connection::open(&address, wait).and_then(|mut c| c.run(count, &[b"n"], &[]));
    answer.expect_err("it fails")
}
