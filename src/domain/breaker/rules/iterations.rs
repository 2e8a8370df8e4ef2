//! Calls since a person's last prompt.

use super::Rule;

/// Source: the project's seed (50). Of 1,485 real turns, the 99th percentile had 88 calls and the longest 151;
/// unattended jobs run longer.
pub(super) static RULE: Rule = Rule {
    name: "iterations",
    key: "breaker.max_iterations",
    presets: [Some(5_000), Some(1_000), Some(50)],
    description: "{n} calls since a person's last prompt",
    advice: "Tell the person what is done and what is left.",
    source: "the project's seed; the number from real sessions",
    counts_repetitions: false,
    once_per_turn: true,
    count: |view| u32::try_from(view.iterations).unwrap_or(u32::MAX),
    warning_at: |limit, warned_from| warned_from.filter(|n| *n < limit),
};
