//! The sessions' files on this machine, and what they say about sessions that the store does not know.

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

/// A stored session with local data that a shared store lacks: the paths of its transcript and of its project.
pub fn with_local_paths(env: &Env, session: &Session) -> Session {
    let found = is_plain_id(&session.id).then(|| agents::find_transcript(env, &session.id)).flatten();
    let Some(transcript) = found else { return session.clone() };
    let project = project_in(&transcript);
    let is_it = shared_value(Scope::Project, &project) == session.project;
    let project = if is_it { project } else { session.project.clone() };
    Session { transcript: Some(transcript), project, ..session.clone() }
}

/// Every transcript that is named by a cache or in a client's folder, by session.
pub fn transcripts(env: &Env) -> BTreeMap<String, PathBuf> {
    let mut found = agents::transcripts_by_session(env);
    for session in CacheFile::all(&env.cache_dir()).iter().filter_map(CacheFile::read).map(|c| c.session) {
        if let Some(transcript) = session.transcript.filter(|_| !session.id.is_empty()) {
            found.insert(session.id, transcript);
        }
    }
    found
}

/// A session as described by its cache or its transcript; the store need not know it.
pub fn session_row(env: &Env, session: &str, transcript: &Path) -> SessionRow {
    let cache = CacheFile::for_session(&env.cache_dir(), session).read().unwrap_or_default();
    let (session, ended) = match cache.session.id == session {
        true => (cache.session, cache.ended),
        false => (unknown_session(env, session, transcript), None),
    };
    SessionRow { session, last_seen: last_written(transcript), ended, complete: false }
}

/// Whether a session's hooks have run on this machine, and recorded its transcript's path.
pub fn has_cache(env: &Env, session: &str) -> bool {
    let cached = CacheFile::for_session(&env.cache_dir(), session).read();
    cached.is_some_and(|cache| cache.session.transcript.is_some())
}

/// The sessions with data that never reached the store at this location, which may not know them at all.
pub fn unsent(env: &Env, location: &StoreLocation) -> Vec<SessionRow> {
    let caches = CacheFile::with_unreported_data(&env.cache_dir()).into_iter();
    // Sessions with another store are handled when that store is used.
    let of_store =
        |cache: &SessionCache| cache.config.as_ref().is_none_or(|config| location.is_same_store(config));
    let row = |cache: Box<SessionCache>| {
        let SessionCache { session, ended, .. } = *cache;
        let last_seen = session.transcript.as_deref().map(last_written)?;
        Some(SessionRow { session, last_seen, ended, complete: false })
    };
    caches.filter(|cache| of_store(cache)).filter_map(row).collect()
}

/// When a session was last recorded, by the modification time of its cache.
pub fn last_recorded(env: &Env, session: &str) -> Option<SystemTime> {
    std::fs::metadata(CacheFile::for_session(&env.cache_dir(), session).path()).ok()?.modified().ok()
}

/// Whether a transcript and its subagents' files were read completely.
pub fn is_fully_read(cache: &SessionCache, transcript: &Path) -> bool {
    agents::transcript_files(transcript).iter().all(|file| {
        let length = std::fs::metadata(&file.path).map_or(0, |m| m.len());
        cache.positions.get(&file.path).is_some_and(|p| p.offset >= length)
    })
}

/// A session with only a transcript: charged to the project in it, and to the current user.
fn unknown_session(env: &Env, id: &str, transcript: &Path) -> Session {
    let project = project_in(transcript);
    let folder = (!project.is_empty()).then_some(Path::new(&project));
    let team = config::load(env, folder).config.team;
    Session {
        id: id.to_owned(),
        transcript: Some(transcript.to_owned()),
        project,
        user: env.user(),
        team: team.unwrap_or_default(),
        // Its variables are gone.
        task_type: String::new(),
        chain: id.to_owned(),
        parent: None,
        client: None,
    }
}

/// The project in a transcript; empty if none.
fn project_in(transcript: &Path) -> String {
    let folder = agents::agent_of_transcript(transcript)
        .transcripts()
        .and_then(|transcripts| transcripts.working_folder(transcript));
    let project = folder.map(|cwd| project::project_root(&cwd).to_string_lossy().into_owned());
    project.unwrap_or_default()
}

/// When a transcript was last modified, which approximates when its session was last seen.
pub(super) fn last_written(transcript: &Path) -> Timestamp {
    let written = std::fs::metadata(transcript).and_then(|meta| meta.modified()).ok();
    let since = written.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    Timestamp(since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
}
