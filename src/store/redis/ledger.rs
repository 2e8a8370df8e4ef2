//! Messages, and what is known of sessions, as the ledger finds and keeps them within a step.

use serde::{Deserialize, Serialize};

use super::charged::Charged;
use super::workspace::Workspace;
use crate::domain::message::{ClientTotal, Message, MessageKey};
use crate::store::Result;
use crate::store::counts::CounterDelta;
use crate::store::ledger::{Bearer, EVER, Known, Parented, Records};

/// A message as it is kept; `counters.lua` reads it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stored {
    /// The session that first brought it.
    pub h: String,
    /// The sessions that it counts in.
    pub s: Vec<String>,
    /// Those of them in whose files it stands.
    pub o: Vec<String>,
    /// What it counts.
    pub c: CounterDelta,
    /// The message.
    pub d: Message,
}

impl Stored {
    /// A message that nobody has seen before, brought by a session; it counts in none yet.
    pub fn of(message: &Message, home: &str) -> Self {
        let c = CounterDelta::of(&message.amount());
        Self { h: home.to_owned(), s: Vec::new(), o: Vec::new(), c, d: message.clone() }
    }

    /// Lets it be this reading of the message.
    pub fn set(&mut self, message: &Message) {
        (self.c, self.d) = (CounterDelta::of(&message.amount()), message.clone());
    }
}

impl Records for Workspace<'_> {
    type Session = String;
    type Message = MessageKey;

    fn known(&mut self, key: &MessageKey, lineage: &[Bearer<String>]) -> Result<Option<Known<Self>>> {
        let Some(stored) = self.stored(key).cloned() else { return Ok(None) };
        let home = match lineage.iter().find(|bearer| bearer.key == stored.h) {
            Some(bearer) => bearer.home.clone(),
            None => self.charged(&stored.h).unwrap_or_default().session.home(),
        };
        // A list that was lost is made anew from what is read again.
        for session in &stored.s {
            self.list_message(session, &stored.d);
        }
        Ok(Some(Known { key: *key, home, message: stored.d, sessions: stored.s }))
    }

    fn insert(&mut self, message: &Message, home: &String) -> Result<MessageKey> {
        self.put_stored(Stored::of(message, home));
        Ok(message.key)
    }

    fn update(&mut self, key: &MessageKey, message: &Message) -> Result<()> {
        let Some(mut stored) = self.stored(key).cloned() else { return Ok(()) };
        stored.set(message);
        for session in &stored.s {
            self.list_message(session, message);
        }
        self.put_stored(stored);
        Ok(())
    }

    fn join(&mut self, key: &MessageKey, message: &Message, bearer: &String, own: bool) -> Result<()> {
        let Some(mut stored) = self.stored(key).cloned() else { return Ok(()) };
        stored.s.push(bearer.clone());
        if own {
            stored.o.push(bearer.clone());
        }
        self.list_message(bearer, message);
        self.put_stored(stored);
        Ok(())
    }

    fn bearer(&mut self, session: &String) -> Result<Parented<String>> {
        let Charged { session: of, parent_since, .. } = self.charged(session).unwrap_or_default();
        let bearer = Bearer { key: session.clone(), session: session.clone(), since: EVER, home: of.home() };
        Ok((bearer, of.parent.map(|parent| (parent, parent_since.unwrap_or(EVER)))))
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
        Ok(self.record(&key, "").unwrap_or_default())
    }

    fn own_messages(&mut self, session: &String, model: &str) -> Result<Vec<Message>> {
        let all = self.messages_of(session)?.into_iter();
        Ok(all.filter(|stored| stored.o.contains(session) && stored.d.model == model).map(|s| s.d).collect())
    }

    fn forks_of(&mut self, session: &String) -> Result<Vec<String>> {
        self.members(session, &self.keys.forks(session))
    }

    fn origins_of(&mut self, session: &String) -> Result<Vec<String>> {
        self.members(session, &self.keys.origins(session))
    }

    fn settling_holders(&mut self, key: &MessageKey, session: &String) -> Result<Vec<String>> {
        let holders = self.stored(key).map(|stored| stored.o.clone()).unwrap_or_default();
        let mut settling = Vec::new();
        for holder in holders.into_iter().filter(|id| id != session) {
            if !self.totals(&holder)?.is_empty() {
                settling.push(holder);
            }
        }
        Ok(settling)
    }
}
