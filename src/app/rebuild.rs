//! Reading on in other sessions: those that are not known to be complete, and all of them after a store was lost.

use std::path::{Path, PathBuf};

use super::guard::{Call, Guard};
use super::meter::{Metered, Metering, Reach};
use super::project;
use crate::env::{Env, clock};
use crate::store::session_cache::CacheFile;
use crate::store::{Session, SessionRow, Store};

/// How long a session must have ended before all of it is taken to be on disk.
const SETTLED_MS: i64 = 2_000;

/// Sessions that a hook reads on in at most.
const HOOK_SESSIONS: usize = 8;

/// Milliseconds that a hook spends on it at most.
const HOOK_MS: i64 = 400;

/// Bytes that a hook reads of each.
const HOOK_BYTES_EACH: u64 = 4 * 1024 * 1024;

impl Guard<'_> {
    /// Reads on, within bounds, in other sessions that are not known to be complete. Here, because nobody else may
    /// come: the hooks of a session that was killed never do, and `/clear` writes its total after the last hook.
    pub fn read_on_others(&mut self) {
        if self.with_store(|store| store.is_rebuilding()) == Some(true) {
            rebuild(self.env, Some(HOOK_MS), |_, _| ());
            return;
        }
        let Some(rows) = self.with_store(|store| store.sessions()) else { return };
        let own = self.call.session.clone();
        let others = rows.iter().filter(|r| !r.complete && r.session.id != own).take(HOOK_SESSIONS);
        let started = clock();
        for row in others {
            if clock().millis_since(started) > HOOK_MS {
                return;
            }
            read_on(self.env, row, HOOK_BYTES_EACH);
        }
    }
}

/// Reads on in one session, and notes when nothing more can come. Answers its guard, and what was found.
pub fn read_on<'a>(env: &'a Env, row: &SessionRow, max_bytes: u64) -> (Guard<'a>, Metered) {
    let mut guard = guard_of(env, &row.session);
    let metered = guard.meter(&Metering { reach: Reach::All, max_bytes, ..Metering::of_caller(false) });
    if let Some(ended) = row.ended.filter(|_| metered.stored && metered.complete) {
        // Reading on wakes a session up in the store; an ended one is put back to sleep.
        let over = env.now.millis_since(ended) > SETTLED_MS;
        guard.with_store(|store| {
            store.see(&row.session, ended, true)?;
            if over { store.complete(&row.session.id) } else { Ok(()) }
        });
    }
    (guard, metered)
}

/// The guard of a session that the store or a transcript names.
pub fn guard_of<'a>(env: &'a Env, session: &Session) -> Guard<'a> {
    let cwd = Some(PathBuf::from(&session.project)).filter(|p| p.is_dir());
    let call =
        Call { session: session.id.clone(), transcript: session.transcript.clone(), cwd, ..Call::default() };
    let mut guard = Guard::new(env, call);
    if guard.cache.session.id != session.id {
        guard.cache.session = session.clone();
    }
    guard
}

/// A transcript that may have to be read: its session, and whom to charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The session, named after the file.
    pub session: String,
    /// The file.
    pub transcript: PathBuf,
    /// The folder that the client worked in, as the transcript says.
    pub cwd: Option<PathBuf>,
}

/// The transcripts below the client's folder.
pub fn transcripts(env: &Env) -> Vec<Found> {
    let projects = env.claude_dir().map(|dir| dir.join("projects"));
    let mut found = Vec::new();
    for project in entries(projects.as_deref()) {
        for path in entries(Some(&project)) {
            let is_transcript = path.extension().is_some_and(|e| e == "jsonl") && path.is_file();
            if let Some(session) = path.file_stem().and_then(|s| s.to_str()).filter(|_| is_transcript) {
                found.push(Found {
                    session: session.to_owned(),
                    cwd: cwd_of(&path),
                    transcript: path.clone(),
                });
            }
        }
    }
    found.sort_by(|a, b| a.transcript.cmp(&b.transcript));
    found
}

fn entries(dir: Option<&Path>) -> Vec<PathBuf> {
    let read = dir.and_then(|d| std::fs::read_dir(d).ok());
    read.into_iter().flatten().flatten().map(|e| e.path()).collect()
}

/// The first folder that a transcript names.
fn cwd_of(transcript: &Path) -> Option<PathBuf> {
    use std::io::{BufRead, BufReader};
    let file = BufReader::new(std::fs::File::open(transcript).ok()?);
    for line in file.lines().map_while(Result::ok).take(50) {
        let fields: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(cwd) = fields.get("cwd").and_then(|c| c.as_str()) {
            return Some(cwd.into());
        }
    }
    None
}

/// Fills a store that lost what it knew: every session that a cache or a transcript names is read from its start.
/// `progress` is told the number of sessions done and in all. With `for_ms` it ends early; what is done by then is not
/// done again.
pub fn rebuild(env: &Env, for_ms: Option<i64>, mut progress: impl FnMut(usize, usize)) {
    let started = clock();
    let sessions = known_sessions(env);
    for (done, session) in sessions.iter().enumerate() {
        progress(done, sessions.len());
        if for_ms.is_some_and(|ms| clock().millis_since(started) > ms) {
            return;
        }
        let row = SessionRow { session: session.clone(), last_seen: env.now, ended: None, complete: false };
        read_on(env, &row, for_ms.map_or(u64::MAX, |_| HOOK_BYTES_EACH));
    }
    progress(sessions.len(), sessions.len());
    if let Ok((mut store, _)) = super::guard::open(env) {
        let _ = store.set_rebuilding(false);
    }
}

/// Every session that a cache or a transcript names.
fn known_sessions(env: &Env) -> Vec<Session> {
    let caches = CacheFile::all(&env.cache_dir()).into_iter().filter_map(|file| file.read());
    let mut sessions: Vec<Session> =
        caches.map(|cache| cache.session).filter(|s| !s.id.is_empty() && s.transcript.is_some()).collect();
    for found in transcripts(env) {
        if sessions.iter().any(|s| s.id == found.session) {
            continue;
        }
        let project = found.cwd.as_deref().map(|cwd| project::of(cwd).to_string_lossy().into_owned());
        sessions.push(Session {
            id: found.session,
            transcript: Some(found.transcript),
            project: project.unwrap_or_default(),
            user: env.user(),
            ..Session::default()
        });
    }
    sessions.sort_by(|a, b| a.id.cmp(&b.id));
    sessions
}
