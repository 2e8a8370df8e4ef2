//! Messages, and what is known of sessions, as the ledger finds and keeps them within a step.

use super::workspace::Workspace;
use crate::domain::message::{ClientTotal, Message, MessageKey};
use crate::domain::time::Timestamp;
use crate::domain::usage::Usage;
use crate::store::Result;
use crate::store::ledger::{Bearer, Known, Records};

use super::message::Stored;

/// How many sessions bear what one brings, at most.
const MOST_BEARERS: usize = 16;

impl Records for Workspace<'_> {
    type Session = String;
    type Message = MessageKey;

    fn known(&mut self, key: &MessageKey, lineage: &[Bearer<String>]) -> Result<Option<Known<Self>>> {
        let Some(stored) = self.stored(key).cloned() else { return Ok(None) };
        let home = match lineage.iter().find(|bearer| bearer.key == stored.h) {
            Some(bearer) => bearer.home.clone(),
            None => self.charged(&stored.h).unwrap_or_default().home(),
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

    fn lineage(&mut self, session: &String) -> Result<Vec<Bearer<String>>> {
        let mut line: Vec<Bearer<String>> = Vec::new();
        let mut next = Some((session.clone(), Timestamp(i64::MIN)));
        while let Some((id, since)) =
            next.filter(|(id, _)| line.len() < MOST_BEARERS && line.iter().all(|b| b.key != *id))
        {
            let charged = self.charged(&id).unwrap_or_default();
            let from = charged.parent_since.unwrap_or(Timestamp(i64::MIN));
            next = charged.parent.clone().map(|parent| (parent, since.max(from)));
            line.push(Bearer { key: id.clone(), session: id, since, home: charged.home() });
        }
        Ok(line)
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
        let same = |known: &&mut ClientTotal| {
            (known.run, &known.model, known.usage) == (total.run, &total.model, total.usage)
        };
        match totals.iter_mut().find(same) {
            Some(known) => {
                known.at = known.at.min(total.at);
                known.until = known.until.max(total.until);
            }
            None => totals.push(total.clone()),
        }
        // Of two that say as much the last one counts: always the same, whoever was recorded first.
        totals.sort_by_key(|t| {
            let Usage { input, output, cache_write_5m, cache_write_1h, cache_read } = t.usage;
            (t.run, t.model.clone(), [input, output, cache_write_5m, cache_write_1h, cache_read])
        });
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
        Ok(all.filter(|stored| stored.o.contains(session) && stored.m == model).map(|s| s.d).collect())
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
