//! Quotas of platforms, as in `fusebox quota status`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Server;
use super::super::extract::Query;
use super::super::problem::Problem;
use super::names::{BudgetStatus, BudgetUnit};
use super::page::{Listed, Page};
use crate::app::quota::{PlatformStatus, QuotaBudget};
use crate::app::snapshot::budget_id;
use crate::domain::amount::Count;

/// The addresses.
pub fn router() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// A budget of a platform.
#[derive(Debug, Serialize, ToSchema)]
struct QuotaJson {
    /// The platform.
    platform: String,
    /// Names the budget in addresses.
    #[schema(pattern = "^[0-9a-f]{16}$", example = "3f2a1b2c4d5e6f70")]
    budget_id: String,
    /// The budget's name.
    name: String,
    /// The unit of the numbers.
    #[schema(value_type = BudgetUnit)]
    unit: &'static str,
    /// Used in this window.
    #[schema(value_type = f64, minimum = 0)]
    used: Count,
    /// Held by reservations that have not ended.
    #[schema(value_type = f64, minimum = 0)]
    reserved: Count,
    /// The limit in force.
    #[schema(value_type = f64, minimum = 0)]
    limit: Count,
    /// What is left: limit − used − reserved, at least 0.
    #[schema(value_type = f64, minimum = 0)]
    available: Count,
    /// Used ÷ limit, in percent.
    percent_used: f64,
    /// The thresholds passed, in percent.
    alerts_triggered: Vec<f64>,
    /// Where it stands.
    #[schema(value_type = BudgetStatus)]
    status: &'static str,
    /// When the window ends (RFC 3339, UTC); `null`: never.
    #[schema(format = DateTime)]
    resets_at: Option<String>,
    /// Reservations of the platform that have not ended.
    open_reservations: usize,
}

impl QuotaJson {
    fn new(platform: &PlatformStatus, budget: &QuotaBudget) -> Self {
        Self {
            platform: platform.platform.clone(),
            budget_id: budget_id(&budget.state.budget.name, &budget.state.value),
            name: budget.state.budget.name.clone(),
            unit: budget.state.budget.unit.name(),
            used: budget.status.used,
            reserved: budget.reserved,
            limit: budget.status.limit,
            available: budget.available,
            percent_used: budget.percent_used,
            alerts_triggered: budget.alerts_triggered.clone(),
            status: budget.status.status,
            resets_at: budget.status.resets_at.clone(),
            open_reservations: platform.reservations.len(),
        }
    }
}

/// A list of quotas.
#[derive(Debug, Serialize, ToSchema)]
struct QuotaList {
    /// The budgets of platforms on this page.
    quotas: Vec<QuotaJson>,
    /// How many there are on all pages.
    total: usize,
}

/// Selects quotas.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct QuotaFilter {
    /// Only those of this platform.
    platform: Option<String>,
}

/// List the budgets of platforms: what is used, reserved and left.
#[utoipa::path(
    get, path = "/quota", tag = "quotas", operation_id = "list_quotas", params(QuotaFilter, Page),
    responses((status = 200, body = QuotaList, description = "The quotas"))
)]
async fn list(
    State(server): State<Arc<Server>>,
    uri: Uri,
    Query(filter): Query<QuotaFilter>,
    Query(page): Query<Page>,
) -> Result<Listed<QuotaList>, Problem> {
    let snapshot = server.watcher.snapshot().await?;
    let platforms = snapshot.quotas.iter();
    let named = platforms.filter(|one| filter.platform.as_ref().is_none_or(|name| *name == one.platform));
    let budgets = named.flat_map(|one| one.budgets.iter().map(move |budget| QuotaJson::new(one, budget)));
    let (quotas, total) = page.select(budgets);
    Ok(page.list(&uri, total, QuotaList { quotas, total }))
}
