//! Client processes: which one calls, whether it still runs, and who started it. (A second Claude Code among its
//! ancestors makes the session that one's child.)

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::domain::time::Timestamp;
use crate::env::{self, Env};
use crate::store::{ClientProcess, SessionRow, Store};

/// How many ancestors are looked at.
const MAX_ANCESTORS: usize = 64;

/// Programs that start others: no client.
const SHELLS: [&str; 6] = ["sh", "bash", "dash", "zsh", "ksh", "fish"];

/// The client process that called this hook: the nearest ancestor that is no shell, unless `CLAUDE_PID` names one
/// further up (hooks behind a wrapper). That variable can be set by anybody, in 2.1.197 to anything: it counts only for
/// an ancestor with no other client before it.
pub fn client(env: &Env) -> Option<ClientProcess> {
    let ancestors: Vec<Process> = ancestors_of(std::process::id()).collect();
    let nearest = ancestors.iter().find(|a| !SHELLS.contains(&a.stat.name.as_str())).or(ancestors.first())?;
    let named = env.var("CLAUDE_PID").and_then(|pid| pid.parse().ok());
    let named = named.and_then(|pid: u32| ancestors.iter().position(|a| a.id.pid == pid));
    let client = match named {
        Some(place) if !ancestors[..place].iter().any(|a| is_client(a.id.pid)) => &ancestors[place],
        _ => nearest,
    };
    Some(client.id)
}

/// The ancestors of a process, nearest first.
fn ancestors_of(pid: u32) -> impl Iterator<Item = Process> {
    let next = |pid: Option<u32>| {
        let pid = pid.filter(|pid| *pid > 1)?;
        let stat = stat(pid)?;
        Some(Process { id: ClientProcess { pid, started: stat.started }, stat })
    };
    let first = next(stat(pid).and_then(|own| own.parent));
    std::iter::successors(first, move |process| next(process.stat.parent)).take(MAX_ANCESTORS)
}

/// Whether a process is a client, by the program that it runs: `claude`, a version of it in a folder of versions, or a
/// script of its package.
pub fn is_client(pid: u32) -> bool {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    let program = std::fs::read_link(proc.join("exe")).unwrap_or_default();
    let program = program.to_string_lossy();
    let program = program.strip_suffix(" (deleted)").unwrap_or(&program);
    let arguments = std::fs::read(proc.join("cmdline")).unwrap_or_default();
    let script = arguments.split(|b| *b == 0).nth(1).unwrap_or_default();
    // npm links `claude` to `@anthropic-ai/claude-code/bin/claude.exe`, on Linux too.
    program.ends_with("/claude")
        || program.contains("/@anthropic-ai/claude-code")
        || program.contains("/claude/versions/")
        || memchr::memmem::find(script, b"/claude-code/").is_some()
}

/// Whether this process was started by a client, however far up.
pub fn is_under_client() -> bool {
    let ancestors = ancestors_of(std::process::id()).map(|ancestor| ancestor.id.pid);
    ancestors.take_while(|pid| !env::is_tests(*pid)).any(is_client)
}

/// Whether a client was started by another one: that is among its ancestors, or left its mark in the environment.
pub fn is_nested(client: ClientProcess) -> bool {
    started_with(client.pid).contains_key("CLAUDECODE")
        || ancestors_of(client.pid).any(|ancestor| is_client(ancestor.id.pid))
}

/// Whether a client reads from a terminal.
pub fn has_terminal(client: ClientProcess) -> bool {
    let input = std::fs::read_link(format!("/proc/{}/fd/0", client.pid)).unwrap_or_default();
    input.starts_with("/dev/pts") || input.to_str().is_some_and(|path| path.starts_with("/dev/tty"))
}

/// The session that started `client`, if a client did: by the store's list of clients among the ancestors, else by
/// the environment that the client was started with (a shell of a client carries the session's id).
pub fn parent(client: ClientProcess, own_session: &str, store: &mut dyn Store) -> Option<String> {
    for ancestor in ancestors_of(client.pid) {
        if let Ok(Some(session)) = store.session_of_client(ancestor.id)
            && session != own_session
        {
            return Some(session);
        }
    }
    inherited_parent(client, own_session)
}

/// The same by the environment alone: no store is asked.
pub fn inherited_parent(client: ClientProcess, own_session: &str) -> Option<String> {
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

/// A process and where it comes from.
struct Process {
    id: ClientProcess,
    stat: Stat,
}

struct Stat {
    name: String,
    parent: Option<u32>,
    started: u64,
}

/// Name, parent and start time of a process (`/proc/<pid>/stat`, fields 2, 4 and 22; the name may hold anything).
fn stat(pid: u32) -> Option<Stat> {
    let text = std::fs::read_to_string(PathBuf::from(format!("/proc/{pid}/stat"))).ok()?;
    let (start, rest) = text.rsplit_once(')')?;
    let name = start.split_once('(')?.1.to_owned();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    Some(Stat { name, parent: fields.get(1)?.parse().ok(), started: fields.get(19)?.parse().ok()? })
}

/// When a client started, by the wall clock, a little early: what its agents did came later.
pub fn since(client: ClientProcess, now: Timestamp) -> Option<Timestamp> {
    const TICKS_PER_SECOND: u64 = 100;
    let text = std::fs::read_to_string("/proc/uptime").ok()?;
    let up: f64 = text.split_whitespace().next()?.parse().ok()?;
    let started = client.started as f64 / TICKS_PER_SECOND as f64;
    let age_ms = ((up - started).max(0.0) * 1000.0) as i64;
    Some(now.plus_millis(-age_ms - 2_000))
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
