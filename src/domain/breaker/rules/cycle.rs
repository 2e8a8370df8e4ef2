//! A short sequence of responses that repeats, with the same calls and outcomes.

use super::{OTHER_ADVICE, Rule, View, warn_one_before};
use crate::domain::breaker::call::Call;

/// The longest cycle, in responses.
pub(super) const LONGEST: usize = 5;

/// Source: Gemini CLI (cycles of up to 5 calls, 5 repeats, results ignored) and OpenHands (6 alternations). Fewer
/// repeats here, because results count. Counts responses, not calls: a fan-out of ten calls is one step of a cycle.
pub(super) static RULE: Rule = Rule {
    name: "cycle",
    key: "breaker.max_cycles",
    presets: [Some(8), Some(4), Some(4)],
    description: "a cycle of 2 to 5 calls or responses with the same results, {n} times in a row",
    advice: OTHER_ADVICE,
    source: "Gemini CLI, OpenHands",
    counts_repetitions: true,
    once_per_turn: false,
    count: |view| count(view, false),
    warning_at: warn_one_before,
};

/// How many times in a row the last cycle ran. `patient`: count cycles that wait for something, else the others.
pub(super) fn count(view: &View, patient: bool) -> u32 {
    let same = |a: &[Call], b: &[Call]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| view.same(a, b));
    let rounds: Vec<&[Call]> = view.rounds.iter().collect();
    let of_length = |length: usize| {
        let Some(start) = rounds.len().checked_sub(length) else { return 0 };
        let cycle = &rounds[start..];
        let calls = || cycle.iter().copied().flatten();
        let distinct = calls().any(|call| calls().next().is_some_and(|first| !view.same(call, first)));
        if !distinct || calls().any(Call::is_waiting) != patient {
            return 0;
        }
        let repeats =
            rounds.rchunks_exact(length).take_while(|chunk| chunk.iter().zip(cycle).all(|(a, b)| same(a, b)));
        repeats.count() as u32
    };
    (1..=LONGEST).map(of_length).max().unwrap_or(0)
}
