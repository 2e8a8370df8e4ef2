//! The ledger: messages go in merged with what is known of them, and move the counters by the difference.
//!
//! The same for every store: a store only finds and keeps [`Records`].

use std::collections::BTreeMap;
use std::rc::Rc;

use super::Result;
use super::counts::CounterDelta;
use crate::domain::budget::Scope;
use crate::domain::counter::{self, Attribution, ChargeTargets, CounterFamily, CounterKey};
use crate::domain::message::{ClientTotal, Message, MessageKey};
use crate::domain::time::Timestamp;

/// One session that is charged for what another brings.
#[derive(Clone, Debug)]
pub struct ChargedSession<S> {
    /// What the store calls it.
    pub key: S,
    /// The client's session id.
    pub session: String,
    /// From when on: it bears what is dated later.
    pub since: Timestamp,
    /// To whom it is itself charged.
    pub attribution: Attribution,
}

impl<S> ChargedSession<S> {
    /// A session that is charged for all that it brings itself.
    pub fn new(key: S, session: String, attribution: Attribution) -> Self {
        Self { key, session, since: MIN_TIME, attribution }
    }
}

/// A session, and its parent with the moment from which on that one bears what it brings.
pub type WithParent<S> = (ChargedSession<S>, Option<(S, Timestamp)>);

/// Since ever.
pub const MIN_TIME: Timestamp = Timestamp(i64::MIN);

/// How many sessions bear what one brings, at most.
const MAX_LINEAGE: usize = 16;

/// A stored message, and who is charged for it.
pub struct StoredMessage<R: LedgerRows + ?Sized> {
    /// What the store calls it.
    pub key: R::Message,
    /// To whom it is charged.
    pub attribution: Attribution,
    /// The message.
    pub message: Message,
    /// The ids of the sessions that it counts in.
    pub sessions: Vec<String>,
}

/// What a store finds and keeps for the ledger, within one atomic step.
pub trait LedgerRows {
    /// What the store calls a session.
    type Session: Clone + Ord;
    /// What the store calls a message.
    type Message: Clone;

    /// What is known under a key. `lineage`: sessions whose homes are known already.
    fn find_message(
        &mut self,
        key: &MessageKey,
        lineage: &[ChargedSession<Self::Session>],
    ) -> Result<Option<StoredMessage<Self>>>;

    /// Keeps a message that `session` brought first.
    fn insert_message(&mut self, message: &Message, session: &Self::Session) -> Result<Self::Message>;

    /// Keeps what became of a message.
    fn update_message(&mut self, key: &Self::Message, message: &Message) -> Result<()>;

    /// A message counts in a session, too. `own`: it stands in the session's files.
    fn attach(
        &mut self,
        key: &Self::Message,
        message: &Message,
        charged: &Self::Session,
        own: bool,
    ) -> Result<()>;

    /// A session as one that bears what it brings (since ever), and its parent, with the moment from which on that one does.
    fn charged_session(&mut self, session: &Self::Session) -> Result<WithParent<Self::Session>>;

    /// Who bears what a session brings: itself, its parent, the parent's parent …; bounded, so that a loop cannot hang a hook.
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

    /// Notes that a session was forked from `origin` (its id), and that totals of both may cover what both hold.
    fn note_origin(&mut self, session: &Self::Session, origin: &str) -> Result<()>;

    /// Notes a client's total. The same total again (2.1.330 writes it twice on `/clear`) ends where the last one ends; one
    /// that was closed stays closed.
    fn note_total(&mut self, session: &Self::Session, total: &ClientTotal) -> Result<()>;

    /// The totals of a session.
    fn totals(&mut self, session: &Self::Session) -> Result<Vec<ClientTotal>>;

    /// The messages of one model in a session's own files.
    fn own_messages(&mut self, session: &Self::Session, model: &str) -> Result<Vec<Message>>;

    /// The sessions that were forked from this one.
    fn forks_of(&mut self, session: &Self::Session) -> Result<Vec<Self::Session>>;

    /// The sessions that this one was forked from.
    fn origins_of(&mut self, session: &Self::Session) -> Result<Vec<Self::Session>>;

    /// The other sessions in whose files a message stands, if they have totals.
    fn settling_holders(
        &mut self,
        key: &Self::Message,
        session: &Self::Session,
    ) -> Result<Vec<Self::Session>>;
}

/// Whether a message comes to counters, or leaves them.
#[derive(Clone, Copy)]
enum Direction {
    In,
    Out,
}

/// The messages of one batch, going in.
pub struct Ledger<'a, R: LedgerRows> {
    /// Where they go.
    pub rows: &'a mut R,
    /// The session in whose files they stand.
    pub session: R::Session,
    families: &'a CounterFamilies,
    installed: Option<Timestamp>,
    lineage: Rc<[ChargedSession<R::Session>]>,
    changes: CounterChanges,
    /// Changed messages that other sessions hold too, with their times.
    shared: Vec<(R::Message, Timestamp)>,
}

impl<'a, R: LedgerRows> Ledger<'a, R> {
    /// A ledger for what a session brings. `installed`: what is dated before is its history.
    pub fn new(
        rows: &'a mut R,
        families: &'a CounterFamilies,
        installed: Option<Timestamp>,
        session: R::Session,
        lineage: Vec<ChargedSession<R::Session>>,
    ) -> Self {
        let (lineage, changes, shared) = (lineage.into(), CounterChanges::default(), Vec::new());
        Self { rows, session, families, installed, lineage, changes, shared }
    }

    /// What changed in the counters.
    pub fn into_changes(self) -> CounterChanges {
        self.changes
    }

    /// Merges one message in. Answers how the message is dated.
    pub(super) fn merge(&mut self, seen: &Message) -> Result<Timestamp> {
        self.put(seen, |known| known.clone().merge(seen))
    }

    /// Puts a message of the session in place of what is known of it.
    pub fn replace(&mut self, message: &Message) -> Result<()> {
        self.put(message, |_| message.clone()).map(drop)
    }

    /// What is known under a key.
    pub fn message(&mut self, key: &MessageKey) -> Result<Option<Message>> {
        Ok(self.rows.find_message(key, &self.lineage)?.map(|known| known.message))
    }

    /// What the session is called in [`Message::exact`].
    pub fn session_hash(&self) -> u64 {
        MessageKey::from_parts(&["session", &self.lineage[0].session]).short()
    }

    /// Works on another session for a while.
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

    /// Takes the changed messages that other sessions hold too.
    pub fn take_shared(&mut self) -> Vec<(R::Message, Timestamp)> {
        std::mem::take(&mut self.shared)
    }

    /// Puts in `new`, or what `update` makes of the message that is known under its key. Answers how it is dated then: a later
    /// line of a message does not make it a later one.
    fn put(&mut self, new: &Message, update: impl FnOnce(&Message) -> Message) -> Result<Timestamp> {
        let lineage = Rc::clone(&self.lineage);
        let known = self.rows.find_message(&new.key, &lineage)?;
        let new = known.as_ref().map_or_else(|| new.clone(), |known| update(&known.message));
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
            // The session that first brings a message decides to whom it is charged.
            None => (self.rows.insert_message(&new, &self.session)?, lineage[0].attribution.clone()),
        };
        for other in &new_sessions {
            self.rows.attach(&key, &new, &other.key, other.key == self.session)?;
        }
        if let Some(known) = &known {
            // That another session holds it, too, changes nothing for the others.
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
        for (name, family) in self.families.iter() {
            let start = family.rule.at(message.at).start;
            for value in counter::charged_values(family, message, &targets, self.installed) {
                self.changes.add(name, value, start, message.at, &change);
            }
        }
    }
}

/// Every family that was ever counted, by name. All are kept up, whatever the configuration of this process says:
/// another project's may count them.
#[derive(Debug, Default)]
pub struct CounterFamilies(Vec<(String, CounterFamily)>);

/// The name of a family: `session lifetime@UTC`.
pub fn family_name(family: &CounterFamily) -> String {
    format!("{} {}", family.scope.name(), family.rule)
}

/// The family of that name; `None`: a later version's.
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

    /// Takes in what is wanted; answers the names that are new.
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

/// The counters of a family, a value and a window that a message moves, and the message's date: those that count only
/// since a later moment stay.
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

/// What a batch changes, by counter and by the date of the message.
#[derive(Debug, Default)]
pub struct CounterChanges(BTreeMap<CounterMove, CounterDelta>);

impl CounterChanges {
    /// Counters of the window that starts at `start` are moved by `change`, at `at`.
    fn add(&mut self, family: &str, value: &str, start: Timestamp, at: Timestamp, change: &CounterDelta) {
        let (family, value) = (family.to_owned(), value.to_owned());
        self.0.entry(CounterMove { family, value, start: start.0, at: at.0 }).or_default().add(change);
    }

    /// What is to be moved, and by how much.
    pub fn iter(&self) -> impl Iterator<Item = (&CounterMove, &CounterDelta)> {
        self.0.iter().filter(|(_, change)| !change.is_zero())
    }

    /// What this batch adds to one counter.
    pub fn counter_change(&self, key: &CounterKey) -> CounterDelta {
        let family = family_name(&key.family);
        let mut sum = CounterDelta::default();
        for (moved, change) in &self.0 {
            if (&moved.family, &moved.value, moved.start) == (&family, &key.value, key.start.0)
                && moved.at >= key.since.0
            {
                sum.add(change);
            }
        }
        sum
    }
}
