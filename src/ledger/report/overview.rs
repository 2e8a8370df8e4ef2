//! Today, this week and this month, and this month by model and by project.

use chrono::Days;
use serde::Serialize;
use utoipa::ToSchema;

use super::calendar::{Calendar, month_of};
use super::json::{RowJson, TotalsJson};
use super::read::{Query, Record};
use super::rows::{self, Grouping, Row, SortBy};
use super::selection::Filter;
use super::tally::Tally;
use crate::domain::time::Timestamp;

/// The days of [`Overview::days`].
pub const DAYS: u64 = 30;

/// The overview.
pub struct Overview {
    /// Today.
    pub today: Tally,
    /// This week.
    pub week: Tally,
    /// This month.
    pub month: Tally,
    /// Cost of each of the last days, in nano-dollars; tokens if nothing has a price.
    pub days: Vec<u64>,
    /// This month by model, the dearest first.
    pub models: Vec<Row>,
    /// This month by project, the dearest first.
    pub projects: Vec<Row>,
}

/// What to read for the overview.
pub fn query(calendar: &mut Calendar, now: Timestamp) -> Query {
    let today = calendar.day(now);
    let days = today.checked_sub_days(Days::new(DAYS - 1)).unwrap_or(today);
    let first = days.min(month_of(today)).min(calendar.week_of(today));
    Query { from: Some(calendar.start_of(first)), before: Some(calendar.end_of(today)), ..Query::default() }
}

impl Overview {
    /// The overview of the records that [`query`] selects.
    pub fn new(records: &[Record], filter: &Filter, calendar: &mut Calendar, now: Timestamp) -> Self {
        let today = calendar.day(now);
        let (week, month) = (calendar.week_of(today), month_of(today));
        let mut of_month: Vec<Record> = Vec::new();
        let mut daily = vec![Tally::default(); DAYS as usize];
        let [mut in_today, mut in_week, mut in_month] = [Tally::default(); 3];
        for record in records.iter().filter(|record| filter.selects(record)) {
            let (day, tally) = (calendar.day(record.first), record.tally);
            if day == today {
                in_today = in_today.plus(tally);
            }
            if day >= week {
                in_week = in_week.plus(tally);
            }
            if day >= month {
                in_month = in_month.plus(tally);
                of_month.push(record.clone());
            }
            let ago = usize::try_from((today - day).num_days()).unwrap_or(usize::MAX);
            if let Some(sum) = daily.len().checked_sub(ago.saturating_add(1)).and_then(|i| daily.get_mut(i)) {
                *sum = sum.plus(tally);
            }
        }
        let has_price = daily.iter().any(|tally| tally.nanos > 0);
        let weight = |tally: &Tally| if has_price { tally.nanos } else { tally.usage.total() };
        let mut by = |grouping| {
            let mut found = rows::group(&of_month, grouping, calendar);
            rows::sort(&mut found, grouping, SortBy::Usd, true);
            found
        };
        Self {
            today: in_today,
            week: in_week,
            month: in_month,
            days: daily.iter().map(weight).collect(),
            models: by(Grouping::Model),
            projects: by(Grouping::Project),
        }
    }

    /// Whether nothing was counted in all its time.
    pub fn is_empty(&self) -> bool {
        self.days.iter().all(|day| *day == 0)
            && self.month == Tally::default()
            && self.week == Tally::default()
    }
}

/// An overview as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct OverviewJson {
    /// Today.
    today: TotalsJson,
    /// This week.
    week: TotalsJson,
    /// This month.
    month: TotalsJson,
    /// This month by model, the dearest first.
    models: Vec<RowJson>,
    /// This month by project, the dearest first.
    projects: Vec<RowJson>,
}

impl From<&Overview> for OverviewJson {
    fn from(overview: &Overview) -> Self {
        let rows = |rows: &[Row]| rows.iter().map(RowJson::from).collect();
        Self {
            today: overview.today.into(),
            week: overview.week.into(),
            month: overview.month.into(),
            models: rows(&overview.models),
            projects: rows(&overview.projects),
        }
    }
}
