//! Refills a store that lost data. All machines take part, because each has its own transcripts.
//!
//! A mark has the id of the store to refill, a set the machines that are done. A mark with another id is obsolete.

use std::collections::{BTreeSet, HashMap};

use redis::Value;

use super::agent_state_fields::Hash;
use super::scripts::{command, decode, parse};
use super::session_record::touch_machine;
use super::unit_of_work::UnitOfWork;
use super::{DECISIONS_S, RETENTION_S, RedisStore};
use crate::domain::budget::Scope;
use crate::domain::time::Timestamp;
use crate::platform::clock;
use crate::store::{BatchSequence, BudgetKey, Recover, Result};

impl Recover for RedisStore {
    fn store_id(&mut self) -> Result<String> {
        self.in_step("", |work| Ok(store_id(work)))
    }

    fn is_rebuilding(&mut self) -> Result<bool> {
        let Some(store_id) = self.store_to_fill()? else { return Ok(false) };
        let filled = self.keys.filled(&store_id);
        Ok(self.scripts.command::<u64>(&self.keys, &["SISMEMBER", &filled, &self.machine])? == 0)
    }

    fn set_rebuilding(&mut self, rebuilding: bool) -> Result<()> {
        let (mark, now) = (self.keys.rebuilding(), clock());
        self.in_step("", |work| {
            let store_id = store_id(work);
            let (filled, machines) = (work.keys.filled(&store_id), work.keys.machines());
            let machine = work.machine;
            match (rebuilding, work.get(&mark, "")) {
                (true, _) => {
                    work.put(&mark, "", store_id);
                    work.write(&["SREM", &filled, machine]);
                    touch_machine(work, now);
                }
                (false, Some(marked)) if marked == store_id.as_bytes() => {
                    work.write(&["SADD", &filled, machine]);
                }
                // A write without effect, so that the caller learns whether it may write.
                (false, _) => work.write(&["ZADD", &machines, "XX", "GT", "0", machine]),
            }
            Ok(())
        })
    }

    fn rebuilding_machines(&mut self, now: Timestamp) -> Result<Vec<String>> {
        let Some(store_id) = self.store_to_fill()? else { return Ok(Vec::new()) };
        let since = now.plus_millis(-RETENTION_S * 1000).0.to_string();
        let seen = command(&["ZRANGEBYSCORE", &self.keys.machines(), &since, "+inf"]);
        let filled = command(&["SMEMBERS", &self.keys.filled(&store_id)]);
        let replies = self.scripts.commands(&self.keys, &[seen, filled])?;
        let (mut seen, filled): (Vec<String>, Vec<String>) = decode(Value::Array(replies))?;
        seen.retain(|machine| !filled.contains(machine));
        seen.sort();
        Ok(seen)
    }

    fn reset_store(&mut self, store_id: &str) -> Result<String> {
        let (key, mark, new) = (self.keys.store_id(), self.keys.rebuilding(), new_store_id());
        self.in_step("", |work| {
            let current = self::store_id(work);
            if current != store_id {
                return Ok(current);
            }
            work.put(&key, "", new.clone());
            work.put(&mark, "", new.clone());
            Ok(new.clone())
        })
    }

    fn sequences(&mut self) -> Result<HashMap<String, u64>> {
        self.batch_counts("sequence")
    }

    fn batch_sequences(&mut self) -> Result<HashMap<String, BatchSequence>> {
        let machine = self.machine.clone();
        let all = self.batch_counts(&format!("sequence:{machine}"))?.into_iter();
        Ok(all.map(|(id, batches)| (id, BatchSequence::new(machine.clone(), batches))).collect())
    }

    fn recount(&mut self, budgets: &[BudgetKey], now: Timestamp) -> Result<()> {
        for key in budgets.iter().filter(|key| key.budget.scope == Scope::Session) {
            self.in_step(&key.value, |work| work.correct_counts(&key.value))?;
        }
        self.recounted_states(budgets, now, None, true).map(drop)
    }

    fn damaged_records(&mut self) -> Result<BTreeSet<String>> {
        let damaged: Hash = self.scripts.command(&self.keys, &["HGETALL", &self.keys.damaged()])?;
        Ok(damaged.into_keys().chain(self.damaged.iter().cloned()).collect())
    }

    fn installed_at(&mut self) -> Result<Option<Timestamp>> {
        let text: Option<Vec<u8>> = self.scripts.command(&self.keys, &["GET", &self.keys.installed()])?;
        Ok(text.and_then(|text| parse(&text)).map(Timestamp))
    }

    fn note_installation(&mut self, now: Timestamp) -> Result<()> {
        let (key, now, ttl) = (self.keys.installed(), now.0.to_string(), (10 * DECISIONS_S).to_string());
        self.scripts.command(&self.keys, &["SET", &key, &now, "NX", "EX", &ttl])
    }
}

impl RedisStore {
    /// The id of the store, if it has to be refilled.
    fn store_to_fill(&mut self) -> Result<Option<String>> {
        let ask = [self.keys.rebuilding(), self.keys.store_id()].map(|key| command(&["GET", &key]));
        let replies = self.scripts.commands(&self.keys, &ask)?;
        let (mark, store_id): (Option<Vec<u8>>, Option<Vec<u8>>) = decode(Value::Array(replies))?;
        let store_id = store_id.filter(|store_id| mark.as_ref() == Some(store_id));
        Ok(store_id.map(|store_id| String::from_utf8_lossy(&store_id).into_owned()))
    }

    /// A batch count of each session.
    fn batch_counts(&mut self, field: &str) -> Result<HashMap<String, u64>> {
        let ids = self.session_ids()?;
        let commands: Vec<_> = ids.iter().map(|id| command(&["HGET", &self.keys.live(id), field])).collect();
        let mut all = HashMap::new();
        for (id, reply) in ids.into_iter().zip(self.scripts.commands(&self.keys, &commands)?) {
            let number = decode::<Option<Vec<u8>>>(reply)?.and_then(|text| parse(&text));
            all.insert(id, number.unwrap_or(0));
        }
        Ok(all)
    }
}

/// The id of the store, created if missing.
pub fn store_id(work: &mut UnitOfWork) -> String {
    let key = work.keys.store_id();
    if let Some(store_id) = work.get(&key, "") {
        return String::from_utf8_lossy(&store_id).into_owned();
    }
    let store_id = new_store_id();
    work.put(&key, "", store_id.clone());
    store_id
}

/// A new random id.
fn new_store_id() -> String {
    use std::hash::{BuildHasher, Hasher};
    format!("{:016x}", std::collections::hash_map::RandomState::new().build_hasher().finish())
}
