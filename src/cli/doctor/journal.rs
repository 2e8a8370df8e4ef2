//! Reports failures of hooks, which would otherwise go unnoticed.

use std::collections::BTreeMap;

use super::finding::Finding;
use super::survey::Survey;
use crate::cli::render::counted;
use crate::hook::journal;

/// How recent a reported failure must be, in milliseconds (a day).
const RECENT_MS: i64 = 24 * 3600 * 1000;

/// How many kinds of failures are shown.
const MAX_KINDS: usize = 5;

/// Reports the last day's failures by kind, most frequent first.
pub fn check(survey: &Survey) -> Vec<Finding> {
    let Some(dir) = survey.env.state_dir() else { return Vec::new() };
    let entries = journal::read(&dir);
    let now = survey.env.now;
    let (recent, old): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|e| now.millis_since(e.at) < RECENT_MS);
    if recent.is_empty() {
        let old = if old.is_empty() { String::new() } else { format!(", {} older", old.len()) };
        return vec![Finding::ok(format!("no failures in the last 24 hours{old}"))];
    }
    let mut kinds: BTreeMap<(String, String), (usize, String)> = BTreeMap::new();
    for entry in recent {
        let kind = kinds.entry((entry.hook, entry.problem)).or_default();
        *kind = (kind.0 + 1, entry.at.to_rfc3339());
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by(|a, b| b.1.cmp(&a.1));
    let more = kinds.len().saturating_sub(MAX_KINDS);
    let path = journal::path(&dir);
    let fix = format!(
        "the hook ignored each failure and let the agent continue; all failures are in {}",
        path.display()
    );
    let of = |((hook, problem), (times, last)): ((String, String), (usize, String))| {
        Finding::warning(
            format!("{hook} failed {}, last at {last}: {problem}", counted(times, "time")),
            fix.clone(),
        )
    };
    let mut found: Vec<Finding> = kinds.into_iter().take(MAX_KINDS).map(of).collect();
    if more > 0 {
        found.push(Finding::note(format!(
            "{} of failures in {}",
            counted(more, "more kind"),
            path.display()
        )));
    }
    found
}
