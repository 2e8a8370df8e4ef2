//! The same call with the same outcome, several times in a row.

use super::{OTHER_ADVICE, Rule, View, warn_one_before};

/// Source: the project's seed (5 duplicates); Gemini CLI and Cline also trip at 5. Includes the outcome: comparing
/// calls alone stops a quarter of harmless sequences (28 of 108 measured), most of them polling.
pub(super) static RULE: Rule = Rule {
    name: "same_call",
    key: "breaker.max_repeats",
    presets: [Some(10), Some(5), Some(5)],
    description: "the same call with the same result, {n} times in a row",
    advice: OTHER_ADVICE,
    source: "the project's seed; Gemini CLI, Cline",
    counts_repetitions: true,
    once_per_turn: false,
    count,
    warning_at: warn_one_before,
};

fn count(view: &View) -> u32 {
    let Some(last) = view.calls().last().filter(|call| !call.is_waiting()) else { return 0 };
    view.calls().iter().rev().take_while(|call| view.same(call, last)).count() as u32
}
