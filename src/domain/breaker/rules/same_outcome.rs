//! Different calls of one tool have the same outcome, while nothing changes.

use super::{OTHER_ADVICE, Rule, View, warn_one_before};

/// How many calls it looks back.
const WINDOW: usize = 30;

/// Source: our own corpus: a search with varying options, a check with another pipe each time. Short results ("ok", "no
/// matches") are too common to count. Nor do calls about other things count: a series over forty folders may get the
/// same result in each.
pub(super) static RULE: Rule = Rule {
    name: "same_outcome",
    key: "breaker.max_same_outcomes",
    presets: [Some(16), Some(8), Some(8)],
    description: "the same long result from calls of one tool on the same subject, {n} times among the last 30, with no change in between",
    advice: OTHER_ADVICE,
    source: "our own corpus",
    counts_repetitions: true,
    once_per_turn: false,
    count,
    warning_at: warn_one_before,
};

fn count(view: &View) -> u32 {
    let Some(last) = view.calls().last().filter(|call| call.outcome.distinctive && !call.is_waiting()) else {
        return 0;
    };
    let same = |call: &&super::Call| {
        call.tool == last.tool && call.subject == last.subject && call.outcome.hash == last.outcome.hash
    };
    if view.calls()[view.calls().len().saturating_sub(WINDOW)..].iter().filter(same).count() < 2 {
        return 1;
    }
    let since = view.since_change();
    let recent = &since[since.len().saturating_sub(WINDOW)..];
    let pause = recent.iter().rposition(super::Call::is_waiting).map_or(0, |i| i + 1);
    recent[pause..].iter().filter(same).count() as u32
}
