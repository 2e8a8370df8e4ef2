//! Reading on in other sessions: those that are not known to be complete, and all of them after a store was lost.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::guard::Guard;
use super::installation::Installation;
use super::look::Reach;
use super::meter::{Metered, Metering};
use super::opening;
use super::operation_ledger::OperationLedger;
use super::{ancestry, project};
use crate::config::{self, Config};
use crate::domain::budget::Scope;
use crate::domain::time::Timestamp;
use crate::env::{Env, Stopwatch};
use crate::store::redis::shared_value;
use crate::store::session_cache::{CacheFile, SessionCache};
use crate::store::{Session, SessionRow, Store};
use crate::transcript::files;

/// How long a session must have ended before all of it is taken to be on disk.
const SETTLED_MS: i64 = 2_000;

/// Sessions that a hook reads on in at most.
const HOOK_SESSIONS: usize = 8;

/// Milliseconds that a hook spends on it at most.
const HOOK_MS: i64 = 400;

/// Bytes that a hook reads of each.
const HOOK_BYTES_EACH: u64 = 4 * 1024 * 1024;

/// What is noted of a shared store that has an earlier state than it had.
const WENT_BACK: &str =
    "the store went back in time (a restored copy, or a replica that lagged behind took over)";

/// What is noted of one that has another name.
const EMPTIED: &str =
    "the store does not know this session any more (it was emptied, or renewed by another machine)";

impl Guard<'_> {
    /// Where the session's budgets stand, by what others recorded.
    fn look_on(&mut self) -> Metered {
        let (watches, now) = (self.watches(&self.session()), self.env.now);
        let states = self.with_store(|store| store.states(&watches, now));
        Metered {
            stored: states.is_some(),
            states: states.unwrap_or_default(),
            complete: true,
            ..Metered::default()
        }
    }

    /// The store, called `epoch` now, lost what it knew: it is to be filled again. `is_known`: it was called so before, and
    /// went back in time. Answers what it is called from now on.
    pub(super) fn note_loss(&mut self, epoch: &str, is_known: bool) -> Option<String> {
        let named = self.with_store(|store| note_loss(store, epoch, is_known))?;
        // Of the embedded store, which is this machine's, whoever lost it knows.
        if self.config.redis.is_some() {
            let what = if is_known { WENT_BACK } else { EMPTIED };
            self.notes.push(format!("{what}: everything is read again from the transcripts"));
        }
        // First, for a budget that was extended must not look used up.
        self.tell_again();
        Some(named)
    }

    /// Tells the store again what was decided on this machine, as far as it does not know.
    fn tell_again(&mut self) {
        if let Some(dir) = self.env.state_dir() {
            let ledger = OperationLedger::of(&dir, &self.config);
            self.with_store(|store| ledger.replay(store, Some(HOOK_MS)));
        }
    }

    /// Reads on, within bounds, in other sessions that are not known to be complete. Here, because nobody else may
    /// come: the hooks of a session that was killed never do, and `/clear` writes its total after the last hook.
    pub fn read_on_others(&mut self) {
        if self.with_store(|store| store.is_rebuilding()) == Some(true) {
            rebuild(self.env, &self.config.clone(), Some(HOOK_MS), |_, _| ());
            return;
        }
        // A decision is of no session that could notice that it was lost.
        if self.config.redis.is_some() {
            self.tell_again();
        }
        let Some(rows) = self.with_store(|store| store.sessions()) else { return };
        let own = &self.call.session;
        // A shared store lists those of other machines too, and does not know where any lie.
        let here = self.config.redis.is_some().then(|| in_projects(self.env));
        let is_here = |row: &SessionRow| {
            let id = &row.session.id;
            here.as_ref().is_none_or(|here| here.contains_key(id) || has_cache(self.env, id))
        };
        let mut others: Vec<&SessionRow> =
            rows.iter().filter(|row| !row.complete && row.session.id != *own && is_here(row)).collect();
        // Who was not read for the longest time comes first, so that each gets its turn.
        others.sort_by_cached_key(|row| (last_read(self.env, &row.session.id), row.last_seen));
        let started = Stopwatch::start();
        for row in others.into_iter().take(HOOK_SESSIONS) {
            if started.ms() > HOOK_MS {
                return;
            }
            let left = HOOK_MS - started.ms();
            read_within(self.env, row, HOOK_BYTES_EACH, Some(left));
        }
    }
}

/// `is_known`: it is the store that was there before, and went back in time. Otherwise it is one that was made anew.
fn note_loss(store: &mut dyn Store, epoch: &str, is_known: bool) -> crate::store::Result<String> {
    if is_known {
        return store.renew(epoch);
    }
    store.set_rebuilding(true)?;
    Ok(epoch.to_owned())
}

/// Looks whether the sessions' caches know more than the store, and notes then that it is to be filled. For who asks
/// for numbers: a session that the store does not even know any more is in no list of it.
///
/// # Errors
/// The store cannot be used.
pub fn look_for_loss(env: &Env, store: &mut dyn Store) -> crate::store::Result<()> {
    // The caches first: what hooks record meanwhile is no loss.
    let of_session = |cache: &SessionCache| cache.session.transcript.is_some() && !cache.epoch.is_empty();
    let caches = CacheFile::all(&env.cache_dir()).into_iter().filter_map(|file| file.read());
    let caches = caches.filter(|cache| of_session(cache)).map(|cache| {
        let SessionCache { session, epoch, sequence, own, .. } = *cache;
        (session.id, epoch, sequence, own)
    });
    let caches: Vec<_> = caches.collect();
    let epoch = store.epoch()?;
    let (sequences, owned) = (store.sequences()?, store.own_batches()?);
    for (id, known_as, sequence, own) in caches {
        let is_known = known_as == epoch;
        let is_behind = sequences.get(&id).is_none_or(|known| *known < sequence)
            || owned.get(&id).is_some_and(|known| known.lacks(&own));
        if !is_known || is_behind {
            note_loss(store, &epoch, is_known)?;
            break;
        }
    }
    Ok(())
}

/// Whether a session's hooks have run on this machine, and said where its transcript is.
fn has_cache(env: &Env, session: &str) -> bool {
    let cached = CacheFile::of(&env.cache_dir(), session).read();
    cached.is_some_and(|cache| cache.session.transcript.is_some())
}

/// When a session was last recorded: each time its cache is written.
fn last_read(env: &Env, session: &str) -> Option<SystemTime> {
    std::fs::metadata(CacheFile::of(&env.cache_dir(), session).path()).ok()?.modified().ok()
}

/// Reads on in one session, and notes when nothing more can come. Answers its guard, and what was found.
pub fn read_on<'a>(env: &'a Env, row: &SessionRow, max_bytes: u64) -> (Guard<'a>, Metered) {
    let (mut guard, metered) = read_within(env, row, max_bytes, None);
    // A person waits for an answer, not for hooks.
    guard.cache.store_asleep_until = None;
    (guard, metered)
}

/// The same, and begins nothing new after `max_ms` milliseconds.
fn read_within<'a>(
    env: &'a Env,
    row: &SessionRow,
    max_bytes: u64,
    max_ms: Option<i64>,
) -> (Guard<'a>, Metered) {
    read_with(Guard::of_other(env, &row.session), row, max_bytes, max_ms)
}

/// Reads all of a session from its start, although it was read before. Answers its guard, and what was found.
pub(super) fn read_again<'a>(env: &'a Env, row: &SessionRow) -> (Guard<'a>, Metered) {
    let mut guard = Guard::of_other(env, &row.session);
    // Not removed: what a parallel hook knows must not count as further on.
    guard.update(|cache| cache.positions.values_mut().for_each(|position| position.restart()));
    // A session of which only the transcript is left is in no cache.
    if guard.cache.session.id != row.session.id {
        guard.cache.session = row.session.clone();
    }
    read_with(guard, row, u64::MAX, None)
}

fn read_with<'a>(
    mut guard: Guard<'a>,
    row: &SessionRow,
    max_bytes: u64,
    max_ms: Option<i64>,
) -> (Guard<'a>, Metered) {
    let env = guard.env;
    guard.cache.store_asleep_until = None;
    // Of a session of another machine there is nothing to be read here, and nothing to be said; a batch of it would
    // only look as if its own machine had recorded one.
    if guard.config.redis.is_some() && guard.call.transcript.is_none() {
        let metered = guard.look_on();
        return (guard, metered);
    }
    // Asked before reading: what a client writes that is still there may come after it.
    let over = match row.ended {
        Some(ended) => env.now.millis_since(ended) > SETTLED_MS,
        None => !ancestry::is_live(row, env.now),
    };
    let (reach, seen) = (Reach::All, Some(row.last_seen));
    let metered = guard.meter(&Metering { reach, max_bytes, max_ms, seen, ..Metering::of_caller(false) });
    if over && !row.complete && metered.stored && metered.complete {
        guard.with_store(|store| store.complete(&row.session.id, row.last_seen));
    }
    (guard, metered)
}

/// Fills a store that lost what it knew: every session that a cache or a transcript names is read from its start.
/// `progress` is told the number of sessions done and in all. With `for_ms` it ends early; what is done by then is only
/// looked at the next time. The store counts as filled (as far as this machine can) once everything was read and recorded.
pub fn rebuild(env: &Env, config: &Config, for_ms: Option<i64>, mut progress: impl FnMut(usize, usize)) {
    let started = Stopwatch::start();
    let Ok((mut store, _)) = opening::open(env, config, None) else { return };
    let Ok(epoch) = store.epoch() else { return };
    tell_installation(env, &mut *store);
    // First, for a budget that was extended must not look used up.
    let ledger = env.state_dir().map(|dir| OperationLedger::of(&dir, config));
    let replayed = ledger.map(|ledger| ledger.replay(&mut *store, for_ms));
    let mut filled = replayed.is_none_or(|replayed| replayed.is_ok_and(|replayed| replayed.complete));
    let transcripts = transcripts(env);
    for (done, (session, transcript)) in transcripts.iter().enumerate() {
        progress(done, transcripts.len());
        if for_ms.is_some_and(|ms| started.ms() > ms) {
            return;
        }
        let cache = CacheFile::of(&env.cache_dir(), session).read().unwrap_or_default();
        if cache.epoch == epoch && is_read(&cache, transcript) {
            continue;
        }
        let row = row_of(env, session, transcript);
        let max_bytes = for_ms.map_or(u64::MAX, |_| HOOK_BYTES_EACH);
        let left = for_ms.map(|ms| ms - started.ms());
        let metered = read_within(env, &row, max_bytes, left).1;
        filled &= metered.stored && metered.complete;
    }
    progress(transcripts.len(), transcripts.len());
    // It may have been lost once more meanwhile.
    if filled && store.epoch().is_ok_and(|now| now == epoch) {
        let _ = store.set_rebuilding(false);
    }
}

/// Tells a store when Fusebox was installed here, where it does not know: what a session held before is its history, and
/// raises its limit. Who may only record may not, and goes on without.
pub(super) fn tell_installation(env: &Env, store: &mut dyn Store) {
    if let Some(known) = env.state_dir().and_then(|dir| Installation::read(&dir)) {
        let _ = store.install(known.installed_at);
    }
}

/// A session of which the store need not know anything, as its cache or its transcript says.
pub(super) fn row_of(env: &Env, session: &str, transcript: &Path) -> SessionRow {
    let cache = CacheFile::of(&env.cache_dir(), session).read().unwrap_or_default();
    let session = match cache.session.id == session {
        true => cache.session,
        false => unknown_session(env, session, transcript),
    };
    SessionRow { session, last_seen: last_written(transcript), ended: None, complete: false }
}

/// When a transcript was last written to, which is when its session was last seen, for all that is known.
fn last_written(transcript: &Path) -> Timestamp {
    let written = std::fs::metadata(transcript).and_then(|meta| meta.modified()).ok();
    let since = written.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    Timestamp(since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
}

/// Whether all of a transcript was read, and of its subagents' files.
fn is_read(cache: &SessionCache, transcript: &Path) -> bool {
    files::of_session(transcript).iter().all(|file| {
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
    let project = cwd_of(transcript).map(|cwd| project::of(&cwd).to_string_lossy().into_owned());
    project.unwrap_or_default()
}

/// A session that a store knows, with what it does not say of it: where its transcript lies on this machine, and what its
/// project is called here.
pub(super) fn on_this_machine(env: &Env, session: &Session) -> Session {
    let projects = env.claude_dir().map(|dir| dir.join("projects"));
    let name = format!("{}.jsonl", session.id);
    let of = |project: PathBuf| Some(project.join(&name)).filter(|path| path.is_file());
    let found =
        files::is_plain_id(&session.id).then(|| entries(projects.as_deref()).into_iter().find_map(of));
    let Some(transcript) = found.flatten() else { return session.clone() };
    let project = project_of(&transcript);
    let is_it = shared_value(Scope::Project, &project) == session.project;
    let project = if is_it { project } else { session.project.clone() };
    Session { transcript: Some(transcript), project, ..session.clone() }
}

/// The transcripts in the client's folder, with their sessions.
fn in_projects(env: &Env) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let projects = env.claude_dir().map(|dir| dir.join("projects"));
    for path in entries(projects.as_deref()).iter().flat_map(|project| entries(Some(project))) {
        if path.extension().is_some_and(|e| e == "jsonl")
            && let Some(session) = path.file_stem().and_then(|s| s.to_str())
        {
            found.insert(session.to_owned(), path.clone());
        }
    }
    found
}

/// Every transcript that a cache names or that lies in the client's folder, with its session.
pub(super) fn transcripts(env: &Env) -> BTreeMap<String, PathBuf> {
    let mut found = in_projects(env);
    for session in CacheFile::all(&env.cache_dir()).iter().filter_map(CacheFile::read).map(|c| c.session) {
        if let Some(transcript) = session.transcript.filter(|_| !session.id.is_empty()) {
            found.insert(session.id, transcript);
        }
    }
    found
}

fn entries(dir: Option<&Path>) -> Vec<PathBuf> {
    let read = dir.and_then(|d| std::fs::read_dir(d).ok());
    read.into_iter().flatten().flatten().map(|e| e.path()).collect()
}

/// The first folder that a transcript names.
fn cwd_of(transcript: &Path) -> Option<PathBuf> {
    let file = BufReader::new(std::fs::File::open(transcript).ok()?);
    let lines = file.lines().map_while(Result::ok).take(50);
    let cwd = |line: String| -> Option<PathBuf> {
        let fields: serde_json::Value = serde_json::from_str(&line).ok()?;
        fields.get("cwd")?.as_str().map(PathBuf::from)
    };
    lines.filter_map(cwd).next()
}
