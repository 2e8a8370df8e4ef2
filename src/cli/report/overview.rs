//! `fusebox report` alone: today, this week and this month, and this month by model and by project, on one screen.

use std::io::Write;

use anstyle::Style;
use chrono::Days;
use serde::Serialize;

use super::figures::sparkline;
use super::json::{RowJson, TotalsJson};
use super::selection::Filter;
use super::table::{Emphasis, TableRow, TableStyle, render};
use super::{ESTIMATED, KEYLESS, table_row};
use crate::cli::render::{self, wrap};
use crate::domain::time::Timestamp;
use crate::ledger::report::calendar::{Calendar, month_of};
use crate::ledger::report::read::{Query, Record};
use crate::ledger::report::rows::{self, Grouping, Row, SortBy};
use crate::ledger::report::tally::Tally;

/// Days of the sparkline.
const DAYS: u64 = 30;

/// Models and projects shown.
const MOST: usize = 5;

/// The overview.
pub struct Overview {
    today: Tally,
    week: Tally,
    month: Tally,
    /// Cost of each of the last days, in nano-dollars; tokens if nothing has a price.
    days: Vec<u64>,
    /// This month by model and by project, the dearest first.
    models: Vec<Row>,
    projects: Vec<Row>,
}

#[derive(Serialize)]
struct OverviewJson {
    today: TotalsJson,
    week: TotalsJson,
    month: TotalsJson,
    models: Vec<RowJson>,
    projects: Vec<RowJson>,
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

    /// Writes it as JSON.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn json(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        let rows = |rows: &[Row]| rows.iter().map(RowJson::from).collect();
        let json = OverviewJson {
            today: self.today.into(),
            week: self.week.into(),
            month: self.month.into(),
            models: rows(&self.models),
            projects: rows(&self.projects),
        };
        render::json(out, &json)
    }

    /// Writes it for people.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn print(&self, calendar: &mut Calendar, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
        let (bold, dim) = (Style::new().bold(), Style::new().dimmed());
        let columns = wrap::columns();
        let today = calendar.day(now);
        writeln!(out, "{bold}Usage{bold:#}  {dim}{today}, {}{dim:#}", calendar.zone().name())?;
        writeln!(out, "{dim}last {DAYS} days{dim:#}  {}", sparkline(&self.days).trim_end())?;
        let periods = [("today", self.today), ("this week", self.week), ("this month", self.month)];
        let mut table: Vec<TableRow> =
            periods.iter().map(|(key, tally)| TableRow::new(key, *tally, Emphasis::Row)).collect();
        for (heading, is_path, rows) in
            [("this month by model", false, &self.models), ("this month by project", true, &self.projects)]
        {
            if !rows.is_empty() {
                table.push(TableRow::new("", Tally::default(), Emphasis::Heading));
                table.push(TableRow::new(heading, Tally::default(), Emphasis::Heading));
                table.extend(largest(rows, is_path));
            }
        }
        write!(
            out,
            "{}",
            render(&table, TableStyle { key: "", has_long_keys: false, has_models: false }, columns)
        )?;
        if [self.today, self.week, self.month].iter().any(|tally| tally.is_estimated()) {
            writeln!(out, "{dim}{ESTIMATED}{dim:#}")?;
        }
        Ok(())
    }
}

/// The first rows, and one for the sum of the others.
fn largest(rows: &[Row], is_path: bool) -> Vec<TableRow> {
    let shown = if rows.len() > MOST { MOST - 1 } else { rows.len() };
    let (first, others) = rows.split_at(shown);
    let named = |row: &Row| table_row(row.key.text().unwrap_or_else(|| KEYLESS.to_owned()), is_path, row);
    let mut table: Vec<TableRow> = first.iter().map(named).collect();
    if !others.is_empty() {
        table.push(TableRow::new(&format!("{} others", others.len()), rows::total(others), Emphasis::Row));
    }
    table
}
