//! Checks which status line is set, and whether Fusebox's counts agree with what the client told it.

use super::finding::Finding;
use super::survey::Survey;
use crate::agents::claude::hook_entries::is_our_status_line;
use crate::app::messages::amounts::dollars;
use crate::app::open_store::StoreLocation;
use crate::app::report::client_cost;
use crate::cli::render::counted;
use crate::cli::settings_file::STATUS_LINE;
use crate::domain::money::NANOS_PER_USD;
use crate::store::cache_file::CacheFile;

/// How recently a session must have been recorded to be compared, in milliseconds (a day).
const RECENT_MS: i64 = 24 * 3600 * 1000;

/// The client may reckon this much more: a response may be on its way to the transcript.
const TOLERATED_NANOS: u64 = NANOS_PER_USD / 100;

/// Reports the status line in force, and sessions that cost more by the client's own reckoning.
pub fn check(survey: &Survey) -> Vec<Finding> {
    let mut found = vec![in_force(survey)];
    found.extend(undercounted(survey));
    found
}

fn in_force(survey: &Survey) -> Finding {
    let unknown = "so what only a status line is told, the limits of a subscription and the client's own cost, is not known";
    let set = survey.layers.iter().rev().find_map(|layer| Some((layer, layer.get(STATUS_LINE)?)));
    match set {
        Some((layer, setting)) if is_our_status_line(setting, survey.env) => {
            Finding::ok(format!("Fusebox's status line is set ({} settings)", layer.name))
        }
        Some((layer, _)) => Finding::note(format!(
            "another status line is set ({} settings), {unknown}. `fusebox init --status-line` replaces it",
            layer.name
        )),
        None => Finding::note(format!("no status line is set, {unknown}. `fusebox init` sets it")),
    }
}

/// Sessions that cost less by Fusebox's count. (More is not compared: some clients start again at zero when a session is
/// resumed.)
fn undercounted(survey: &Survey) -> Option<Finding> {
    let env = survey.env;
    // Another check reports an unreachable store.
    let (mut store, _) = StoreLocation::new(&survey.loaded.config).open(env, None).ok()?;
    let mut found = Vec::new();
    for file in CacheFile::all(&env.cache_dir()) {
        let Some(cache) = file.read().filter(|cache| env.now.millis_since(cache.written) < RECENT_MS) else {
            continue;
        };
        let Some(theirs) = client_cost(&file, &cache) else { continue };
        let total = store.session_total(&cache.session.id).ok().flatten().unwrap_or_default();
        let ours = total.amount.nano_usd;
        if theirs > ours.saturating_add(TOLERATED_NANOS.max(ours / 100)) {
            found.push((cache.session.id.clone(), ours, theirs));
        }
    }
    let (session, ours, theirs) = found.first()?;
    let said = format!(
        "{} cost more by the client's own reckoning, such as {session}: {} counted, {} reckoned",
        counted(found.len(), "session"),
        dollars(*ours),
        dollars(*theirs)
    );
    let fix = "compare `fusebox status --session ID` with the client's /cost. Requests that the client does not write to \
               its transcript, such as those for titles, are counted when the session ends; a wrong price can be set in \
               [prices]";
    Some(Finding::warning(said, fix))
}
