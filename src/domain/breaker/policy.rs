//! The breaker's numbers.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

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
    pub fn pick<T: Copy>(self, numbers: [T; 3]) -> T {
        numbers[self as usize]
    }

    /// Iterations after which the agent is told, before the limit.
    pub fn tell_iterations(self) -> u32 {
        self.pick([1_000, 200, 40])
    }
}

/// Responses that an agent may still make once its breaker is open, where nobody says otherwise.
pub const WRAP_UP: u32 = 1;

/// The counts at which the rules trip, in the order of [`RULES`]; `None`: off. In JSON by the names of the rules, so that
/// another version's order does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits([Option<u32>; RULES.len()]);

impl Limits {
    /// What `limit` says of each rule.
    pub fn from_fn(limit: impl FnMut(&Rule) -> Option<u32>) -> Self {
        Self(RULES.map(limit))
    }

    /// The count at which the rule of this name trips; `None`: it is off, or there is none.
    pub fn get(&self, name: &str) -> Option<u32> {
        RULES.iter().position(|rule| rule.name == name).and_then(|i| self.0[i])
    }
}

impl Serialize for Limits {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let on = RULES.iter().zip(&self.0).filter_map(|(rule, limit)| Some((rule.name, (*limit)?)));
        to.collect_map(on)
    }
}

impl<'de> Deserialize<'de> for Limits {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let limits = BTreeMap::<String, u32>::deserialize(from)?;
        Ok(Self::from_fn(|rule| limits.get(rule.name).copied()))
    }
}

/// What the breaker trips on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// `false`: it does nothing, and says nothing.
    pub enabled: bool,
    /// Whether it acts, or only says what it would have done.
    pub mode: Mode,
    /// Whether calls are the same that came out differently.
    pub ignore_outcome: bool,
    /// The rules that are on, with the count at which each trips.
    pub limits: Limits,
    /// Iterations after which the agent is told; `None`: never.
    pub tell_iterations: Option<u32>,
    /// Responses that the agent may still make once the breaker is open, to close its work.
    pub wrap_up: u32,
    /// Seconds after which an open breaker lets a probe through by itself; `None`: a person has to acknowledge it.
    pub cooldown: Option<u32>,
}

impl Policy {
    /// The policy of a preset, as it is.
    pub fn from_preset(preset: Preset) -> Self {
        Self {
            enabled: true,
            mode: Mode::Enforce,
            ignore_outcome: preset == Preset::Strict,
            limits: Limits::from_fn(|rule| preset.pick(rule.presets)),
            tell_iterations: Some(preset.tell_iterations()),
            wrap_up: WRAP_UP,
            cooldown: None,
        }
    }

    /// Whether it is the one that holds without any configuration.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The count at which a rule trips; `None`: it is off.
    pub fn limit(&self, rule: &Rule) -> Option<u32> {
        self.limits.get(rule.name)
    }
}

/// A number that a preset has for a key of the configuration; `None`: off, or not the preset's to say.
pub fn preset_number(preset: Preset, key: &str) -> Option<u32> {
    match key {
        "breaker.tell_iterations" => Some(preset.tell_iterations()),
        _ => RULES.iter().find(|rule| rule.key == key).and_then(|rule| preset.pick(rule.presets)),
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::from_preset(Preset::Standard)
    }
}
