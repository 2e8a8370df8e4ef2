//! The page of one session: what it used, its agents, budgets and breakers, and which calls were denied and why.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::super::Server;
use super::super::details::Details;
use super::budgets::BudgetRow;
use super::circuits::CircuitLine;
use super::page::{Frame, PageProblem, Query, page};
use super::text::{Clock, When, counted, session_link, short_id, shortened};
use super::visitor::Visitor;
use crate::app::messages::amounts::{dollars, grouped};
use crate::app::messages::replies::denial_reason;
use crate::app::messages::trip_summary;
use crate::app::snapshot::{BudgetEntry, SessionSummary, Snapshot};
use crate::domain::budget::Scope;
use crate::domain::event::{CircuitDecision, Event, EventData};
use crate::store::CircuitRow;

/// The page.
#[derive(Template)]
#[template(path = "session.html")]
struct SessionPage {
    frame: Frame,
    name: String,
    id: String,
    is_live: bool,
    facts: Vec<(&'static str, String)>,
    last_seen: When,
    /// Tokens by class, and what they add up to; empty: the store does not say now.
    classes: Vec<(&'static str, String)>,
    /// What its page says besides, such as that some numbers are estimates.
    notes: Vec<String>,
    numbers: Vec<(&'static str, String)>,
    budgets: Vec<BudgetRow>,
    circuits: Vec<CircuitLine>,
    events: Vec<EventLine>,
    denied: usize,
}

/// Something that happened.
struct EventLine {
    at: When,
    agent: String,
    class: &'static str,
    what: &'static str,
    text: String,
}

/// The parameters of the address.
#[derive(serde::Deserialize)]
pub struct Parameters {
    said: Option<String>,
}

/// The most events that are shown, the newest.
const MAX_EVENTS: usize = 200;

/// Shows it.
pub async fn show(
    State(server): State<Arc<Server>>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    Query(parameters): Query<Parameters>,
) -> Result<Response, PageProblem> {
    let view = server.watcher.view().await;
    let Some(snapshot) = &view.snapshot else {
        let why = view.failure.map(|failure| failure.text).unwrap_or_default();
        return Err(PageProblem::new(StatusCode::SERVICE_UNAVAILABLE, why));
    };
    let session = snapshot.session(&id).ok_or_else(|| PageProblem::not_found("session"))?;
    // If the store does not answer, the page shows what the last snapshot has.
    let detail = match view.failure {
        None => server.details.read(snapshot, session).await.ok(),
        Some(_) => None,
    };
    let clock = Clock::new(&server.env_now());
    let here = session_link(&id);
    let frame = Frame::new(&server, &visitor, "sessions", here.clone())
        .of_view(&view, &clock)
        .with_outcome(&server, parameters.said.as_deref());
    let circuit = |row: &CircuitRow| CircuitLine::new(row, session.is_live, snapshot, &clock, &here);
    let events: Vec<&Event> = match &detail {
        Some(detail) => detail.events.iter().rev().take(MAX_EVENTS).collect(),
        None => snapshot.events.iter().filter(|event| event.session == id).collect(),
    };
    let circuits = snapshot.circuits.iter().filter(|entry| entry.row.session == id);
    let circuits = circuits.map(|entry| circuit(&entry.row)).collect();
    Ok(page(
        StatusCode::OK,
        &SessionPage {
            frame,
            name: short_id(&id),
            id: id.clone(),
            is_live: session.is_live,
            facts: facts(session),
            last_seen: When::new(&clock, session.row.last_seen),
            classes: detail.as_deref().map(classes).unwrap_or_default(),
            notes: detail.as_deref().map(notes).unwrap_or_default(),
            numbers: numbers(session, detail.as_deref()),
            budgets: budgets(session, snapshot)
                .map(|entry| BudgetRow::new(entry, snapshot, &clock, &here))
                .collect(),
            circuits,
            denied: events.iter().filter(|event| matches!(event.data, EventData::CallDenied(_))).count(),
            events: events.iter().map(|event| EventLine::new(event, &clock)).collect(),
        },
    ))
}

/// The budgets that the session is charged to.
fn budgets<'s>(session: &'s SessionSummary, snapshot: &'s Snapshot) -> impl Iterator<Item = &'s BudgetEntry> {
    let row = &session.row.session;
    snapshot.budgets.iter().filter(move |entry| {
        let value = &entry.state.value;
        match entry.state.budget.scope {
            Scope::Session => *value == row.id,
            Scope::User => *value == row.user,
            Scope::Project => *value == row.project,
            Scope::Team => *value == row.team,
            Scope::TaskType => *value == row.task_type,
            _ => false,
        }
    })
}

fn facts(session: &SessionSummary) -> Vec<(&'static str, String)> {
    let row = &session.row.session;
    let facts = [
        ("Project", row.project.as_str()),
        ("User", &row.user),
        ("Team", &row.team),
        ("Task", &row.task_type),
        ("Started by session", row.parent.as_deref().unwrap_or_default()),
    ];
    let known = facts.into_iter().filter(|(_, value)| !value.is_empty());
    known.map(|(name, value)| (name, value.to_owned())).collect()
}

fn numbers(session: &SessionSummary, detail: Option<&Details>) -> Vec<(&'static str, String)> {
    let used = session.used;
    let subagents = detail.map_or(session.subagents, |detail| detail.slots.live());
    vec![
        ("Dollars", dollars(detail.map_or(used.nano_usd, |detail| detail.total.amount.nano_usd))),
        ("Fresh tokens", grouped(used.fresh_tokens)),
        ("Responses", grouped(used.requests)),
        ("Tool calls", grouped(used.tool_calls)),
        ("Subagents at work", subagents.to_string()),
    ]
}

fn classes(detail: &Details) -> Vec<(&'static str, String)> {
    let usage = detail.total.amount.usage;
    [
        ("Input", usage.input),
        ("Output", usage.output),
        ("Cache writes, 5 min", usage.cache_write_5m),
        ("Cache writes, 1 h", usage.cache_write_1h),
        ("Cache reads", usage.cache_read),
        ("All", usage.total()),
    ]
    .map(|(name, tokens)| (name, grouped(tokens)))
    .into()
}

fn notes(detail: &Details) -> Vec<String> {
    let total = detail.total;
    let mut notes = Vec::new();
    if let Some(nanos) = total.client_nano_usd {
        notes.push(format!("The client itself reckons {}.", dollars(nanos)));
    }
    if total.estimated_messages > 0 {
        let count = counted(usize::try_from(total.estimated_messages).unwrap_or(usize::MAX), "response");
        notes.push(format!("Includes estimates for {count}."));
    }
    notes
}

impl EventLine {
    fn new(event: &Event, clock: &Clock) -> Self {
        let (class, what, text) = match &event.data {
            EventData::CallDenied(denial) => {
                let what = if denial.stopped { "Denied, turn stopped" } else { "Call denied" };
                ("bad", what, format!("{}: {}", denial.tool, denial_reason(&denial.reason)))
            }
            EventData::CircuitWarning(trip) => ("warn", "Breaker warned", trip_summary(trip)),
            EventData::CircuitOpened(trip) => ("bad", "Breaker opened", trip_summary(trip)),
            EventData::CircuitWouldOpen(trip) => ("warn", "Breaker would have opened", trip_summary(trip)),
            EventData::CircuitHalfOpened(trip) => ("warn", "Breaker half-open", trip_summary(trip)),
            EventData::CircuitClosed(trip) => ("good", "Breaker closed", trip_summary(trip)),
            EventData::CircuitDecided { decision, by, reason, .. } => {
                let what = match decision {
                    CircuitDecision::Acknowledge => "Breaker acknowledged",
                    CircuitDecision::Reset => "Breaker reset",
                };
                ("", what, format!("{by}: {reason}"))
            }
            EventData::ConcurrencyThrottled(change) => {
                ("warn", "Subagents throttled", format!("from {} to {} at once", change.from, change.to))
            }
            EventData::ConcurrencyRestored(change) => {
                ("good", "Subagents restored", format!("from {} to {} at once", change.from, change.to))
            }
        };
        let agent = if event.agent.is_empty() { "main" } else { &event.agent };
        Self { at: When::new(clock, event.at), agent: shortened(agent, 18), class, what, text }
    }
}
