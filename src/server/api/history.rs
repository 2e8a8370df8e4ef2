//! What happened in all sessions, as in `fusebox history --json`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Server;
use super::super::extract::Query;
use super::super::problem::Problem;
use super::names::{BudgetUnit, EventName};
use super::page::{Listed, Page};
use crate::app::history::{Entry, EntryJson, counted};
use crate::app::snapshot::{MAX_EVENTS, Snapshot};
use crate::domain::time::Timestamp;

/// The addresses.
pub fn router() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// A list of what happened.
#[derive(Debug, Serialize, ToSchema)]
struct History {
    /// What happened, newest first.
    #[schema(value_type = Vec<HistoryEntry>)]
    history: Vec<EntryJson>,
    /// How much there is on all pages.
    total: usize,
}

/// Something that happened. What else there is depends on the event.
#[derive(ToSchema)]
#[allow(dead_code)] // Only described.
struct HistoryEntry {
    /// What happened.
    event: EventName,
    /// Its id: a number, or for `BUDGET_DECIDED` a text.
    #[schema(schema_with = number_or_text)]
    id: (),
    /// When (RFC 3339, UTC).
    #[schema(format = DateTime)]
    at: String,
    /// The session; of events about sessions.
    session: Option<String>,
    /// The subagent; empty for the main agent.
    agent: Option<String>,
    /// The budget's name; of alerts and decisions.
    budget: Option<String>,
    /// The value of the budget's scope.
    value: Option<String>,
    /// The unit of amounts; `null`: not known.
    unit: Option<BudgetUnit>,
    /// Who decided.
    actor: Option<String>,
    /// Why: a text, or of a denied call an object.
    #[schema(required = false, schema_with = anything)]
    reason: Option<()>,
}

fn number_or_text() -> utoipa::openapi::schema::Object {
    use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
    ObjectBuilder::new().schema_type(SchemaType::from_iter([Type::Integer, Type::String])).build()
}

fn anything() -> utoipa::openapi::schema::Object {
    use utoipa::openapi::schema::{ObjectBuilder, SchemaType};
    ObjectBuilder::new().schema_type(SchemaType::AnyValue).build()
}

/// Selects what happened.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct HistoryFilter {
    /// Only this event.
    event: Option<EventName>,
    /// Only what is about this session: its breakers, its calls, and its own budgets.
    session: Option<String>,
    /// Only what happened at this time or later (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    #[serde(default, deserialize_with = "time")]
    since: Option<Timestamp>,
    /// Only what happened before this time (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    #[serde(default, deserialize_with = "time")]
    until: Option<Timestamp>,
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let time = Timestamp::parse(&text);
    let wrong = || serde::de::Error::custom("write a time as 2026-11-30T12:00:00Z");
    time.map(Some).ok_or_else(wrong)
}

impl HistoryFilter {
    fn matches(&self, entry: &Entry) -> bool {
        self.event.is_none_or(|event| entry.event() == event.name())
            && self.session.as_deref().is_none_or(|session| entry.is_about(session))
            && self.since.is_none_or(|since| entry.at() >= since)
            && self.until.is_none_or(|until| entry.at() < until)
    }
}

/// List what happened: events, alerts and decisions, newest first.
///
/// It goes back as far as the last 1,000 events, or to the beginning. `fusebox history --last 0` shows all.
#[utoipa::path(
    get, path = "/history", tag = "history", operation_id = "list_history", params(HistoryFilter, Page),
    responses((status = 200, body = History, description = "What happened"))
)]
async fn list(
    State(server): State<Arc<Server>>,
    uri: Uri,
    Query(filter): Query<HistoryFilter>,
    Query(page): Query<Page>,
) -> Result<Listed<History>, Problem> {
    let snapshot = server.watcher.snapshot().await?;
    let counted = counted(&snapshot.config, &snapshot.alerts);
    let from = oldest(&snapshot);
    let mut entries: Vec<Entry> = snapshot
        .events
        .iter()
        .map(Entry::Event)
        .chain(snapshot.alerts.iter().map(Entry::Alert))
        .chain(
            snapshot.operations.iter().map(|done| Entry::Decision(done, counted.get(&done.budget).copied())),
        )
        .filter(|entry| from.is_none_or(|from| entry.at() >= from) && filter.matches(entry))
        .collect();
    // Stable: what happened at the same time stays in the order of the store.
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.at()));
    let (found, total) = page.select(&entries);
    let history = found.into_iter().map(Entry::json).collect();
    Ok(page.list(&uri, total, History { history, total }))
}

/// How far back it goes, if the snapshot does not have all events.
fn oldest(snapshot: &Snapshot) -> Option<Timestamp> {
    snapshot.events.get(MAX_EVENTS - 1).map(|event| event.at)
}
