//! The list of sessions.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::super::Server;
use super::choice::{Pager, ROWS};
use super::page::{Frame, Query, page};
use super::text::{Clock, When, Who, money};
use super::visitor::{HOME, Visitor};
use crate::app::messages::amounts::grouped;
use crate::app::snapshot::{SessionSummary, Snapshot};

/// The page.
#[derive(Template)]
#[template(path = "sessions.html")]
struct SessionsPage {
    frame: Frame,
    /// `None`: the store has never answered.
    rows: Option<Vec<SessionLine>>,
    pager: Pager,
    live: usize,
    total: String,
}

/// A session of the list.
struct SessionLine {
    who: Who,
    is_live: bool,
    user: String,
    task: String,
    subagents: u32,
    tokens: String,
    dollars: String,
    calls: String,
    seen: When,
    age: String,
}

/// The parameters of the address.
#[derive(Deserialize)]
pub struct Parameters {
    page: Option<String>,
}

/// Shows it: live sessions first, and among them the most recently seen first.
pub async fn show(
    State(server): State<Arc<Server>>,
    Extension(visitor): Extension<Visitor>,
    Query(parameters): Query<Parameters>,
) -> Response {
    let view = server.watcher.view().await;
    let clock = Clock::new(&server.env_now());
    let number = parameters.page.and_then(|page| page.parse().ok()).unwrap_or(1);
    let link = |page: usize| match page {
        1 => format!("{HOME}/sessions"),
        page => format!("{HOME}/sessions?page={page}"),
    };
    let frame = Frame::new(&server, &visitor, "sessions", link(number)).of_view(&view, &clock);
    let Some(snapshot) = &view.snapshot else {
        let empty =
            SessionsPage { frame, rows: None, pager: Pager::default(), live: 0, total: String::new() };
        return page(StatusCode::SERVICE_UNAVAILABLE, &empty);
    };
    let live = snapshot.live_sessions().len();
    let total = grouped(snapshot.sessions.len() as u64);
    let (chosen, pager) = Pager::select(snapshot.sessions_live_first(), ROWS, number, link);
    let rows = chosen.into_iter().map(|session| SessionLine::new(session, snapshot, &clock)).collect();
    page(StatusCode::OK, &SessionsPage { frame, rows: Some(rows), pager, live, total })
}

impl SessionLine {
    fn new(session: &SessionSummary, snapshot: &Snapshot, clock: &Clock) -> Self {
        let row = &session.row;
        Self {
            who: Who::session(&row.session.id, snapshot),
            is_live: session.is_live,
            user: row.session.user.clone(),
            task: row.session.task_type.clone(),
            subagents: session.subagents,
            tokens: grouped(session.used.fresh_tokens),
            dollars: money(session.used.nano_usd),
            calls: grouped(session.used.tool_calls),
            seen: When::new(clock, row.last_seen),
            age: clock.age(row.last_seen),
        }
    }
}
