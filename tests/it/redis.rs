//! The connection to Redis, against real servers: `Server::start()`, and in front of it `Proxy::to(&server)` where the
//! network is to count, or to fail.

// Each test uses some of the rig.
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

/// A wait that no test on a busy machine runs into.
pub const WAIT: Duration = PATIENCE;

/// A connection to what a URL names.
pub fn open(url: &str) -> Connection {
    Connection::open(&Address::parse(url).unwrap(), WAIT).unwrap()
}

/// A connection to this address, over which a first script ran.
pub fn connect(address: &Address, wait: Duration) -> Result<Connection, Failure> {
    let mut connection = Connection::open(address, wait)?;
    connection.run("return 1", &[], &[])?;
    Ok(connection)
}

/// What a command answers.
pub fn call(connection: &mut Connection, words: &[&str]) -> Result<redis::Value, Failure> {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    connection.run("return redis.call(unpack(ARGV))", &[], &words)
}

/// A wait that a test is to run into.
pub const SHORT: Duration = Duration::from_millis(100);

/// What a request to what a URL names fails with, within this wait.
pub fn failure(url: &str, wait: Duration) -> Failure {
    let address = Address::parse(url).unwrap();
    let count = "return redis.call('INCR', KEYS[1])";
    let answer = Connection::open(&address, wait).and_then(|mut c| c.run(count, &[b"n"], &[]));
    answer.expect_err("it fails")
}
