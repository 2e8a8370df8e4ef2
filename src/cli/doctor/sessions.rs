//! Checks for sessions that no hook ever reported.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::finding::Finding;
use super::survey::Survey;
use crate::agents;
use crate::app::open_store::StoreLocation;
use crate::app::session_files;
use crate::cli::render::counted;

/// How recently the transcript of an active session was modified.
const ACTIVE: Duration = Duration::from_secs(600);

/// Reports recently modified transcripts of sessions that the store does not know.
pub fn check(survey: &Survey) -> Vec<Finding> {
    let opened = StoreLocation::new(&survey.loaded.config).open(survey.env, None);
    // Another check reports an unreachable store.
    let Ok(rows) = opened.and_then(|(mut store, _)| store.sessions()) else { return Vec::new() };
    let known: BTreeSet<String> = rows.into_iter().map(|row| row.session.id).collect();
    // A session with a cache has hooks, which could not reach the store.
    let is_known = |id: &str| known.contains(id) || session_files::has_cache(survey.env, id);
    let stray: Vec<PathBuf> =
        active_transcripts(survey).into_iter().filter(|path| !is_known(&session_of(path))).collect();
    let Some(first) = stray.first() else { return Vec::new() };
    let found = format!(
        "no hook has reported {}, such as {}",
        counted(stray.len(), "active session"),
        first.display()
    );
    vec![Finding::warning(found, "restart them: a session reads its hooks from the settings at its start")]
}

fn session_of(path: &std::path::Path) -> String {
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
