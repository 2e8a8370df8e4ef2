//! Sessions: list, and show one with everything about it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Server;
use super::super::details::Details;
use super::super::extract::{Path, Query};
use super::super::problem::Problem;
use super::budgets::BudgetJson;
use super::circuits::CircuitJson;
use super::names::DeniedBy;
use super::page::{Listed, Page};
use crate::app::messages::replies::denial_reason;
use crate::app::snapshot::{SessionSummary, Snapshot};

use crate::domain::event::{Denial, DenialReason, Event, EventData};
use crate::domain::money::usd;
use crate::domain::time::Timestamp;
use crate::domain::usage::Usage;

/// The most denied calls that are shown of a session.
const MAX_DENIED: usize = 100;

/// The addresses.
pub fn router() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show))
}

/// A session.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SessionJson {
    /// The client's session id.
    session_id: String,
    /// The project that it is charged to: a folder. In a shared store, a hash of it.
    project: String,
    /// The user that it is charged to.
    user: String,
    /// The team that it is charged to; `null`: none.
    team: Option<String>,
    /// The declared type of task; `null`: none.
    task_id: Option<String>,
    /// The session that started it; `null`: none.
    parent: Option<String>,
    /// Whether it is live.
    active: bool,
    /// When a hook last saw it (RFC 3339, UTC).
    #[schema(format = DateTime)]
    last_seen: String,
    /// When it ended (RFC 3339, UTC); `null`: it has not.
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    /// Input, output and cache writes.
    fresh_tokens: u64,
    /// Tokens of all classes.
    tokens: u64,
    /// Model responses.
    requests: u64,
    /// Tool calls.
    tool_calls: u64,
    /// What it cost, in dollars.
    #[schema(minimum = 0)]
    usd: f64,
    /// Subagents that are working.
    subagents: u32,
}

impl SessionJson {
    /// The session as JSON.
    pub fn new(of: &SessionSummary) -> Self {
        let (session, used) = (&of.row.session, of.used);
        let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        Self {
            session_id: session.id.clone(),
            project: session.project.clone(),
            user: session.user.clone(),
            team: some(&session.team),
            task_id: some(&session.task_type),
            parent: session.parent.clone(),
            active: of.is_live,
            last_seen: of.row.last_seen.to_rfc3339(),
            ended_at: of.row.ended.map(Timestamp::to_rfc3339),
            fresh_tokens: used.fresh_tokens,
            tokens: used.tokens,
            requests: used.requests,
            tool_calls: used.tool_calls,
            usd: usd(used.nano_usd),
            subagents: of.subagents,
        }
    }
}

/// A list of sessions.
#[derive(Debug, Serialize, ToSchema)]
struct SessionList {
    /// The sessions of this page, most recently seen first.
    sessions: Vec<SessionJson>,
    /// How many there are on all pages.
    total: usize,
}

/// Selects sessions.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct SessionFilter {
    /// Include those that have ended.
    #[serde(default)]
    #[param(default = false)]
    all: bool,
    /// Only sessions charged to this project.
    project: Option<String>,
    /// Only sessions charged to this user.
    user: Option<String>,
    /// Only sessions charged to this team.
    team: Option<String>,
}

impl SessionFilter {
    fn matches(&self, of: &SessionSummary) -> bool {
        let is = |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|one| one == value);
        let session = &of.row.session;
        is(&self.project, &session.project) && is(&self.user, &session.user) && is(&self.team, &session.team)
    }
}

/// List the live sessions.
#[utoipa::path(
    get, path = "/session", tag = "sessions", operation_id = "list_sessions", params(SessionFilter, Page),
    responses((status = 200, body = SessionList, description = "The sessions"))
)]
async fn list(
    State(server): State<Arc<Server>>,
    uri: Uri,
    Query(filter): Query<SessionFilter>,
    Query(page): Query<Page>,
) -> Result<Listed<SessionList>, Problem> {
    let snapshot = server.watcher.snapshot().await?;
    let matches = |of: &&SessionSummary| filter.matches(of);
    let (found, total) = match filter.all {
        true => page.select(snapshot.sessions.iter().filter(matches)),
        false => page.select(snapshot.live_sessions().filter(matches)),
    };
    let sessions = found.into_iter().map(SessionJson::new).collect();
    Ok(page.list(&uri, total, SessionList { sessions, total }))
}

/// A session, with everything about it.
#[derive(Debug, Serialize, ToSchema)]
struct SessionDetails {
    #[serde(flatten)]
    session: SessionJson,
    /// Tokens by class.
    tokens_by_class: TokensByClass,
    /// The estimated part of the cost, in dollars.
    #[schema(minimum = 0)]
    estimated_usd: f64,
    /// What the client itself reckons, in dollars; `null`: not known.
    #[schema(minimum = 0)]
    client_usd: Option<f64>,
    /// Responses with an estimated charge.
    estimated_messages: u64,
    /// Those of them that no transcript shows.
    unseen_responses: u64,
    /// Its budgets: its own, and those of its project, user, team and type of task.
    budgets: Vec<BudgetJson>,
    /// Its agents that have made calls, with their circuit breakers.
    agents: Vec<CircuitJson>,
    /// Subagents that it has started.
    subagents_started: u32,
    /// Calls that were denied, newest first, at most 100.
    denied: Vec<DeniedCall>,
    /// How many calls were denied.
    denied_total: usize,
}

/// Tokens by class.
#[derive(Debug, Serialize, ToSchema)]
struct TokensByClass {
    /// Input outside the prompt cache.
    input: u64,
    /// Output.
    output: u64,
    /// Written to the prompt cache for five minutes.
    cache_write_5m: u64,
    /// Written to the prompt cache for an hour.
    cache_write_1h: u64,
    /// Read from the prompt cache.
    cache_read: u64,
}

/// A denied call.
#[derive(Debug, Serialize, ToSchema)]
struct DeniedCall {
    /// When (RFC 3339, UTC).
    #[schema(format = DateTime)]
    at: String,
    /// `main`, or the subagent's id.
    agent_id: String,
    /// The tool.
    tool: String,
    /// Whether the turn was ended as well.
    stopped: bool,
    /// What denied it.
    #[schema(value_type = DeniedBy)]
    by: &'static str,
    /// Why, with the numbers at that time.
    reason: String,
}

impl DeniedCall {
    fn new(event: &Event, denial: &Denial) -> Self {
        let by = match denial.reason {
            DenialReason::Budget { .. } => DeniedBy::Budget,
            DenialReason::Circuit(_) => DeniedBy::Circuit,
            DenialReason::Throttle(_) => DeniedBy::Throttle,
            DenialReason::Protection { .. } => DeniedBy::Protection,
        };
        Self {
            at: event.at.to_rfc3339(),
            agent_id: if event.agent.is_empty() { "main".to_owned() } else { event.agent.clone() },
            tool: denial.tool.clone(),
            stopped: denial.stopped,
            by: by.name(),
            reason: denial_reason(&denial.reason),
        }
    }
}

impl SessionDetails {
    fn new(of: &SessionSummary, details: &Details, snapshot: &Snapshot) -> Self {
        let session = &of.row.session;
        let denied: Vec<(&Event, &Denial)> = details
            .events
            .iter()
            .rev()
            .filter_map(|event| match &event.data {
                EventData::CallDenied(denial) => Some((event, denial)),
                _ => None,
            })
            .collect();
        let total = details.total;
        let Usage { input, output, cache_write_5m, cache_write_1h, cache_read } = total.amount.usage;
        Self {
            session: SessionJson::new(of),
            tokens_by_class: TokensByClass { input, output, cache_write_5m, cache_write_1h, cache_read },
            estimated_usd: usd(total.amount.nano_usd_estimated),
            client_usd: total.client_nano_usd.map(usd),
            estimated_messages: total.estimated_messages,
            unseen_responses: total.unseen_messages,
            budgets: snapshot.budgets_of(session).map(|entry| BudgetJson::new(entry, snapshot)).collect(),
            agents: snapshot
                .circuits_of(&session.id)
                .map(|entry| CircuitJson::new(entry, snapshot))
                .collect(),
            subagents_started: details.slots.total,
            denied_total: denied.len(),
            denied: denied
                .into_iter()
                .take(MAX_DENIED)
                .map(|(event, denial)| DeniedCall::new(event, denial))
                .collect(),
        }
    }
}

/// Show a session: tokens by class, dollars, budgets, agents, denied calls.
#[utoipa::path(
    get, path = "/session/{session_id}", tag = "sessions", operation_id = "show_session",
    params(("session_id" = String, Path, description = "The id of the session", min_length = 1)),
    responses((status = 200, body = SessionDetails, description = "The session"))
)]
async fn show(
    State(server): State<Arc<Server>>,
    Path(id): Path<String>,
) -> Result<Json<SessionDetails>, Problem> {
    let snapshot = server.watcher.snapshot().await?;
    let session = snapshot.session(&id).ok_or_else(|| Problem::not_found("session", &id))?;
    let details = server.details.read(&snapshot, session).await?;
    Ok(Json(SessionDetails::new(session, &details, &snapshot)))
}
