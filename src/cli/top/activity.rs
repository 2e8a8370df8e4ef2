//! What happened lately in a session: alerts, events, decisions.

use crate::app::overview::{Overview, SessionOverview};
use crate::cli::history;
use crate::cli::render::table;
use crate::domain::alert::AlertRecord;
use crate::domain::event::EventData;
use crate::domain::scope::Scope;
use crate::domain::time::Timestamp;

/// Something that happened.
pub struct Entry<'a> {
    /// When.
    pub at: Timestamp,
    /// For people.
    pub text: String,
    /// The alert that nobody has acknowledged, if it is one.
    pub alert: Option<&'a AlertRecord>,
    /// Whether something was denied or held back.
    pub is_denial: bool,
}

/// What happened to a session and its budgets, the newest first.
pub fn entries<'a>(data: &'a Overview, session: &SessionOverview) -> Vec<Entry<'a>> {
    let alerts = own_alerts(data, session).map(|record| Entry {
        at: record.alert.at,
        text: own_text(&alert_line(record), session),
        alert: Some(record),
        is_denial: false,
    });
    let events = session.events.iter().map(|event| Entry {
        at: event.at,
        text: history::agent_event_text(event),
        alert: None,
        is_denial: matches!(event.data, EventData::CallDenied(_) | EventData::CircuitOpened(_)),
    });
    let decisions = data.operations.iter().filter_map(|operation| {
        let is_it = |name: &str, value: &str| name == operation.budget && value == operation.value;
        let state = session.states.iter().find(|state| is_it(&state.budget.name, &state.value))?;
        let text = history::budget_decision_text(operation, &state.budget);
        Some(Entry { at: operation.at, text: own_text(&text, session), alert: None, is_denial: false })
    });
    let mut all: Vec<Entry> = alerts.chain(events).chain(decisions).collect();
    all.sort_by_key(|entry| std::cmp::Reverse(entry.at));
    all
}

/// A text without the session, which the screen names already.
fn own_text(text: &str, session: &SessionOverview) -> String {
    let id = table::short_value(Scope::Session, &session.row.session.id);
    text.replacen(&format!(" (session {id})"), "", 1)
}

/// The alerts of the session's budgets that nobody has acknowledged.
pub fn own_alerts<'a>(
    data: &'a Overview,
    session: &SessionOverview,
) -> impl Iterator<Item = &'a AlertRecord> {
    data.alerts.iter().filter(|record| {
        let alert = &record.alert;
        session.states.iter().any(|state| state.budget.name == alert.budget && state.value == alert.value)
    })
}

/// `critical: budget session (session 3f2a1b2c): passed 90% of …`.
pub fn alert_line(record: &AlertRecord) -> String {
    format!("{}: {}", record.alert.level.name(), history::alert_text(&record.alert))
}
