//! A connection to one server with a timeout for every wait.
//!
//! The `redis` crate limits each read and write, but not their number, nor name lookups, nor the wait for a Unix
//! socket. So a thread talks to the server, and the caller waits for the thread.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use redis::{Client, ConnectionLike, Pipeline, RedisResult, Value};

use super::client::client;
use super::failure::Failure;
use crate::config::redis_address::{Node, TlsFiles};

/// The shortest wait: the crate rejects a timeout of zero.
const SHORTEST: Duration = Duration::from_millis(1);

/// A connection to one server.
pub struct Link {
    /// The server.
    pub node: Node,
    /// Whether it failed to connect, or broke: it cannot be used again.
    pub is_broken: bool,
    /// Until connected: the time limit for it.
    to_connect: Option<Duration>,
    wait: Duration,
    requests: Sender<Vec<u8>>,
    replies: Receiver<RedisResult<Value>>,
}

impl Link {
    /// Starts to connect and send the greeting, within `to_connect`. The caller can [ask](Self::ask) at once.
    pub fn begin(
        node: &Node,
        tls: Option<&TlsFiles>,
        greeting: Pipeline,
        to_connect: Duration,
        wait: Duration,
    ) -> Result<Self, Failure> {
        let client = client(node, tls)?;
        let to_connect = to_connect.max(SHORTEST);
        let (requests, asked) = mpsc::channel::<Vec<u8>>();
        let (answer, replies) = mpsc::channel();
        let talk = move || {
            let (mut connection, mut reply) =
                match connect(&client, &greeting, to_connect, wait.max(SHORTEST)) {
                    Ok(connection) => (connection, Ok(Value::Okay)),
                    Err(error) => return drop(answer.send(Err(error))),
                };
            while answer.send(reply).is_ok()
                && let Ok(request) = asked.recv()
            {
                reply = connection.req_packed_command(&request).and_then(Value::extract_error);
            }
        };
        let started = thread::Builder::new().name("redis".into()).spawn(talk);
        started.map_err(|error| Failure::from_error(node, &error.into()))?;
        let (node, to_connect) = (node.clone(), Some(to_connect));
        Ok(Self { node, is_broken: false, to_connect, wait, requests, replies })
    }

    /// Waits until it is connected.
    pub fn connected(mut self) -> Result<Self, Failure> {
        match self.to_connect.take().map(|limit| self.reply(limit)) {
            Some(Err(error)) => Err(Failure::from_error(&self.node, &error)),
            _ => Ok(self),
        }
    }

    /// Sends a request, and returns the reply.
    pub fn ask(&mut self, request: &[u8]) -> RedisResult<Value> {
        // If the thread has ended, there is no reply either.
        let _ = self.requests.send(request.to_vec());
        let connected = self.to_connect.take().map_or(Ok(Value::Okay), |limit| self.reply(limit));
        self.is_broken = connected.is_err();
        let reply = connected.and_then(|_| self.reply(self.wait));
        // An error without a code is a connection error.
        self.is_broken |= reply.as_ref().is_err_and(|error| error.code().is_none());
        reply
    }

    fn reply(&self, wait: Duration) -> RedisResult<Value> {
        self.replies.recv_timeout(wait).unwrap_or_else(|error| {
            let kind = match error {
                RecvTimeoutError::Timeout => io::ErrorKind::TimedOut,
                RecvTimeoutError::Disconnected => io::ErrorKind::UnexpectedEof,
            };
            Err(io::Error::from(kind).into())
        })
    }
}

fn connect(
    client: &Client,
    greeting: &Pipeline,
    to_connect: Duration,
    wait: Duration,
) -> RedisResult<redis::Connection> {
    let mut connection = client.get_connection_with_timeout(to_connect)?;
    connection.set_read_timeout(Some(wait))?;
    connection.set_write_timeout(Some(wait))?;
    if !greeting.is_empty() {
        greeting.exec(&mut connection)?;
    }
    Ok(connection)
}
