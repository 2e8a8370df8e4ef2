//! The start page: summary, budgets, circuit breakers, alerts, spend.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::Server;
use super::alerts::{self, AlertLine};
use super::budgets::{self, BudgetRow};
use super::cards::{Card, cards};
use super::choice::{Choice, DAYS, Pager, Parameters, SortHead};
use super::circuits::{self, CircuitLine};
use super::page::{Frame, Query, page};
use super::spend;
use super::text::Clock;
use super::visitor::Visitor;
use crate::app::snapshot::Snapshot;

/// The page.
#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
    choice: Choice,
    /// `None`: the store has never answered.
    numbers: Option<Numbers>,
}

/// What the page shows of a snapshot.
struct Numbers {
    /// Whether anything has been recorded.
    is_empty: bool,
    cards: Vec<Card>,
    heads: Vec<SortHead>,
    budgets: Vec<BudgetRow>,
    budget_pager: Pager,
    /// Budgets of a subscription about which nothing is known, in words.
    unknown: Vec<String>,
    circuits: Vec<CircuitLine>,
    circuit_pager: Pager,
    alerts: Vec<AlertLine>,
    alert_pager: Pager,
    /// Alerts that nobody has acknowledged.
    new_alerts: usize,
    /// The newest of them.
    newest_alert: i64,
    /// The chart as HTML, or why there is none.
    chart: Result<Arc<String>, String>,
    /// The ranges of the chart: days, address, whether it is the current one.
    ranges: Vec<(usize, String, bool)>,
}

/// Shows it.
pub async fn show(
    State(server): State<Arc<Server>>,
    Extension(visitor): Extension<Visitor>,
    Query(parameters): Query<Parameters>,
) -> Response {
    let view = server.watcher.view().await;
    let choice = Choice::new(&parameters);
    let clock = Clock::new(&server.env_now());
    let here = choice.address();
    let numbers = match &view.snapshot {
        Some(snapshot) => {
            let chart =
                spend::drawn(&server, choice.days).await.map_err(|problem| problem.detail().to_owned());
            Some(Numbers::new(&server, snapshot, &choice, &clock, chart))
        }
        None => None,
    };
    let status = if numbers.is_some() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let frame = Frame::new(&server, &visitor, "overview", here)
        .of_view(&view, &clock)
        .with_outcome(&server, parameters.said.as_deref());
    page(status, &OverviewPage { frame, choice, numbers })
}

impl Numbers {
    fn new(
        server: &Server,
        snapshot: &Arc<Snapshot>,
        choice: &Choice,
        clock: &Clock,
        chart: Result<Arc<String>, String>,
    ) -> Self {
        let here = choice.address();
        let (budgets, budget_pager) = budgets::chosen(server, snapshot, choice);
        let (circuits, circuit_pager) = circuits::chosen(snapshot, choice);
        let (alerts, alert_pager) = alerts::chosen(snapshot, choice);
        Self {
            is_empty: snapshot.sessions.is_empty(),
            cards: cards(snapshot),
            heads: SortHead::all(choice),
            budgets: budgets.into_iter().map(|entry| BudgetRow::new(entry, snapshot, clock, &here)).collect(),
            budget_pager,
            unknown: snapshot.unknown_budgets.iter().map(|budget| budget.line()).collect(),
            circuits: circuits
                .into_iter()
                .map(|entry| CircuitLine::new(&entry.row, entry.is_live, snapshot, clock, &here))
                .collect(),
            circuit_pager,
            alerts: alerts.into_iter().map(|record| AlertLine::new(record, snapshot, clock)).collect(),
            alert_pager,
            new_alerts: snapshot.new_alerts().len(),
            newest_alert: snapshot.new_alerts().map(|record| record.alert.id).max().unwrap_or(0),
            chart,
            ranges: DAYS
                .iter()
                .map(|days| (*days, choice.with(|new| new.days = *days), *days == choice.days))
                .collect(),
        }
    }
}
