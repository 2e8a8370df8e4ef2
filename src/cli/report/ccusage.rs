//! Reports in the shapes of ccusage 20.0.24, for scripts that were written for it: [`CcusageShape::Claude`] is that of
//! `ccusage claude daily --json`, [`CcusageShape::All`] that of `ccusage daily --json`.

use serde_json::{Map, Value, json};

use super::CcusageShape;
use crate::domain::money::usd;
use crate::domain::time::Timestamp;
use crate::ledger::report::blocks::{BLOCK_MS, Block, burn};
use crate::ledger::report::read::{Column, Name};
use crate::ledger::report::rows::{self, Grouping, Key, Row};
use crate::ledger::report::selection::{Report, Selection};
use crate::ledger::report::tally::Tally;

/// The report as ccusage would write it. `None`: ccusage has no report of this kind.
pub fn report(
    shape: CcusageShape,
    report: &Report,
    selection: &mut Selection,
    now: Timestamp,
) -> Option<Value> {
    let (name, key) = match (selection.grouping, shape) {
        (Grouping::Day, _) => ("daily", "date"),
        (Grouping::Week, _) => ("weekly", "week"),
        (Grouping::Month, _) => ("monthly", "month"),
        (Grouping::By(Column::Session), CcusageShape::Claude) => ("sessions", "sessionId"),
        (Grouping::By(Column::Session), CcusageShape::All) => ("session", "sessionId"),
        (Grouping::Block, _) => {
            return Some(json!({"blocks": blocks(report, selection, now)}));
        }
        _ => return None,
    };
    let is_session = key == "sessionId";
    let rows = report.rows.iter().map(|row| {
        let mut all = counts(row.tally);
        all.extend(models(row));
        let period = row.key.text().unwrap_or_default();
        match shape {
            CcusageShape::Claude => {
                all.insert(key.into(), period.into());
                if is_session {
                    let project =
                        row.project.as_ref().map(|(_, project)| project_folder(project)).unwrap_or_default();
                    all.insert("projectPath".into(), project.into());
                    all.insert("firstActivity".into(), millis(row.first).into());
                    all.insert("lastActivity".into(), millis(row.last).into());
                }
            }
            CcusageShape::All => {
                all.insert("period".into(), period.into());
                let agent = if is_session { "claude" } else { "all" };
                all.insert("agent".into(), agent.into());
                let metadata = if is_session {
                    json!({"lastActivity": millis(row.last)})
                } else {
                    json!({"agents": ["claude"]})
                };
                all.insert("metadata".into(), metadata);
            }
        }
        sorted(all)
    });
    let rows: Vec<Value> = rows.collect();
    Some(json!({name: rows, "totals": sorted(counts(rows::total(&report.rows)))}))
}

/// The sums of a row.
fn counts(tally: Tally) -> Map<String, Value> {
    let usage = tally.usage;
    let counts = json!({
        "cacheCreationTokens": tally.cache_writes(),
        "cacheReadTokens": usage.cache_read,
        "inputTokens": usage.input,
        "outputTokens": usage.output,
        "totalCost": usd(tally.nanos),
        "totalTokens": usage.total(),
    });
    object(counts)
}

/// The models of a row.
fn models(row: &Row) -> Map<String, Value> {
    let breakdown = |(name, tally): &(Name, Tally)| {
        let mut of_model = counts(*tally);
        of_model.remove("totalTokens");
        of_model.remove("totalCost");
        of_model.insert("cost".into(), usd(tally.nanos).into());
        of_model.insert("modelName".into(), (&**name).into());
        // In ccusage, such a model costs nothing. Here it costs what a similar model costs.
        if tally.has_estimated_price {
            of_model.insert("missingPricing".into(), true.into());
        }
        sorted(of_model)
    };
    let breakdowns: Vec<Value> = row.models.iter().map(breakdown).collect();
    object(json!({"modelBreakdowns": breakdowns, "modelsUsed": names(row)}))
}

fn names(row: &Row) -> Vec<&str> {
    row.models.iter().map(|(name, _)| &**name).collect()
}

/// The blocks, with a gap before each block that follows more than five hours after the last record before it.
fn blocks(report: &Report, selection: &mut Selection, now: Timestamp) -> Vec<Value> {
    let mut shown = Vec::new();
    let mut before: Option<Block> = None;
    for block in &report.blocks {
        if let Some(before) = before.filter(|before| block.first.millis_since(before.last) > BLOCK_MS) {
            let start = before.last.plus_millis(BLOCK_MS);
            // Gaps are selected by their own start.
            if selection.is_in_range(start) {
                shown.push(gap(start, block.first));
            }
        }
        let row = report.rows.iter().find(|row| row.key == Key::Block(block.start));
        shown.extend(row.map(|row| used(*block, row, now)));
        before = Some(*block);
    }
    // By their starts, as in ccusage: the full hour of a block may lie before the end of the five hours before its gap.
    shown.sort_by(|a, b| a["startTime"].as_str().cmp(&b["startTime"].as_str()));
    if selection.descending {
        shown.reverse();
    }
    shown
}

fn used(block: Block, row: &Row, now: Timestamp) -> Value {
    let burn = burn(block, row.tally, now);
    let rate = burn.map(|(rate, _)| {
        json!({
            "costPerHour": rate.usd_per_hour,
            "tokensPerMinute": rate.tokens_per_minute,
            "tokensPerMinuteForIndicator": rate.fresh_tokens_per_minute,
        })
    });
    let projection = burn.map(|(_, projection)| {
        json!({
            "remainingMinutes": projection.remaining_minutes,
            "totalCost": projection.usd,
            "totalTokens": projection.tokens,
        })
    });
    json!({
        "actualEndTime": millis(block.last),
        "burnRate": rate,
        "costUSD": usd(row.tally.nanos),
        "endTime": millis(block.end()),
        "entries": row.records,
        "id": millis(block.start),
        "isActive": block.is_active(now),
        "isGap": false,
        "models": names(row),
        "projection": projection,
        "startTime": millis(block.start),
        "tokenCounts": token_counts(row.tally),
        "totalTokens": row.tally.usage.total(),
    })
}

fn gap(start: Timestamp, end: Timestamp) -> Value {
    json!({
        "actualEndTime": null,
        "burnRate": null,
        "costUSD": 0,
        "endTime": millis(end),
        "entries": 0,
        "id": format!("gap-{}", millis(start)),
        "isActive": false,
        "isGap": true,
        "models": [],
        "projection": null,
        "startTime": millis(start),
        "tokenCounts": token_counts(Tally::default()),
        "totalTokens": 0,
    })
}

fn token_counts(tally: Tally) -> Value {
    json!({
        "cacheCreationInputTokens": tally.cache_writes(),
        "cacheReadInputTokens": tally.usage.cache_read,
        "inputTokens": tally.usage.input,
        "outputTokens": tally.usage.output,
    })
}

/// `2026-11-30T19:00:00.000Z`.
fn millis(at: Timestamp) -> String {
    at.utc().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// The folder in which the client keeps a project's transcripts, which ccusage calls its path.
fn project_folder(project: &str) -> String {
    project.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

/// The same object with its names in ccusage's order, the alphabetical one.
fn sorted(mut object: Map<String, Value>) -> Value {
    object.sort_keys();
    Value::Object(object)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}
