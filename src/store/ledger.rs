//! The ledger: merges messages with the stored ones, and changes the counters by the difference.
//!
//! Shared by all stores, which only implement [`LedgerRows`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::Result;
use super::counts::CounterDelta;
use super::metrics::MetricChanges;
use crate::domain::budget::Scope;
use crate::domain::counter::{self, Attribution, ChargeTargets, CounterFamily, CounterKey};
use crate::domain::message::{ClientTotal, Message, MessageKey};
use crate::domain::reservation::Reservation;
use crate::domain::time::Timestamp;
use crate::prices::Prices;

/// A session that is charged for the messages of a session.
#[derive(Clone, Debug)]
pub struct ChargedSession<S> {
    /// Its key in the store.
    pub key: S,
    /// The client's session id.
    pub session: String,
    /// Messages before this moment are not charged to it.
    pub since: Timestamp,
    /// What the session itself is charged to.
    pub attribution: Attribution,
}

impl<S> ChargedSession<S> {
    /// A session charged for all messages in its own files.
    pub fn new(key: S, session: String, attribution: Attribution) -> Self {
        Self { key, session, since: MIN_TIME, attribution }
    }
}

/// A session, and its parent with the moment from which the parent is charged as well.
pub type WithParent<S> = (ChargedSession<S>, Option<(S, Timestamp)>);

/// The earliest moment.
pub const MIN_TIME: Timestamp = Timestamp(i64::MIN);

/// The maximum number of sessions that one message is charged to through parents.
const MAX_LINEAGE: usize = 16;

/// A stored message and its attribution.
pub struct StoredMessage<R: LedgerRows + ?Sized> {
    /// Its key in the store.
    pub key: R::Message,
    /// What it is charged to.
    pub attribution: Attribution,
    /// The message.
    pub message: Message,
    /// The ids of the sessions that it counts in.
    pub sessions: Vec<String>,
}

/// What a store reads and writes for the ledger, in one atomic step.
pub trait LedgerRows {
    /// The store's key of a session.
    type Session: Clone + Ord;
    /// The store's key of a message.
    type Message: Clone;

    /// Finds a message. `lineage`: sessions with known attributions.
    fn find_message(
        &mut self,
        key: &MessageKey,
        lineage: &[ChargedSession<Self::Session>],
    ) -> Result<Option<StoredMessage<Self>>>;

    /// Inserts a message first read for `session`.
    fn insert_message(&mut self, message: &Message, session: &Self::Session) -> Result<Self::Message>;

    /// Updates a message.
    fn update_message(&mut self, key: &Self::Message, message: &Message) -> Result<()>;

    /// Makes a message count in another session. `own`: it is in that session's files.
    fn attach(
        &mut self,
        key: &Self::Message,
        message: &Message,
        charged: &Self::Session,
        own: bool,
    ) -> Result<()>;

    /// A session, charged for all its messages, and its parent with the moment from which the parent is charged as
    /// well.
    fn charged_session(&mut self, session: &Self::Session) -> Result<WithParent<Self::Session>>;

    /// The sessions charged for a session: itself, its parent, the parent's parent and so on. Bounded, so that a cycle
    /// cannot hang a hook.
    fn lineage(&mut self, session: &Self::Session) -> Result<Vec<ChargedSession<Self::Session>>> {
        let mut line: Vec<ChargedSession<Self::Session>> = Vec::new();
        let mut next = Some((session.clone(), MIN_TIME));
        while let Some((key, since)) =
            next.filter(|(key, _)| line.len() < MAX_LINEAGE && line.iter().all(|charged| charged.key != *key))
        {
            let (charged, parent) = self.charged_session(&key)?;
            line.push(ChargedSession { since, ..charged });
            next = parent.map(|(parent, from)| (parent, since.max(from)));
        }
        Ok(line)
    }

    /// Records that a session was forked from `origin` (its id): totals of both may cover the messages in both.
    fn note_origin(&mut self, session: &Self::Session, origin: &str) -> Result<()>;

    /// Records a client total. A repeated total (2.1.330 writes it twice on `/clear`) takes the end of the latest
    /// reading; once closed, it stays closed.
    fn note_total(&mut self, session: &Self::Session, total: &ClientTotal) -> Result<()>;

    /// The totals of a session.
    fn totals(&mut self, session: &Self::Session) -> Result<Vec<ClientTotal>>;

    /// The messages in a session's own files.
    fn own_messages(&mut self, session: &Self::Session) -> Result<Vec<Message>>;

    /// The sessions that were forked from this one.
    fn forks_of(&mut self, session: &Self::Session) -> Result<Vec<Self::Session>>;

    /// The sessions that this one was forked from.
    fn origins_of(&mut self, session: &Self::Session) -> Result<Vec<Self::Session>>;

    /// The other sessions with totals whose files contain this message.
    fn settling_holders(
        &mut self,
        key: &Self::Message,
        session: &Self::Session,
    ) -> Result<Vec<Self::Session>>;
}

/// Whether a message is added to counters, or removed from them.
#[derive(Clone, Copy)]
enum Direction {
    In,
    Out,
}

/// Records the messages of one batch.
pub struct Ledger<'a, R: LedgerRows> {
    /// The storage.
    pub rows: &'a mut R,
    /// The session whose files contain the messages.
    pub session: R::Session,
    families: &'a CounterFamilies,
    prices: &'a Prices,
    installed: Option<Timestamp>,
    now: Timestamp,
    lineage: Rc<[ChargedSession<R::Session>]>,
    changes: CounterChanges,
    /// Changed messages that are also in other sessions, with their times.
    shared: Vec<(R::Message, Timestamp)>,
}

impl<'a, R: LedgerRows> Ledger<'a, R> {
    /// A ledger for the messages of a session. `installed`: earlier messages that its files held are its history.
    pub fn new(
        rows: &'a mut R,
        families: &'a CounterFamilies,
        prices: &'a Prices,
        (installed, now): (Option<Timestamp>, Timestamp),
        session: R::Session,
        lineage: Vec<ChargedSession<R::Session>>,
    ) -> Self {
        let (lineage, changes, shared) = (lineage.into(), CounterChanges::default(), Vec::new());
        Self { rows, session, families, prices, installed, now, lineage, changes, shared }
    }

    /// The resulting changes of counters.
    pub fn into_changes(self) -> CounterChanges {
        self.changes
    }

    /// Merges a message. Returns its date.
    pub(super) fn merge(&mut self, seen: &Message) -> Result<Timestamp> {
        let seen = &*self.dated(seen);
        self.put(seen, |known| known.clone().merge(seen))
    }

    /// Only what is dated before the installation can be history. An installation in the future was recorded by a
    /// wrong clock: what is used until then counts, and still does afterwards.
    fn dated<'m>(&self, message: &'m Message) -> Cow<'m, Message> {
        let may_be_history = self.installed.is_none_or(|from| message.at < from && from <= self.now);
        match message.held && !may_be_history {
            true => Cow::Owned(Message { held: false, ..message.clone() }),
            false => Cow::Borrowed(message),
        }
    }

    /// Replaces a message of the session.
    pub fn replace(&mut self, message: &Message) -> Result<()> {
        let message = &*self.dated(message);
        self.put(message, |_| message.clone()).map(drop)
    }

    /// The stored message with this key.
    pub fn message(&mut self, key: &MessageKey) -> Result<Option<Message>> {
        Ok(self.rows.find_message(key, &self.lineage)?.map(|known| known.message))
    }

    /// The session's key in [`Message::exact`].
    pub fn session_hash(&self) -> u64 {
        MessageKey::from_parts(&["session", &self.lineage[0].session]).short()
    }

    /// Runs `work` on another session.
    pub fn for_session<T>(
        &mut self,
        session: R::Session,
        work: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        if session == self.session {
            return work(self);
        }
        let lineage = self.rows.lineage(&session)?.into();
        let outer = std::mem::replace(&mut self.session, session);
        let lineage = std::mem::replace(&mut self.lineage, lineage);
        let done = work(self);
        (self.session, self.lineage) = (outer, lineage);
        done
    }

    /// Takes the changed messages that are also in other sessions.
    pub fn take_shared(&mut self) -> Vec<(R::Message, Timestamp)> {
        std::mem::take(&mut self.shared)
    }

    /// Stores `new`, or the result of `update` on the stored message with its key. Returns the message's date, which
    /// later lines do not change.
    fn put(&mut self, new: &Message, update: impl FnOnce(&Message) -> Message) -> Result<Timestamp> {
        let lineage = Rc::clone(&self.lineage);
        let known = self.rows.find_message(&new.key, &lineage)?;
        let mut new = known.as_ref().map_or_else(|| new.clone(), |known| update(&known.message));
        self.prices.price(&mut new, known.as_ref().map(|known| &known.message));
        let charged: Vec<&ChargedSession<R::Session>> =
            lineage.iter().filter(|b| new.at >= b.since).collect();
        let new_sessions: Vec<&&ChargedSession<R::Session>> = match &known {
            Some(known) => charged.iter().filter(|b| !known.sessions.contains(&b.session)).collect(),
            None => charged.iter().collect(),
        };
        if known.as_ref().is_some_and(|k| k.message == new) && new_sessions.is_empty() {
            return Ok(new.at);
        }
        let (key, attribution) = match &known {
            Some(known) => {
                if known.message != new {
                    self.rows.update_message(&known.key, &new)?;
                }
                (known.key.clone(), known.attribution.clone())
            }
            // The session that a message is first read for determines its attribution.
            None => (self.rows.insert_message(&new, &self.session)?, lineage[0].attribution.clone()),
        };
        for other in &new_sessions {
            self.rows.attach(&key, &new, &other.key, other.key == self.session)?;
        }
        if let Some(known) = &known {
            // Merely adding a session does not affect the others.
            if known.message != new && known.sessions.len() + new_sessions.len() > 1 {
                self.shared.push((key, new.at));
            }
            let sessions: Vec<&str> = known.sessions.iter().map(String::as_str).collect();
            self.count(&known.message, &known.attribution, sessions, Direction::Out);
        }
        let old = known.iter().flat_map(|k| &k.sessions).map(String::as_str);
        let sessions = old.chain(new_sessions.iter().map(|b| b.session.as_str())).collect();
        self.count(&new, &attribution, sessions, Direction::In);
        Ok(new.at)
    }

    fn count(
        &mut self,
        message: &Message,
        attribution: &Attribution,
        sessions: Vec<&str>,
        direction: Direction,
    ) {
        let targets = ChargeTargets { sessions, attribution };
        let amount = CounterDelta::from_amount(&message.amount());
        let change = match direction {
            Direction::In => amount,
            Direction::Out => amount.negated(),
        };
        self.changes.metrics.add_usage(&message.model, &message.agent_type, &change);
        for (name, family) in self.families.iter() {
            let start = family.rule.at(message.at).start;
            for value in counter::charged_values(family, message, &targets, self.installed) {
                self.changes.add(name, value, start, message.at, &change);
            }
        }
    }
}

/// Every family ever counted, by name. All are updated, whatever the configuration of this process: another project may
/// use them.
#[derive(Debug, Default)]
pub struct CounterFamilies(Vec<(String, CounterFamily)>);

/// The name of a family: `session lifetime@UTC`.
pub fn family_name(family: &CounterFamily) -> String {
    format!("{} {}", family.scope.name(), family.rule)
}

/// The family of that name; `None` if a later version defined it.
fn parse_family(name: &str) -> Option<CounterFamily> {
    let (scope, rule) = name.split_once(' ')?;
    let mut known = Scope::ALL.into_iter().map(|(_, scope)| scope).chain([Scope::History]);
    let scope = known.find(|known| known.name() == scope)?;
    Some(CounterFamily { scope, rule: rule.parse().ok()? })
}

impl CounterFamilies {
    /// The families with these names.
    pub fn from_names<'n>(names: impl IntoIterator<Item = &'n String>) -> Self {
        Self(names.into_iter().filter_map(|name| Some((name.clone(), parse_family(name)?))).collect())
    }

    /// Adds families. Returns the names of new ones.
    pub fn register(&mut self, wanted: impl IntoIterator<Item = CounterFamily>) -> Vec<String> {
        let mut new = Vec::new();
        for family in wanted {
            if !self.0.iter().any(|(_, known)| *known == family) {
                new.push(family_name(&family));
                self.0.push((family_name(&family), family));
            }
        }
        new
    }

    /// The families with their names.
    pub fn iter(&self) -> impl Iterator<Item = &(String, CounterFamily)> {
        self.0.iter()
    }
}

/// Identifies the counters that a message changes: family, value and window, and the message's date. Counters that
/// start after that date do not change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CounterMove {
    /// The family.
    pub family: String,
    /// The value of the scope.
    pub value: String,
    /// Start of the window.
    pub start: i64,
    /// Date of the message.
    pub at: i64,
}

/// The changes of a batch.
#[derive(Debug, Default)]
pub struct CounterChanges {
    /// Of counters, by the date of the message.
    counters: BTreeMap<CounterMove, CounterDelta>,
    /// Of the totals for monitoring.
    pub metrics: MetricChanges,
}

impl CounterChanges {
    /// Adds a change by a message of this date to the counters of one window.
    fn add(&mut self, family: &str, value: &str, start: Timestamp, at: Timestamp, change: &CounterDelta) {
        let (family, value) = (family.to_owned(), value.to_owned());
        self.counters.entry(CounterMove { family, value, start: start.0, at: at.0 }).or_default().add(change);
    }

    /// Adds a change of what a reservation charges.
    pub fn add_reservation(&mut self, families: &CounterFamilies, one: &Reservation, change: &CounterDelta) {
        for (name, family) in families.iter() {
            if let Some(value) = one.value(family.scope) {
                self.add(name, value, family.rule.at(one.at).start, one.at, change);
            }
        }
    }

    /// All nonzero changes of counters.
    pub fn iter(&self) -> impl Iterator<Item = (&CounterMove, &CounterDelta)> {
        self.counters.iter().filter(|(_, change)| !change.is_zero())
    }

    /// The change of one counter.
    pub fn counter_change(&self, key: &CounterKey) -> CounterDelta {
        let family = family_name(&key.family);
        let mut sum = CounterDelta::default();
        for (moved, change) in &self.counters {
            if (&moved.family, &moved.value, moved.start) == (&family, &key.value, key.start.0)
                && moved.at >= key.since.0
            {
                sum.add(change);
            }
        }
        sum
    }
}
