//! Client processes: which one called, whether it is running, and what started it. (A client among a client's ancestors
//! makes its session the parent.)

use crate::agents::{self, Agent, InheritedEnv};
use crate::domain::time::Timestamp;
use crate::platform::process::{self, Process};
use crate::platform::{self, Env};
use crate::store::{ClientProcess, SessionRow, Store};

/// The client process that called this hook, as recognised by its agent.
pub fn calling_client(env: &Env, agent: &dyn Agent) -> Option<ClientProcess> {
    let ancestors: Vec<Process> = process::ancestors(std::process::id()).collect();
    agent.calling_process(env, &ancestors).map(client_process)
}

fn client_process(process: &Process) -> ClientProcess {
    ClientProcess { pid: process.pid, started: process.started }
}

/// Whether a process is a client of any agent.
pub fn is_client(pid: u32) -> bool {
    agents::ALL.iter().any(|agent| agent.is_run_by(pid))
}

/// Whether this process was started by a client, directly or indirectly.
pub fn is_under_client() -> bool {
    ancestors(std::process::id()).iter().any(|ancestor| is_client(ancestor.pid))
}

/// Whether a client was started by another one. A session that the client's variables name counts as its parent unless
/// the store knows that it has ended: it is safer to be too strict. Without a `store`, it counts.
pub fn is_nested(client: ClientProcess, own_session: &str, store: &mut Option<&mut dyn Store>) -> bool {
    let parent = parent_session(client, own_session, store);
    parent.is_some()
        || ancestors(client.pid).iter().any(|ancestor| is_client(ancestor.pid))
        || inherited_env(client)
            .into_iter()
            .filter(|said| said.is_inside)
            .any(|said| said.session.is_none_or(|session| lives(&session, store) != Some(false)))
}

/// Whether a client reads from a terminal.
pub fn has_terminal(client: ClientProcess) -> bool {
    process::has_terminal(client.pid)
}

/// The session that started `client`, if a client did: from the store's list of clients among the ancestors, else from
/// the variables that the client was started with.
///
/// Variables outlive their session: an editor, a dock or a terminal multiplexer that a client's shell once started
/// passes them on to every client that is started there. So a session that they name must not have ended, and a client
/// must be among the ancestors. A client whose ancestors have ended (`claude -p … &`) has none, nor has one that a
/// daemon started: for these, the store must know that the named session's client is running. Without a `store`, every
/// named session counts as running: it is safer to be too strict, and the session is looked up again later.
pub fn parent_session(
    client: ClientProcess,
    own_session: &str,
    store: &mut Option<&mut dyn Store>,
) -> Option<String> {
    let ancestors = ancestors(client.pid);
    for ancestor in &ancestors {
        if let Some(store) = store
            && let Ok(Some(session)) = store.session_of_client(client_process(ancestor))
            && session != own_session
        {
            return Some(session);
        }
    }
    let is_under_client = ancestors.iter().any(|ancestor| is_client(ancestor.pid));
    let is_cut_off = ancestors.iter().all(process::may_adopt);
    let has_store = store.is_some();
    let mut is_parent = |session: &String, certain: bool| {
        session != own_session && lives(session, store).unwrap_or(certain || !has_store)
    };
    inherited_env(client).into_iter().find_map(|said| {
        let started = said
            .session
            .filter(|session| (is_under_client || is_cut_off) && is_parent(session, is_under_client));
        started.or_else(|| said.launched_by.into_iter().find(|session| is_parent(session, false)))
    })
}

/// Whether the client of a session is running; `None` if the store does not know.
fn lives(session: &str, store: &mut Option<&mut dyn Store>) -> Option<bool> {
    let row = store.as_mut()?.session(session).ok()??;
    row.session.client.map(|client| row.ended.is_none() && is_running(client))
}

/// The ancestors of a client, without those of a test that started it.
fn ancestors(pid: u32) -> Vec<Process> {
    process::ancestors(pid).take_while(|ancestor| !platform::is_test_runner(ancestor.pid)).collect()
}

/// What agents set in the environment that a client was started with.
fn inherited_env(client: ClientProcess) -> Vec<InheritedEnv> {
    if platform::is_test_runner(client.pid) {
        return Vec::new();
    }
    let all = process::variables(client.pid);
    let variable = |name: &str| all.get(name).cloned();
    agents::ALL.iter().map(|agent| agent.inherited_env(&variable)).collect()
}

/// A time shortly before a client started, by the wall clock: its agents started later.
pub fn agents_started_after(client: ClientProcess, now: Timestamp) -> Option<Timestamp> {
    Some(now.plus_millis(-process::age_ms(client.started)? - 2_000))
}

/// Whether a client is running.
pub fn is_running(client: ClientProcess) -> bool {
    process::find(client.pid).is_some_and(|found| client_process(&found) == client)
}

/// How long a session with no recorded end counts as live if its client is unknown, in milliseconds.
const LIVE_WITHOUT_CLIENT_MS: i64 = 24 * 3600 * 1000;

/// Whether a session is live: it has not ended, and its client is running (if unknown: it was seen recently).
pub fn is_live(row: &SessionRow, now: Timestamp) -> bool {
    row.ended.is_none()
        && match row.session.client {
            Some(client) => is_running(client),
            None => now.millis_since(row.last_seen) < LIVE_WITHOUT_CLIENT_MS,
        }
}
