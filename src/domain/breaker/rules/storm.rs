//! Consecutive failures of any kind.

use super::{Rule, View, warn_one_before};

/// Source: real sessions, where no turn had more than 9 in a row. Cline stops at 3 mistakes in a row, far too early for
/// an agent that explores.
pub(super) static RULE: Rule = Rule {
    name: "failing_storm",
    key: "breaker.max_failing_storm",
    presets: [Some(30), Some(15), Some(15)],
    description: "{n} failing calls in a row",
    advice: "Find out why it fails, or ask the person.",
    source: "Cline; the number from real sessions",
    counts_repetitions: false,
    once_per_turn: true,
    count,
    warning_at: warn_one_before,
};

fn count(view: &View) -> u32 {
    // Waits and outages neither count nor break the streak.
    let counted = view.calls().iter().rev().filter(|call| !call.is_waiting());
    counted.take_while(|call| call.outcome.failed).count() as u32
}
