//! Runs scripts over one connection, which is opened at its first use.

use std::str::FromStr;
use std::time::Duration;

use redis::{FromRedisValue, Value};

use super::connection::Connection;
use super::keys::Keys;
use crate::config::redis_address::Address;
use crate::store::{Result, StoreError};

/// Each is described in its file.
pub const STEP: &str =
    concat!(include_str!("writes.lua"), include_str!("counters.lua"), include_str!("step.lua"));
pub const ANNOUNCE: &str =
    concat!(include_str!("writes.lua"), include_str!("counters.lua"), include_str!("announce.lua"));
pub const ADD_UP: &str =
    concat!(include_str!("writes.lua"), include_str!("counters.lua"), include_str!("add_up.lua"));
pub const RIGHTS: &str = include_str!("rights.lua");
const COMMANDS: &str = include_str!("commands.lua");

/// Commands per request. Redis does nothing else meanwhile.
const MAX_COMMANDS: usize = 500;

/// The scripts and their connection.
pub struct Scripts {
    address: Address,
    wait: Duration,
    connection: Option<Connection>,
}

impl Scripts {
    /// Scripts at this address, not connected yet. `node`: the last result of [`Self::node`].
    pub fn new(address: Address, wait: Duration, node: Option<&str>) -> Self {
        let address = node.map_or_else(|| address.clone(), |node| address.with_node(node));
        Self { address, wait, connection: None }
    }

    /// The address, and the node with its keys: see [`Connection::moved_to`].
    pub fn node(&self) -> Option<(String, String)> {
        let node = self.connection.as_ref().and_then(Connection::moved_to)?;
        Some((self.address.to_string(), node))
    }

    /// Starts to connect.
    pub fn connect(&mut self) -> Result<&mut Connection> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.address, self.wait)?,
        };
        Ok(self.connection.insert(connection))
    }

    /// Runs a script. Returns its reply.
    pub fn run<T: FromRedisValue>(
        &mut self,
        script: &'static str,
        keys: &Keys,
        arguments: &[impl AsRef<[u8]>],
    ) -> Result<T> {
        let arguments: Vec<&[u8]> = arguments.iter().map(AsRef::as_ref).collect();
        decode(self.connect()?.run(script, &[keys.store_id().as_bytes()], &arguments)?)
    }

    /// Runs commands in order. Returns their replies. Those that fit into one reply are atomic.
    pub fn commands(&mut self, keys: &Keys, commands: &[Vec<String>]) -> Result<Vec<Value>> {
        let mut replies = Vec::with_capacity(commands.len());
        while replies.len() < commands.len() {
            let mut arguments = Vec::new();
            for words in commands[replies.len()..].iter().take(MAX_COMMANDS) {
                arguments.push(words.len().to_string());
                arguments.extend_from_slice(words);
            }
            let answered: Vec<Value> = self.run(COMMANDS, keys, &arguments)?;
            if answered.is_empty() {
                return Err(StoreError::Damaged("Redis ran none of the commands".into()));
            }
            replies.extend(answered);
        }
        Ok(replies)
    }

    /// Runs one command. Returns its reply.
    pub fn command<T: FromRedisValue>(&mut self, keys: &Keys, words: &[&str]) -> Result<T> {
        decode(self.commands(keys, &[command(words)])?.pop().unwrap_or(Value::Nil))
    }
}

/// The words of a command.
pub fn command(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Converts a reply.
pub fn decode<T: FromRedisValue>(reply: Value) -> Result<T> {
    // The original error contains the reply.
    redis::from_redis_value(reply)
        .map_err(|_| StoreError::Damaged("Fusebox does not understand the answer of Redis".into()))
}

/// Parses a stored value; `None` if it is unreadable.
pub fn parse<T: FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
