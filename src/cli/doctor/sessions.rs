//! Checks for sessions that no hook ever reported, and for sessions whose transcripts lack responses.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::finding::Finding;
use super::survey::Survey;
use crate::agents;
use crate::app::open_store::StoreLocation;
use crate::app::session_files;
use crate::cli::render::{counted, counted_many};
use crate::store::cache_file::CacheFile;
use crate::store::session_cache::SessionCache;

/// How recently the transcript of an active session was modified.
const ACTIVE: Duration = Duration::from_secs(600);

/// How recently a session must have been recorded for its missing responses to be reported, in milliseconds (a day).
const RECENT_MS: i64 = 24 * 3600 * 1000;

/// Reports sessions that the numbers do not fully cover, and charges of unknown kinds.
pub fn check(survey: &Survey) -> Vec<Finding> {
    let checks = [incomplete, uncharged, unknown_parts];
    unreported(survey).into_iter().chain(checks.into_iter().filter_map(|check| check(survey))).collect()
}

/// Sessions with responses that no transcript shows.
fn incomplete(survey: &Survey) -> Option<Finding> {
    let (sessions, first) = recent(survey, |cache| cache.unseen.estimates())?;
    let said = format!("{sessions} incomplete: no transcript shows {first}; they are charged as estimates");
    let fix = "start the client without --no-session-persistence and without CLAUDE_CODE_SKIP_PROMPT_HISTORY, and \
               leave its transcripts where it writes them. If a file is put back, what it shows replaces the estimates";
    Some(Finding::warning(said, fix))
}

/// Sessions with responses that no transcript shows and that repeat tool call ids.
fn uncharged(survey: &Survey) -> Option<Finding> {
    let (sessions, first) = recent(survey, |cache| cache.uncharged_responses())?;
    let said = format!(
        "{sessions} incomplete: at least {first} are not charged, and no limit counts them. Their tool calls have ids of \
         earlier responses, and no transcript shows them, so they look like events that were reported twice"
    );
    let fix = "start the client without --no-session-persistence and without CLAUDE_CODE_SKIP_PROMPT_HISTORY, and make \
               its transcripts writable: then each response is counted, whatever its ids. If a gateway makes the ids, \
               have it give each call one of its own: then missing responses are charged as estimates";
    Some(Finding::warning(said, fix))
}

/// How many recent sessions have responses that `missing` counts, and those of the first one: `2 sessions`,
/// `3 responses of session ID (FILE)`.
fn recent(survey: &Survey, missing: fn(&SessionCache) -> u64) -> Option<(String, String)> {
    let env = survey.env;
    let caches = CacheFile::all(&env.cache_dir()).into_iter().filter_map(|file| file.read());
    let found: Vec<_> = caches
        .filter(|cache| missing(cache) > 0 && env.now.millis_since(cache.written) < RECENT_MS)
        .collect();
    let first = found.first()?;
    let path = first.session.transcript.as_deref().unwrap_or(Path::new("no file"));
    let responses = counted_many(missing(first), "response");
    let of_first = format!("{responses} of session {} ({})", first.session.id, path.display());
    Some((counted(found.len(), "session"), of_first))
}

/// What the API billed beside the counts of responses, under names that this version does not know.
fn unknown_parts(survey: &Survey) -> Option<Finding> {
    let caches = CacheFile::all(&survey.env.cache_dir()).into_iter().filter_map(|file| file.read());
    let kinds: BTreeSet<String> = caches
        .flat_map(|cache| cache.positions.into_values())
        .flat_map(|position| position.unknown_parts)
        .collect();
    let kinds = kinds.into_iter().collect::<Vec<_>>().join(", ");
    let found =
        format!("parts of unknown kinds in `usage.iterations` were charged beside the totals: {kinds}");
    let fix = "they count in full; a newer version of Fusebox may know whether the totals contain them";
    (!kinds.is_empty()).then(|| Finding::warning(found, fix))
}

/// Recently modified transcripts of sessions that the store does not know.
fn unreported(survey: &Survey) -> Vec<Finding> {
    let opened = StoreLocation::new(&survey.loaded.config).open(survey.env, None);
    // Another check reports an unreachable store.
    let Ok(rows) = opened.and_then(|(mut store, _)| store.sessions()) else { return Vec::new() };
    let known: BTreeSet<String> = rows.into_iter().map(|row| row.session.id).collect();
    // A session with a cache has hooks, which could not reach the store.
    let is_known = |id: &str| known.contains(id) || session_files::has_cache(survey.env, id);
    let stray: Vec<PathBuf> =
        active_transcripts(survey).into_iter().filter(|path| !is_known(&session_of(path))).collect();
    let Some(first) = stray.first() else { return Vec::new() };
    let were = if stray.len() == 1 { "was" } else { "were" };
    let found = format!(
        "{} {were} never reported by a hook, such as {}",
        counted(stray.len(), "active session"),
        first.display()
    );
    vec![Finding::warning(found, "restart them: a session reads its hooks from the settings at its start")]
}

fn session_of(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn active_transcripts(survey: &Survey) -> Vec<PathBuf> {
    let is_fresh = |path: &PathBuf| {
        let changed =
            std::fs::metadata(path).and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        changed.elapsed().is_ok_and(|age| age < ACTIVE)
    };
    agents::all_transcripts(survey.env).into_iter().map(|(_, path)| path).filter(is_fresh).collect()
}
