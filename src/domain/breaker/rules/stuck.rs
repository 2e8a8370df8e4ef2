//! The same call keeps failing in the same way, despite changes in between.

use super::{OTHER_ADVICE, Rule, View, warn_one_before};

/// Source: our own corpus: edit after edit with the same error. Three times the limit without changes, because some
/// errors take many attempts.
pub(super) static RULE: Rule = Rule {
    name: "stuck",
    key: "breaker.max_stuck",
    presets: [Some(24), Some(12), Some(12)],
    description: "the same call failing in the same way {n} times, even though things changed in between",
    advice: OTHER_ADVICE,
    source: "our own corpus",
    counts_repetitions: true,
    once_per_turn: false,
    count,
    warning_at: warn_one_before,
};

fn count(view: &View) -> u32 {
    let Some(last) = view.calls().last().filter(|call| call.outcome.failed && !call.is_waiting()) else {
        return 0;
    };
    let of_its_kind = view.calls().iter().rev().filter(|call| call.shape == last.shape);
    of_its_kind.take_while(|call| view.same(call, last)).count() as u32
}
