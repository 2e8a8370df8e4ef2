//! The sessions of the ledger, and their forks.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, OptionalExtension, params};

use crate::domain::message::{ClientTotal, MessageKey};
use crate::domain::time::Timestamp;
use crate::store::{Result, StoreError};

/// A session.
#[derive(Debug)]
pub struct LedgerSession {
    /// The client's session id.
    pub name: String,
    /// When its first file was made.
    pub born: Timestamp,
    /// The client's own totals.
    pub totals: Vec<ClientTotal>,
    /// The messages of its files, as far as they are in memory.
    pub keys: Vec<MessageKey>,
    /// Whether all of them are.
    pub is_whole: bool,
    is_dirty: bool,
}

/// All sessions that are in memory, and all forks.
#[derive(Debug, Default)]
pub struct SessionTable {
    sessions: HashMap<i64, LedgerSession>,
    numbers: HashMap<String, i64>,
    last: i64,
    /// Each fork with its origin.
    forks: BTreeSet<(String, String)>,
    new_forks: Vec<(String, String)>,
}

impl SessionTable {
    /// The forks in a file; its sessions are loaded when needed.
    pub fn load(db: &Connection) -> Result<Self> {
        let last = db.query_row("SELECT COALESCE(MAX(id), 0) FROM sessions", (), |r| r.get(0))?;
        let mut query = db.prepare("SELECT session, origin FROM forks")?;
        let forks = query.query_map((), |r| Ok((r.get(0)?, r.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
        Ok(Self { last, forks, ..Self::default() })
    }

    /// The number of a session, which may be new. `born`: when the file that names it was made, if known.
    pub fn intern(&mut self, db: &Connection, name: &str, born: Option<Timestamp>) -> Result<i64> {
        let number = match self.find(db, name)? {
            Some(number) => number,
            None => {
                self.last += 1;
                let born = born.unwrap_or(Timestamp(i64::MAX));
                self.add(self.last, name, born, Vec::new(), true);
                self.last
            }
        };
        if let Some(session) = self.sessions.get_mut(&number)
            && let Some(born) = born.filter(|born| *born < session.born)
        {
            (session.born, session.is_dirty) = (born, true);
        }
        Ok(number)
    }

    /// The number of a known session.
    pub fn find(&mut self, db: &Connection, name: &str) -> Result<Option<i64>> {
        if let Some(number) = self.numbers.get(name) {
            return Ok(Some(*number));
        }
        let mut query =
            db.prepare_cached("SELECT id, session, born, totals FROM sessions WHERE session = ?")?;
        let found = query.query_row([name], read_row).optional()?;
        found.map(|row| self.add_row(row)).transpose()
    }

    /// The session with this number.
    pub fn get(&mut self, db: &Connection, number: i64) -> Result<&mut LedgerSession> {
        if !self.sessions.contains_key(&number) {
            let mut query =
                db.prepare_cached("SELECT id, session, born, totals FROM sessions WHERE id = ?")?;
            let found = query.query_row([number], read_row).optional()?;
            found.map(|row| self.add_row(row)).transpose()?;
        }
        let lost = || StoreError::Damaged(format!("there is no session {number}"));
        self.sessions.get_mut(&number).ok_or_else(lost)
    }

    /// Whether `one` is older than `other`: its origin, or made earlier.
    pub fn is_older(&mut self, db: &Connection, one: i64, other: i64) -> Result<bool> {
        let of = |session: &LedgerSession| (session.born, session.name.clone());
        let (one, other) = (of(self.get(db, one)?), of(self.get(db, other)?));
        let is_fork = |fork: &str, origin: &str| self.forks.contains(&(fork.to_owned(), origin.to_owned()));
        Ok(match (is_fork(&one.1, &other.1), is_fork(&other.1, &one.1)) {
            (true, false) => false,
            (false, true) => true,
            _ => one < other,
        })
    }

    /// Notes a fork.
    pub fn note_fork(&mut self, fork: &str, origin: &str) {
        let pair = (fork.to_owned(), origin.to_owned());
        if self.forks.insert(pair.clone()) {
            self.new_forks.push(pair);
        }
    }

    /// Adds a total to a session.
    pub fn note_total(&mut self, db: &Connection, number: i64, total: &ClientTotal) -> Result<()> {
        let session = self.get(db, number)?;
        let before = session.totals.clone();
        total.join(&mut session.totals);
        session.is_dirty |= session.totals != before;
        Ok(())
    }

    /// The forks of a session.
    pub fn forks_of(&self, origin: &str) -> Vec<String> {
        self.forks
            .iter()
            .filter(|pair| pair.1 == origin && pair.0 != origin)
            .map(|pair| pair.0.clone())
            .collect()
    }

    /// The sessions that a session was forked from.
    pub fn origins_of(&self, fork: &str) -> Vec<String> {
        self.forks.iter().filter(|pair| pair.0 == fork && pair.1 != fork).map(|pair| pair.1.clone()).collect()
    }

    /// Writes what changed.
    pub fn save(&self, db: &Connection) -> Result<()> {
        let mut update = db.prepare_cached(
            "INSERT INTO sessions (id, session, born, totals) VALUES (?, ?, ?, ?) \
             ON CONFLICT (id) DO UPDATE SET born = excluded.born, totals = excluded.totals",
        )?;
        for (number, session) in self.sessions.iter().filter(|(_, session)| session.is_dirty) {
            let totals =
                (!session.totals.is_empty()).then(|| serde_json::to_string(&session.totals)).transpose();
            let totals = totals.map_err(|error| StoreError::Damaged(error.to_string()))?;
            update.execute(params![number, session.name, session.born.0, totals])?;
        }
        let mut insert = db.prepare_cached("INSERT OR IGNORE INTO forks (session, origin) VALUES (?, ?)")?;
        for (fork, origin) in &self.new_forks {
            insert.execute([fork, origin])?;
        }
        Ok(())
    }

    /// What was saved is in the file.
    pub fn note_saved(&mut self) {
        self.sessions.values_mut().for_each(|session| session.is_dirty = false);
        self.new_forks.clear();
    }

    fn add_row(&mut self, (number, name, born, totals): Row) -> Result<i64> {
        let totals = totals.map_or_else(|| Ok(Vec::new()), |text| serde_json::from_str(&text));
        let totals = totals.map_err(|error| StoreError::Damaged(format!("totals of {name}: {error}")))?;
        self.add(number, &name, Timestamp(born), totals, false);
        Ok(number)
    }

    fn add(&mut self, number: i64, name: &str, born: Timestamp, totals: Vec<ClientTotal>, is_new: bool) {
        let name = name.to_owned();
        self.numbers.insert(name.clone(), number);
        let keys = Vec::new();
        let session = LedgerSession { name, born, totals, keys, is_whole: is_new, is_dirty: is_new };
        self.sessions.insert(number, session);
    }
}

/// Number, id, birth and totals.
type Row = (i64, String, i64, Option<String>);

fn read_row(row: &rusqlite::Row) -> rusqlite::Result<Row> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
}
