//! A connection to one server, with an end to every wait.
//!
//! The library limits each read and each write, but not how many there are, nor the look-up of a name, nor the wait for a
//! socket in the file system. So a thread talks to the server, and whoever asked waits for the thread.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use redis::{Client, ConnectionLike, Pipeline, RedisResult, Value};

use super::client::client;
use super::failure::Failure;
use crate::config::redis_address::{Node, TlsFiles};

/// The shortest wait: the library takes none of no time at all.
const SHORTEST: Duration = Duration::from_millis(1);

/// A connection to one server.
pub struct Link {
    /// The server.
    pub node: Node,
    /// It could not connect, or broke: it is of no use any more.
    pub is_broken: bool,
    /// Until it is known to be connected: how long that may take.
    to_connect: Option<Duration>,
    wait: Duration,
    requests: Sender<Vec<u8>>,
    replies: Receiver<RedisResult<Value>>,
}

impl Link {
    /// Begins to connect and send the greeting, at most for `to_connect`; the caller can [ask](Self::ask) at once.
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

    /// Sends a request, and answers with the reply to it.
    pub fn ask(&mut self, request: &[u8]) -> RedisResult<Value> {
        // Where the thread has ended, there is no reply either.
        let _ = self.requests.send(request.to_vec());
        let connected = self.to_connect.take().map_or(Ok(Value::Okay), |limit| self.reply(limit));
        self.is_broken = connected.is_err();
        let reply = connected.and_then(|_| self.reply(self.wait));
        // An error without a code is one of the connection.
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
