//! The agent repeats the same text, while nothing changes.

use super::{OTHER_ADVICE, Rule, View, warn_one_before};

/// Source: Gemini CLI (repeated content). Compares whole texts here, and only while the accompanying calls change
/// nothing.
pub(super) static RULE: Rule = Rule {
    name: "same_text",
    key: "breaker.max_texts",
    presets: [Some(20), Some(10), Some(10)],
    description: "the same text before calls that change nothing, {n} times in a row",
    advice: OTHER_ADVICE,
    source: "Gemini CLI",
    counts_repetitions: false,
    once_per_turn: false,
    count,
    warning_at: warn_one_before,
};

fn count(view: &View) -> u32 {
    if view.same_texts < 2 {
        return view.same_texts;
    }
    let since = view.since_change();
    let Some(first) = since.first() else { return 0 };
    let rounds =
        view.rounds.iter().rev().take_while(|round| !round.iter().all(|call| call.id == first.id)).count()
            + 1;
    let rounds = rounds.min(view.rounds.count());
    view.same_texts.min(rounds as u32)
}
