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
    let ancestors = process::ancestors(std::process::id()).map(|ancestor| ancestor.pid);
    ancestors.take_while(|pid| !platform::is_test_runner(*pid)).any(is_client)
}

/// Whether a client was started by another one, judged by its ancestors and environment.
pub fn is_nested(client: ClientProcess) -> bool {
    inherited_env(client).iter().any(|said| said.is_inside)
        || process::ancestors(client.pid).any(|ancestor| is_client(ancestor.pid))
}

/// Whether a client reads from a terminal.
pub fn has_terminal(client: ClientProcess) -> bool {
    process::has_terminal(client.pid)
}

/// The session that started `client`, if a client did: from the store's list of clients among the ancestors, else from
/// the environment that the client was started with (a client's shell passes on the session id).
pub fn parent_session(client: ClientProcess, own_session: &str, store: &mut dyn Store) -> Option<String> {
    for ancestor in process::ancestors(client.pid) {
        if let Ok(Some(session)) = store.session_of_client(client_process(&ancestor))
            && session != own_session
        {
            return Some(session);
        }
    }
    inherited_parent_session(client, own_session)
}

/// Like [`parent_session`], but from the environment alone, without a store.
pub fn inherited_parent_session(client: ClientProcess, own_session: &str) -> Option<String> {
    inherited_env(client).into_iter().filter_map(|said| said.session).find(|id| id != own_session)
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
