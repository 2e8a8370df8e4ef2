//! Messages and session data, as the ledger reads and writes them in a step.

use serde::{Deserialize, Serialize};

use super::session_record::SessionRecord;
use super::unit_of_work::UnitOfWork;
use crate::domain::message::{ClientTotal, Message, MessageKey};
use crate::store::Result;
use crate::store::counts::CounterDelta;
use crate::store::ledger::{ChargedSession, LedgerRows, MIN_TIME, StoredMessage, WithParent};

/// A message as stored; `counters.lua` reads it. `holders`: the sessions whose files contain it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MessageRecord {
    #[serde(rename = "h")]
    pub first_session: String,
    #[serde(rename = "s")]
    pub sessions: Vec<String>,
    #[serde(rename = "o")]
    pub holders: Vec<String>,
    #[serde(rename = "c")]
    pub counts: CounterDelta,
    #[serde(rename = "d")]
    pub message: Message,
}

impl MessageRecord {
    /// A new message, first read for `session`. It does not count in any session yet.
    pub fn new(message: &Message, session: &str) -> Self {
        let (counts, sessions, holders) = (CounterDelta::from_amount(&message.amount()), vec![], vec![]);
        Self { first_session: session.to_owned(), sessions, holders, counts, message: message.clone() }
    }

    /// Replaces the message.
    pub fn set(&mut self, message: &Message) {
        (self.counts, self.message) = (CounterDelta::from_amount(&message.amount()), message.clone());
    }
}

impl LedgerRows for UnitOfWork<'_> {
    type Session = String;
    type Message = MessageKey;

    fn find_message(
        &mut self,
        key: &MessageKey,
        lineage: &[ChargedSession<String>],
    ) -> Result<Option<StoredMessage<Self>>> {
        let Some(stored) = self.message(key).cloned() else { return Ok(None) };
        let attribution = match lineage.iter().find(|charged| charged.key == stored.first_session) {
            Some(charged) => charged.attribution.clone(),
            None => self.session_record(&stored.first_session).unwrap_or_default().session.attribution(),
        };
        // Restores a lost list.
        for session in &stored.sessions {
            self.list_message(session, &stored.message);
        }
        Ok(Some(StoredMessage { key: *key, attribution, message: stored.message, sessions: stored.sessions }))
    }

    fn insert_message(&mut self, message: &Message, session: &String) -> Result<MessageKey> {
        self.put_message(MessageRecord::new(message, session));
        Ok(message.key)
    }

    fn update_message(&mut self, key: &MessageKey, message: &Message) -> Result<()> {
        let Some(mut stored) = self.message(key).cloned() else { return Ok(()) };
        stored.set(message);
        for session in &stored.sessions {
            self.list_message(session, message);
        }
        self.put_message(stored);
        Ok(())
    }

    fn attach(&mut self, key: &MessageKey, message: &Message, charged: &String, own: bool) -> Result<()> {
        let Some(mut stored) = self.message(key).cloned() else { return Ok(()) };
        stored.sessions.push(charged.clone());
        if own {
            stored.holders.push(charged.clone());
        }
        self.list_message(charged, message);
        self.put_message(stored);
        Ok(())
    }

    fn charged_session(&mut self, session: &String) -> Result<WithParent<String>> {
        let SessionRecord { session: own, parent_since, .. } =
            self.session_record(session).unwrap_or_default();
        let charged = ChargedSession::new(session.clone(), session.clone(), own.attribution());
        Ok((charged, own.parent.map(|parent| (parent, parent_since.unwrap_or(MIN_TIME)))))
    }

    fn note_origin(&mut self, session: &String, origin: &str) -> Result<()> {
        let (forks, origins) = (self.keys.forks(origin), self.keys.origins(session));
        self.write(&["SADD", &forks, session]);
        self.write(&["SADD", &origins, origin]);
        let settles = self.keys.settles(origin);
        self.put(&settles, "", "1");
        Ok(())
    }

    fn note_total(&mut self, session: &String, total: &ClientTotal) -> Result<()> {
        let mut totals = self.totals(session)?;
        total.join(&mut totals);
        let (key, settles) = (self.keys.totals(session), self.keys.settles(session));
        self.put(&settles, "", "1");
        self.put_record(&key, "", &totals)
    }

    fn totals(&mut self, session: &String) -> Result<Vec<ClientTotal>> {
        let key = self.keys.totals(session);
        Ok(self.get_record(&key, "").unwrap_or_default())
    }

    fn own_messages(&mut self, session: &String) -> Result<Vec<Message>> {
        let own = self.messages_of(session)?.into_iter().filter(|m| m.holders.contains(session));
        Ok(own.map(|stored| stored.message).collect())
    }

    fn forks_of(&mut self, session: &String) -> Result<Vec<String>> {
        self.members(session, &self.keys.forks(session))
    }

    fn origins_of(&mut self, session: &String) -> Result<Vec<String>> {
        self.members(session, &self.keys.origins(session))
    }

    fn settling_holders(&mut self, key: &MessageKey, session: &String) -> Result<Vec<String>> {
        let holders = self.message(key).map(|stored| stored.holders.clone()).unwrap_or_default();
        let mut settling = Vec::new();
        for holder in holders.into_iter().filter(|id| id != session) {
            if !self.totals(&holder)?.is_empty() {
                settling.push(holder);
            }
        }
        Ok(settling)
    }
}
