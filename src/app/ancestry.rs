//! Client processes: which one calls, whether it still runs, and who started it. (A second Claude Code among its
//! ancestors makes the session that one's child.)

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::domain::time::Timestamp;
use crate::env::Env;
use crate::store::{ClientProcess, SessionRow, Store};

/// How many ancestors are looked at.
const MAX_ANCESTORS: usize = 64;

/// The client process that called this hook: `CLAUDE_PID`, else the parent (exec form).
pub fn client(env: &Env) -> Option<ClientProcess> {
    let pid = env
        .var("CLAUDE_PID")
        .and_then(|pid| pid.parse().ok())
        .or_else(|| stat(std::process::id())?.parent)?;
    Some(ClientProcess { pid, started: stat(pid)?.started })
}

/// The session that started `client`, if a client did: by the store's list of clients among the ancestors, else by
/// the environment that the client was started with (a shell of a client carries the session's id).
pub fn parent(client: ClientProcess, own_session: &str, store: &mut dyn Store) -> Option<String> {
    let mut pid = stat(client.pid)?.parent;
    for _ in 0..MAX_ANCESTORS {
        let Some(ancestor) = pid.filter(|pid| *pid > 1) else { break };
        let Some(found) = stat(ancestor) else { break };
        let process = ClientProcess { pid: ancestor, started: found.started };
        if let Ok(Some(session)) = store.session_of_client(process)
            && session != own_session
        {
            return Some(session);
        }
        pid = found.parent;
    }
    let inherited = started_with(client.pid);
    let nested = inherited.contains_key("CLAUDECODE");
    inherited
        .get("CLAUDE_CODE_SESSION_ID")
        .filter(|id| nested && *id != own_session && !id.is_empty())
        .cloned()
}

/// The CLAUDE variables that a process was started with. Only the names asked for are kept: the client's environment
/// holds secrets.
fn started_with(pid: u32) -> BTreeMap<String, String> {
    let bytes = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let wanted = ["CLAUDECODE", "CLAUDE_CODE_SESSION_ID"];
    let pairs = bytes.split(|b| *b == 0).filter_map(|pair| std::str::from_utf8(pair).ok()?.split_once('='));
    pairs.filter(|(name, _)| wanted.contains(name)).map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
}

struct Stat {
    parent: Option<u32>,
    started: u64,
}

/// Parent and start time of a process (`/proc/<pid>/stat`, fields 4 and 22; the name in field 2 may hold anything).
fn stat(pid: u32) -> Option<Stat> {
    let text = std::fs::read_to_string(PathBuf::from(format!("/proc/{pid}/stat"))).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some(Stat { parent: fields.get(1)?.parse().ok(), started: fields.get(19)?.parse().ok()? })
}

/// Whether a client still runs.
pub fn runs(client: ClientProcess) -> bool {
    stat(client.pid).is_some_and(|found| found.started == client.started)
}

/// How long a session that did not say that it ended counts as live, where its client is not known.
const LIVE_MS: i64 = 24 * 3600 * 1000;

/// Whether a session goes on: it has not ended, and its client runs (where that is not known: it was seen lately).
pub fn is_live(row: &SessionRow, now: Timestamp) -> bool {
    row.ended.is_none()
        && match row.session.client {
            Some(client) => runs(client),
            None => now.millis_since(row.last_seen) < LIVE_MS,
        }
}
