//! What happened in all sessions: events, alerts, and decisions about budgets.

use std::collections::BTreeMap;

use serde::Serialize;

use super::status::{AlertStatus, EventStatus, OperationStatus};
use crate::config::Config;
use crate::domain::alert::AlertRecord;
use crate::domain::budget::{Budget, Scope, Unit};
use crate::domain::event::Event;
use crate::domain::operation::Operation;
use crate::domain::time::Timestamp;

/// The event of an alert.
pub const ALERT: &str = "BUDGET_ALERT";

/// The event of a decision about a budget.
pub const DECISION: &str = "BUDGET_DECIDED";

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub enum Entry<'a> {
    /// An event.
    Event(&'a Event),
    /// A budget passed a threshold.
    Alert(&'a AlertRecord),
    /// A person decided about a budget, which counts this.
    Decision(&'a Operation, Option<Counted>),
}

/// What a budget counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Whose use.
    pub scope: Scope,
    /// In which unit.
    pub unit: Unit,
}

/// An entry as JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum EntryJson {
    /// An event.
    Event(EventStatus),
    /// An alert.
    Alert {
        /// [`ALERT`].
        event: &'static str,
        /// The alert.
        #[serde(flatten)]
        alert: AlertStatus,
    },
    /// A decision about a budget.
    Decision {
        /// [`DECISION`].
        event: &'static str,
        /// The decision.
        #[serde(flatten)]
        decision: OperationStatus,
        /// The unit of the amount; `null`: not known.
        unit: Option<Unit>,
    },
}

/// What each budget counts, by the configuration and its alerts. A budget that counted something else before is left out.
pub fn counted(config: &Config, alerts: &[AlertRecord]) -> BTreeMap<String, Counted> {
    let configured = config
        .budgets
        .iter()
        .map(|Budget { name, scope, unit, .. }| (name, Counted { scope: *scope, unit: *unit }));
    let alerted = alerts
        .iter()
        .map(|AlertRecord { alert, .. }| (&alert.budget, Counted { scope: alert.scope, unit: alert.unit }));
    let mut known: BTreeMap<String, Option<Counted>> = BTreeMap::new();
    for (name, counted) in configured.chain(alerted) {
        match known.get_mut(name) {
            Some(before) => *before = before.filter(|before| *before == counted),
            None => {
                known.insert(name.clone(), Some(counted));
            }
        }
    }
    known.into_iter().filter_map(|(name, counted)| Some((name, counted?))).collect()
}

impl Entry<'_> {
    /// When it happened.
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Event(event) => event.at,
            Self::Alert(record) => record.alert.at,
            Self::Decision(operation, _) => operation.at,
        }
    }

    /// What happened: the name of the event, [`ALERT`] or [`DECISION`].
    pub fn event(&self) -> &'static str {
        match self {
            Self::Event(event) => event.data.name(),
            Self::Alert(_) => ALERT,
            Self::Decision(..) => DECISION,
        }
    }

    /// Whether it is about a session: its breaker, its calls, or its own budgets.
    pub fn is_about(&self, session: &str) -> bool {
        match self {
            Self::Event(event) => event.session == session,
            Self::Alert(record) => record.alert.scope == Scope::Session && record.alert.value == session,
            Self::Decision(operation, counted) => {
                operation.value == session && counted.is_none_or(|counted| counted.scope == Scope::Session)
            }
        }
    }

    /// The entry for scripts.
    pub fn json(&self) -> EntryJson {
        match self {
            Self::Event(event) => EntryJson::Event(EventStatus::from_event(event)),
            Self::Alert(record) => EntryJson::Alert { event: ALERT, alert: AlertStatus::from_record(record) },
            Self::Decision(operation, counted) => {
                let unit = counted.map(|counted| counted.unit);
                let decision = OperationStatus::from_operation(operation, unit.unwrap_or(Unit::Tokens));
                // An amount without a unit says nothing.
                let amount = decision.amount.filter(|_| unit.is_some());
                let decision = OperationStatus { amount, ..decision };
                EntryJson::Decision { event: DECISION, decision, unit }
            }
        }
    }
}
