//! What happened in all sessions, as in `fusebox history --json`, but without numbers that JavaScript would round.

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
use crate::app::history::{Entry, EntryJson};
use crate::app::snapshot::Happening;
use crate::app::status::EventStatus;
use crate::domain::event::{Denial, DenialReason, EventData};
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
    history: Vec<Item>,
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
    /// The call: of `CALL_DENIED` a hash of its id, as text; of breakers' events its number since a person's last prompt.
    #[schema(required = false, schema_with = number_or_text)]
    call: Option<()>,
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

/// What is listed.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Item {
    /// A denied call: the fields of the command's entry, with the hash as text.
    Denied {
        id: i64,
        at: String,
        session: String,
        agent: String,
        event: &'static str,
        call: String,
        tool: String,
        stopped: bool,
        reason: DenialReason,
    },
    Other(EntryJson),
}

impl From<EntryJson> for Item {
    fn from(entry: EntryJson) -> Self {
        let EntryJson::Event(EventStatus { id, at, session, agent, what }) = entry else {
            return Self::Other(entry);
        };
        let event = what.name();
        match what {
            EventData::CallDenied(Denial { call, tool, stopped, reason }) => {
                Self::Denied { id, at, session, agent, event, call: call.to_string(), tool, stopped, reason }
            }
            what => Self::Other(EntryJson::Event(EventStatus { id, at, session, agent, what })),
        }
    }
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
    fn is_empty(&self) -> bool {
        self.event.is_none() && self.session.is_none() && self.since.is_none() && self.until.is_none()
    }

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
    let (found, total) = if filter.is_empty() {
        page.part(snapshot.history())
    } else {
        let matches = |one: &&Happening| filter.matches(&snapshot.entry(**one));
        page.select(snapshot.history().iter().filter(matches).copied())
    };
    let history = found.into_iter().map(|one| snapshot.entry(one).json().into()).collect();
    Ok(page.list(&uri, total, History { history, total }))
}
