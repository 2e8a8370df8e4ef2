//! Waiting for something that never happens.

use super::cycle;
use super::{Rule, View};

/// Source: field reports of agents that waited all night for a dead process. Long waits are legitimate, so the limit is
/// far higher than for other calls.
pub(super) static RULE: Rule = Rule {
    name: "endless_wait",
    key: "breaker.max_polls",
    presets: [Some(100), Some(50), Some(25)],
    description: "the same waiting call, or a cycle that contains one, with the same result, {n} times in a row",
    advice: "What you are waiting for may never happen. Say so, and ask the person.",
    source: "field reports",
    counts_repetitions: false,
    once_per_turn: false,
    count,
    warning_at: |limit, _| Some(limit / 2).filter(|n| *n > 1),
};

fn count(view: &View) -> u32 {
    let same =
        view.calls().last().filter(|call| call.is_waiting()).map_or(0, |last| {
            view.calls().iter().rev().take_while(|call| view.same(call, last)).count() as u32
        });
    same.max(cycle::count(view, true))
}
