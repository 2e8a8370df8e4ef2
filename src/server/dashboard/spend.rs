//! What was spent on each day, by model, from this machine's ledger, drawn as SVG.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use chrono::{Days, NaiveDate, Weekday};

use super::super::Server;
use super::super::problem::Problem;
use super::super::reports::{Report, ReportQuery, RowsQuery};
use super::choice::DAYS;
use super::text::{Clock, money};
use crate::app::messages::amounts::dollars;
use crate::domain::money::nanos_from_usd;
use crate::ledger::names::short_model;
use crate::ledger::report::calendar::Calendar;
use crate::ledger::report::rows::{Grouping, SortBy};

/// The most models with a colour of their own; the others are summed.
const MODELS: usize = 5;

/// The name of the others.
const OTHERS: &str = "others";

/// Nano-dollars of each day by model.
#[derive(Debug, Default)]
struct Spend {
    /// The last day.
    today: NaiveDate,
    days: BTreeMap<NaiveDate, Vec<(String, u64)>>,
}

/// The chart of the last days, as HTML.
///
/// # Errors
/// The ledger cannot be read.
pub async fn drawn(server: &Server, days: usize) -> Result<Arc<String>, Problem> {
    let env = server.env_now();
    let zone = Clock::new(&env).zone;
    let today = Calendar::new(zone.clone(), Weekday::Mon).day(env.now);
    // One report for all choices of days.
    let longest = DAYS.into_iter().max().unwrap_or(1) as u64;
    let first = today.checked_sub_days(Days::new(longest - 1)).unwrap_or(today);
    let rows = RowsQuery {
        grouping: Grouping::Day,
        since: Some(first),
        until: None,
        sort_by: SortBy::Key,
        descending: false,
    };
    let query = ReportQuery { zone, project: None, model: None, rows: Some(rows) };
    let report = server.reports.get(query, env.now).await?;
    let draw = || Chart::new(&Spend::new(&report, today), days).render().unwrap_or_default();
    Ok(server.dashboard.charts.get(&report, (today, days), draw))
}

impl Spend {
    fn new(report: &Report, today: NaiveDate) -> Self {
        let Report::Rows { report, .. } = report else { return Self { today, ..Self::default() } };
        let days = report.rows.iter().filter_map(|row| {
            let models = row.models.iter().filter(|of| of.totals.usd > 0.0);
            let models = models.map(|of| (short_model(&of.model).to_owned(), nanos_from_usd(of.totals.usd)));
            Some((row.key.as_ref()?.parse().ok()?, models.collect()))
        });
        Self { today, days: days.collect() }
    }
}

/// The chart.
#[derive(Template)]
#[template(path = "spend_chart.html")]
struct Chart {
    /// How many days it shows.
    count: usize,
    /// The models with their sums, the dearest first. Their position is their colour.
    legend: Vec<(usize, String, String)>,
    /// The bars.
    bars: Vec<Rectangle>,
    /// The days, for the table: date, amounts in the order of the legend, sum. The newest first, without empty days.
    days: Vec<(String, Vec<String>, String)>,
    /// The first, the middle and the last date.
    dates: Vec<String>,
    /// The amount at the top and in the middle.
    scale: Vec<String>,
    /// The sum of all.
    total: String,
    /// One sentence that says the same.
    summary: String,
}

/// A part of a bar. The chart is 100 high, and 10 wide for each day.
struct Rectangle {
    /// The colour.
    model: usize,
    /// Left edge.
    x: String,
    /// Upper edge.
    y: String,
    /// Height.
    height: String,
    /// What it says when pointed at.
    title: String,
}

impl Chart {
    /// The chart of the last days.
    fn new(spend: &Spend, count: usize) -> Self {
        let first = spend.today.checked_sub_days(Days::new(count as u64 - 1)).unwrap_or(spend.today);
        let days: Vec<NaiveDate> = first.iter_days().take(count).collect();
        let amounts = |day: &NaiveDate| spend.days.get(day).map_or(&[][..], Vec::as_slice);
        let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
        for (model, nanos) in days.iter().flat_map(amounts) {
            let sum = sums.entry(model).or_default();
            *sum = sum.saturating_add(*nanos);
        }
        let mut models: Vec<(&str, u64)> = sums.into_iter().collect();
        models.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let total = models.iter().fold(0_u64, |sum, (_, nanos)| sum.saturating_add(*nanos));
        if models.len() > MODELS {
            let others =
                models.split_off(MODELS - 1).iter().fold(0_u64, |sum, (_, n)| sum.saturating_add(*n));
            models.push((OTHERS, others));
        }
        let of_models = |day: &NaiveDate| {
            let mut found = vec![0_u64; models.len()];
            for (model, nanos) in amounts(day) {
                let at = models.iter().position(|(known, _)| known == model).unwrap_or(models.len() - 1);
                found[at] = found[at].saturating_add(*nanos);
            }
            found
        };
        let table: Vec<(NaiveDate, Vec<u64>)> = days.iter().map(|day| (*day, of_models(day))).collect();
        let highest = table.iter().map(|(_, amounts)| sum(amounts)).max().unwrap_or(0);
        let top = nice(highest);
        let names: Vec<&str> = models.iter().map(|(name, _)| *name).collect();
        let shown = |date: &NaiveDate| date.format("%-d %b").to_string();
        Self {
            count,
            bars: table.iter().enumerate().flat_map(|(at, day)| bar(at, day, &names, top)).collect(),
            days: table
                .iter()
                .rev()
                .filter(|(_, amounts)| sum(amounts) > 0)
                .map(|(date, amounts)| {
                    let cells = amounts.iter().map(|nanos| money(*nanos)).collect();
                    (date.to_string(), cells, money(sum(amounts)))
                })
                .collect(),
            dates: [0, days.len() / 2, days.len() - 1].iter().map(|at| shown(&days[*at])).collect(),
            scale: vec![dollars(top), dollars(top / 2)],
            total: money(total),
            summary: summary(total, count, &models),
            legend: models
                .iter()
                .enumerate()
                .map(|(at, (name, nanos))| (at, (*name).to_owned(), money(*nanos)))
                .collect(),
        }
    }

    /// Whether nothing was spent.
    fn is_empty(&self) -> bool {
        self.bars.is_empty()
    }

    /// The width of the drawing.
    fn width(&self) -> usize {
        self.count * 10
    }
}

fn sum(amounts: &[u64]) -> u64 {
    amounts.iter().fold(0, |sum, nanos| sum.saturating_add(*nanos))
}

fn summary(total: u64, days: usize, models: &[(&str, u64)]) -> String {
    let of: Vec<String> = models.iter().map(|(name, nanos)| format!("{name} {}", money(*nanos))).collect();
    format!("{} in the last {days} days: {}", money(total), of.join(", "))
}

/// The parts of a day's bar, from the bottom up.
fn bar(at: usize, (date, amounts): &(NaiveDate, Vec<u64>), names: &[&str], top: u64) -> Vec<Rectangle> {
    let scale = |nanos: u64| if top == 0 { 0.0 } else { nanos as f64 * 100.0 / top as f64 };
    let mut bottom = 100.0;
    let mut parts = Vec::new();
    for (model, nanos) in amounts.iter().enumerate().filter(|(_, nanos)| **nanos > 0) {
        let height = scale(*nanos);
        bottom -= height;
        parts.push(Rectangle {
            model,
            x: (at * 10 + 1).to_string(),
            y: format!("{bottom:.2}"),
            height: format!("{height:.2}"),
            title: format!("{}, {}: {}", date.format("%-d %b"), names[model], money(*nanos)),
        });
    }
    parts
}

/// The next amount at or above this one that is easy to read: 1, 2 or 5 times a power of ten.
fn nice(nanos: u64) -> u64 {
    let mut step = 1_u64;
    while step < u64::MAX / 100 {
        for factor in [1, 2, 5] {
            if step * factor >= nanos {
                return step * factor;
            }
        }
        step *= 10;
    }
    nanos
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spend() -> Spend {
        let today = NaiveDate::from_ymd_opt(2026, 11, 30).unwrap();
        let dollar = 1_000_000_000;
        let models = |n: u64| (0..n).map(|at| (format!("model-{at}"), (n - at) * dollar)).collect();
        let days =
            [(today, models(7)), (today - Days::new(6), models(1)), (today - Days::new(40), models(2))];
        Spend { today, days: days.into() }
    }

    #[test]
    fn days_and_models_are_drawn_and_listed() {
        let chart = Chart::new(&spend(), 7);
        let names: Vec<&str> = chart.legend.iter().map(|(_, name, _)| name.as_str()).collect();
        assert_eq!(names, ["model-0", "model-1", "model-2", "model-3", OTHERS]);
        assert_eq!((chart.total.as_str(), chart.days.len(), chart.bars.len()), ("$29.00", 2, 6));
        assert_eq!(chart.dates, ["24 Nov", "27 Nov", "30 Nov"]);
        assert_eq!(chart.scale, ["$50.00", "$25.00"]);
        let (date, amounts, sum) = &chart.days[0];
        assert_eq!((date.as_str(), amounts[4].as_str(), sum.as_str()), ("2026-11-30", "$6.00", "$28.00"));
        assert_eq!(Chart::new(&spend(), 90).total, "$32.00");
        assert!(Chart::new(&Spend::default(), 7).is_empty());
    }

    #[test]
    fn scales_are_round() {
        for (nanos, top) in [(0, 1), (1, 1), (3, 5), (11, 20), (49_000, 50_000), (50_001, 100_000)] {
            assert_eq!(nice(nanos), top);
        }
    }
}
