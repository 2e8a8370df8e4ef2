//! Breakers and slots of sessions, as fields of one hash per session.

use std::collections::BTreeMap;

use super::unit_of_work::UnitOfWork;
use crate::domain::event::Event;
use crate::store::Result;
use crate::store::agent_states::AgentStates;

/// The fields of a hash.
pub type Hash = BTreeMap<String, Vec<u8>>;

/// The breakers and slots of one session.
pub struct RedisAgentStates<'s, 'w> {
    pub work: &'s mut UnitOfWork<'w>,
    pub id: &'s str,
}

impl AgentStates for RedisAgentStates<'_, '_> {
    fn session(&self) -> &str {
        self.id
    }

    fn get(&mut self, name: &str) -> Result<Option<(String, Vec<u8>)>> {
        let key = self.work.keys.states(self.id);
        Ok(self.work.get_record(&key, name).and_then(decode_calls))
    }

    fn put(&mut self, name: &str, text: &str, calls: &[u8]) -> Result<()> {
        let key = self.work.keys.states(self.id);
        self.work.put_record(&key, name, &(text, hex::encode(calls)))
    }

    fn all(&mut self) -> Result<Vec<(String, String, Vec<u8>)>> {
        let key = self.work.keys.states(self.id);
        let all: Hash = self.work.query_session(self.id, &["HGETALL", &key])?;
        Ok(all.into_iter().filter_map(|(name, text)| parse_state(name, &text)).collect())
    }

    fn record_event(&mut self, event: &Event, known: bool) -> Result<()> {
        self.work.record_event(event, !known && event.data.is_news())
    }
}

fn decode_calls((text, calls): (String, String)) -> Option<(String, Vec<u8>)> {
    Some((text, hex::decode(calls).ok()?))
}

/// Name, text and bytes of a stored state; `None` if unreadable: it is then reset.
pub fn parse_state(name: String, text: &[u8]) -> Option<(String, String, Vec<u8>)> {
    let (text, calls) = decode_calls(serde_json::from_slice(text).ok()?)?;
    Some((name, text, calls))
}
