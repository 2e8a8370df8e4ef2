//! Costs, from the ledger.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use chrono::NaiveDate;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Server;
use super::super::extract::Query;
use super::super::problem::Problem;
use super::super::reports::{Report, ReportQuery, RowsQuery};
use super::names::{CostsBy, CostsSort, Order};
use super::page::{Listed, Page};
use crate::domain::window::Zone;
use crate::ledger::report::json::{RowJson, TotalsJson};
use crate::ledger::report::overview::OverviewJson;
use crate::ledger::report::read::Column;
use crate::ledger::report::rows::{Grouping, SortBy};
use crate::zoneinfo;

/// The longest glob.
const MAX_GLOB: usize = 200;

/// The addresses.
pub fn router() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(summary))
}

/// What was used and what it cost, as in `fusebox report --json`.
#[derive(Debug, Serialize, ToSchema)]
struct Costs<'r> {
    /// The rows of this page.
    #[schema(value_type = Vec<RowJson>)]
    rows: Vec<&'r RawValue>,
    /// The sum of all rows, on all pages.
    totals: &'r TotalsJson,
    /// How many rows there are on all pages.
    total: usize,
}

/// Selects what is summed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CostsSelection {
    /// The time zone of days, by its IANA name; without it, the server's.
    #[param(example = "Europe/Berlin")]
    timezone: Option<String>,
    /// Only models that match: a glob (`*`, `?`) for the name with or without its vendor and date.
    #[param(max_length = 200, example = "opus*")]
    #[serde(default, deserialize_with = "glob")]
    model: Option<String>,
    /// Only projects that match: a glob for the path, or for its last folder.
    #[param(max_length = 200)]
    #[serde(default, deserialize_with = "glob")]
    project: Option<String>,
}

/// Selects rows.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CostsRows {
    /// What rows are.
    #[serde(default = "by_day")]
    #[param(default = "day")]
    group_by: CostsBy,
    /// The first day (YYYY-MM-DD).
    #[param(value_type = Option<String>, format = Date)]
    #[serde(default, deserialize_with = "day")]
    since: Option<NaiveDate>,
    /// The last day (YYYY-MM-DD).
    #[param(value_type = Option<String>, format = Date)]
    #[serde(default, deserialize_with = "day")]
    until: Option<NaiveDate>,
    /// What rows are sorted by; without it, `key` for periods and agents, otherwise `usd`.
    sort: Option<CostsSort>,
    /// Without it, `asc` for keys, otherwise `desc`.
    order: Option<Order>,
}

fn by_day() -> CostsBy {
    CostsBy::Day
}

fn day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NaiveDate>, D::Error> {
    let text = String::deserialize(deserializer)?;
    // Not `2026-1-1`, nor a sign.
    let day = NaiveDate::parse_from_str(&text, "%Y-%m-%d").ok().filter(|day| day.to_string() == text);
    day.map(Some).ok_or_else(|| serde::de::Error::custom("write a day as YYYY-MM-DD"))
}

fn glob<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.chars().count() <= MAX_GLOB {
        true => Ok(Some(text)),
        false => Err(serde::de::Error::custom(format!("a glob must have at most {MAX_GLOB} characters"))),
    }
}

impl CostsSelection {
    fn zone(&self, tz: Option<&str>) -> Result<Zone, Problem> {
        let found = match &self.timezone {
            Some(name) => {
                zoneinfo::zone_in_any_case(name).map_err(|error| format!("timezone {name}: {error}"))
            }
            None => zoneinfo::local(tz).map_err(|error| format!("TZ: {error}: name a timezone")),
        };
        found.map_err(|detail| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail))
    }

    fn query(self, server: &Server, rows: Option<RowsQuery>) -> Result<ReportQuery, Problem> {
        let zone = self.zone(server.env.var("TZ"))?;
        Ok(ReportQuery { zone, project: self.project, model: self.model, rows })
    }
}

impl CostsRows {
    fn query(&self) -> Result<RowsQuery, Problem> {
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since > until
        {
            let detail = format!("since {since} is after until {until}: swap them");
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
        }
        let grouping = match self.group_by {
            CostsBy::Day => Grouping::Day,
            CostsBy::Week => Grouping::Week,
            CostsBy::Month => Grouping::Month,
            CostsBy::Model => Grouping::Model,
            CostsBy::Project => Grouping::Project,
            CostsBy::Session => Grouping::By(Column::Session),
            CostsBy::Branch => Grouping::By(Column::Branch),
            CostsBy::Agent => Grouping::By(Column::AgentType),
            CostsBy::Platform => Grouping::By(Column::Platform),
            CostsBy::Chain => Grouping::By(Column::Chain),
            CostsBy::Task => Grouping::By(Column::Task),
        };
        let sort_by = match self.sort {
            Some(CostsSort::Key) => SortBy::Key,
            Some(CostsSort::Usd) => SortBy::Usd,
            Some(CostsSort::Tokens) => SortBy::Tokens,
            None if grouping.is_period() || self.group_by == CostsBy::Agent => SortBy::Key,
            None => SortBy::Usd,
        };
        let descending = self.order.map_or(sort_by != SortBy::Key, |order| order == Order::Descending);
        Ok(RowsQuery { grouping, since: self.since, until: self.until, sort_by, descending })
    }
}

/// List what was used and what it cost, by period, session, model and more.
///
/// The numbers are those of the ledger, which the server keeps current. While a large ledger is
/// being read again, the answer may be the one before.
#[utoipa::path(
    get, path = "/costs", tag = "costs", operation_id = "list_costs", params(CostsRows, CostsSelection, Page),
    responses((status = 200, body = Costs, description = "The costs"))
)]
async fn list(
    State(server): State<Arc<Server>>,
    uri: Uri,
    Query(rows): Query<CostsRows>,
    Query(selection): Query<CostsSelection>,
    Query(page): Query<Page>,
) -> Result<Listed<Box<RawValue>>, Problem> {
    let query = selection.query(&server, Some(rows.query()?))?;
    let report = server.reports.get(query, server.env_now().now).await?;
    let Report::Rows { report, rows } = &*report else {
        return Err(Problem::unavailable("there is no such report"));
    };
    let (rows, total) = page.select(rows.iter().map(|row| &**row));
    let costs = serde_json::value::to_raw_value(&Costs { rows, totals: &report.totals, total });
    Ok(page.list(&uri, total, costs.map_err(|error| Problem::unavailable(error.to_string()))?))
}

/// What was used today, this week and this month, and this month by model and by project.
#[utoipa::path(
    get, path = "/costs/summary", tag = "costs", operation_id = "summarize_costs", params(CostsSelection),
    responses((status = 200, body = OverviewJson, description = "The sums"))
)]
async fn summary(
    State(server): State<Arc<Server>>,
    Query(selection): Query<CostsSelection>,
) -> Result<Json<OverviewJson>, Problem> {
    let query = selection.query(&server, None)?;
    let report = server.reports.get(query, server.env_now().now).await?;
    let Report::Overview(overview) = &*report else {
        return Err(Problem::unavailable("there is no such report"));
    };
    Ok(Json(overview.clone()))
}
