//! To whom sessions are charged: noted when they are first seen.

use serde::{Deserialize, Serialize};

use super::names::hashed;
use super::workspace::Workspace;
use crate::domain::counter::Home;
use crate::domain::time::Timestamp;
use crate::store::{ClientProcess, Result, Session};

/// To whom a session is charged, and who started it; `add_up.lua` reads it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Charged {
    /// Its project, hashed.
    pub project: String,
    /// Its user.
    pub user: String,
    /// Its team.
    pub team: String,
    /// Its task type.
    pub task_type: String,
    /// The session that started it.
    pub parent: Option<String>,
    /// From when on that one bears what it brings.
    pub parent_since: Option<Timestamp>,
    /// Its client.
    pub client: Option<ClientProcess>,
    /// The machine that it runs on.
    pub machine: Option<String>,
}

impl Charged {
    /// A session that nobody has seen before.
    fn of(session: &Session) -> Self {
        Self {
            project: hashed(&session.project),
            user: session.user.clone(),
            team: session.team.clone(),
            task_type: session.task_type.clone(),
            client: session.client,
            ..Self::default()
        }
    }

    /// The same, as the ledger wants it.
    pub fn home(&self) -> Home {
        Home {
            project: self.project.clone(),
            user: self.user.clone(),
            team: self.team.clone(),
            task_type: self.task_type.clone(),
        }
    }

    /// Whether who found the session's files, without any line that names a folder, left its project open, and it is known
    /// now.
    pub fn lacks_project_of(&self, session: &Session) -> bool {
        self.project.is_empty() && !session.project.is_empty()
    }
}

/// Notes a session that nobody has seen before.
pub fn intern(workspace: &mut Workspace, session: &Session, seen: Timestamp) -> Result<()> {
    if workspace.charged(&session.id).is_some() {
        return Ok(());
    }
    let parent = session.parent.clone().filter(|parent| *parent != session.id);
    if let Some(parent) = &parent
        && workspace.charged(parent).is_none()
    {
        // A parent that no hook has reported yet is charged to whom its child is charged to.
        note(workspace, parent, &Charged { client: None, ..Charged::of(session) }, seen)?;
    }
    let since = parent.as_ref().map(|_| seen);
    let machine = session.client.map(|_| workspace.machine.to_owned());
    note(
        workspace,
        &session.id,
        &Charged { parent, parent_since: since, machine, ..Charged::of(session) },
        seen,
    )
}

fn note(workspace: &mut Workspace, id: &str, charged: &Charged, seen: Timestamp) -> Result<()> {
    let (sessions, live, seen) = (workspace.keys.sessions(), workspace.keys.live(id), seen.0.to_string());
    workspace.put_record(&workspace.keys.session(id), "", charged)?;
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
        (charged.client, charged.machine) = (Some(client), Some(workspace.machine.to_owned()));
        workspace.put(&key, "", id.clone());
    }
    // An old session that is resumed inside another one is that one's child from now on: it is no way out.
    if let Some(parent) = session.parent.clone().filter(|parent| parent != id) {
        if workspace.charged(&parent).is_none() {
            let stub = Session { id: parent.clone(), parent: None, client: None, ..session.clone() };
            intern(workspace, &stub, now)?;
        }
        if charged.parent.as_ref() != Some(&parent) {
            (charged.parent, charged.parent_since) = (Some(parent), Some(now));
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
