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
    assert_eq!(json_of(&home, &["cost", "platforms", "--since", "20261123", "--json"]), since);
    let day = json_of(&home, &["cost", "summary", "--date", "20261122", "--json"]);
    assert_eq!((&day["date"], &day["total"]["tasks"]), (&json!("2026-11-22"), &json!(2)), "{day}");
    assert_eq!(of(&day, "openai"), Value::Null, "{day}");
    // Today: the call.
    let today = json_of(&home, &["cost", "summary", "--json"]);
    assert_eq!(of(&today, "openai")["tasks"], 1, "{today}");
    let shown = home.fusebox(&["cost", "platforms"]).stdout;
    assert!(shown.contains("claude-code") && shown.contains("3,320") && shown.contains("total"), "{shown}");
    let header: Vec<&str> = shown.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["PLATFORM", "RECORDS", "TOKENS", "COST"]);
    // A day without use.
    let empty = home.fusebox(&["cost", "summary", "--date", "2020-01-01"]).stdout;
    assert_eq!(empty, "2020-01-01 (UTC)\nNothing was used in that time.\n");
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
        &["cost", "estimate", path, "--model", "claude-haiku-4-5", "--model", "claude-opus-4-5", "--json"],
    );
    let counts =
        ["characters", "input_tokens", "output_tokens", "warning"].map(|name| estimate[name].clone());
    assert_eq!(counts, [json!(4000), json!(1000), json!(1000), json!(false)], "{estimate}");
    for (index, model) in ["claude-haiku-4-5", "claude-opus-4-5"].into_iter().enumerate() {
        let found = &estimate["models"][index];
        assert_eq!((&found["model"], &found["cost_usd"]), (&json!(model), &json!(price(model, 1000, 1000))));
    }
    // A model after the option, and the file last.
    let shown = home.fusebox(&["cost", "estimate", "--model", "claude-opus-5-5", path]);
    assert!(shown.code == 0 && shown.stdout.starts_with("4,000 characters, about 1,000 tokens"), "{shown:?}");
    let short = run(home.command("fusebox").args(["cost", "estimate", "-"]), b"hi\n").stdout;
    assert!(short.starts_with("3 characters, about 1 token, and as many"), "{short}");
    assert!(short.contains("claude-haiku-5-5   <$0.0001\n"), "{short}");
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
        (vec!["cost", "summary", "--date", "2026-13-01"], "there is no such day"),
        (vec!["cost", "summary", "--date", "13.1."], "write a date as YYYY-MM-DD or YYYYMMDD"),
        (vec!["cost", "platforms", "--since", "2026-02-29"], "there is no such day"),
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
        ran.code == 1
            && ran.stderr
                == "fusebox: /nowhere/file: no such file. Name a file with the prompt, or - for standard input\n",
        "{ran:?}"
    );
    assert_eq!(rows::all_columns(&home), before);
    assert!(Timestamp::parse("2026-13-01T00:00:00Z").is_none());
}

#[test]
fn calls_that_cannot_be_recorded_as_they_are_are_refused() {
    let home = Home::new();
    let record = |platform: &str, model: &str, input: &str| {
        let call =
            ["cost", "record", "--task", "t", "--platform", platform, "--model", model, "--output", "0"];
        home.fusebox(&[&call[..], &["--input", input]].concat())
    };
    // Its cost would be cut to a million dollars.
    let dear = record("p", "gpt-4", "1099511627776");
    assert_eq!((dear.code, dear.stdout.as_str()), (2, ""), "{dear:?}");
    assert!(
        dear.stderr.contains("must cost less than $1,000,000.00")
            && dear.stderr.contains("Nothing was recorded")
    );
    // It would be counted as one of Claude Code's responses.
    let own = record("Claude-Code", "gpt-4", "1");
    assert!(own.code == 2 && own.stderr.contains("is what `fusebox import` reads"), "{own:?}");
    let words = record("p", "gpt-4", "many");
    assert!(
        words.code == 2 && words.stderr.contains("use a whole number of tokens, such as 1200"),
        "{words:?}"
    );
    assert_eq!(home.fusebox(&["cost", "task", "t"]).code, 2, "nothing was recorded");
    let one = record("p", "gpt-4o", "1");
    assert_eq!(one.stdout, "Recorded t on p: 1 token in, 0 out, <$0.0001\n");
    // Recorded calls have no agent.
    let agents = json_of(&home, &["report", "agent", "--json", "--no-import"]);
    assert_eq!(agents["rows"][0]["key"], Value::Null, "{agents}");
}

/// Otherwise the ledger would keep list prices for good.
#[test]
fn nothing_is_priced_with_a_configuration_that_cannot_be_used() {
    let home = Home::new();
    home.append(&home.transcript("s"), &[message(1, 1000, 100)]);
    std::fs::write(home.path("prompt"), "text").unwrap();
    let (home, prompt) = (home.var("FUSEBOX_PRICES_DISCOUNT", "2"), "../prompt");
    let record =
        ["cost", "record", "--task", "t", "--platform", "p", "--model", "m", "--input", "1", "--output", "1"];
    for arguments in [
        &["import"][..],
        &["report"],
        &["report", "daily"],
        &["cost", "platforms"],
        &["cost", "summary"],
        &["cost", "estimate", prompt],
        &["prices", "reprice", "--yes"],
        &["prices", "check"],
        &["ledger", "purge", "--before", "2026-01-01", "--yes"],
        &record,
    ] {
        let ran = home.fusebox(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}: {ran:?}");
        let says =
            "fusebox: FUSEBOX_PRICES_DISCOUNT: prices.discount: must be a number from 0 to 1 (found \"2\")\n";
        assert_eq!(ran.stderr, says, "{arguments:?}");
    }
    assert!(!rows::ledger(&home).exists());
    // Without prices there is nothing to refuse.
    assert_eq!(home.fusebox(&["report", "--no-import"]).code, 0);
}
