//! One connection to Redis, for a process that makes one request: every step of it ends in time, and nothing goes over the
//! wire but that request, and before it a login and the choice of a database where the address has them.

mod failure;
mod link;
mod script;
mod wire;

use std::time::{Duration, Instant};

use redis::{Cmd, Value};

pub use failure::Failure;
use link::{Link, Reply};
pub use script::Script;

use super::address::{Address, Node};

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For a connection: names resolved, connected, TLS agreed.
    pub connect: Duration,
    /// For the whole reply to a request.
    pub read: Duration,
    /// For a request to be sent.
    pub write: Duration,
}

/// A connection. After a failure the next call connects anew.
pub struct Connection {
    address: Address,
    limits: Limits,
    link: Option<Link>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// No server can be reached in time, or it is not Redis.
    pub fn open(address: &Address, limits: Limits) -> Result<Self, Failure> {
        let mut connection = Self { address: address.clone(), limits, link: None };
        connection.link = Some(connection.connect()?);
        Ok(connection)
    }

    /// Runs a script, and teaches it to a server that does not know it.
    ///
    /// # Errors
    /// See [`Failure`]. Whether the script ran is not known when the connection broke.
    pub fn run(&mut self, script: &Script, keys: &[&[u8]], args: &[&[u8]]) -> Result<Value, Failure> {
        let mut call = redis::cmd("EVALSHA");
        call.arg(script.sha1()).arg(keys.len());
        for text in keys.iter().chain(args) {
            call.arg(*text);
        }
        let reply = self.request(&call, Some(script))?;
        reply.map_err(|error| self.failure(&error))
    }

    /// Sends a command.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn command(&mut self, command: &Cmd) -> Result<Value, Failure> {
        let reply = self.request(command, None)?;
        reply.map_err(|error| self.failure(&error))
    }

    /// The node that answers, as `host:port`, where it is not the one that the address starts at: begin there next time,
    /// by [`Address::with_node`].
    pub fn moved_to(&self) -> Option<String> {
        None
    }

    fn connect(&self) -> Result<Link, Failure> {
        let deadline = Instant::now() + self.limits.connect;
        let node = self.address.start.as_ref().or(self.address.nodes.first());
        let nowhere = Node::Tcp { host: String::new(), port: 0 };
        Link::open(node.unwrap_or(&nowhere), &self.address.login, self.address.db, self.limits, deadline)
    }

    fn request(&mut self, command: &Cmd, script: Option<&Script>) -> Result<Reply, Failure> {
        let mut link = match self.link.take() {
            Some(link) => link,
            None => self.connect()?,
        };
        let reply = ask(&mut link, command, script)?;
        self.link = Some(link);
        Ok(reply)
    }

    fn failure(&self, error: &redis::ServerError) -> Failure {
        let server = self.link.as_ref().map_or_else(|| self.address.to_string(), |link| link.server.clone());
        Failure::of_reply(&server, error)
    }
}

/// Sends a command. A script that the server does not know is loaded, and the command sent again.
fn ask(link: &mut Link, command: &Cmd, script: Option<&Script>) -> Result<Reply, Failure> {
    let only = |replies: Vec<Reply>| replies.into_iter().last().unwrap_or(Ok(Value::Nil));
    let reply = only(link.ask(&[command])?);
    match (&reply, script) {
        (Err(error), Some(script)) if error.code() == "NOSCRIPT" => {
            let mut load = redis::cmd("SCRIPT");
            load.arg("LOAD").arg(script.source());
            let mut replies = link.ask(&[&load, command])?;
            let again = replies.pop().unwrap_or(Ok(Value::Nil));
            match replies.pop() {
                Some(Err(error)) => Ok(Err(error)),
                _ => Ok(again),
            }
        }
        _ => Ok(reply),
    }
}
