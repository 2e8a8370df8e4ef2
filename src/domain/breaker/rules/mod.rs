//! The rules: each a small pure function that counts, with a name, a number and the reason for it.
//!
//! A new rule is a file here and a line in [`RULES`]: its key in the configuration, its number in each preset and its
//! place in the documentation follow from that.

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

/// What a rule looks at. (Most rules can say by a glance that there is nothing: [`View::since_change`] looks at all pairs.)
/// The responses of one agent since a person's last prompt, as far as they are kept.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The responses that are over.
    pub rounds: Rounds,
    /// Calls since a person's last prompt, also those that are not kept.
    pub iterations: u64,
    /// How often the agent's last text was said running.
    pub same_texts: u32,
    /// Whether calls are the same that came out differently.
    pub ignore_outcome: bool,
    /// How many repetitions the person asked for.
    pub requested_repetitions: u32,
}

impl View {
    /// The calls of all responses, one after the other.
    pub fn calls(&self) -> &[Call] {
        self.rounds.calls()
    }

    /// Whether two calls are the same and came to the same.
    pub fn same(&self, a: &Call, b: &Call) -> bool {
        a.shape == b.shape && (self.ignore_outcome || a.outcome.hash == b.outcome.hash)
    }

    /// The calls since something changed: a file was edited, a package installed, or the same look showed something else
    /// than before. (A change that was made before, with the same result, changes nothing.)
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

/// A rule.
pub struct Rule {
    /// Its name: in alerts, in lists, in the status.
    pub name: &'static str,
    /// Its key in the configuration; the number there is the count at which it trips, `"off"` switches it off.
    pub key: &'static str,
    /// The number in the presets relaxed, standard, strict; `None`: off.
    pub presets: [Option<u32>; 3],
    /// What it counts, for people; `{n}` stands for the number.
    pub description: &'static str,
    /// Where the rule, or its number, comes from.
    pub source: &'static str,
    /// What it counts.
    pub count: fn(&View) -> u32,
    /// Whether it counts repetitions: a person who asks for twenty runs gets twenty runs.
    pub counts_repetitions: bool,
    /// The count at which the agent is warned, for a limit and the iterations after which it is told.
    pub warning_at: fn(u32, Option<u32>) -> Option<u32>,
}

/// Every rule, the most telling first: the first that trips is the reason.
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

/// One repetition before the limit.
fn warn_one_before(limit: u32, _: Option<u32>) -> Option<u32> {
    Some(limit.saturating_sub(1)).filter(|n| *n > 1)
}
