//! The connection to Redis, whatever the address names: one server, nodes of a cluster, or sentinels that know a master.
//!
//! Not with the library's clients for clusters and sentinels: the one connects to all nodes, while a hook makes one request,
//! to one of them; the other waits for sentinels without limit.

mod client;
mod failure;
mod link;

use std::time::{Duration, Instant};

pub use failure::Failure;
use link::Link;
use redis::{Cmd, ErrorKind, Pipeline, RedisResult, ServerErrorKind, Value};

use crate::config::redis_address::{self as address, Address, Login, Node, Topology};

/// How often a cluster may send one request to another node.
const MOVES: u32 = 3;

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For a connection: names looked up, connected, logged in.
    pub connect: Duration,
    /// For a reply.
    pub read: Duration,
    /// For a request to be sent.
    pub write: Duration,
}

/// A Lua script and the SHA-1 by which a server knows it.
#[derive(Clone, Debug)]
pub struct Script {
    source: String,
    sha1: String,
}

impl Script {
    /// A script with this text.
    pub fn new(source: &str) -> Self {
        Self { source: source.to_owned(), sha1: redis::Script::new(source).get_hash().to_owned() }
    }

    /// Its text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The SHA-1 of its text, in 40 hexadecimal digits.
    pub fn sha1(&self) -> &str {
        &self.sha1
    }
}

/// A connection. After a failure the next call connects anew.
pub struct Connection {
    address: Address,
    limits: Limits,
    link: Option<Link>,
    /// The node that answered last.
    node: Option<Node>,
}

impl Connection {
    /// Connects, and logs in.
    ///
    /// # Errors
    /// No server can be reached in time, or it refuses the login.
    pub fn open(address: &Address, limits: Limits) -> Result<Self, Failure> {
        let mut connection = Self { address: address.clone(), limits, link: None, node: None };
        let link = connection.connect()?;
        connection.keep(link);
        Ok(connection)
    }

    /// Runs a script, and teaches it to a server that does not know it. In a cluster all keys have one hash tag.
    ///
    /// # Errors
    /// See [`Failure`]. Whether the script ran is not known when the connection broke.
    pub fn run(&mut self, script: &Script, keys: &[&[u8]], args: &[&[u8]]) -> Result<Value, Failure> {
        let mut call = redis::cmd("EVALSHA");
        call.arg(script.sha1()).arg(keys.len()).arg(keys).arg(args);
        self.request(&call, Some(script))
    }

    /// Sends a command.
    ///
    /// # Errors
    /// See [`Failure`]. Whether it ran is not known when the connection broke.
    pub fn command(&mut self, command: &Cmd) -> Result<Value, Failure> {
        self.request(command, None)
    }

    /// The node that answered last, as `host:port`, where it is not the one that the address starts at: of a cluster, the
    /// one that has the keys; by sentinels, the master. Begin there next time, by [`Address::with_node`], until it cannot be
    /// reached.
    pub fn moved_to(&self) -> Option<String> {
        self.node.as_ref().filter(|node| Some(*node) != self.address.first()).map(Node::to_string)
    }

    fn keep(&mut self, link: Link) {
        self.node = Some(link.node.clone());
        self.link = Some(link);
    }

    /// Sends a request to the node that it is for: others of a cluster say which one that is; a master that became a replica
    /// says that it is not for it any more.
    fn request(&mut self, command: &Cmd, script: Option<&Script>) -> Result<Value, Failure> {
        let command = command.get_packed_command();
        let mut moves = 0;
        let mut is_master_sure = false;
        loop {
            let mut link = match self.link.take() {
                Some(link) => link,
                None => self.connect()?,
            };
            let mut reply = ask(&link, &command, script, false);
            if let Some(node) = redirect(&reply, ServerErrorKind::Ask, &link.node) {
                // For this request only: the slot still belongs to the node that sent us there.
                reply = ask(&self.open_node(&node, self.deadline())?, &command, script, true);
            }
            if let Some(node) = redirect(&reply, ServerErrorKind::Moved, &link.node)
                && moves < MOVES
            {
                moves += 1;
                link = self.open_node(&node, self.deadline())?;
            } else if let Topology::Sentinel { master } = &self.address.topology
                && is_error(&reply, ServerErrorKind::ReadOnly)
                && !is_master_sure
            {
                is_master_sure = true;
                link = self.connect_master(master, self.deadline())?;
            } else {
                let server = link.node.clone();
                // An error without a code is one of the connection, which is of no use any more.
                if reply.as_ref().map_or_else(|error| error.code().is_some(), |_| true) {
                    self.keep(link);
                }
                return reply.map_err(|error| Failure::of(&server, &error));
            }
            self.keep(link);
        }
    }

    /// Connects to where the address starts, or to the next of its nodes that can be reached.
    fn connect(&self) -> Result<Link, Failure> {
        let deadline = self.deadline();
        let Address { topology, start, nodes, .. } = &self.address;
        let Topology::Sentinel { master } = topology else {
            return self
                .first_of(start.iter().chain(nodes), deadline, |node, until| self.open_node(node, until));
        };
        let known = start.as_ref().and_then(|node| self.open_node(node, share(deadline, 2)).ok());
        known.map_or_else(|| self.connect_master(master, deadline), Ok)
    }

    /// Connects to the master that the first sentinel names that answers.
    fn connect_master(&self, master: &str, deadline: Instant) -> Result<Link, Failure> {
        let ask = |sentinel: &Node, until| self.ask_sentinel(sentinel, master, until);
        let node = self.first_of(self.address.nodes.iter(), deadline, ask)?;
        self.open_node(&node, deadline)
    }

    fn ask_sentinel(&self, sentinel: &Node, master: &str, deadline: Instant) -> Result<Node, Failure> {
        let wait = deadline.saturating_duration_since(Instant::now());
        let limits = Limits { read: self.limits.read.min(wait), ..self.limits };
        let Address { sentinel_login, tls, .. } = &self.address;
        let link = Link::open(sentinel, tls.as_ref(), greeting(sentinel_login), limits, deadline)?;
        let mut question = redis::cmd("SENTINEL");
        let question = question.arg("GET-MASTER-ADDR-BY-NAME").arg(master).get_packed_command();
        let answer = link.ask(&question).map_err(|error| Failure::of(sentinel, &error))?;
        let node = redis::from_redis_value::<(String, u16)>(answer);
        node.map(|(host, port)| Node::Tcp { host, port }).map_err(|_| Failure::Other {
            server: sentinel.to_string(),
            code: "NOMASTER".into(),
            problem: format!("this sentinel knows no master {master:?}"),
        })
    }

    fn open_node(&self, node: &Node, deadline: Instant) -> Result<Link, Failure> {
        let Address { login, db, tls, .. } = &self.address;
        let mut greeting = greeting(login);
        // The library begins TLS with the first command, and who is not trusted is to be known when connecting.
        if *db != 0 || tls.is_some() {
            greeting.cmd("SELECT").arg(db);
        }
        Link::open(node, tls.as_ref(), greeting, self.limits, deadline)
    }

    /// What is made of the first of these nodes with which it can be; each gets an equal share of the time that is left.
    fn first_of<'n, T>(
        &self,
        nodes: impl Iterator<Item = &'n Node> + Clone,
        deadline: Instant,
        attempt: impl Fn(&Node, Instant) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let (server, problem) = (self.address.to_string(), "it names no server".into());
        let mut made = Err(Failure::Unreachable { server, problem });
        let mut left = nodes.clone().count();
        for node in nodes {
            made = attempt(node, share(deadline, left));
            if made.is_ok() {
                break;
            }
            left -= 1;
        }
        made
    }

    /// When a connection that is begun now must be there.
    fn deadline(&self) -> Instant {
        Instant::now() + self.limits.connect
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

/// The moment until which the first of `count` attempts may last, so that each gets as much of the time to `deadline`.
fn share(deadline: Instant, count: usize) -> Instant {
    let now = Instant::now();
    now + deadline.saturating_duration_since(now) / u32::try_from(count).unwrap_or(u32::MAX).max(1)
}

/// Sends a command. A script that the server does not know is loaded, and the command sent again. `asking`: as one that
/// another node of the cluster sent here, where its keys do not belong yet.
fn ask(link: &Link, command: &[u8], script: Option<&Script>, asking: bool) -> RedisResult<Value> {
    let send = || {
        if asking {
            link.ask(&redis::cmd("ASKING").get_packed_command())?;
        }
        link.ask(command)
    };
    let reply = send();
    let Some(script) = script.filter(|_| is_error(&reply, ServerErrorKind::NoScript)) else { return reply };
    link.ask(&redis::cmd("SCRIPT").arg("LOAD").arg(script.source()).get_packed_command())?;
    send()
}

fn is_error(reply: &RedisResult<Value>, kind: ServerErrorKind) -> bool {
    reply.as_ref().is_err_and(|error| error.kind() == ErrorKind::Server(kind))
}

/// Where `MOVED 3999 host:port` (or `ASK …`) sends a request; without a host it is the one that said so.
fn redirect(reply: &RedisResult<Value>, kind: ServerErrorKind, from: &Node) -> Option<Node> {
    let (place, _) = reply.as_ref().err().filter(|_| is_error(reply, kind))?.redirect_node()?;
    match (place.strip_prefix(':'), from) {
        (Some(port), Node::Tcp { host, .. }) => {
            Some(Node::Tcp { host: host.clone(), port: port.parse().ok()? })
        }
        _ => address::read_host(place, 6379).ok(),
    }
}
