//! `fusebox cost`.

use fusebox::domain::money::Terms;
use fusebox::domain::time::Timestamp;
use fusebox::domain::usage::Usage;
use fusebox::prices::Prices;
use serde_json::{Value, json};

use super::rows;
use crate::harness::{Home, Ran, message, run};

/// The price of a call now, in dollars.
fn price(model: &str, input: u64, output: u64) -> f64 {
    let usage = Usage { input, output, ..Usage::default() };
    let now = fusebox::platform::clock();
    Prices::default().quote(model, now, usage.context(), Terms::default()).cost(usage, 0) as f64 / 1e9
}

fn record(home: &Home, task: &str, platform: &str, tokens: [u64; 2], chain: Option<&str>) -> Ran {
    let [input, output] = tokens.map(|count| count.to_string());
    let mut arguments = vec![
        "cost",
        "record",
        "--task",
        task,
        "--platform",
        platform,
        "--model",
        "gpt-4o",
        "--input",
        &input,
    ];
    arguments.extend(["--output", &output, "--json"]);
    arguments.extend(chain.into_iter().flat_map(|chain| ["--chain", chain]));
    home.fusebox(&arguments)
}

fn json_of(home: &Home, arguments: &[&str]) -> Value {
    let ran = home.fusebox(arguments);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    ran.json()
}

#[test]
fn a_second_record_of_a_task_replaces_the_first() {
    let home = Home::new();
    assert_eq!(record(&home, "t1", "openai", [1, 1], None).code, 0);
    let ran = record(&home, "t1", "openai", [1200, 300], Some("c"));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    let recorded = ran.json();
    assert_eq!(recorded["cost_usd"], json!(price("gpt-4o", 1200, 300)), "{recorded}");
    assert_eq!((&recorded["task_id"], &recorded["chain_id"]), (&json!("t1"), &json!("c")));
    let task = json_of(&home, &["cost", "task", "t1", "--json"]);
    assert_eq!(
        (&task["tasks"], &task["input"], &task["output"]),
        (&json!(1), &json!(1200), &json!(300)),
        "{task}"
    );
    assert_eq!(task["records"], json!([recorded]));
    let (source, requests): (String, i64) = rows::open(&rows::ledger(&home))
        .query_row("SELECT source, requests FROM cost_records WHERE task = 't1'", (), |r| {
            Ok((r.get(0)?, r.get(1)?))
        })
        .unwrap();
    assert_eq!((source.as_str(), requests), ("call", 1));
}

#[test]
fn a_chain_has_its_tasks_and_their_sum() {
    let home = Home::new();
    for (task, tokens) in [("t1", [100, 10]), ("t2", [200, 20]), ("t3", [400, 40])] {
        assert_eq!(record(&home, task, "openai", tokens, (task != "t3").then_some("c")).code, 0);
    }
    let chain = json_of(&home, &["cost", "chain", "c", "--json"]);
    let names: Vec<&str> =
        chain["tasks"].as_array().unwrap().iter().map(|t| t["task_id"].as_str().unwrap()).collect();
    assert_eq!(
        (names, &chain["input"], &chain["output"]),
        (vec!["t1", "t2"], &json!(300), &json!(30)),
        "{chain}"
    );
    let sum = price("gpt-4o", 100, 10) + price("gpt-4o", 200, 20);
    assert!((chain["cost_usd"].as_f64().unwrap() - sum).abs() < 1e-9, "{chain}");
    let shown = home.fusebox(&["cost", "chain", "c"]);
    assert!(
        shown.stdout.contains("t1") && shown.stdout.contains("t2") && !shown.stdout.contains("t3"),
        "{shown:?}"
    );
}

#[test]
fn platforms_and_days_are_summed_with_what_is_new_in_the_history() {
    let home = Home::new();
    assert_eq!(record(&home, "t1", "openai", [100, 10], None).code, 0);
    home.append(&home.transcript("s"), &[message(1, 1000, 100), message(2, 2000, 200)]);
    let all = json_of(&home, &["cost", "platforms", "--json"]);
    let of = |all: &Value, name: &str| -> Value {
        let found = all["platforms"].as_array().unwrap().iter().find(|p| p["platform"] == name);
        found.cloned().unwrap_or_default()
    };
    assert_eq!(of(&all, "claude-code")["input"], 3000, "{all}");
    assert_eq!(of(&all, "claude-code")["tokens"], 3320, "all classes: {all}");
    assert_eq!(of(&all, "openai")["output"], 10, "{all}");
    assert_eq!((&all["total"]["tasks"], &all["total"]["requests"]), (&json!(3), &json!(3)), "{all}");
    let since = json_of(&home, &["cost", "platforms", "--since", "2026-11-23", "--json"]);
    assert_eq!(of(&since, "claude-code"), Value::Null, "{since}");
    assert_eq!(of(&since, "openai")["tasks"], 1, "{since}");
    let day = json_of(&home, &["cost", "summary", "--date", "2026-11-22", "--json"]);
    assert_eq!((&day["date"], &day["total"]["tasks"]), (&json!("2026-11-22"), &json!(2)), "{day}");
    assert_eq!(of(&day, "openai"), Value::Null, "{day}");
    // Today: the call.
    let today = json_of(&home, &["cost", "summary", "--json"]);
    assert_eq!(of(&today, "openai")["tasks"], 1, "{today}");
    let shown = home.fusebox(&["cost", "platforms"]).stdout;
    assert!(shown.contains("claude-code") && shown.contains("3,320") && shown.contains("total"), "{shown}");
    assert_eq!(
        json_of(&home, &["cost", "summary", "--date", "2020-01-01", "--json"])["platforms"],
        json!([])
    );
}

#[test]
fn a_text_is_estimated_at_four_characters_a_token() {
    let home = Home::new();
    let file = home.path("prompt");
    std::fs::write(&file, "ü→ab".repeat(1000)).unwrap();
    let path = file.to_str().unwrap();
    let estimate = json_of(
        &home,
        &["cost", "estimate", path, "--model", "claude-haiku-4-5", "claude-opus-4-5", "--json"],
    );
    let counts =
        ["characters", "input_tokens", "output_tokens", "warning"].map(|name| estimate[name].clone());
    assert_eq!(counts, [json!(4000), json!(1000), json!(1000), json!(false)], "{estimate}");
    for (index, model) in ["claude-haiku-4-5", "claude-opus-4-5"].into_iter().enumerate() {
        let found = &estimate["models"][index];
        assert_eq!((&found["model"], &found["cost_usd"]), (&json!(model), &json!(price(model, 1000, 1000))));
    }
    // More than 10,000 tokens: 10,000 and a bit does not reach the next.
    for (characters, warns) in [(40_003, false), (40_004, true)] {
        let ran = run(
            home.command("fusebox").args(["cost", "estimate", "-", "--json"]),
            "x".repeat(characters).as_bytes(),
        );
        assert_eq!((ran.code, ran.json()["warning"] == true), (0, warns), "{ran:?}");
        assert_eq!(ran.stderr.contains("10,001 tokens"), warns, "{ran:?}");
    }
}

#[test]
fn wrong_use_is_refused_in_one_line() {
    let home = Home::new();
    home.append(&home.transcript("s"), &[message(1, 1000, 100)]);
    let no_ledger = home.fusebox(&["cost", "task", "t"]);
    assert_eq!((no_ledger.code, no_ledger.stderr.lines().count()), (1, 1), "{no_ledger:?}");
    assert!(
        no_ledger.stderr.contains("ledger.db") && no_ledger.stderr.contains("fusebox import"),
        "{no_ledger:?}"
    );
    rows::import(&home);
    let before = rows::all_columns(&home);
    let key = rows::counts(&home).into_keys().next().unwrap();
    for (arguments, words) in [
        (vec!["cost", "task", "none"], "no task none"),
        (vec!["cost", "chain", "none"], "no chain none"),
        (vec!["cost", "platforms", "--since", "yesterday"], "use a date such as"),
        (vec!["cost", "summary", "--date", "2026-13-01"], "use a date such as"),
        (
            vec![
                "cost",
                "record",
                "--task",
                &key,
                "--platform",
                "p",
                "--model",
                "m",
                "--input",
                "1",
                "--output",
                "1",
            ],
            "choose another --task",
        ),
        (
            vec![
                "cost",
                "record",
                "--task",
                " ",
                "--platform",
                "p",
                "--model",
                "m",
                "--input",
                "1",
                "--output",
                "1",
            ],
            "1 to 256 characters",
        ),
        (
            vec![
                "cost",
                "record",
                "--task",
                "t",
                "--platform",
                "p",
                "--model",
                "m",
                "--input",
                "-1",
                "--output",
                "1",
            ],
            "--input",
        ),
        (
            vec![
                "cost",
                "record",
                "--task",
                "t",
                "--platform",
                "p",
                "--model",
                "m",
                "--input",
                "1",
                "--output",
                "9999999999999999",
            ],
            "--output",
        ),
    ] {
        let ran = home.fusebox(&arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(words), "{arguments:?}: {ran:?}");
    }
    let ran = home.fusebox(&["cost", "estimate", "/nowhere/file"]);
    assert!(
        ran.code == 1 && ran.stderr.contains("/nowhere/file") && ran.stderr.lines().count() == 1,
        "{ran:?}"
    );
    assert_eq!(rows::all_columns(&home), before);
    assert!(Timestamp::parse("2026-13-01T00:00:00Z").is_none());
}
