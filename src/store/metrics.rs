//! Totals for monitoring: all that was ever counted, in any window. They are in the store, so every server shows the same,
//! and a restart changes nothing.
//!
//! A total has sums, which are exact, and go down when an estimate turns out to be too high; and the largest value that
//! each sum ever had, its *peak*, which is shown, because a counter must not go down. A total is changed in the step that
//! records what it counts.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

use super::counts::{CLASSES, CounterDelta};
use crate::domain::alert::{AlertLevel, BudgetAlert};
use crate::domain::event::{DenialReason, EventData};

/// How many labels of a kind have their own total. Later ones count as [`OTHER`], for good: agents can choose the names of
/// models and agent types.
pub const MAX_LABELS: usize = 50;

/// The label of all labels past [`MAX_LABELS`].
pub const OTHER: &str = "other";

/// Longer labels are cut, at this number of characters.
const MAX_LABEL_CHARS: usize = 100;

/// What a total counts, and by which label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetricKind {
    /// What responses count, by class, by model.
    Usage,
    /// Tool calls, by agent type.
    ToolCalls,
    /// Denied calls, by what denied them.
    Denials,
    /// Trips of breakers, by rule.
    Trips,
    /// Alerts of this level, by budget.
    Alerts(AlertLevel),
    /// How often a budget reached its limit, by budget.
    Pauses,
}

impl MetricKind {
    /// Every kind with its stored name, which has no space.
    const ALL: [(&'static str, Self); 8] = [
        ("usage", Self::Usage),
        ("tool_calls", Self::ToolCalls),
        ("denials", Self::Denials),
        ("trips", Self::Trips),
        ("alerts_info", Self::Alerts(AlertLevel::Info)),
        ("alerts_warning", Self::Alerts(AlertLevel::Warning)),
        ("alerts_critical", Self::Alerts(AlertLevel::Critical)),
        ("pauses", Self::Pauses),
    ];

    /// The stored name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// How many numbers its totals have.
    fn size(self) -> usize {
        if self == Self::Usage { CLASSES.len() } else { 1 }
    }
}

/// Changes of totals in one step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricChanges(BTreeMap<(MetricKind, String), Vec<i64>>);

impl MetricChanges {
    /// Those of an event.
    pub fn of_event(event: &EventData) -> Self {
        let mut changes = Self::default();
        match event {
            EventData::CallDenied(denial) => {
                let by = match denial.reason {
                    DenialReason::Budget { .. } => "budget",
                    DenialReason::Circuit(_) => "circuit",
                    DenialReason::Throttle(_) => "throttle",
                    DenialReason::Protection { .. } => "protection",
                };
                changes.add(MetricKind::Denials, by, &[1]);
            }
            EventData::CircuitOpened(trip) => changes.add(MetricKind::Trips, &trip.rule, &[1]),
            _ => {}
        }
        changes
    }

    /// Those of an alert that is raised.
    pub fn of_alert(alert: &BudgetAlert) -> Self {
        let mut changes = Self::default();
        changes.add(MetricKind::Alerts(alert.level), &alert.budget, &[1]);
        if alert.is_pause() {
            changes.add(MetricKind::Pauses, &alert.budget, &[1]);
        }
        changes
    }

    /// Adds what a response counts, or takes it back.
    pub fn add_usage(&mut self, model: &str, agent_type: &str, change: &CounterDelta) {
        self.add(MetricKind::Usage, model, &<[i64; CLASSES.len()]>::from(*change));
        self.add(MetricKind::ToolCalls, agent_type, &[change.tool_calls]);
    }

    /// Adds other changes.
    pub fn extend(&mut self, other: Self) {
        for ((kind, label), change) in other.0 {
            self.add(kind, &label, &change);
        }
    }

    fn add(&mut self, kind: MetricKind, label: &str, change: &[i64]) {
        let end = label.char_indices().nth(MAX_LABEL_CHARS).map_or(label.len(), |(end, _)| end);
        let label = label[..end].to_owned();
        let sums = self.0.entry((kind, label)).or_insert_with(|| vec![0; kind.size()]);
        sums.iter_mut().zip(change).for_each(|(sum, by)| *sum += by);
    }

    /// All nonzero changes.
    pub fn iter(&self) -> impl Iterator<Item = (MetricKind, &str, &[i64])> {
        let all = self.0.iter().map(|((kind, label), change)| (*kind, label.as_str(), change.as_slice()));
        all.filter(|(.., change)| change.iter().any(|by| *by != 0))
    }
}

impl Serialize for MetricChanges {
    /// A list of kinds, labels and changes, for scripts.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(|(kind, label, change)| (kind.name(), label, change)))
    }
}

/// A total.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricTotal {
    /// What it counts.
    pub kind: MetricKind,
    /// The label.
    pub label: String,
    /// The exact sums: one for each class of usage, else one.
    pub sums: Vec<i64>,
    /// The largest values so far, in the same order.
    pub peaks: Vec<i64>,
}

impl MetricTotal {
    /// The stored total, or an empty one. An unreadable text counts as empty: nothing depends on it but what is shown.
    pub fn parse(kind: MetricKind, label: &str, text: &str) -> Self {
        let numbers: Option<Vec<i64>> = text.split(',').map(|number| number.parse().ok()).collect();
        let numbers = numbers.filter(|numbers| numbers.len() == 2 * kind.size());
        let mut sums = numbers.unwrap_or_else(|| vec![0; 2 * kind.size()]);
        let peaks = sums.split_off(kind.size());
        Self { kind, label: label.to_owned(), sums, peaks }
    }

    /// All totals, from their names, such as `usage claude-haiku-4-5`, and texts. Those of a later version are left out.
    pub fn parse_all<T: AsRef<[u8]>>(rows: impl IntoIterator<Item = (String, T)>) -> Vec<Self> {
        let total = |(name, text): (String, T)| {
            let (kind, label) = name.split_once(' ')?;
            let (_, kind) = MetricKind::ALL.into_iter().find(|(name, _)| *name == kind)?;
            Some(Self::parse(kind, label, str::from_utf8(text.as_ref()).unwrap_or_default()))
        };
        let mut all: Vec<Self> = rows.into_iter().filter_map(total).collect();
        all.sort_by(|a, b| (a.kind, &a.label).cmp(&(b.kind, &b.label)));
        all
    }

    /// Adds a change.
    pub fn add(&mut self, change: &[i64]) {
        for ((sum, peak), by) in self.sums.iter_mut().zip(&mut self.peaks).zip(change) {
            *sum = sum.saturating_add(*by);
            *peak = *sum.max(peak);
        }
    }
}

impl fmt::Display for MetricTotal {
    /// The stored text: the sums, then the peaks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = itoa::Buffer::new();
        for (place, number) in self.sums.iter().chain(&self.peaks).enumerate() {
            if place > 0 {
                f.write_str(",")?;
            }
            f.write_str(buffer.format(*number))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_stays_when_the_sum_goes_down() {
        let mut total = MetricTotal::parse(MetricKind::Trips, "repeats", "");
        for by in [5, -2, 1] {
            total.add(&[by]);
        }
        assert_eq!(total.to_string(), "4,5");
        total.add(&[3]);
        assert_eq!(MetricTotal::parse(MetricKind::Trips, "repeats", &total.to_string()), total);
        assert_eq!((total.sums, total.peaks), (vec![7], vec![7]));
    }

    #[test]
    fn what_cannot_be_read_is_empty() {
        for text in ["", "x", "1", "1,2,3", "1,x"] {
            assert_eq!(MetricTotal::parse(MetricKind::Trips, "a", text).to_string(), "0,0", "{text}");
        }
        let rows = [("later thing".to_owned(), "1,1".to_owned()), ("nothing".to_owned(), String::new())];
        assert!(MetricTotal::parse_all(rows).is_empty());
    }

    #[test]
    fn changes_that_cancel_each_other_are_none() {
        let (mut changes, more) = (MetricChanges::default(), CounterDelta { input: 3, ..Default::default() });
        changes.add_usage("m", "main", &more);
        assert_eq!(changes.iter().count(), 1, "no tool calls");
        changes.add_usage("m", "main", &more.negated());
        assert_eq!(changes.iter().count(), 0);
        changes.add_usage(&"long".repeat(100), "main", &more);
        assert!(changes.iter().all(|(_, label, _)| label.len() == MAX_LABEL_CHARS));
    }

    #[test]
    fn every_kind_has_a_name_without_spaces() {
        for (name, kind) in MetricKind::ALL {
            assert_eq!((kind.name(), name.contains(' ')), (name, false));
        }
    }
}
