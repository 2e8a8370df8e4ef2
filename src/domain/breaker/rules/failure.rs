//! The same call fails repeatedly, with other calls in between but no change.

use super::{Rule, View, warn_one_before};

/// Source: OpenHands (3 identical errors) and Cline; one more here. An edit in between is an attempt to fix it; a wait
/// is for somebody else to fix it.
pub(super) static RULE: Rule = Rule {
    name: "same_failure",
    key: "breaker.max_failures",
    presets: [Some(8), Some(4), Some(4)],
    description: "the same call failing in the same way {n} times, with no change since",
    advice: "Find out why it fails, or ask the person.",
    source: "OpenHands, Cline",
    counts_repetitions: true,
    once_per_turn: false,
    count,
    warning_at: warn_one_before,
};

fn count(view: &View) -> u32 {
    let Some(last) = view.calls().last() else { return 0 };
    if !last.outcome.failed || last.is_waiting() {
        return 0;
    }
    let since = view.since_change();
    let pause = since.iter().rposition(|call| call.is_waiting()).map_or(0, |i| i + 1);
    since[pause..].iter().filter(|call| call.outcome.failed && view.same(call, last)).count() as u32
}
