//! The rules: each a small pure function that counts, with a name, a limit and its source.
//!
//! To add a rule, add a file here and a line in [`RULES`]: its configuration key, its variable and its presets follow from
//! that. `CONTRIBUTING.md` lists the pages and tests to change.

mod cycle;
mod failure;
mod iterations;
mod poll;
mod recurrence;
mod repeat;
mod same_outcome;
mod storm;
mod stuck;
mod text;

use super::call::Call;
use super::effect::CallEffect;
use super::history::Rounds;

/// The responses of one agent since a person's last prompt, as far as they are kept. (Most rules check something cheap
/// first, because [`View::since_change`] compares all pairs.)
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The finished responses.
    pub rounds: Rounds,
    /// Calls since a person's last prompt, including those no longer kept.
    pub iterations: u64,
    /// How many times in a row the agent wrote its last text.
    pub same_texts: u32,
    /// Whether calls with different outcomes count as the same.
    pub ignore_outcome: bool,
    /// Repetitions that the person asked for.
    pub requested_repetitions: u32,
}

impl View {
    /// The calls of all responses, in order.
    pub fn calls(&self) -> &[Call] {
        self.rounds.calls()
    }

    /// Whether two calls and their outcomes are the same.
    pub fn same(&self, a: &Call, b: &Call) -> bool {
        a.shape == b.shape && (self.ignore_outcome || a.outcome.hash == b.outcome.hash)
    }

    /// The calls since the last change: an edited file, an installed package, or a repeated look with a new result.
    /// (Repeating a change with the same result is no change.)
    pub fn since_change(&self) -> &[Call] {
        let is_change = |i: usize, call: &Call| {
            let before = || self.calls()[..i].iter().filter(|before| before.shape == call.shape);
            let is_new = || !before().any(|before| before.outcome == call.outcome);
            !call.outcome.failed
                && match call.effect {
                    CallEffect::Changes => is_new(),
                    CallEffect::Looks | CallEffect::Waits => before().next().is_some() && is_new(),
                }
        };
        let last = self.calls().iter().enumerate().rposition(|(i, call)| is_change(i, call));
        &self.calls()[last.map_or(0, |i| i + 1)..]
    }
}

/// The advice of most rules.
const OTHER_ADVICE: &str = "Try something else, or ask the person.";

/// A rule.
///
/// What holds for each: waits and outages ([`Call::is_waiting`]) are left to `endless_wait` and `iterations`, so a rule skips
/// them. A [`View`] has the last 100 calls, so a higher limit never trips. Equal calls of one response come as one.
pub struct Rule {
    /// Its name in alerts, lists and the status.
    pub name: &'static str,
    /// Its configuration key. The value is the count at which it trips; `"off"` disables it.
    pub key: &'static str,
    /// The limit in the presets relaxed, standard, strict; `None`: off.
    pub presets: [Option<u32>; 3],
    /// What it counts, for people; `{n}` is the limit.
    pub description: &'static str,
    /// What the agent could do instead, once it has tripped.
    pub advice: &'static str,
    /// The source of the rule or its limit.
    pub source: &'static str,
    /// Counts matches.
    pub count: fn(&View) -> u32,
    /// Whether it counts repetitions: if a person asks for twenty runs, twenty runs are allowed.
    pub counts_repetitions: bool,
    /// Whether a warning, or a report in shadow mode, is given once until the next prompt. Otherwise it is given once for each
    /// call that it names.
    pub once_per_turn: bool,
    /// The count at which the agent is warned, from the limit and the iterations after which the agent gets a notice.
    pub warning_at: fn(u32, Option<u32>) -> Option<u32>,
}

/// Every rule. If several trip, the first is the reason: put the most specific first.
pub static RULES: [&Rule; 10] = [
    &repeat::RULE,
    &cycle::RULE,
    &failure::RULE,
    &recurrence::RULE,
    &same_outcome::RULE,
    &stuck::RULE,
    &storm::RULE,
    &text::RULE,
    &poll::RULE,
    &iterations::RULE,
];

/// The rule of this name.
pub fn by_name(name: &str) -> Option<&'static Rule> {
    RULES.iter().copied().find(|rule| rule.name == name)
}

/// Warns one repetition before the limit.
fn warn_one_before(limit: u32, _: Option<u32>) -> Option<u32> {
    Some(limit.saturating_sub(1)).filter(|n| *n > 1)
}
