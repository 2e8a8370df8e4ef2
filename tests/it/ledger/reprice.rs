//! `fusebox prices reprice`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::rows;
use crate::harness::{Home, message, run};
use crate::killed::{At, run_killed_at};

/// 1,000 tokens of input, 100 of output, 10 of cache reads.
fn response(n: usize, model: &str, date: &str) -> Value {
    let mut line = message(n, 1000, 100);
    (line["message"]["model"], line["timestamp"]) = (json!(model), json!(format!("{date}T10:00:00.000Z")));
    line
}

fn reprice(home: &Home, arguments: &[&str]) -> Value {
    let ran = home.fusebox(&[&["prices", "reprice", "--yes", "--json"], arguments].concat());
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    rows::assert_summed(home);
    ran.json()
}

/// Every column of every record, with the rates themselves in place of their number.
fn records(home: &Home) -> Vec<BTreeMap<String, String>> {
    let db = rows::open(&rows::ledger(home));
    let sql = "SELECT id, input, output, cache_write_5m, cache_write_1h, cache_read, web_search, is_estimate FROM rates";
    let mut query = db.prepare(sql).unwrap();
    let row = |row: &rusqlite::Row| {
        let rates = [1, 2, 3, 4, 5, 6, 7].map(|column| row.get::<_, i64>(column).unwrap());
        Ok((format!("Integer({})", row.get::<_, i64>(0)?), format!("{rates:?}")))
    };
    let rates: BTreeMap<String, String> = query.query_map((), row).unwrap().map(Result::unwrap).collect();
    let named = |(name, value): (String, String)| match name.as_str() {
        "rates" => (name, rates.get(&value).cloned().unwrap_or_default()),
        _ => (name, value),
    };
    rows::all_columns(home).into_iter().map(|row| row.into_iter().map(named).collect()).collect()
}

/// The cost of each record in nano-dollars, in the order of their responses.
fn costs(home: &Home) -> Vec<i64> {
    let db = rows::open(&rows::ledger(home));
    let mut query = db.prepare("SELECT cost_nanos FROM cost_records ORDER BY at, id").unwrap();
    query.query_map((), |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn every_record_is_as_if_it_was_imported_today() {
    const CONFIGURATION: &str = "[prices]\ndiscount = 0.25\n[prices.claude-opus-5]\noutput = 7\n";
    for scenario in rows::scenarios() {
        let (old, new) = (Home::new(), Home::new());
        rows::copy(&old, &scenario);
        rows::copy(&new, &scenario);
        rows::import(&old);
        let before = records(&old);
        let same = reprice(&old, &[]);
        assert_eq!((&same["changed"], &same["records"]), (&json!(0), &json!(before.len())), "{same}");
        assert_eq!(records(&old), before, "{}", scenario.display());
        for home in [&old, &new] {
            home.configure(CONFIGURATION);
        }
        rows::import(&new);
        reprice(&old, &[]);
        // Which of two sessions was made first differs between the two homes.
        let comparable = |home: &Home| {
            let mut all = records(home);
            all.iter_mut()
                .for_each(|row| row.retain(|name, _| !["session", "project", "branch"].contains(&&**name)));
            all
        };
        assert_eq!(comparable(&old), comparable(&new), "{}", scenario.display());
        assert_ne!(records(&old), before, "{}", scenario.display());
        assert_eq!(reprice(&old, &[])["changed"], 0);
    }
}

#[test]
fn each_record_gets_the_rates_of_its_own_date_and_keeps_them() {
    let home = Home::new();
    let lines = [
        response(1, "claude-sonnet-5-5", "2026-10-06"),
        response(2, "claude-sonnet-5-5", "2026-10-07"),
        response(3, "claude-haiku-4-5", "2026-10-08"),
    ];
    home.append(&home.transcript("s"), &lines);
    rows::import(&home);
    let before = [3_002_000, 3_001_000, 1_501_000];
    assert_eq!(costs(&home), before);
    home.configure("[prices]\ndiscount = 0.5\n");
    let done = reprice(&home, &[]);
    let expected = json!({
        "since": null, "model": null, "dry_run": false, "records": 3, "changed": 3, "before_usd": 0.007504,
        "after_usd": 0.003752, "price_estimated": false, "models": [
            {"model": "claude-haiku-4-5", "records": 1, "changed": 1, "before_usd": 0.001501,
                "after_usd": 0.0007505, "price_estimated": false},
            {"model": "claude-sonnet-5-5", "records": 2, "changed": 2, "before_usd": 0.006003,
                "after_usd": 0.0030015, "price_estimated": false},
        ],
    });
    assert_eq!(done, expected);
    assert_eq!(costs(&home), before.map(|nanos| nanos / 2));
    // Without the discount again, and with more of the first response: it keeps its new rates.
    home.configure("");
    let mut grown = response(1, "claude-sonnet-5-5", "2026-10-06");
    (grown["uuid"], grown["message"]["usage"]["output_tokens"]) = (json!("grown"), json!(1100));
    home.append(&home.transcript("s"), &[grown]);
    rows::import(&home);
    assert_eq!(costs(&home), [6_501_000, 1_500_500, 750_500]);
}

#[test]
fn only_the_records_that_are_meant_change() {
    let home = Home::new();
    let lines = [
        response(1, "claude-haiku-4-5", "2026-10-01"),
        response(2, "us.anthropic.claude-haiku-4-5-20251001-v1:0", "2026-10-02"),
        response(3, "claude-opus-5", "2026-10-03"),
    ];
    home.append(&home.transcript("s"), &lines);
    let call = ["cost", "record", "--task", "t", "--platform", "p", "--model", "gpt-4o"];
    assert_eq!(home.fusebox(&[&call[..], &["--input", "1000", "--output", "0"]].concat()).code, 0);
    rows::import(&home);
    let before = costs(&home);
    assert_eq!(before, [1_501_000, 1_501_000, 7_505_000, 2_500_000]);
    home.configure("[prices]\ndiscount = 0.5\n");
    let changed = |arguments: &[&str]| reprice(&home, arguments)["changed"].clone();
    assert_eq!(changed(&["--model", "claude-haiku-*", "--since", "2026-10-02"]), 1);
    assert_eq!(costs(&home), [1_501_000, 750_500, 7_505_000, 2_500_000]);
    assert_eq!(changed(&["--model", "claude-haiku-*"]), 1);
    // The short names that tables show, in any case.
    home.configure("[prices]\ndiscount = 0.75\n");
    let dry = home.fusebox(&["prices", "reprice", "--model", "Haiku*", "--dry-run", "--json"]).json();
    assert_eq!(dry["records"], 2, "{dry}");
    home.configure("[prices]\ndiscount = 0.5\n");
    // A recorded call has a price as well.
    assert_eq!(changed(&["--since", "2026-10-04"]), 1);
    assert_eq!(costs(&home), [750_500, 750_500, 7_505_000, 1_250_000]);
    assert_eq!(changed(&["--since", "2026-10-03T10:00:00Z"]), 1);
    assert_eq!(costs(&home), [750_500, 750_500, 3_752_500, 1_250_000]);
    let task = home.fusebox(&["cost", "task", "t", "--json"]).json();
    assert_eq!(task["cost_usd"], 0.00125);
}

#[test]
fn an_estimate_becomes_exact() {
    let home = Home::new();
    home.append(&home.transcript("s"), &[response(1, "claude-haiku-9", "2026-10-01")]);
    assert_eq!(home.fusebox(&["prices", "check"]).code, 3);
    home.configure(
        "[prices.claude-haiku-9]\ninput = 2\noutput = 4\ncache_write_5m = 1\ncache_write_1h = 1\ncache_read = 1\n",
    );
    let report = || home.fusebox(&["report", "model", "--json"]).json()["rows"][0].clone();
    let (was, ran) = (report(), reprice(&home, &[]));
    assert_eq!((&ran["changed"], &ran["after_usd"]), (&json!(1), &json!(0.00241)), "{ran}");
    let is = report();
    assert_ne!(was, is);
    assert!(is.to_string().contains("0.00241"), "{is}");
    let check = home.fusebox(&["prices", "check", "--json"]).json();
    assert_eq!(check, json!({"models": [], "priced_since": []}));
    // And an estimate again, which is marked.
    home.configure("");
    let text = home.fusebox(&["prices", "reprice", "--yes"]);
    let words = "1 of 1 record got other prices: $0.0024 → $0.0015+.\n";
    assert!(text.code == 0 && text.stdout.ends_with(words), "{text:?}");
    let text = home.fusebox(&["prices", "reprice", "--yes"]).stdout;
    assert_eq!(text, "1 record: its price does not change.\n");
    // Both sums have the mark.
    home.configure("[prices]\ndiscount = 0.5\n");
    let text = home.fusebox(&["prices", "reprice", "--dry-run"]).stdout;
    assert!(text.contains("other prices: $0.0015+ → $0.0008+.\n"), "{text}");
}

#[test]
fn it_is_for_people_and_asks() {
    let home = Home::new();
    home.append(&home.transcript("s"), &[response(1, "claude-opus-5", "2026-10-01")]);
    rows::import(&home);
    let before = records(&home);
    home.configure("[prices]\ndiscount = 0.5\n");
    let all: &[&str] = &["prices", "reprice"];
    let agents = run(home.command("fusebox").args(all).arg("--yes").env("CLAUDECODE", "1"), b"");
    assert!(agents.code == 2 && agents.stderr.contains("does not run inside an agent's shell"), "{agents:?}");
    let unasked = run(home.command("fusebox").args(all), b"y\n");
    assert!(unasked.code == 2 && unasked.stderr.contains("add --yes or --dry-run"), "{unasked:?}");
    let unknown = home.fusebox(&["prices", "reprice", "--yes", "--model", "claude-opsu-*"]);
    assert!(unknown.code == 2 && unknown.stderr.contains("models: claude-opus-5. Nothing"), "{unknown:?}");
    let both = home.fusebox(&["prices", "reprice", "--yes", "--dry-run"]);
    assert_eq!(both.code, 2, "{both:?}");
    let dry = run(home.command("fusebox").args(all).arg("--dry-run").env("CLAUDECODE", "1"), b"");
    let words = "1 of 1 record would get other prices: $0.0075 → $0.0038.\nNothing was changed.\n";
    assert!(dry.code == 0 && dry.stdout.ends_with(words), "{dry:?}");
    let dry = home.fusebox(&["prices", "reprice", "--dry-run", "--json"]).json();
    assert_eq!((&dry["dry_run"], &dry["changed"]), (&json!(true), &json!(1)), "{dry}");
    // With a broken configuration every record would get the price list's rates.
    home.configure("[prices]\ndiscount = 7\n");
    let broken = home.fusebox(&["prices", "reprice", "--yes"]);
    assert!(broken.code == 2 && broken.stderr.contains("prices.discount"), "{broken:?}");
    assert_eq!(records(&home), before);
}

mod crashes {
    //! Takes long: `tests/run --quick` leaves it out.

    use super::*;

    #[test]
    fn what_is_killed_changes_all_records_or_none() {
        let lines = |home: &Home| {
            let all: Vec<Value> = (1..30).map(|n| response(n, "claude-opus-5", "2026-10-01")).collect();
            home.append(&home.transcript("s"), &all);
            rows::import(home);
            home.configure("[prices]\ndiscount = 0.5\n");
        };
        let (old, new) = {
            let home = Home::new();
            lines(&home);
            let old = records(&home);
            reprice(&home, &[]);
            (old, records(&home))
        };
        let (mut kept, mut changed) = (0, 0);
        for stops in (0..).step_by(11) {
            let home = Home::new();
            lines(&home);
            let mut command = home.command("fusebox");
            command.args(["prices", "reprice", "--yes"]);
            let done = run_killed_at(command, b"", At { stops, instructions: 0 });
            let found = records(&home);
            assert!(found == old || found == new, "killed at {stops}: {found:?}");
            rows::assert_summed(&home);
            (kept, changed) = if found == old { (kept + 1, changed) } else { (kept, changed + 1) };
            // The next one ends it.
            reprice(&home, &[]);
            assert_eq!(records(&home), new, "killed at {stops}");
            rows::assert_sound(&home);
            if !done.killed {
                break;
            }
        }
        assert!(kept > 10 && changed > 1, "{kept} before, {changed} after");
    }
}
