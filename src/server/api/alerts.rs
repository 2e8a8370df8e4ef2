//! Alerts: list and acknowledge, one or many.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Server;
use super::super::access::Caller;
use super::super::extract::{Body, Path, Query};
use super::super::problem::{DecisionProblems, Problem, ReadProblems};
use super::budgets::checked_reason;
use super::page::Page;
use crate::app::messages;
use crate::app::snapshot::{Snapshot, budget_id};
use crate::domain::alert::{AlertLevel, AlertRecord};
use crate::domain::budget::Scope;

/// The addresses.
pub fn router() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(acknowledge)).routes(routes!(acknowledge_many))
}

/// An alert: a budget passed a threshold.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AlertJson {
    /// Names the alert in addresses.
    alert_id: String,
    /// The budget's id.
    budget_id: String,
    /// The budget's name.
    budget: String,
    /// The scope of the budget.
    scope: &'static str,
    /// The value of the scope, such as a session's id.
    value: String,
    /// The threshold, as a fraction of the limit.
    threshold: f64,
    /// `info`, `warning` or `critical`.
    level: &'static str,
    /// What happened, for people.
    message: String,
    /// When it was raised (RFC 3339, UTC).
    created_at: String,
    /// Whether a person acknowledged it.
    acknowledged: bool,
    /// Who acknowledged it; `null`: nobody.
    acknowledged_by: Option<String>,
}

impl AlertJson {
    /// The alert as JSON.
    pub fn new(record: &AlertRecord) -> Self {
        let alert = &record.alert;
        Self {
            alert_id: alert.id.to_string(),
            budget_id: budget_id(&alert.budget, &alert.value),
            budget: alert.budget.clone(),
            scope: alert.scope.name(),
            value: alert.value.clone(),
            threshold: alert.threshold,
            level: alert.level.name(),
            message: messages::alert_summary(alert),
            created_at: alert.at.to_rfc3339(),
            acknowledged: record.acknowledged.is_some(),
            acknowledged_by: record.acknowledged.as_ref().map(|acknowledged| acknowledged.by.clone()),
        }
    }
}

/// A list of alerts.
#[derive(Debug, Serialize, ToSchema)]
struct AlertList {
    /// The alerts of this page, newest first.
    alerts: Vec<AlertJson>,
    /// How many there are on all pages.
    total: usize,
}

/// Selects alerts.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct AlertQuery {
    /// Only acknowledged ones (`true`), or only the others (`false`).
    acknowledged: Option<bool>,
    /// Only alerts of this level: `info`, `warning` or `critical`.
    level: Option<String>,
    /// Only alerts of this budget, by its id.
    budget_id: Option<String>,
    /// Only alerts of this session's own budgets.
    session: Option<String>,
}

impl AlertQuery {
    fn matches(&self, record: &AlertRecord) -> bool {
        let alert = &record.alert;
        self.acknowledged.is_none_or(|wanted| wanted == record.acknowledged.is_some())
            && self.level.as_deref().is_none_or(|level| alert.level.name() == level)
            && self.budget_id.as_deref().is_none_or(|id| budget_id(&alert.budget, &alert.value) == id)
            && self.session.as_deref().is_none_or(|id| alert.scope == Scope::Session && alert.value == id)
    }
}

/// List alerts, newest first.
#[utoipa::path(
    get, path = "/budget/alerts", tag = "alerts", operation_id = "list_alerts", params(AlertQuery, Page),
    responses((status = 200, body = AlertList), ReadProblems)
)]
async fn list(
    State(server): State<Arc<Server>>,
    Query(query): Query<AlertQuery>,
    Query(page): Query<Page>,
) -> Result<Json<AlertList>, Problem> {
    let snapshot = server.watcher.snapshot().await?;
    let (found, total) = page.select(snapshot.alerts.iter().filter(|record| query.matches(record)));
    Ok(Json(AlertList { alerts: found.into_iter().map(AlertJson::new).collect(), total }))
}

/// Why an alert is acknowledged.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AcknowledgeRequest {
    /// The reason, which is stored with the acknowledgement.
    #[schema(max_length = 1000)]
    reason: Option<String>,
}

/// Acknowledge an alert.
#[utoipa::path(
    post, path = "/budget/alerts/{alert_id}/acknowledge", tag = "alerts", operation_id = "acknowledge_alert",
    params(
        ("alert_id" = String, Path, description = "The id of the alert"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key takes effect once"),
    ),
    request_body = AcknowledgeRequest,
    security(("operator" = [])),
    responses((status = 200, body = AlertJson), DecisionProblems)
)]
async fn acknowledge(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Body(request): Body<AcknowledgeRequest>,
) -> Result<Json<AlertJson>, Problem> {
    let reason = request.reason.as_deref().map(checked_reason).transpose()?;
    let snapshot = server.watcher.snapshot().await?;
    let found = find(&snapshot, &id)?.alert.id;
    server.acknowledge(vec![found], caller.name, reason).await?;
    let snapshot = server.watcher.snapshot().await?;
    Ok(Json(AlertJson::new(find(&snapshot, &id)?)))
}

/// Which alerts to acknowledge, and why.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AcknowledgeManyRequest {
    /// Their ids. Without any: all that are not acknowledged, and match the other fields.
    #[serde(default)]
    #[schema(max_items = 10_000)]
    alert_ids: Vec<String>,
    /// Only alerts of this level.
    level: Option<Level>,
    /// The reason, which is stored with the acknowledgement.
    #[schema(max_length = 1000)]
    reason: Option<String>,
}

/// How urgent an alert is.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Level {
    Info,
    Warning,
    Critical,
}

impl Level {
    fn level(self) -> AlertLevel {
        match self {
            Self::Info => AlertLevel::Info,
            Self::Warning => AlertLevel::Warning,
            Self::Critical => AlertLevel::Critical,
        }
    }
}

/// Acknowledge many alerts.
#[utoipa::path(
    post, path = "/budget/alerts/acknowledge", tag = "alerts", operation_id = "acknowledge_alerts",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "A repeated request with the same key takes effect once"),
    ),
    request_body = AcknowledgeManyRequest,
    security(("operator" = [])),
    responses((status = 200, body = AlertList, description = "Those that were acknowledged by this request"), DecisionProblems)
)]
async fn acknowledge_many(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<AcknowledgeManyRequest>,
) -> Result<Json<AlertList>, Problem> {
    let reason = request.reason.as_deref().map(checked_reason).transpose()?;
    let snapshot = server.watcher.snapshot().await?;
    let named: BTreeSet<&str> = request.alert_ids.iter().map(String::as_str).collect();
    for id in &named {
        find(&snapshot, id)?;
    }
    let level = request.level.map(Level::level);
    let chosen = snapshot.alerts.iter().filter(|record| {
        record.acknowledged.is_none()
            && level.is_none_or(|level| record.alert.level == level)
            && (named.is_empty() || named.contains(record.alert.id.to_string().as_str()))
    });
    let chosen: Vec<i64> = chosen.map(|record| record.alert.id).collect();
    let done = match chosen.is_empty() {
        true => BTreeSet::new(),
        false => {
            server.acknowledge(chosen, caller.name, reason).await?.into_iter().collect::<BTreeSet<i64>>()
        }
    };
    let snapshot = server.watcher.snapshot().await?;
    let changed = snapshot.alerts.iter().filter(|record| done.contains(&record.alert.id));
    let alerts: Vec<AlertJson> = changed.map(AlertJson::new).collect();
    let total = alerts.len();
    Ok(Json(AlertList { alerts, total }))
}

fn find<'s>(snapshot: &'s Snapshot, id: &str) -> Result<&'s AlertRecord, Problem> {
    let found = snapshot.alerts.iter().find(|record| record.alert.id.to_string() == id);
    found.ok_or_else(|| Problem::not_found("alert", id))
}
