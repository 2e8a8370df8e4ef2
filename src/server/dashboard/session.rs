//! The page of one session: what it used, its agents, budgets and breakers, and what happened in it.

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
use super::events::EventLines;
use super::page::{Frame, PageProblem, Query, page};
use super::text::{Clock, When, counted, money, session_link, short_id};
use super::visitor::Visitor;
use crate::app::messages::amounts::grouped;
use crate::app::snapshot::SessionSummary;
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
    events: EventLines,
}

/// The parameters of the address.
#[derive(serde::Deserialize)]
pub struct Parameters {
    said: Option<String>,
}

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
    let events = match &detail {
        Some(detail) => EventLines::new(detail.events.iter().rev(), snapshot, &id, &clock),
        None => {
            let own = snapshot.events.iter().filter(|event| event.session == id);
            EventLines::new(own, snapshot, &id, &clock)
        }
    };
    let circuits = snapshot.circuits_of(&id).map(|entry| circuit(&entry.row)).collect();
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
            budgets: snapshot
                .budgets_of(&session.row.session)
                .map(|entry| BudgetRow::new(entry, snapshot, &clock, &here))
                .collect(),
            circuits,
            events,
        },
    ))
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
        ("Dollars", money(detail.map_or(used.nano_usd, |detail| detail.total.amount.nano_usd))),
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
        notes.push(format!("The client itself reckons {}.", money(nanos)));
    }
    if total.estimated_messages > 0 {
        let count = counted(usize::try_from(total.estimated_messages).unwrap_or(usize::MAX), "response");
        notes.push(format!("Includes estimates for {count}."));
    }
    notes
}
