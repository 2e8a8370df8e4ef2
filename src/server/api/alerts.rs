//! Alerts: list and acknowledge, one or many.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Server;
use super::super::access::Caller;
use super::super::extract::{Body, Path, Query};
use super::super::problem::Problem;
use super::names::{AlertLevel, BudgetScope};
use super::page::{Listed, Page};
use super::requests::{AlertId, checked_reason, given};
use crate::app::messages;
use crate::app::snapshot::{Snapshot, budget_id};
use crate::domain::alert::AlertRecord;
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
    #[schema(value_type = BudgetScope)]
    scope: &'static str,
    /// The value of the scope, such as a session's id.
    value: String,
    /// The threshold, as a fraction of the limit.
    #[schema(minimum = 0, example = 0.8)]
    threshold: f64,
    /// How urgent it is.
    #[schema(value_type = AlertLevel)]
    level: &'static str,
    /// What happened, for people.
    message: String,
    /// When it was raised (RFC 3339, UTC).
    #[schema(format = DateTime)]
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
    /// Only alerts of this level.
    level: Option<AlertLevel>,
    /// Only alerts of this budget, by its id.
    budget_id: Option<String>,
    /// Only alerts of this session's own budgets.
    session: Option<String>,
}

impl AlertQuery {
    fn matches(&self, record: &AlertRecord) -> bool {
        let alert = &record.alert;
        self.acknowledged.is_none_or(|wanted| wanted == record.acknowledged.is_some())
            && self.level.is_none_or(|level| level.name() == alert.level.name())
            && self.budget_id.as_deref().is_none_or(|id| budget_id(&alert.budget, &alert.value) == id)
            && self.session.as_deref().is_none_or(|id| alert.scope == Scope::Session && alert.value == id)
    }
}

/// List alerts, newest first.
#[utoipa::path(
    get, path = "/budget/alerts", tag = "alerts", operation_id = "list_alerts", params(AlertQuery, Page),
    responses((status = 200, body = AlertList, description = "The alerts"))
)]
async fn list(
    State(server): State<Arc<Server>>,
    uri: Uri,
    Query(query): Query<AlertQuery>,
    Query(page): Query<Page>,
) -> Result<Listed<AlertList>, Problem> {
    let snapshot = server.watcher.snapshot().await?;
    let (found, total) = page.select(snapshot.alerts.iter().filter(|record| query.matches(record)));
    let alerts = found.into_iter().map(AlertJson::new).collect();
    Ok(page.list(&uri, total, AlertList { alerts, total }))
}

/// Why an alert is acknowledged.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AcknowledgeRequest {
    /// The reason, which is stored with the acknowledgement.
    #[serde(default, deserialize_with = "given")]
    #[schema(
        nullable = false,
        min_length = 1,
        max_length = 1000,
        pattern = r"[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]",
        example = "known"
    )]
    reason: Option<String>,
}

/// Acknowledge an alert.
#[utoipa::path(
    post, path = "/budget/alerts/{alert_id}/acknowledge", tag = "alerts", operation_id = "acknowledge_alert",
    params(AlertId),
    request_body = AcknowledgeRequest,
    responses((status = 200, body = AlertJson, description = "The acknowledged alert"))
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
    #[schema(max_items = 1_000)]
    alert_ids: Vec<String>,
    /// Only alerts of this level.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    level: Option<AlertLevel>,
    /// The reason, which is stored with the acknowledgement.
    #[serde(default, deserialize_with = "given")]
    #[schema(
        nullable = false,
        min_length = 1,
        max_length = 1000,
        pattern = r"[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]",
        example = "known"
    )]
    reason: Option<String>,
}

/// Acknowledge many alerts.
#[utoipa::path(
    post, path = "/budget/alerts/acknowledge", tag = "alerts", operation_id = "acknowledge_alerts",
    request_body = AcknowledgeManyRequest,
    responses((status = 200, body = AlertList, description = "Those that were acknowledged by this request"))
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
    let chosen = snapshot.alerts.iter().filter(|record| {
        record.acknowledged.is_none()
            && request.level.is_none_or(|level| level.name() == record.alert.level.name())
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
