//! The same call with the same outcome recurs between other calls, while nothing changes.

use super::{OTHER_ADVICE, Rule, View, warn_one_before};

/// How many calls it looks back.
const WINDOW: usize = 30;

/// Source: Crush (the same call and output more than 5 times among the last 10) and Qwen Code. Looks at more calls
/// here, with a higher limit, and never across a change.
pub(super) static RULE: Rule = Rule {
    name: "recurrence",
    key: "breaker.max_recurrences",
    presets: [Some(16), Some(8), Some(8)],
    description: "the same call with the same result, {n} times among the last 30, with no change in between",
    advice: OTHER_ADVICE,
    source: "Crush, Qwen Code",
    counts_repetitions: true,
    once_per_turn: false,
    count,
    warning_at: warn_one_before,
};

fn count(view: &View) -> u32 {
    let Some(last) = view.calls().last().filter(|call| !call.is_waiting()) else { return 0 };
    let recent = &view.calls()[view.calls().len().saturating_sub(WINDOW)..];
    if recent.iter().filter(|call| view.same(call, last)).count() < 2 {
        return 1;
    }
    let since = view.since_change();
    let recent = &since[since.len().saturating_sub(WINDOW)..];
    let pause = recent.iter().rposition(|call| call.is_waiting()).map_or(0, |i| i + 1);
    recent[pause..].iter().filter(|call| view.same(call, last)).count() as u32
}
