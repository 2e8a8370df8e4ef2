//! The alerts of a page, and their acknowledgement.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Redirect;
use serde::Deserialize;

use super::super::Server;
use super::choice::{Choice, FEW_ROWS, Pager};
use super::page::{Form, PageProblem};
use super::text::{Clock, When, Who, counted};
use super::visitor::{Visitor, local};
use crate::app::messages;
use crate::app::snapshot::Snapshot;
use crate::domain::alert::{AlertLevel, AlertRecord};

/// An alert of the panel.
pub struct AlertLine {
    /// Its id.
    pub id: i64,
    /// When it was raised.
    pub at: When,
    /// What its budget counts.
    pub who: Who,
    /// The class of its level.
    pub level: &'static str,
    /// Its type in words: level and threshold.
    pub kind: String,
    /// What happened.
    pub message: String,
    /// Who acknowledged it.
    pub acknowledged_by: Option<String>,
}

impl AlertLine {
    /// The line of an alert.
    pub fn new(record: &AlertRecord, snapshot: &Snapshot, clock: &Clock) -> Self {
        let alert = &record.alert;
        let level = match alert.level {
            AlertLevel::Info => "Info",
            AlertLevel::Warning => "Warning",
            AlertLevel::Critical => "Critical",
        };
        Self {
            id: alert.id,
            at: When::new(clock, alert.at),
            who: Who::value(alert.scope, &alert.value, snapshot),
            level: alert.level.name(),
            kind: format!("{level} {}%", (alert.threshold * 100.0).round()),
            message: messages::alert_summary(alert),
            acknowledged_by: record.acknowledged.as_ref().map(|acknowledged| acknowledged.by.clone()),
        }
    }
}

/// The alerts of the page that the reader chose, newest first.
pub fn chosen<'s>(snapshot: &'s Snapshot, choice: &Choice) -> (Vec<&'s AlertRecord>, Pager) {
    let link = |page| choice.with(|new| new.alert_page = page);
    match choice.all_alerts {
        true => Pager::select(snapshot.alerts.iter(), FEW_ROWS, choice.alert_page, link),
        false => Pager::select(snapshot.new_alerts(), FEW_ROWS, choice.alert_page, link),
    }
}

/// The form of one alert.
#[derive(Deserialize)]
pub struct One {
    csrf: String,
    #[serde(default)]
    back: String,
}

/// Acknowledges an alert.
pub async fn acknowledge(
    State(server): State<Arc<Server>>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    Form(form): Form<One>,
) -> Result<Redirect, PageProblem> {
    let actor = visitor.check_form(&form.csrf)?;
    let snapshot = server.watcher.snapshot().await?;
    let found = snapshot.alerts.iter().find(|record| record.alert.id.to_string() == id);
    let found = found.ok_or_else(|| PageProblem::not_found("alert"))?;
    let done = server.acknowledge(vec![found.alert.id], actor, None).await?;
    let text = match done.is_empty() {
        true => "The alert was already acknowledged.".to_owned(),
        false => "The alert is acknowledged.".to_owned(),
    };
    Ok(visitor.back_with(&server, local(&form.back), text))
}

/// The form of all alerts.
#[derive(Deserialize)]
pub struct All {
    csrf: String,
    #[serde(default)]
    back: String,
    /// The newest alert on the page: later ones were not seen, so they are left.
    newest: i64,
}

/// Acknowledges all alerts up to the newest one that the page showed.
pub async fn acknowledge_all(
    State(server): State<Arc<Server>>,
    Extension(visitor): Extension<Visitor>,
    Form(form): Form<All>,
) -> Result<Redirect, PageProblem> {
    let actor = visitor.check_form(&form.csrf)?;
    let snapshot = server.watcher.snapshot().await?;
    let seen = snapshot.new_alerts().map(|record| record.alert.id).filter(|id| *id <= form.newest);
    let seen: Vec<i64> = seen.collect();
    let done = match seen.is_empty() {
        true => Vec::new(),
        false => server.acknowledge(seen, actor, None).await?,
    };
    let text = format!("{} acknowledged.", counted(done.len(), "alert"));
    Ok(visitor.back_with(&server, local(&form.back), text))
}
