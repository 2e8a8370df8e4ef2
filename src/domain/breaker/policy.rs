//! The limits of the breaker.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::super::budget::Mode;
use super::rules::{RULES, Rule};

/// A named set of limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Higher limits, for long mechanical work.
    Relaxed,
    /// The default.
    #[default]
    Standard,
    /// The project's original limits: 50 iterations, and 5 duplicates whatever their outcome.
    Strict,
}

impl Preset {
    /// Every preset and its name in the configuration, mildest first.
    pub const ALL: [(&'static str, Self); 3] =
        [("relaxed", Self::Relaxed), ("standard", Self::Standard), ("strict", Self::Strict)];

    /// The value for this preset, from values in the order of [`Self::ALL`].
    pub fn pick<T: Copy>(self, numbers: [T; 3]) -> T {
        numbers[self as usize]
    }

    /// Iterations after which the agent gets a notice, before the limit.
    pub fn tell_iterations(self) -> u32 {
        self.pick([1_000, 200, 40])
    }
}

/// Default number of responses that an agent may still make once its breaker is open.
pub const WRAP_UP: u32 = 1;

/// The counts at which the rules trip, in the order of [`RULES`]; `None`: off. In JSON they are keyed by rule name, so
/// another version may have another order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits([Option<u32>; RULES.len()]);

impl Limits {
    /// Calls `limit` for each rule.
    pub fn from_fn(limit: impl FnMut(&Rule) -> Option<u32>) -> Self {
        Self(RULES.map(limit))
    }

    /// The count at which the rule of this name trips; `None` if it is off or unknown.
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

/// When the breaker trips.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// `false`: the breaker does nothing and reports nothing.
    pub enabled: bool,
    /// Whether the breaker acts, or only reports what it would have done.
    pub mode: Mode,
    /// Whether calls with different outcomes count as the same.
    pub ignore_outcome: bool,
    /// The count at which each rule trips.
    pub limits: Limits,
    /// Iterations after which the agent gets a notice; `None`: never.
    pub tell_iterations: Option<u32>,
    /// Responses that the agent may still make once the breaker is open.
    pub wrap_up: u32,
    /// Seconds after which an open breaker lets a probe through; `None`: only after a person acknowledges it.
    pub cooldown: Option<u32>,
}

impl Policy {
    /// The policy of a preset.
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

    /// Whether this is the policy used without any configuration.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The count at which a rule trips; `None` if it is off.
    pub fn limit(&self, rule: &Rule) -> Option<u32> {
        self.limits.get(rule.name)
    }
}

/// A preset's number for a configuration key; `None` if it is off or not part of presets.
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
