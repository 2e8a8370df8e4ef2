//! The scripts, over one connection that is opened at its first use; and what their replies hold.

use redis::Value;

use super::connection::{Connection, Limits, Script};
use super::keys::Keys;
use crate::config::redis_address::Address;
use crate::store::{Result, StoreError};

/// What stands before a script that writes.
macro_rules! writing {
    ($script:literal) => {
        concat!(include_str!("writes.lua"), include_str!($script))
    };
}

const STEP: &str = writing!("step.lua");
const ANNOUNCE: &str = writing!("announce.lua");
const ADD_UP: &str = writing!("add_up.lua");
const COMMANDS: &str = include_str!("commands.lua");
const REFRESH: &str = include_str!("refresh.lua");
const RIGHTS: &str = include_str!("rights.lua");

/// How scripts reach Redis.
pub struct Scripts {
    address: Address,
    limits: Limits,
    connection: Option<Connection>,
    /// The node that is known to answer, where it is not the first one of the address.
    node: Option<String>,
}

impl Scripts {
    /// Scripts at this address, not connected yet. `node`: the one that answered last, as [`Self::node`] says.
    pub fn new(address: Address, limits: Limits, node: Option<String>) -> Self {
        let address = node.as_ref().map_or_else(|| address.clone(), |node| address.with_node(node));
        Self { address, limits, connection: None, node }
    }

    /// The node to ask first the next time: of a cluster the one that has the keys, by sentinels the master.
    pub fn node(&self) -> Option<String> {
        self.connection.as_ref().and_then(Connection::moved_to).or_else(|| self.node.clone())
    }

    /// Connects.
    pub fn reach(&mut self) -> Result<()> {
        if self.connection.is_none() {
            self.connection = Some(Connection::open(&self.address, self.limits)?);
        }
        Ok(())
    }

    fn run(&mut self, script: &'static str, keys: &Keys, arguments: &[&[u8]]) -> Result<Value> {
        self.reach()?;
        let connection = self.connection.as_mut().ok_or_else(|| damaged("no connection"))?;
        Ok(connection.run(&Script::new(script), &[keys.epoch().as_bytes()], arguments)?)
    }

    fn run_with(&mut self, script: &'static str, keys: &Keys, arguments: &[String]) -> Result<Value> {
        let arguments: Vec<&[u8]> = arguments.iter().map(String::as_bytes).collect();
        self.run(script, keys, &arguments)
    }

    /// One atomic step; see `step.lua`.
    pub fn step(&mut self, keys: &Keys, arguments: &[&[u8]]) -> Result<Value> {
        self.run(STEP, keys, arguments)
    }

    /// Alerts are raised, and what nobody has shown is handed out; see `announce.lua`.
    pub fn announce(&mut self, keys: &Keys, ask: String) -> Result<Value> {
        self.run_with(ANNOUNCE, keys, &[ask])
    }

    /// Counters, added up; see `add_up.lua`.
    pub fn add_up(&mut self, keys: &Keys, ask: String) -> Result<Vec<Value>> {
        list(self.run_with(ADD_UP, keys, &[ask])?)
    }

    /// Commands, in their order. Those whose replies fit into one are of one moment.
    pub fn commands(&mut self, keys: &Keys, commands: &[Vec<String>]) -> Result<Vec<Value>> {
        let mut replies = Vec::with_capacity(commands.len());
        while replies.len() < commands.len() {
            // Redis does nothing else meanwhile, so some at a time.
            let mut arguments = Vec::new();
            for words in commands[replies.len()..].iter().take(MOST_COMMANDS) {
                arguments.push(words.len().to_string());
                arguments.extend_from_slice(words);
            }
            let answered = list(self.run_with(COMMANDS, keys, &arguments)?)?;
            if answered.is_empty() {
                return Err(damaged("no replies"));
            }
            replies.extend(answered);
        }
        Ok(replies)
    }

    /// One command.
    pub fn command(&mut self, keys: &Keys, words: &[&str]) -> Result<Value> {
        let mut replies = self.commands(keys, &[command(words)])?;
        Ok(replies.pop().unwrap_or(Value::Nil))
    }

    /// The keys of a session live on; see `refresh.lua`.
    pub fn refresh(&mut self, keys: &Keys, arguments: &[String]) -> Result<()> {
        self.run_with(REFRESH, keys, arguments).map(drop)
    }

    /// What the user may do; see `rights.lua`.
    pub fn rights(&mut self, keys: &Keys, arguments: &[String]) -> Result<Vec<Value>> {
        list(self.run_with(RIGHTS, keys, arguments)?)
    }
}

/// How many commands are sent at once.
const MOST_COMMANDS: usize = 500;

/// The words of a command.
pub fn command(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A reply that is a list.
pub fn list(value: Value) -> Result<Vec<Value>> {
    match value {
        Value::Array(values) => Ok(values),
        Value::Nil => Ok(Vec::new()),
        other => Err(damaged(&format!("{other:?}"))),
    }
}

/// A reply that is a list of texts.
pub fn texts(value: Value) -> Result<Vec<String>> {
    list(value)?.into_iter().map(text).collect()
}

/// A reply that is bytes, or nothing.
pub fn bytes(value: Value) -> Result<Option<Vec<u8>>> {
    match value {
        Value::BulkString(bytes) => Ok(Some(bytes)),
        Value::SimpleString(text) => Ok(Some(text.into_bytes())),
        Value::Okay => Ok(Some(b"OK".to_vec())),
        Value::Int(number) => Ok(Some(number.to_string().into_bytes())),
        Value::Nil | Value::Boolean(false) => Ok(None),
        other => Err(damaged(&format!("{other:?}"))),
    }
}

/// A reply that is a text, or nothing. What is no UTF-8 was not written by Fusebox, and makes no sense as anything else.
pub fn optional(value: Value) -> Result<Option<String>> {
    Ok(bytes(value)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// A reply that is a text.
pub fn text(value: Value) -> Result<String> {
    Ok(optional(value)?.unwrap_or_default())
}

/// A reply that is a number.
pub fn number<T: std::str::FromStr>(value: Value) -> Result<T> {
    let text = text(value)?;
    text.parse().map_err(|_| damaged(&text))
}

/// The fields of a hash, by name.
pub fn pairs(value: Value) -> Result<Vec<(String, String)>> {
    let mut rest = texts(value)?.into_iter();
    let mut pairs = Vec::new();
    while let (Some(name), Some(value)) = (rest.next(), rest.next()) {
        pairs.push((name, value));
    }
    pairs.sort();
    Ok(pairs)
}

/// A reply that no script of Fusebox makes.
pub fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(format!("Redis answered what Fusebox does not understand: {what}"))
}
