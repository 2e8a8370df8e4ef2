//! The scripts, over one connection that is opened at its first use.

use redis::Value;

use super::connection::{Connection, Limits, Script};
use super::keys::Keys;
use super::plan::{self, Frame, Plan, Reply};
use crate::config::redis_address::Address;
use crate::store::Result;

const TRANSACT: &str = include_str!("transact.lua");
const ADD_UP: &str = include_str!("add_up.lua");
const COMMANDS: &str = include_str!("commands.lua");
const REFRESH: &str = include_str!("refresh.lua");
const RIGHTS: &str = include_str!("rights.lua");

/// How commands reach Redis.
pub struct Link {
    address: Address,
    limits: Limits,
    connection: Option<Connection>,
    /// The node that is known to answer, where it is not the first one of the address.
    node: Option<String>,
}

impl Link {
    /// A link to this address, not connected yet. `node`: the one that answered last, as [`Self::node`] says.
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
        self.connected().map(drop)
    }

    fn connected(&mut self) -> Result<&mut Connection> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.address, self.limits)?,
        };
        Ok(self.connection.insert(connection))
    }

    fn run(
        &mut self,
        script: &str,
        keys: &Keys,
        write: impl FnOnce(&mut Vec<Vec<u8>>) -> Result<()>,
    ) -> Result<Value> {
        self.run_and(script, keys, write, &mut || ())
    }

    fn run_and(
        &mut self,
        script: &str,
        keys: &Keys,
        write: impl FnOnce(&mut Vec<Vec<u8>>) -> Result<()>,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<Value> {
        let mut args = Vec::new();
        write(&mut args)?;
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let reply = self.connected()?.run(&Script::new(script), &[keys.epoch().as_bytes()], &args)?;
        meanwhile();
        Ok(reply)
    }

    fn run_with(&mut self, script: &str, keys: &Keys, arguments: &[Vec<u8>]) -> Result<Value> {
        let write = |call: &mut Vec<Vec<u8>>| {
            call.extend_from_slice(arguments);
            Ok(())
        };
        self.run(script, keys, write)
    }

    /// One atomic step.
    pub fn transact(&mut self, keys: &Keys, plan: &Plan, frame: &Frame) -> Result<Reply> {
        self.transact_and(keys, plan, frame, &mut || ())
    }

    /// The same; works `meanwhile`, while the server does.
    pub fn transact_and(
        &mut self,
        keys: &Keys,
        plan: &Plan,
        frame: &Frame,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<Reply> {
        Reply::read(self.run_and(TRANSACT, keys, |call| plan.write(frame, call), meanwhile)?)
    }

    /// Several commands, of one moment.
    pub fn commands(&mut self, keys: &Keys, commands: &[Vec<String>]) -> Result<Vec<Value>> {
        let write = |call: &mut Vec<Vec<u8>>| {
            for command in commands {
                call.push(command.len().to_string().into_bytes());
                call.extend(command.iter().map(|word| word.clone().into_bytes()));
            }
            Ok(())
        };
        plan::list(self.run(COMMANDS, keys, write)?)
    }

    /// Counters, added up; see `add_up.lua`.
    pub fn add_up(&mut self, keys: &Keys, arguments: &[Vec<u8>]) -> Result<Vec<Value>> {
        plan::list(self.run_with(ADD_UP, keys, arguments)?)
    }

    /// The keys of a session live on.
    pub fn refresh(&mut self, keys: &Keys, arguments: &[Vec<u8>]) -> Result<()> {
        self.run_with(REFRESH, keys, arguments).map(drop)
    }

    /// What the user may do; see `rights.lua`.
    pub fn rights(&mut self, keys: &Keys, arguments: &[Vec<u8>]) -> Result<Vec<Value>> {
        plan::list(self.run_with(RIGHTS, keys, arguments)?)
    }
}
