//! To whom sessions are charged: noted when they are first seen.

use super::charged::Charged;
use super::workspace::Workspace;
use crate::domain::budget::Scope;
use crate::domain::counter::Home;
use crate::domain::time::Timestamp;
use crate::store::ledger::{Moved, Specs};
use crate::store::{Result, Session};

impl Charged {
    /// The same, as the ledger wants it.
    pub fn home(&self) -> Home {
        Home {
            project: self.project.clone(),
            user: self.user.clone(),
            team: self.team.clone(),
            task_type: self.task_type.clone(),
        }
    }
}

/// Notes a session that nobody has seen before, and answers what it is called.
pub(super) fn intern(workspace: &mut Workspace, session: &Session, seen: Timestamp) -> Result<String> {
    match workspace.charged(&session.id)? {
        Some(charged) if charged.project.is_empty() && !session.project.is_empty() => {
            // Who found its files alone, without any line that names a folder, left the project open: what it brought by
            // then is charged to it now.
            let project = super::names::hashed(&session.project);
            workspace.recharge.push((session.id.clone(), project.clone()));
            workspace.charge(&session.id, Charged { project, ..charged })?;
        }
        Some(_) => {}
        None => {
            let parent = session.parent.clone().filter(|parent| *parent != session.id);
            if let Some(parent) = &parent
                && workspace.charged(parent)?.is_none()
            {
                // A parent that no hook has reported yet is charged to whom its child is charged to.
                let charged = Charged {
                    parent: None,
                    parent_since: None,
                    client: None,
                    machine: None,
                    ..charged_of(session)
                };
                note(workspace, parent, charged, seen)?;
            }
            let since = parent.as_ref().map(|_| seen);
            let machine = session.client.map(|_| workspace.machine());
            let charged = Charged { parent, parent_since: since, machine, ..charged_of(session) };
            note(workspace, &session.id, charged, seen)?;
        }
    }
    Ok(session.id.clone())
}

/// Counts for their project what sessions brought before it was known.
pub(super) fn recharge(workspace: &mut Workspace, specs: &Specs) -> Result<()> {
    for (session, project) in std::mem::take(&mut workspace.recharge) {
        for stored in workspace.messages_of(&session)?.into_iter().filter(|stored| stored.h == session) {
            for (name, spec) in specs.iter().filter(|(_, spec)| spec.scope == Scope::Project) {
                let (start, at) = (spec.rule.at(stored.d.at).start.0, stored.d.at.0);
                let key = workspace.keys.counter(name, &project, start);
                let moved = Moved { spec: name.clone(), value: project.clone(), start, at };
                workspace.plan.moves.push((key, moved, stored.c, false));
            }
        }
    }
    Ok(())
}

fn charged_of(session: &Session) -> Charged {
    Charged {
        project: super::names::hashed(&session.project),
        user: session.user.clone(),
        team: session.team.clone(),
        task_type: session.task_type.clone(),
        client: session.client,
        ..Charged::default()
    }
}

fn note(workspace: &mut Workspace, id: &str, charged: Charged, seen: Timestamp) -> Result<()> {
    let (sessions, live) = (workspace.keys.sessions(), workspace.keys.live(id));
    workspace.charge(id, charged)?;
    workspace.command("zset", &["ZADD", &sessions, "GT", &seen.0.to_string(), id]);
    workspace.command("hash", &["HSETNX", &live, "seen", &seen.0.to_string()]);
    workspace.new.insert(id.to_owned());
    Ok(())
}
