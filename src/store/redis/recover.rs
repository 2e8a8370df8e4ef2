//! A store that lost what it knew, and the machines that fill it again: each has transcripts that no other one has.
//!
//! A mark names the store that is to be filled; the machines that have read everything for that one are in a set. A mark
//! of another name is of a store that is no more.

use std::collections::{BTreeSet, HashMap};

use redis::Value;

use super::charged::see_machine;
use super::scripts::{command, parsed, read};
use super::standings::Hash;
use super::workspace::Workspace;
use super::{DECIDED_S, KEPT_S, RedisStore};
use crate::domain::budget::Scope;
use crate::domain::time::Timestamp;
use crate::platform::clock;
use crate::store::{Own, Recover, Result, Watch};

impl Recover for RedisStore {
    fn epoch(&mut self) -> Result<String> {
        self.in_step("", |workspace| Ok(epoch_of(workspace)))
    }

    fn is_rebuilding(&mut self) -> Result<bool> {
        let Some(epoch) = self.marked()? else { return Ok(false) };
        let filled = self.keys.filled(&epoch);
        Ok(self.scripts.command::<u64>(&self.keys, &["SISMEMBER", &filled, &self.machine])? == 0)
    }

    fn set_rebuilding(&mut self, rebuilding: bool) -> Result<()> {
        let (mark, now) = (self.keys.rebuilding(), clock());
        self.in_step("", |workspace| {
            let epoch = epoch_of(workspace);
            let (filled, machines) = (workspace.keys.filled(&epoch), workspace.keys.machines());
            let machine = workspace.machine;
            match (rebuilding, workspace.at(&mark, "")) {
                (true, _) => {
                    workspace.put(&mark, "", epoch);
                    workspace.write(&["SREM", &filled, machine]);
                    see_machine(workspace, now);
                }
                (false, Some(marked)) if marked == epoch.as_bytes() => {
                    workspace.write(&["SADD", &filled, machine]);
                }
                // A write that changes nothing: who asks for it wants to know whether it can.
                (false, _) => workspace.write(&["ZADD", &machines, "XX", "GT", "0", machine]),
            }
            Ok(())
        })
    }

    fn recovering(&mut self, now: Timestamp) -> Result<Vec<String>> {
        let Some(epoch) = self.marked()? else { return Ok(Vec::new()) };
        let since = now.plus_millis(-KEPT_S * 1000).0.to_string();
        let seen = command(&["ZRANGEBYSCORE", &self.keys.machines(), &since, "+inf"]);
        let filled = command(&["SMEMBERS", &self.keys.filled(&epoch)]);
        let replies = self.scripts.commands(&self.keys, &[seen, filled])?;
        let (mut seen, filled): (Vec<String>, Vec<String>) = read(Value::Array(replies))?;
        seen.retain(|machine| !filled.contains(machine));
        seen.sort();
        Ok(seen)
    }

    fn renew(&mut self, epoch: &str) -> Result<String> {
        let (key, mark, new) = (self.keys.epoch(), self.keys.rebuilding(), new_epoch());
        self.in_step("", |workspace| {
            let is = epoch_of(workspace);
            if is != epoch {
                return Ok(is);
            }
            workspace.put(&key, "", new.clone());
            workspace.put(&mark, "", new.clone());
            Ok(new.clone())
        })
    }

    fn sequences(&mut self) -> Result<HashMap<String, u64>> {
        self.batches("sequence")
    }

    fn own_batches(&mut self) -> Result<HashMap<String, Own>> {
        let machine = self.machine.clone();
        let all = self.batches(&format!("sequence:{machine}"))?.into_iter();
        Ok(all.map(|(id, batches)| (id, Own::of(machine.clone(), batches))).collect())
    }

    fn count_anew(&mut self, watches: &[Watch], now: Timestamp) -> Result<()> {
        for watch in watches.iter().filter(|watch| watch.budget.scope == Scope::Session) {
            self.in_step(&watch.value, |workspace| workspace.correct_counts(&watch.value))?;
        }
        self.added_up(watches, now, None, true).map(drop)
    }

    fn damaged(&mut self) -> Result<BTreeSet<String>> {
        let set_aside: Hash = self.scripts.command(&self.keys, &["HGETALL", &self.keys.damaged()])?;
        Ok(set_aside.into_keys().chain(self.damaged.iter().cloned()).collect())
    }

    fn installed(&mut self) -> Result<Option<Timestamp>> {
        let text: Option<Vec<u8>> = self.scripts.command(&self.keys, &["GET", &self.keys.installed()])?;
        Ok(text.and_then(|text| parsed(&text)).map(Timestamp))
    }

    fn install(&mut self, now: Timestamp) -> Result<()> {
        let (key, now, ttl) = (self.keys.installed(), now.0.to_string(), (10 * DECIDED_S).to_string());
        self.scripts.command(&self.keys, &["SET", &key, &now, "NX", "EX", &ttl])
    }
}

impl RedisStore {
    /// The name of the store, where it is to be filled.
    fn marked(&mut self) -> Result<Option<String>> {
        let ask = [self.keys.rebuilding(), self.keys.epoch()].map(|key| command(&["GET", &key]));
        let replies = self.scripts.commands(&self.keys, &ask)?;
        let (mark, epoch): (Option<Vec<u8>>, Option<Vec<u8>>) = read(Value::Array(replies))?;
        let epoch = epoch.filter(|epoch| mark.as_ref() == Some(epoch));
        Ok(epoch.map(|epoch| String::from_utf8_lossy(&epoch).into_owned()))
    }

    /// A number of each session's batches.
    fn batches(&mut self, field: &str) -> Result<HashMap<String, u64>> {
        let ids = self.session_ids()?;
        let commands: Vec<_> = ids.iter().map(|id| command(&["HGET", &self.keys.live(id), field])).collect();
        let mut all = HashMap::new();
        for (id, reply) in ids.into_iter().zip(self.scripts.commands(&self.keys, &commands)?) {
            let number = read::<Option<Vec<u8>>>(reply)?.and_then(|text| parsed(&text));
            all.insert(id, number.unwrap_or(0));
        }
        Ok(all)
    }
}

/// What the store is called, which gets a name where it has none.
pub fn epoch_of(workspace: &mut Workspace) -> String {
    let key = workspace.keys.epoch();
    if let Some(epoch) = workspace.at(&key, "") {
        return String::from_utf8_lossy(&epoch).into_owned();
    }
    let epoch = new_epoch();
    workspace.put(&key, "", epoch.clone());
    epoch
}

/// A name for a store that nobody has named.
fn new_epoch() -> String {
    use std::hash::{BuildHasher, Hasher};
    format!("{:016x}", std::collections::hash_map::RandomState::new().build_hasher().finish())
}
