//! One connection to Redis, for a process that makes one request: every step of it ends in time, and nothing goes over the
//! wire but that request, and before it a login and the choice of a database where the address has them.

mod failure;
mod limits;
mod link;
mod replies;
mod script;
mod sentinel;
mod tls;
mod wire;

use std::time::Instant;

use redis::{Cmd, Value};

pub use failure::Failure;
pub use limits::Limits;
use limits::share;
use link::{Link, Login};
use replies::Reply;
pub use script::{Call, Script};

use crate::config::redis_address::{self as address, Address, Node, Topology};

/// How often a cluster may send one request to another node.
const MOVES: u32 = 3;

/// A connection. After a failure the next call connects anew.
pub struct Connection {
    address: Address,
    limits: Limits,
    link: Option<Link>,
    /// The node that answered last.
    node: Option<Node>,
}

impl Connection {
    /// Connects. Nothing is sent yet, unless a database other than 0 is selected.
    ///
    /// # Errors
    /// No server can be reached in time, or it is not Redis.
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
        let mut call = script.call(keys);
        call.arg(args);
        self.evaluate(script, &mut call, &mut || ())
    }

    /// The same, with the call ready; works `meanwhile`, while the server does (more than once, where it is asked again).
    ///
    /// # Errors
    /// See [`Self::run`].
    pub fn evaluate(
        &mut self,
        script: &Script,
        call: &mut Call,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<Value, Failure> {
        self.request(call.packed(), Some(script), meanwhile)
    }

    /// Sends a command.
    ///
    /// # Errors
    /// See [`Failure`]. Whether it ran is not known when the connection broke.
    pub fn command(&mut self, command: &Cmd) -> Result<Value, Failure> {
        self.request(&command.get_packed_command(), None, &mut || ())
    }

    /// The node that answered last, as `host:port`, where it is not the one that the address starts at: of a cluster, the
    /// one that has the keys; by sentinels, the master. Begin there next time, by [`Address::with_node`], until it cannot be
    /// reached.
    pub fn moved_to(&self) -> Option<String> {
        self.node.as_ref().filter(|node| Some(*node) != self.address.first()).map(Node::to_string)
    }

    fn keep(&mut self, link: Link) {
        if self.node.as_ref() != Some(&link.node) {
            self.node = Some(link.node.clone());
        }
        self.link = Some(link);
    }

    /// Connects to where the address starts, or to the next of its nodes that can be reached.
    fn connect(&self) -> Result<Link, Failure> {
        let deadline = Instant::now() + self.limits.connect;
        if let Topology::Sentinel { .. } = &self.address.topology {
            let known =
                self.address.start.as_ref().and_then(|node| self.open_node(node, share(deadline, 2)).ok());
            return known.map_or_else(|| self.connect_master(deadline), Ok);
        }
        let nodes: Vec<&Node> = self.address.start.iter().chain(&self.address.nodes).collect();
        let mut last = None;
        for (i, node) in nodes.iter().enumerate() {
            match self.open_node(node, share(deadline, nodes.len() - i)) {
                Ok(link) => return Ok(link),
                Err(failure) => last = Some(failure),
            }
        }
        let (server, problem) = (self.address.to_string(), "it names no server".to_owned());
        Err(last.unwrap_or(Failure::Unreachable { server, problem }))
    }

    fn connect_master(&self, deadline: Instant) -> Result<Link, Failure> {
        let Topology::Sentinel { master } = &self.address.topology else { return self.connect() };
        let node = sentinel::find_master(&self.address, master, self.limits, deadline)?;
        self.open_node(&node, deadline)
    }

    fn open_node(&self, node: &Node, deadline: Instant) -> Result<Link, Failure> {
        let Address { login, db, tls, .. } = &self.address;
        Link::open(node, Login { user: login, db: *db, tls: tls.as_ref() }, self.limits, deadline)
    }

    fn request(
        &mut self,
        command: &[u8],
        script: Option<&Script>,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<Value, Failure> {
        let mut moves = 0;
        let mut is_master_sure = !matches!(self.address.topology, Topology::Sentinel { .. });
        loop {
            let mut link = match self.link.take() {
                Some(link) => link,
                None => self.connect()?,
            };
            let mut reply = ask(&mut link, command, script, false, meanwhile)?;
            if let Some(Redirect::Ask(node)) = redirect(&reply, &link.node) {
                // For this request only: the slot still belongs to the node that sent us there.
                let mut importing = self.open_node(&node, Instant::now() + self.limits.connect)?;
                reply = ask(&mut importing, command, script, true, meanwhile)?;
            }
            let deadline = Instant::now() + self.limits.connect;
            let next = match (redirect(&reply, &link.node), &reply) {
                (Some(Redirect::Moved(node)), _) if moves < MOVES => {
                    moves += 1;
                    self.open_node(&node, deadline)?
                }
                (_, Err(error)) if error.code == "READONLY" && !is_master_sure => {
                    is_master_sure = true;
                    self.connect_master(deadline)?
                }
                _ => {
                    let server = link.server.clone();
                    self.keep(link);
                    return reply.map_err(|error| Failure::of_reply(&server, &error));
                }
            };
            self.keep(next);
        }
    }
}

/// Where a node of a cluster sends a request.
enum Redirect {
    /// For good.
    Moved(Node),
    /// This once.
    Ask(Node),
}

/// Reads `MOVED 3999 host:port` and `ASK 3999 host:port`; without a host it is the one that said so.
fn redirect(reply: &Reply, from: &Node) -> Option<Redirect> {
    let error = reply.as_ref().err()?;
    let place = error.detail.split(' ').nth(1)?;
    let node = match (place.strip_prefix(':'), from) {
        (Some(port), Node::Tcp { host, .. }) => Node::Tcp { host: host.clone(), port: port.parse().ok()? },
        _ => address::read_host(place, 6379).ok()?,
    };
    match error.code.as_str() {
        "MOVED" => Some(Redirect::Moved(node)),
        "ASK" => Some(Redirect::Ask(node)),
        _ => None,
    }
}

/// Sends a command (`asking`: as one that was sent here by [`Redirect::Ask`]). A script that the server does not know is
/// loaded, and the command sent again.
fn ask(
    link: &mut Link,
    command: &[u8],
    script: Option<&Script>,
    asking: bool,
    meanwhile: &mut dyn FnMut(),
) -> Result<Reply, Failure> {
    let prefix = asking.then(|| redis::cmd("ASKING").get_packed_command());
    let mut commands = Vec::with_capacity(3);
    commands.extend(prefix.as_deref());
    commands.push(command);
    let reply = link.ask(&commands, meanwhile)?.pop().unwrap_or(Ok(Value::Nil));
    match (&reply, script) {
        (Err(error), Some(script)) if error.code == "NOSCRIPT" => {
            let mut load = redis::cmd("SCRIPT");
            let load = load.arg("LOAD").arg(script.source()).get_packed_command();
            commands.insert(0, &load);
            let mut replies = link.ask(&commands, &mut || ())?;
            let again = replies.pop().unwrap_or(Ok(Value::Nil));
            // Why it cannot be loaded says more than that it is not known.
            Ok(replies.into_iter().next().and_then(Result::err).map_or(again, Err))
        }
        _ => Ok(reply),
    }
}
