//! Records of sessions, with an attribution that is fixed when the session is first seen.

use serde::{Deserialize, Serialize};

use super::unit_of_work::UnitOfWork;
use crate::domain::time::Timestamp;
use crate::store::shared_names::shared_session;
use crate::store::{Result, Session};

/// A session as stored; `counters.lua` reads it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// The session, as shared.
    #[serde(flatten)]
    pub session: Session,
    /// From when its parent is charged for it.
    pub parent_since: Option<Timestamp>,
    /// The machine of its client.
    pub machine: Option<String>,
}

/// Adds a session that is not stored yet.
pub fn intern(work: &mut UnitOfWork, session: &Session, seen: Timestamp) -> Result<()> {
    if work.session_record(&session.id).is_some() {
        return Ok(());
    }
    let mut session = shared_session(session);
    session.parent = session.parent.filter(|parent| *parent != session.id);
    session.parent.iter().try_for_each(|parent| ensure_parent(work, parent, &session, seen))?;
    let parent_since = session.parent.as_ref().map(|_| seen);
    let machine = session.client.map(|_| work.machine.to_owned());
    add_session(work, SessionRecord { session, parent_since, machine }, seen)
}

/// A parent not reported yet by any hook is charged like its child.
fn ensure_parent(work: &mut UnitOfWork, parent: &str, child: &Session, seen: Timestamp) -> Result<()> {
    if work.session_record(parent).is_some() {
        return Ok(());
    }
    let session = Session { id: parent.to_owned(), parent: None, client: None, ..child.clone() };
    add_session(work, SessionRecord { session, ..SessionRecord::default() }, seen)
}

fn add_session(work: &mut UnitOfWork, record: SessionRecord, seen: Timestamp) -> Result<()> {
    let id = &record.session.id;
    let (sessions, live, seen) = (work.keys.sessions(), work.keys.live(id), seen.0.to_string());
    work.put_record(&work.keys.session(id), "", &record)?;
    work.write(&["ZADD", &sessions, "GT", &seen, id]);
    work.write(&["HSETNX", &live, "seen", &seen]);
    Ok(())
}

/// Records that a session was seen: its client (new if the session was resumed), its end. Its attribution stays.
pub fn touch_session(work: &mut UnitOfWork, session: &Session, now: Timestamp, ended: bool) -> Result<()> {
    intern(work, session, now)?;
    let id = &session.id;
    let mut record = work.session_record(id).unwrap_or_default();
    let before = record.clone();
    if let Some(client) = session.client {
        let key = work.keys.client(work.machine, client);
        (record.session.client, record.machine) = (Some(client), Some(work.machine.to_owned()));
        work.put(&key, "", id.clone());
    }
    // An old session resumed inside another one becomes its child, so it cannot evade that one's budget.
    if let Some(parent) = session.parent.clone().filter(|parent| parent != id) {
        ensure_parent(work, &parent, &shared_session(session), now)?;
        if record.session.parent.as_ref() != Some(&parent) {
            (record.session.parent, record.parent_since) = (Some(parent), Some(now));
        }
    }
    if record != before {
        work.put_record(&work.keys.session(id), "", &record)?;
    }
    let (live, sessions) = (work.keys.live(id), work.keys.sessions());
    let seen = work.get_number(&live, "seen").unwrap_or(i64::MIN).max(now.0).to_string();
    work.write(&["ZADD", &sessions, "GT", &seen, id]);
    touch_machine(work, now);
    work.write(&["HSET", &live, "seen", &seen]);
    work.write(&["HDEL", &live, "ended", "complete"]);
    if ended {
        work.write(&["HSET", &live, "ended", &now.0.to_string()]);
    }
    Ok(())
}

/// Records that this machine was seen, and removes those not seen for long.
pub fn touch_machine(work: &mut UnitOfWork, now: Timestamp) {
    let (machines, machine) = (work.keys.machines(), work.machine);
    let old = now.plus_millis(-super::RETENTION_S * 1000).0.to_string();
    work.write(&["ZADD", &machines, "GT", &now.0.to_string(), machine]);
    work.write(&["ZREMRANGEBYSCORE", &machines, "-inf", &old]);
}
