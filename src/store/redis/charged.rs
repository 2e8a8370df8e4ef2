//! To whom sessions are charged: noted when they are first seen.

use serde::{Deserialize, Serialize};

use super::workspace::Workspace;
use crate::domain::time::Timestamp;
use crate::store::shared_names::shared;
use crate::store::{Result, Session};

/// To whom a session is charged, and who started it; `counters.lua` reads it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Charged {
    /// The session, as it is shared.
    #[serde(flatten)]
    pub session: Session,
    /// From when on its parent bears what it brings.
    pub parent_since: Option<Timestamp>,
    /// The machine that its client runs on.
    pub machine: Option<String>,
}

/// Notes a session that nobody has seen before.
pub fn intern(workspace: &mut Workspace, session: &Session, seen: Timestamp) -> Result<()> {
    if workspace.charged(&session.id).is_some() {
        return Ok(());
    }
    let mut session = shared(session);
    session.parent = session.parent.filter(|parent| *parent != session.id);
    session.parent.iter().try_for_each(|parent| note_parent(workspace, parent, &session, seen))?;
    let parent_since = session.parent.as_ref().map(|_| seen);
    let machine = session.client.map(|_| workspace.machine.to_owned());
    note(workspace, Charged { session, parent_since, machine }, seen)
}

/// A parent that no hook has reported yet is charged to whom its child is charged to.
fn note_parent(workspace: &mut Workspace, parent: &str, child: &Session, seen: Timestamp) -> Result<()> {
    if workspace.charged(parent).is_some() {
        return Ok(());
    }
    let session = Session { id: parent.to_owned(), parent: None, client: None, ..child.clone() };
    note(workspace, Charged { session, ..Charged::default() }, seen)
}

fn note(workspace: &mut Workspace, charged: Charged, seen: Timestamp) -> Result<()> {
    let id = &charged.session.id;
    let (sessions, live, seen) = (workspace.keys.sessions(), workspace.keys.live(id), seen.0.to_string());
    workspace.put_record(&workspace.keys.session(id), "", &charged)?;
    workspace.write(&["ZADD", &sessions, "GT", &seen, id]);
    workspace.write(&["HSETNX", &live, "seen", &seen]);
    Ok(())
}

/// Notes that a session was seen: its client (a resumed session has a new one), its end. What it is charged to stays.
pub fn see(workspace: &mut Workspace, session: &Session, now: Timestamp, ended: bool) -> Result<()> {
    intern(workspace, session, now)?;
    let id = &session.id;
    let mut charged = workspace.charged(id).unwrap_or_default();
    let before = charged.clone();
    if let Some(client) = session.client {
        let key = workspace.keys.client(workspace.machine, client);
        (charged.session.client, charged.machine) = (Some(client), Some(workspace.machine.to_owned()));
        workspace.put(&key, "", id.clone());
    }
    // An old session that is resumed inside another one is that one's child from now on: it is no way out.
    if let Some(parent) = session.parent.clone().filter(|parent| parent != id) {
        note_parent(workspace, &parent, &shared(session), now)?;
        if charged.session.parent.as_ref() != Some(&parent) {
            (charged.session.parent, charged.parent_since) = (Some(parent), Some(now));
        }
    }
    if charged != before {
        workspace.put_record(&workspace.keys.session(id), "", &charged)?;
    }
    let (live, sessions) = (workspace.keys.live(id), workspace.keys.sessions());
    let seen = workspace.number_at(&live, "seen").unwrap_or(i64::MIN).max(now.0).to_string();
    workspace.write(&["ZADD", &sessions, "GT", &seen, id]);
    see_machine(workspace, now);
    workspace.write(&["HSET", &live, "seen", &seen]);
    workspace.write(&["HDEL", &live, "ended", "complete"]);
    if ended {
        workspace.write(&["HSET", &live, "ended", &now.0.to_string()]);
    }
    Ok(())
}

/// Notes that this machine is there; those that nobody has seen for long are forgotten.
pub fn see_machine(workspace: &mut Workspace, now: Timestamp) {
    let (machines, machine) = (workspace.keys.machines(), workspace.machine);
    let old = now.plus_millis(-super::KEPT_S * 1000).0.to_string();
    workspace.write(&["ZADD", &machines, "GT", &now.0.to_string(), machine]);
    workspace.write(&["ZREMRANGEBYSCORE", &machines, "-inf", &old]);
}
