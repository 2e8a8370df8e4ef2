//! What is kept of sessions besides their messages: breakers and slots, fields of one hash.

use std::collections::BTreeMap;

use super::workspace::Workspace;
use crate::domain::event::Event;
use crate::store::Result;
use crate::store::standing::Standings;

/// The fields of a hash.
pub type Hash = BTreeMap<String, Vec<u8>>;

/// What is kept of one session.
pub struct OfSession<'s, 'w> {
    /// The step.
    pub workspace: &'s mut Workspace<'w>,
    /// The session's id.
    pub id: &'s str,
}

impl Standings for OfSession<'_, '_> {
    fn session(&self) -> &str {
        self.id
    }

    fn get(&mut self, name: &str) -> Result<Option<(String, Vec<u8>)>> {
        let key = self.workspace.keys.standings(self.id);
        Ok(self.workspace.record(&key, name).and_then(bytes_of))
    }

    fn put(&mut self, name: &str, standing: &str, calls: &[u8]) -> Result<()> {
        let key = self.workspace.keys.standings(self.id);
        self.workspace.put_record(&key, name, &(standing, hex::encode(calls)))
    }

    fn all(&mut self) -> Result<Vec<(String, String, Vec<u8>)>> {
        let key = self.workspace.keys.standings(self.id);
        let all: Hash = self.workspace.ask_of(self.id, &["HGETALL", &key])?;
        Ok(all.into_iter().filter_map(|(name, text)| read(name, &text)).collect())
    }

    fn note(&mut self, event: &Event, known: bool) -> Result<()> {
        self.workspace.note(event, !known && event.what.is_news())
    }
}

fn bytes_of((standing, calls): (String, String)) -> Option<(String, Vec<u8>)> {
    Some((standing, hex::decode(calls).ok()?))
}

/// Name, text and bytes of what is kept under a name; `None`: it cannot be read, and begins anew.
pub fn read(name: String, text: &[u8]) -> Option<(String, String, Vec<u8>)> {
    let (standing, calls) = bytes_of(serde_json::from_slice(text).ok()?)?;
    Some((name, standing, calls))
}
