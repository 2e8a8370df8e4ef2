//! The connection to Redis, whatever the address names: one server, nodes of a cluster, or sentinels that know a master.
//!
//! The library's client for clusters connects to all nodes for one request, and that for sentinels waits without limit.

mod client;
mod failure;
mod link;

use std::time::Duration;

pub use failure::{Failure, Kind};
use link::Link;
use redis::{Cmd, ErrorKind, Pipeline, RedisResult, ServerErrorKind, Value};

use crate::config::redis_address::{self as address, Address, Login, Node, Topology};

/// How often a cluster may send one request to another node.
const MOVES: u32 = 3;

/// A connection. After a failure the next call connects anew.
pub struct Connection {
    address: Address,
    /// For a connection, and for each reply.
    wait: Duration,
    link: Option<Link>,
}

impl Connection {
    /// Connects, and logs in; `wait` limits that, and each reply.
    pub fn open(address: &Address, wait: Duration) -> Result<Self, Failure> {
        let mut connection = Self { address: address.clone(), wait, link: None };
        connection.link = Some(connection.connect()?);
        Ok(connection)
    }

    /// Runs a script, which a server that does not know it is taught. When the connection broke, it may have run.
    pub fn run(&mut self, script: &str, keys: &[&[u8]], args: &[&[u8]]) -> Result<Value, Failure> {
        let mut call = redis::cmd("EVALSHA");
        call.arg(redis::Script::new(script).get_hash()).arg(keys.len()).arg(keys).arg(args);
        self.request(&call, Some(script))
    }

    /// Sends a command, in the same way.
    pub fn command(&mut self, command: &Cmd) -> Result<Value, Failure> {
        self.request(command, None)
    }

    /// The node that has the keys, as `host:port`, where it is not the one that the address starts at. Begin there next time,
    /// by [`Address::with_node`].
    pub fn moved_to(&self) -> Option<String> {
        let node =
            self.link.as_ref().map(|link| &link.node).filter(|node| Some(*node) != self.address.first());
        node.map(Node::to_string)
    }

    /// Sends a request to the node that it is for: another one, or a master that became a replica, says that it is not.
    fn request(&mut self, command: &Cmd, script: Option<&str>) -> Result<Value, Failure> {
        let command = command.get_packed_command();
        let mut moves = 0;
        let mut is_master_sure = false;
        loop {
            let mut link = match self.link.take() {
                Some(link) => link,
                None => self.connect()?,
            };
            let reply = ask(&link, &command, script);
            if let Some(node) = redirect(&reply, &link.node)
                && moves < MOVES
            {
                moves += 1;
                link = self.open_node(&node, self.wait)?;
            } else if let Topology::Sentinel { master } = &self.address.topology
                && is_error(&reply, ServerErrorKind::ReadOnly)
                && !is_master_sure
            {
                is_master_sure = true;
                link = self.connect_master(master, self.wait)?;
            } else {
                let server = link.node.clone();
                // An error without a code is one of the connection, which is of no use any more.
                if reply.as_ref().map_or_else(|error| error.code().is_some(), |_| true) {
                    self.link = Some(link);
                }
                return reply.map_err(|error| Failure::of(&server, &error));
            }
            self.link = Some(link);
        }
    }

    /// Connects to where the address starts, or to the next of its nodes that can be reached.
    fn connect(&self) -> Result<Link, Failure> {
        let Address { topology, start, nodes, .. } = &self.address;
        let Topology::Sentinel { master } = topology else {
            let nodes: Vec<&Node> = start.iter().chain(nodes).collect();
            return self.first_of(&nodes, self.wait, |node, wait| self.open_node(node, wait));
        };
        let known = start.as_ref().and_then(|node| self.open_node(node, self.wait / 2).ok());
        known.map_or_else(|| self.connect_master(master, self.wait / 2), Ok)
    }

    /// Connects to the master that the first sentinel names that answers.
    fn connect_master(&self, master: &str, wait: Duration) -> Result<Link, Failure> {
        let sentinels: Vec<&Node> = self.address.nodes.iter().collect();
        let ask = |sentinel: &Node, wait| self.ask_sentinel(sentinel, master, wait);
        self.open_node(&self.first_of(&sentinels, wait / 2, ask)?, wait / 2)
    }

    fn ask_sentinel(&self, sentinel: &Node, master: &str, wait: Duration) -> Result<Node, Failure> {
        let Address { sentinel_login, tls, .. } = &self.address;
        let link = Link::open(sentinel, tls.as_ref(), greeting(sentinel_login), wait, wait)?;
        let mut question = redis::cmd("SENTINEL");
        let question = question.arg("GET-MASTER-ADDR-BY-NAME").arg(master).get_packed_command();
        let answer = link.ask(&question).map_err(|error| Failure::of(sentinel, &error))?;
        let node = redis::from_redis_value::<(String, u16)>(answer);
        let unknown =
            || Failure::new(Kind::Other, sentinel, format!("this sentinel knows no master {master:?}"));
        node.map(|(host, port)| Node::Tcp { host, port }).map_err(|_| unknown())
    }

    fn open_node(&self, node: &Node, wait: Duration) -> Result<Link, Failure> {
        let Address { login, db, tls, .. } = &self.address;
        let mut greeting = greeting(login);
        // The library begins TLS with the first command, and who is not trusted is to be known when connecting.
        if *db != 0 || tls.is_some() {
            greeting.cmd("SELECT").arg(db);
        }
        Link::open(node, tls.as_ref(), greeting, wait, self.wait)
    }

    /// What is made of the first of these nodes with which it can be; each gets an equal share of the wait.
    fn first_of<T>(
        &self,
        nodes: &[&Node],
        wait: Duration,
        attempt: impl Fn(&Node, Duration) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let share = wait / u32::try_from(nodes.len()).unwrap_or(u32::MAX).max(1);
        let mut made = Err(Failure::new(Kind::Unreachable, &self.address, "it names no server"));
        for node in nodes {
            made = attempt(node, share);
            if made.is_ok() {
                break;
            }
        }
        made
    }
}

/// A login. The library could send it, too, but hides what the server says to it.
fn greeting(login: &Login) -> Pipeline {
    let mut greeting = redis::pipe();
    if let Some(password) = &login.password {
        greeting.cmd("AUTH").arg(login.user.as_deref()).arg(password);
    }
    greeting
}

/// Sends a command. A script that the server does not know is loaded, and the command sent again.
fn ask(link: &Link, command: &[u8], script: Option<&str>) -> RedisResult<Value> {
    let reply = link.ask(command);
    let Some(script) = script.filter(|_| is_error(&reply, ServerErrorKind::NoScript)) else { return reply };
    link.ask(&redis::cmd("SCRIPT").arg("LOAD").arg(script).get_packed_command())?;
    link.ask(command)
}

fn is_error(reply: &RedisResult<Value>, kind: ServerErrorKind) -> bool {
    reply.as_ref().is_err_and(|error| error.kind() == ErrorKind::Server(kind))
}

/// Where `MOVED 3999 host:port` sends a request; without a host it is the one that said so. (`ASK` is not followed: keys that
/// have not moved yet would look missing there.)
fn redirect(reply: &RedisResult<Value>, from: &Node) -> Option<Node> {
    let (place, _) =
        reply.as_ref().err().filter(|_| is_error(reply, ServerErrorKind::Moved))?.redirect_node()?;
    match (place.strip_prefix(':'), from) {
        (Some(port), Node::Tcp { host, .. }) => {
            Some(Node::Tcp { host: host.clone(), port: port.parse().ok()? })
        }
        _ => address::read_host(place, 6379).ok(),
    }
}
