//! Where sessions' files lie on this machine, and what can be told from them about a session that the store does not know.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::open_store::StoreLocation;
use super::project;
use crate::agents;
use crate::config;
use crate::domain::budget::Scope;
use crate::domain::time::Timestamp;
use crate::platform::Env;
use crate::store::cache_file::CacheFile;
use crate::store::session_cache::SessionCache;
use crate::store::shared_names::shared_value;
use crate::store::{Session, SessionRow};
use crate::transcript::is_plain_id;

/// A session that a store knows, with what it does not say of it: where its transcript lies on this machine, and what its
/// project is called here.
pub fn on_this_machine(env: &Env, session: &Session) -> Session {
    let found = is_plain_id(&session.id).then(|| agents::transcript(env, &session.id)).flatten();
    let Some(transcript) = found else { return session.clone() };
    let project = project_of(&transcript);
    let is_it = shared_value(Scope::Project, &project) == session.project;
    let project = if is_it { project } else { session.project.clone() };
    Session { transcript: Some(transcript), project, ..session.clone() }
}

/// Every transcript that a cache names or that lies in the client's folder, with its session.
pub fn transcripts(env: &Env) -> BTreeMap<String, PathBuf> {
    let mut found = agents::sessions(env);
    for session in CacheFile::all(&env.cache_dir()).iter().filter_map(CacheFile::read).map(|c| c.session) {
        if let Some(transcript) = session.transcript.filter(|_| !session.id.is_empty()) {
            found.insert(session.id, transcript);
        }
    }
    found
}

/// A session of which the store need not know anything, as its cache or its transcript says.
pub fn row_of(env: &Env, session: &str, transcript: &Path) -> SessionRow {
    let cache = CacheFile::for_session(&env.cache_dir(), session).read().unwrap_or_default();
    let (session, ended) = match cache.session.id == session {
        true => (cache.session, cache.ended),
        false => (unknown_session(env, session, transcript), None),
    };
    SessionRow { session, last_seen: last_written(transcript), ended, complete: false }
}

/// Whether a session's hooks have run on this machine, and said where its transcript is.
pub fn has_cache(env: &Env, session: &str) -> bool {
    let cached = CacheFile::for_session(&env.cache_dir(), session).read();
    cached.is_some_and(|cache| cache.session.transcript.is_some())
}

/// The sessions whose caches owe the store at this location something, which it may not even know.
pub fn owing(env: &Env, location: &StoreLocation) -> Vec<SessionRow> {
    let caches = CacheFile::with_unreported_data(&env.cache_dir()).into_iter();
    // With another store they have to do when somebody uses that one.
    let of_store =
        |cache: &SessionCache| cache.config.as_ref().is_none_or(|config| location.is_same_store(config));
    let row = |cache: Box<SessionCache>| {
        let SessionCache { session, ended, .. } = *cache;
        let last_seen = session.transcript.as_deref().map(last_written)?;
        Some(SessionRow { session, last_seen, ended, complete: false })
    };
    caches.filter(|cache| of_store(cache)).filter_map(row).collect()
}

/// When a session was last recorded: each time its cache is written.
pub fn last_read(env: &Env, session: &str) -> Option<SystemTime> {
    std::fs::metadata(CacheFile::for_session(&env.cache_dir(), session).path()).ok()?.modified().ok()
}

/// Whether all of a transcript was read, and of its subagents' files.
pub fn is_read(cache: &SessionCache, transcript: &Path) -> bool {
    agents::files(transcript).iter().all(|file| {
        let length = std::fs::metadata(&file.path).map_or(0, |m| m.len());
        cache.positions.get(&file.path).is_some_and(|p| p.offset >= length)
    })
}

/// A session of which only the transcript is left: charged to the project that it names, and to who is working now.
fn unknown_session(env: &Env, id: &str, transcript: &Path) -> Session {
    let project = project_of(transcript);
    let folder = (!project.is_empty()).then_some(Path::new(&project));
    let team = config::load(env, folder).config.team;
    Session {
        id: id.to_owned(),
        transcript: Some(transcript.to_owned()),
        project,
        user: env.user(),
        team: team.unwrap_or_default(),
        ..Session::default()
    }
}

/// The project that a transcript names; empty: none.
fn project_of(transcript: &Path) -> String {
    let folder = agents::of_transcript(transcript)
        .transcripts()
        .and_then(|transcripts| transcripts.folder(transcript));
    let project = folder.map(|cwd| project::of(&cwd).to_string_lossy().into_owned());
    project.unwrap_or_default()
}

/// When a transcript was last written to, which is when its session was last seen, for all that is known.
pub(super) fn last_written(transcript: &Path) -> Timestamp {
    let written = std::fs::metadata(transcript).and_then(|meta| meta.modified()).ok();
    let since = written.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    Timestamp(since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
}
