//! A connection to one server, with an end to every wait.
//!
//! The library limits each read and each write, but not how many there are, nor the look-up of a name, nor the wait for a
//! socket in the file system. So a thread talks to the server, and whoever asked waits for the thread.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use redis::{Client, ConnectionLike, Pipeline, RedisError, RedisResult, Value};

use super::client::client;
use super::failure::Failure;
use crate::config::redis_address::{Node, TlsFiles};

/// The shortest wait: the library takes none of no time at all.
const SHORTEST: Duration = Duration::from_millis(1);

/// A connection to one server. After an error that is not the server's it is of no use.
pub struct Link {
    /// The server.
    pub node: Node,
    wait: Duration,
    requests: Sender<Vec<u8>>,
    replies: Receiver<RedisResult<Value>>,
}

impl Link {
    /// Connects, and sends the commands of the greeting, within `to_connect`. `wait`: for each reply after that.
    pub fn open(
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
        let link = Self { node: node.clone(), wait, requests, replies };
        let started = thread::Builder::new().name("redis".into()).spawn(talk).map_err(RedisError::from);
        started.and_then(|_| link.reply(to_connect)).map_err(|error| Failure::of(node, &error))?;
        Ok(link)
    }

    /// Sends a request, and answers with the reply to it.
    pub fn ask(&self, request: &[u8]) -> RedisResult<Value> {
        // Where the thread has ended, there is no reply either.
        let _ = self.requests.send(request.to_vec());
        self.reply(self.wait)
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
