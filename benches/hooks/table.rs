//! The figures as a table, or as JSON.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

/// The unit of a row.
#[derive(Clone, Copy, PartialEq)]
pub enum Unit {
    /// A median over another median.
    Ratio,
    /// Megabytes (10⁶ bytes).
    Megabytes,
}

/// One figure.
pub struct Row {
    name: String,
    /// In milliseconds: the baseline's median, and the row's own median and 99th percentile.
    times: Option<[f64; 3]>,
    /// The ratio of the 10th percentiles, which approximates an idle machine.
    quiet: Option<f64>,
    /// Its median relative to that of a do-nothing program with musl.
    musl: Option<f64>,
    value: f64,
    unit: Unit,
    /// The target.
    target: Option<f64>,
}

impl Row {
    /// A ratio of medians.
    pub fn ratio(
        name: String,
        base_times: &[Duration],
        own: &[Duration],
        musl_floor: &[Duration],
        target: Option<f64>,
    ) -> Self {
        let (base, median, late) = (quantile(base_times, 0.5), quantile(own, 0.5), quantile(own, 0.99));
        let quiet = Some(quantile(own, 0.1) / quantile(base_times, 0.1));
        Self {
            name,
            times: Some([base, median, late]),
            quiet,
            musl: (!musl_floor.is_empty()).then(|| median / quantile(musl_floor, 0.5)),
            value: median / base,
            unit: Unit::Ratio,
            target,
        }
    }

    /// A figure without a baseline.
    pub fn single(name: String, value: f64, unit: Unit, most: f64) -> Self {
        Self { name, times: None, quiet: None, musl: None, value, unit, target: Some(most) }
    }

    fn verdict(&self) -> &'static str {
        match self.target {
            None => "",
            Some(target) if self.value <= target => "ok",
            Some(_) => "over",
        }
    }
}

fn quantile(times: &[Duration], part: f64) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = ((sorted.len() - 1) as f64 * part).round() as usize;
    sorted[at].as_secs_f64() * 1e3
}

/// The table as text.
pub fn text(rows: &[Row], runs: usize) -> String {
    let mut out = format!(
        "{:<52} {:>8} {:>8} {:>8} {:>6} {:>6} {:>8}  {:<6}\n",
        format!("{runs} runs each, interleaved; medians"),
        "base ms",
        "ms",
        "p99 ms",
        "quiet",
        "/ musl",
        "",
        "target"
    );
    for row in rows {
        let times = match row.times {
            Some([base, median, late]) => format!("{base:>8.3} {median:>8.3} {late:>8.3}"),
            None => " ".repeat(26),
        };
        let quiet = row.quiet.map_or(String::new(), |quiet| format!("{quiet:.2}"));
        let musl = row.musl.map_or(String::new(), |musl| format!("{musl:.2}"));
        let value = match row.unit {
            Unit::Ratio => format!("{:.2}  ", row.value),
            Unit::Megabytes => format!("{:.2} MB", row.value),
        };
        let target = row.target.map_or(String::new(), |target| format!("≤ {target}"));
        let _ = writeln!(
            out,
            "{:<52} {times} {quiet:>6} {musl:>6} {value:>8}  {target:<6} {}",
            row.name,
            row.verdict()
        );
    }
    out
}

/// The table as JSON.
pub fn json(rows: &[Row]) -> Value {
    let row = |row: &Row| {
        let [base, median, late] = row.times.map_or([None; 3], |t| t.map(Some));
        json!({"row": row.name, "base_ms": base, "ms": median, "p99_ms": late, "value": row.value,
            "quiet": row.quiet, "unit": match row.unit { Unit::Ratio => "ratio", Unit::Megabytes => "MB" },
            "musl_ratio": row.musl, "target": row.target, "verdict": row.verdict()})
    };
    rows.iter().map(row).collect()
}
