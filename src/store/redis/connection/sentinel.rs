//! Asking sentinels which server is the master.

use std::time::Instant;

use redis::Value;

use super::failure::Failure;
use super::limits::{Limits, share};
use super::link::{Link, Login};
use crate::config::redis_address::{Address, Node};

/// The master, by the first sentinel that answers before `deadline`.
pub fn find_master(
    address: &Address,
    master: &str,
    limits: Limits,
    deadline: Instant,
) -> Result<Node, Failure> {
    let mut last = None;
    for (i, sentinel) in address.nodes.iter().enumerate() {
        let until = share(deadline, address.nodes.len() - i);
        match ask(address, sentinel, master, limits, until) {
            Ok(node) => return Ok(node),
            Err(failure) => last = Some(failure),
        }
    }
    Err(last.unwrap_or_else(|| unknown(&address.to_string(), master)))
}

fn ask(
    address: &Address,
    sentinel: &Node,
    master: &str,
    limits: Limits,
    deadline: Instant,
) -> Result<Node, Failure> {
    let wait = deadline.saturating_duration_since(Instant::now());
    let limits = Limits { read: limits.read.min(wait), ..limits };
    let login = Login { user: &address.sentinel_login, db: 0, tls: address.tls.as_ref() };
    let mut link = Link::open(sentinel, login, limits, deadline)?;
    let mut question = redis::cmd("SENTINEL");
    let question = question.arg("GET-MASTER-ADDR-BY-NAME").arg(master).get_packed_command();
    let reply = link.ask(&[&question], &mut || ())?.pop().unwrap_or(Ok(Value::Nil));
    let answer = reply.map_err(|error| Failure::of_reply(&link.server, &error))?;
    let node = redis::from_redis_value::<(String, u16)>(answer).ok();
    node.map(|(host, port)| Node::Tcp { host, port }).ok_or_else(|| unknown(&link.server, master))
}

fn unknown(server: &str, master: &str) -> Failure {
    let problem = format!("this sentinel knows no master {master:?}");
    Failure::Other { server: server.into(), code: "NOMASTER".into(), problem }
}
