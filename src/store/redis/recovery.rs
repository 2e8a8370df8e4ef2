//! A store that lost what it knew, and the machines that fill it again: each has transcripts that no other one has.
//!
//! A mark names the store that is to be filled; the machines that have read everything for that one are in a set. A mark
//! of another name is of a store that is no more.

use redis::Value;

use super::plan::command;
use super::workspace::Workspace;
use super::{KEPT_S, RedisStore, new_epoch, plan};
use crate::domain::time::Timestamp;
use crate::env::clock;
use crate::store::Result;

impl RedisStore {
    pub(super) fn is_rebuilding(&mut self) -> Result<bool> {
        let Some(epoch) = self.marked()? else { return Ok(false) };
        let machine = self.machine.name();
        Ok(plan::number(self.ask(&["SISMEMBER", &self.keys.filled(&epoch), &machine])?)? == 0)
    }

    /// The name of the store, where it is to be filled.
    fn marked(&mut self) -> Result<Option<String>> {
        let places = [self.keys.rebuilding(), self.keys.epoch()];
        let ask = places.map(|key| command(&["GET", &key]));
        let answers = self.link.commands(&self.keys, &ask)?.into_iter();
        let found = answers.map(plan::bytes).collect::<Result<Vec<_>>>()?;
        let [Some(mark), Some(epoch)] = &found[..] else { return Ok(None) };
        Ok((mark == epoch).then(|| String::from_utf8_lossy(epoch).into_owned()))
    }

    /// `rebuilding`: there is something to be filled, by this machine at least. Else it has done so; others may not.
    pub(super) fn set_rebuilding(&mut self, rebuilding: bool) -> Result<()> {
        let (key, mark, machine) = (self.keys.epoch(), self.keys.rebuilding(), self.machine.name());
        let (new, now) = (new_epoch(), clock());
        self.in_step("", Timestamp(0), |workspace| {
            let epoch = workspace.at(&key, "").unwrap_or_else(|| new.as_bytes().into());
            let filled = workspace.keys.filled(&String::from_utf8_lossy(&epoch));
            match (rebuilding, workspace.at(&mark, "")) {
                (true, _) => {
                    workspace.put(&key, "", epoch.clone());
                    workspace.put(&mark, "", epoch);
                    workspace.command("set", &["SREM", &filled, &machine]);
                    see_machine(workspace, &machine, now);
                }
                (false, Some(marked)) if marked == epoch => {
                    workspace.command("set", &["SADD", &filled, &machine]);
                }
                // A write that changes nothing: who asks for it wants to know whether it can.
                (false, _) => {
                    let machines = workspace.keys.machines();
                    workspace.command("zset", &["ZADD", &machines, "XX", "GT", "0", &machine]);
                }
            }
            Ok(())
        })
    }

    /// The machines that were seen within the time that is kept, and have not read everything again.
    pub(super) fn recovering(&mut self, now: Timestamp) -> Result<Vec<String>> {
        let Some(epoch) = self.marked()? else { return Ok(Vec::new()) };
        let since = now.plus_millis(-KEPT_S * 1000).0.to_string();
        let seen = command(&["ZRANGEBYSCORE", &self.keys.machines(), &since, "+inf"]);
        let read = command(&["SMEMBERS", &self.keys.filled(&epoch)]);
        let mut answers = self.link.commands(&self.keys, &[seen, read])?.into_iter();
        let mut next = || -> Result<Vec<String>> {
            let list = plan::list(answers.next().unwrap_or(Value::Nil))?;
            list.into_iter().map(plan::text).collect()
        };
        let (mut seen, read) = (next()?, next()?);
        seen.retain(|machine| !read.contains(machine));
        seen.sort();
        Ok(seen)
    }

    pub(super) fn renew(&mut self, epoch: &str) -> Result<String> {
        let (key, mark, new) = (self.keys.epoch(), self.keys.rebuilding(), new_epoch());
        self.memory.forget();
        self.in_step("", Timestamp(0), |workspace| {
            let is = workspace.at(&key, "").unwrap_or_default();
            if *is != *epoch.as_bytes() {
                return Ok(String::from_utf8_lossy(&is).into_owned());
            }
            workspace.put(&key, "", new.clone().into_bytes());
            workspace.put(&mark, "", new.clone().into_bytes());
            Ok(new.clone())
        })
    }
}

/// Notes that a machine (see [`RedisStore::reader`]) is there; those that nobody has seen for long are forgotten.
pub(super) fn see_machine(workspace: &mut Workspace, reader: &str, now: Timestamp) {
    let machines = workspace.keys.machines();
    let old = now.plus_millis(-KEPT_S * 1000).0.to_string();
    workspace.command("zset", &["ZADD", &machines, "GT", &now.0.to_string(), reader]);
    workspace.command("zset", &["ZREMRANGEBYSCORE", &machines, "-inf", &old]);
}
