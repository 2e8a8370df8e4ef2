//! What is kept of sessions besides their messages: breakers and slots, fields of one hash.

use redis::Value;

use super::plan;
use super::workspace::Workspace;
use crate::domain::event::Event;
use crate::store::standing::Standings;
use crate::store::{Result, StoreError};

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
        self.workspace.at(&key, name).map(|bytes| read(&key, &bytes)).transpose()
    }

    fn put(&mut self, name: &str, standing: &str, calls: &[u8]) -> Result<()> {
        let key = self.workspace.keys.standings(self.id);
        self.workspace.put(&key, name, written(standing, calls));
        Ok(())
    }

    fn all(&mut self) -> Result<Vec<(String, String, Vec<u8>)>> {
        let key = self.workspace.keys.standings(self.id);
        let answer = self.workspace.ask_of(self.id, &[vec!["HGETALL".into(), key.clone()]])?.pop();
        pairs(answer.unwrap_or(Value::Nil))?
            .into_iter()
            .map(|(name, bytes)| read(&key, &bytes).map(|(text, calls)| (name, text, calls)))
            .collect()
    }

    fn note(&mut self, event: &Event, known: bool) -> Result<()> {
        let text = serde_json::to_string(event).map_err(|e| StoreError::Damaged(e.to_string()))?;
        let known = known || !event.what.is_news();
        self.workspace.plan.events.push((text, event.agent.clone(), known));
        Ok(())
    }
}

/// The fields of a hash, by name.
pub fn pairs(value: Value) -> Result<Vec<(String, Vec<u8>)>> {
    let all = plan::list(value)?;
    let mut pairs = Vec::new();
    let mut rest = all.into_iter();
    while let (Some(name), Some(value)) = (rest.next(), rest.next()) {
        pairs.push((plan::text(name)?, plan::bytes(value)?.unwrap_or_default()));
    }
    pairs.sort();
    Ok(pairs)
}

/// A text and bytes in one: the length of the text, a line, the text, the bytes.
fn written(text: &str, calls: &[u8]) -> Vec<u8> {
    [text.len().to_string().as_bytes(), b"\n", text.as_bytes(), calls].concat()
}

/// What [`written`] made.
pub fn read(key: &str, bytes: &[u8]) -> Result<(String, Vec<u8>)> {
    let parts = || {
        let line = bytes.iter().position(|byte| *byte == b'\n')?;
        let length: usize = std::str::from_utf8(&bytes[..line]).ok()?.parse().ok()?;
        let (text, calls) = bytes[line + 1..].split_at_checked(length)?;
        Some((String::from_utf8(text.to_vec()).ok()?, calls.to_vec()))
    };
    parts().ok_or_else(|| StoreError::Damaged(format!("{key} holds nothing that Fusebox wrote")))
}
