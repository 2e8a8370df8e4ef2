//! The ledger counts what the hooks' store counts, message by message.

use super::rows;
use crate::accounting::test_store::Sum;
use crate::accounting::written::{boundary, cut, dated, response, total};
use crate::harness::Home;

/// Compares the ledger with the store after `resync`: every message that charges something.
fn check(home: &Home, what: &str) {
    let resynced = home.fusebox(&["resync"]);
    assert_eq!(resynced.code, 0, "{what}: {resynced:?}");
    rows::import(home);
    let store = rows::open(&home.path("state/state.db"));
    let sql = "SELECT lower(hex(key)), input, output, cache_write_5m, cache_write_1h, cache_read, requests, tool_calls \
               FROM messages WHERE input + output + cache_write_5m + cache_write_1h + cache_read + requests + tool_calls > 0";
    let stored = rows::select_counts(&store, sql);
    assert!(!stored.is_empty(), "{what}");
    assert_eq!(rows::counts(home), stored, "{what}");
}

#[test]
fn every_recorded_scenario_counts_the_same() {
    for scenario in rows::scenarios() {
        let home = Home::new();
        rows::copy(&home, &scenario);
        check(&home, &scenario.display().to_string());
    }
}

#[test]
fn cut_streams_compactions_and_client_totals_count_the_same() {
    const SUM: Sum = Sum::tokens(10, 5, 100, 0, 1000);
    let home = Home::new();
    let mut tool = response("tool", 1, SUM);
    tool["message"]["content"] =
        serde_json::json!([{"type": "tool_use", "id": "t1", "name": "Bash", "input": {}}]);
    home.append(
        &home.transcript("one"),
        &[tool.clone(), cut("cut", 2, SUM, 4000), boundary("first", 3, 50_000), response("next", 4, SUM)],
    );
    home.append(
        &home.transcript("two"),
        &[
            response("a", 1, SUM),
            boundary("second", 2, 20_000),
            total(7, Sum::tokens(500, 70, 900, 0, 9000)),
            dated(5),
            response("b", 6, SUM),
            cut("c", 7, SUM, 400),
            total(7, Sum::tokens(700, 90, 1200, 0, 12_000)),
        ],
    );
    // A fork: copied lines, and its own.
    let mut copied = response("a", 1, SUM);
    (copied["sessionId"], copied["requestSessionId"]) = ("fork".into(), "two".into());
    home.append(&home.transcript("fork"), &[copied, boundary("second", 2, 20_000), response("d", 9, SUM)]);
    home.append(&home.transcript("fork"), &[total(7, Sum::tokens(900, 120, 1500, 0, 15_000))]);
    home.append(&home.agent_transcript("two", "x1"), &[response("sub", 3, SUM)]);
    check(&home, "written");
    let counts = rows::counts(&home);
    assert!(counts.values().any(|counts| counts[1] == 1000), "the cut stream is estimated: {counts:?}");
}

#[test]
fn subagents_without_a_main_transcript_count() {
    let home = Home::new();
    home.append(&home.agent_transcript("gone", "x1"), &[response("sub", 3, Sum::tokens(10, 5, 0, 0, 0))]);
    rows::import(&home);
    assert_eq!(rows::sum(rows::counts(&home).values()), [10, 5, 0, 0, 0, 1, 0]);
}
