//! The ledger: messages go in merged with what is known of them, and move the counters by the difference.
//!
//! The same for every store: a store only finds and keeps [`Records`].

use std::collections::BTreeMap;
use std::rc::Rc;

use super::Result;
use super::counts::CounterDelta;
use crate::domain::budget::Scope;
use crate::domain::counter::{self, Bearers, CounterKey, Home, Spec};
use crate::domain::message::{ClientTotal, Message, MessageKey};
use crate::domain::time::Timestamp;

/// One session that is charged for what another brings.
#[derive(Clone, Debug)]
pub struct Bearer<S> {
    /// What the store calls it.
    pub key: S,
    /// The client's session id.
    pub session: String,
    /// From when on: it bears what is dated later.
    pub since: Timestamp,
    /// To whom it is itself charged.
    pub home: Home,
}

/// A session, and its parent with the moment from which on that one bears what it brings.
pub type Parented<S> = (Bearer<S>, Option<(S, Timestamp)>);

/// Since ever.
pub const EVER: Timestamp = Timestamp(i64::MIN);

/// How many sessions bear what one brings, at most.
const MOST_BEARERS: usize = 16;

/// A stored message, and who is charged for it.
pub struct Known<R: Records + ?Sized> {
    /// What the store calls it.
    pub key: R::Message,
    /// To whom it is charged.
    pub home: Home,
    /// The message.
    pub message: Message,
    /// The ids of the sessions that it counts in.
    pub sessions: Vec<String>,
}

/// What a store finds and keeps for the ledger, within one atomic step.
pub trait Records {
    /// What the store calls a session.
    type Session: Clone + Ord;
    /// What the store calls a message.
    type Message: Clone;

    /// What is known under a key. `lineage`: sessions whose homes are known already.
    fn known(&mut self, key: &MessageKey, lineage: &[Bearer<Self::Session>]) -> Result<Option<Known<Self>>>;

    /// Keeps a message that `home` brought first.
    fn insert(&mut self, message: &Message, home: &Self::Session) -> Result<Self::Message>;

    /// Keeps what became of a message.
    fn update(&mut self, key: &Self::Message, message: &Message) -> Result<()>;

    /// A message counts in a session, too. `own`: it stands in the session's files.
    fn join(
        &mut self,
        key: &Self::Message,
        message: &Message,
        bearer: &Self::Session,
        own: bool,
    ) -> Result<()>;

    /// A session as one that bears what it brings (since ever), and its parent, with the moment from which on that one does.
    fn bearer(&mut self, session: &Self::Session) -> Result<Parented<Self::Session>>;

    /// Who bears what a session brings: itself, its parent, the parent's parent …; bounded, so that a loop cannot hang a hook.
    fn lineage(&mut self, session: &Self::Session) -> Result<Vec<Bearer<Self::Session>>> {
        let mut line: Vec<Bearer<Self::Session>> = Vec::new();
        let mut next = Some((session.clone(), EVER));
        while let Some((key, since)) =
            next.filter(|(key, _)| line.len() < MOST_BEARERS && line.iter().all(|bearer| bearer.key != *key))
        {
            let (bearer, parent) = self.bearer(&key)?;
            line.push(Bearer { since, ..bearer });
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
enum Going {
    In,
    Out,
}

/// The messages of one batch, going in.
pub struct Ledger<'a, R: Records> {
    /// Where they go.
    pub records: &'a mut R,
    /// The session in whose files they stand.
    pub home: R::Session,
    specs: &'a Specs,
    installed: Option<Timestamp>,
    lineage: Rc<[Bearer<R::Session>]>,
    changes: Changes,
    /// Changed messages that other sessions hold too, with their times.
    shared: Vec<(R::Message, Timestamp)>,
}

impl<'a, R: Records> Ledger<'a, R> {
    /// A ledger for what a session brings. `installed`: what is dated before is its history.
    pub fn new(
        records: &'a mut R,
        specs: &'a Specs,
        installed: Option<Timestamp>,
        home: R::Session,
        lineage: Vec<Bearer<R::Session>>,
    ) -> Self {
        let (lineage, changes, shared) = (lineage.into(), Changes::default(), Vec::new());
        Self { records, home, specs, installed, lineage, changes, shared }
    }

    /// What changed in the counters.
    pub fn into_changes(self) -> Changes {
        self.changes
    }

    /// Merges one message in. Answers how the message is dated.
    pub(super) fn message(&mut self, seen: &Message) -> Result<Timestamp> {
        self.put(seen, |known| known.clone().merge(seen))
    }

    /// Puts a message of the session in place of what is known of it.
    pub fn replace(&mut self, message: &Message) -> Result<()> {
        self.put(message, |_| message.clone()).map(drop)
    }

    /// What is known under a key.
    pub fn get(&mut self, key: &MessageKey) -> Result<Option<Message>> {
        Ok(self.records.known(key, &self.lineage)?.map(|known| known.message))
    }

    /// What the session is called in [`Message::exact`].
    pub fn session_number(&self) -> u64 {
        MessageKey::of(&["session", &self.lineage[0].session]).short()
    }

    /// Works on another session for a while.
    pub fn within<T>(&mut self, session: R::Session, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if session == self.home {
            return work(self);
        }
        let lineage = self.records.lineage(&session)?.into();
        let home = std::mem::replace(&mut self.home, session);
        let lineage = std::mem::replace(&mut self.lineage, lineage);
        let done = work(self);
        (self.home, self.lineage) = (home, lineage);
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
        let known = self.records.known(&new.key, &lineage)?;
        let new = known.as_ref().map_or_else(|| new.clone(), |known| update(&known.message));
        let joining: Vec<&Bearer<R::Session>> = lineage.iter().filter(|b| new.at >= b.since).collect();
        let strangers: Vec<&&Bearer<R::Session>> = match &known {
            Some(known) => joining.iter().filter(|b| !known.sessions.contains(&b.session)).collect(),
            None => joining.iter().collect(),
        };
        if known.as_ref().is_some_and(|k| k.message == new) && strangers.is_empty() {
            return Ok(new.at);
        }
        let (key, home) = match &known {
            Some(known) => {
                if known.message != new {
                    self.records.update(&known.key, &new)?;
                }
                (known.key.clone(), known.home.clone())
            }
            // The session that first brings a message decides to whom it is charged.
            None => (self.records.insert(&new, &self.home)?, lineage[0].home.clone()),
        };
        for bearer in &strangers {
            self.records.join(&key, &new, &bearer.key, bearer.key == self.home)?;
        }
        if let Some(known) = &known {
            // That another session holds it, too, changes nothing for the others.
            if known.message != new && known.sessions.len() + strangers.len() > 1 {
                self.shared.push((key, new.at));
            }
            let sessions: Vec<&str> = known.sessions.iter().map(String::as_str).collect();
            self.count(&known.message, &known.home, sessions, Going::Out);
        }
        let old = known.iter().flat_map(|k| &k.sessions).map(String::as_str);
        let sessions = old.chain(strangers.iter().map(|b| b.session.as_str())).collect();
        self.count(&new, &home, sessions, Going::In);
        Ok(new.at)
    }

    fn count(&mut self, message: &Message, home: &Home, sessions: Vec<&str>, going: Going) {
        let bearers = Bearers { sessions, home };
        let amount = CounterDelta::of(&message.amount());
        let change = match going {
            Going::In => amount,
            Going::Out => amount.negated(),
        };
        for (family, spec) in self.specs.iter() {
            let start = spec.rule.at(message.at).start;
            for value in counter::values(spec, message, &bearers, self.installed) {
                self.changes.add(family, value, start, message.at, &change);
            }
        }
    }
}

/// Every family that was ever counted, by name. All are kept up, whatever the configuration of this process says:
/// another project's may count them.
#[derive(Debug, Default)]
pub struct Specs(Vec<(String, Spec)>);

/// The name of a family: `session lifetime@UTC`.
pub fn family(spec: &Spec) -> String {
    format!("{} {}", spec.scope.name(), spec.rule)
}

/// The family of that name; `None`: a later version's.
fn of_family(name: &str) -> Option<Spec> {
    let (scope, rule) = name.split_once(' ')?;
    let mut known = Scope::ALL.into_iter().map(|(_, scope)| scope).chain([Scope::History]);
    let scope = known.find(|known| known.name() == scope)?;
    Some(Spec { scope, rule: rule.parse().ok()? })
}

impl Specs {
    /// The families with these names.
    pub fn of<'n>(names: impl IntoIterator<Item = &'n String>) -> Self {
        Self(names.into_iter().filter_map(|name| Some((name.clone(), of_family(name)?))).collect())
    }

    /// Takes in what is wanted; answers the names that are new.
    pub fn want(&mut self, wanted: impl IntoIterator<Item = Spec>) -> Vec<String> {
        let mut new = Vec::new();
        for spec in wanted {
            if !self.0.iter().any(|(_, known)| *known == spec) {
                new.push(family(&spec));
                self.0.push((family(&spec), spec));
            }
        }
        new
    }

    /// The families with their names.
    pub fn iter(&self) -> impl Iterator<Item = &(String, Spec)> {
        self.0.iter()
    }
}

/// The counters of a family, a value and a window that a message moves, and the message's date: those that count only
/// since a later moment stay.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moved {
    /// The family.
    pub spec: String,
    /// The value of the scope.
    pub value: String,
    /// Start of the window.
    pub start: i64,
    /// Date of the message.
    pub at: i64,
}

/// What a batch changes, by counter and by the date of the message.
#[derive(Debug, Default)]
pub struct Changes(BTreeMap<Moved, CounterDelta>);

impl Changes {
    /// Counters of the window that starts at `start` are moved by `change`, at `at`.
    fn add(&mut self, spec: &str, value: &str, start: Timestamp, at: Timestamp, change: &CounterDelta) {
        let (spec, value) = (spec.to_owned(), value.to_owned());
        self.0.entry(Moved { spec, value, start: start.0, at: at.0 }).or_default().add(change);
    }

    /// What is to be moved, and by how much.
    pub fn iter(&self) -> impl Iterator<Item = (&Moved, &CounterDelta)> {
        self.0.iter().filter(|(_, change)| !change.is_zero())
    }

    /// What this batch adds to one counter.
    pub fn of(&self, key: &CounterKey) -> CounterDelta {
        let family = family(&key.spec);
        let mut sum = CounterDelta::default();
        for (moved, change) in &self.0 {
            if (&moved.spec, &moved.value, moved.start) == (&family, &key.value, key.start.0)
                && moved.at >= key.since.0
            {
                sum.add(change);
            }
        }
        sum
    }
}
