//! The breaker's numbers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::budget::Mode;
use super::rules::{RULES, Rule};

/// A set of numbers with a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// For long mechanical work: everything later.
    Relaxed,
    /// The default.
    #[default]
    Standard,
    /// The numbers that the project grew from: 50 iterations, 5 duplicates, whatever they came to.
    Strict,
}

impl Preset {
    /// Every preset with the name it has in the configuration, mildest first.
    pub const ALL: [(&'static str, Self); 3] =
        [("relaxed", Self::Relaxed), ("standard", Self::Standard), ("strict", Self::Strict)];

    /// What this preset has of three numbers, in the order of [`Self::ALL`].
    pub fn of<T: Copy>(self, numbers: [T; 3]) -> T {
        numbers[self as usize]
    }

    /// Iterations after which the agent is told, before the limit.
    pub fn tell_iterations(self) -> u32 {
        self.of([1_000, 200, 40])
    }
}

/// What the breaker trips on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// `false`: it does nothing, and says nothing.
    pub enabled: bool,
    /// Whether it acts, or only says what it would have done.
    pub mode: Mode,
    /// Whether calls are the same that came out differently.
    pub ignore_outcome: bool,
    /// The rules that are on, by their names: with the count at which each trips.
    pub limits: BTreeMap<String, u32>,
    /// Iterations after which the agent is told; `None`: never.
    pub tell_iterations: Option<u32>,
    /// Responses that the agent may still make once the breaker is open, to close its work.
    pub wrap_up: u32,
    /// Seconds after which an open breaker lets a probe through by itself; `None`: a person has to acknowledge it.
    pub cooldown: Option<u32>,
}

impl Policy {
    /// The policy of a preset, as it is.
    pub fn of(preset: Preset) -> Self {
        let limits = RULES.iter().filter_map(|rule| Some((rule.name.to_owned(), preset.of(rule.presets)?)));
        Self {
            enabled: true,
            mode: Mode::Enforce,
            ignore_outcome: preset == Preset::Strict,
            limits: limits.collect(),
            tell_iterations: Some(preset.tell_iterations()),
            wrap_up: 1,
            cooldown: None,
        }
    }

    /// The count at which a rule trips; `None`: it is off.
    pub fn limit(&self, rule: &Rule) -> Option<u32> {
        self.limits.get(rule.name).copied()
    }
}

/// A number that a preset has for a key of the configuration; `None`: off, or not the preset's to say.
pub fn preset_number(preset: Preset, key: &str) -> Option<u32> {
    match key {
        "breaker.tell_iterations" => Some(preset.tell_iterations()),
        _ => RULES.iter().find(|rule| rule.key == key).and_then(|rule| preset.of(rule.presets)),
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::of(Preset::Standard)
    }
}
