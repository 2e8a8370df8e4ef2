//! `fusebox report` alone: today, this week and this month, and this month by model and by project, on one screen.

use std::io::Write;

use anstyle::Style;

use super::figures::sparkline;
use super::table::{Emphasis, TableRow, TableStyle, render};
use super::{ESTIMATED, KEYLESS, table_row};
use crate::cli::render::wrap;
use crate::domain::time::Timestamp;
use crate::ledger::report::calendar::Calendar;
use crate::ledger::report::overview::{DAYS, Overview};
use crate::ledger::report::rows::{self, Row};
use crate::ledger::report::tally::Tally;

/// Models and projects shown.
const MOST: usize = 5;

/// Writes it for people.
///
/// # Errors
/// It cannot be written.
pub fn print(
    overview: &Overview,
    calendar: &mut Calendar,
    now: Timestamp,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let (bold, dim) = (Style::new().bold(), Style::new().dimmed());
    let columns = wrap::columns();
    let today = calendar.day(now);
    writeln!(out, "{bold}Usage{bold:#}  {dim}{today}, {}{dim:#}", calendar.zone().name())?;
    writeln!(out, "{dim}last {DAYS} days{dim:#}  {}", sparkline(&overview.days).trim_end())?;
    let periods = [("today", overview.today), ("this week", overview.week), ("this month", overview.month)];
    let mut table: Vec<TableRow> =
        periods.iter().map(|(key, tally)| TableRow::new(key, *tally, Emphasis::Row)).collect();
    for (heading, is_path, rows) in [
        ("this month by model", false, &overview.models),
        ("this month by project", true, &overview.projects),
    ] {
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
    if [overview.today, overview.week, overview.month].iter().any(|tally| tally.is_estimated()) {
        writeln!(out, "{dim}{ESTIMATED}{dim:#}")?;
    }
    Ok(())
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
