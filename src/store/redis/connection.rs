//! A connection to any kind of address: one server, nodes of a cluster, or sentinels with a master.
//!
//! The crate's cluster client connects to all nodes for one request, and its sentinel client waits without limit.

mod client;
mod failure;
mod link;

use std::time::Duration;

pub use failure::{Failure, FailureKind};
use link::Link;
use redis::{ErrorKind, Pipeline, RedisResult, ServerErrorKind, Value};

use crate::config::redis_address::{self as address, Address, Login, Node, Topology};

/// The maximum number of redirects of one request.
const MAX_REDIRECTS: u32 = 3;

/// A connection. After a failure, the next call reconnects.
pub struct Connection {
    address: Address,
    /// Timeout for connecting, and for each reply.
    wait: Duration,
    link: Option<Link>,
}

impl Connection {
    /// Starts to connect and log in, within `wait`. With one server, the first script tells whether it is reachable.
    pub fn open(address: &Address, wait: Duration) -> Result<Self, Failure> {
        let mut connection = Self { address: address.clone(), wait, link: None };
        connection.link = Some(connection.connect()?);
        Ok(connection)
    }

    /// Runs a script on the node with the keys, loading it if the server does not know it. Follows redirects, and asks
    /// the sentinels again if the master became a replica. If the connection broke, the script may have run.
    pub fn run(&mut self, script: &str, keys: &[&[u8]], args: &[&[u8]]) -> Result<Value, Failure> {
        let mut call = redis::cmd("EVALSHA");
        call.arg(redis::Script::new(script).get_hash()).arg(keys.len()).arg(keys).arg(args);
        let call = call.get_packed_command();
        let mut moves = 0;
        loop {
            let mut link = match self.link.take() {
                Some(link) => link,
                None => self.connect()?,
            };
            let reply = ask(&mut link, &call, script);
            let next = match &self.address.topology {
                _ if moves >= MAX_REDIRECTS => None,
                Topology::Sentinel { master } if is_error(&reply, ServerErrorKind::ReadOnly) => {
                    // Ask the sentinels only once.
                    moves = MAX_REDIRECTS;
                    Some(self.connect_master(master, self.wait)?)
                }
                _ => {
                    redirect(&reply, &link.node).map(|node| self.begin_node(&node, self.wait)).transpose()?
                }
            };
            let Some(next) = next else {
                let reply = reply.map_err(|error| Failure::from_error(&link.node, &error));
                self.link = Some(link).filter(|link| !link.is_broken);
                return reply;
            };
            (self.link, moves) = (Some(next), moves + 1);
        }
    }

    /// The node with the keys, as `host:port`, unless the address starts there. Pass it to [`Address::with_node`].
    pub fn moved_to(&self) -> Option<String> {
        let node =
            self.link.as_ref().map(|link| &link.node).filter(|node| Some(*node) != self.address.first());
        node.map(Node::to_string)
    }

    /// Connects to the first reachable node, in the address's order.
    fn connect(&self) -> Result<Link, Failure> {
        let Address { topology, start, nodes, .. } = &self.address;
        let Topology::Sentinel { master } = topology else {
            let nodes: Vec<&Node> = start.iter().chain(nodes).collect();
            return match nodes[..] {
                [node] => self.begin_node(node, self.wait),
                _ => self.first_of(&nodes, self.wait, |node, wait| self.open_node(node, wait)),
            };
        };
        let known = start.as_ref().and_then(|node| self.open_node(node, self.wait / 2).ok());
        known.map_or_else(|| self.connect_master(master, self.wait / 2), Ok)
    }

    /// Connects to the master named by the first sentinel that answers.
    fn connect_master(&self, master: &str, wait: Duration) -> Result<Link, Failure> {
        let sentinels: Vec<&Node> = self.address.nodes.iter().collect();
        let ask = |sentinel: &Node, wait| self.ask_sentinel(sentinel, master, wait);
        self.open_node(&self.first_of(&sentinels, wait / 2, ask)?, wait / 2)
    }

    fn ask_sentinel(&self, sentinel: &Node, master: &str, wait: Duration) -> Result<Node, Failure> {
        let Address { sentinel_login, tls, .. } = &self.address;
        let mut link = Link::begin(sentinel, tls.as_ref(), greeting(sentinel_login), wait, wait)?;
        let mut question = redis::cmd("SENTINEL");
        let question = question.arg("GET-MASTER-ADDR-BY-NAME").arg(master).get_packed_command();
        let answer = link.ask(&question).map_err(|error| Failure::from_error(sentinel, &error))?;
        let node = redis::from_redis_value::<(String, u16)>(answer);
        let problem = format!("this sentinel does not know the master {master:?}");
        let unknown = |_| Failure::new(FailureKind::Other, sentinel, problem);
        node.map(|(host, port)| Node::Tcp { host, port }).map_err(unknown)
    }

    fn open_node(&self, node: &Node, wait: Duration) -> Result<Link, Failure> {
        self.begin_node(node, wait)?.connected()
    }

    fn begin_node(&self, node: &Node, wait: Duration) -> Result<Link, Failure> {
        let Address { login, db, tls, .. } = &self.address;
        let mut greeting = greeting(login);
        // The crate starts TLS with the first command; a failed certificate check should show when connecting.
        if *db != 0 || tls.is_some() {
            greeting.cmd("SELECT").arg(db);
        }
        Link::begin(node, tls.as_ref(), greeting, wait, self.wait)
    }

    /// The first successful attempt on these nodes. Each gets an equal share of the wait.
    fn first_of<T>(
        &self,
        nodes: &[&Node],
        wait: Duration,
        attempt: impl Fn(&Node, Duration) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let share = wait / u32::try_from(nodes.len()).unwrap_or(u32::MAX).max(1);
        let mut made = Err(Failure::new(FailureKind::Unreachable, &self.address, "it names no servers"));
        for node in nodes {
            made = attempt(node, share);
            if made.is_ok() {
                break;
            }
        }
        made
    }
}

/// A login. The crate could send it, but hides the server's error.
fn greeting(login: &Login) -> Pipeline {
    let mut greeting = redis::pipe();
    if let Some(password) = &login.password {
        greeting.cmd("AUTH").arg(login.user.as_deref()).arg(password);
    }
    greeting
}

/// Sends a script call. If the server does not know the script, loads it and sends the call again.
fn ask(link: &mut Link, call: &[u8], script: &str) -> RedisResult<Value> {
    let reply = link.ask(call);
    if !is_error(&reply, ServerErrorKind::NoScript) {
        return reply;
    }
    link.ask(&redis::cmd("SCRIPT").arg("LOAD").arg(script).get_packed_command())?;
    link.ask(call)
}

fn is_error(reply: &RedisResult<Value>, kind: ServerErrorKind) -> bool {
    reply.as_ref().is_err_and(|error| error.kind() == ErrorKind::Server(kind))
}

/// The target of `MOVED 3999 host:port`; without a host, the node that replied. (Not `ASK`: unmoved keys would look
/// missing.)
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
