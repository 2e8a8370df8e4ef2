//! What models cost: `fusebox prices`, and a comparison with the calculator of the price list.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use fusebox::domain::money::{Rates, Terms};
use fusebox::domain::time::Timestamp;
use fusebox::domain::usage::Usage;
use fusebox::prices::table::Model;
use fusebox::prices::{Prices, name};
use serde_json::{Value, json};

use crate::harness::{Home, Ran, message};

/// The requests and prices of `tests/oracle/prices.py`; `None` if genai-prices cannot be installed.
fn requests() -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let installed = Command::new(root.join("tests/install-genai-prices")).output().unwrap();
    if !installed.status.success() {
        // Not `eprintln`, which tests that pass do not show.
        let reason = String::from_utf8_lossy(&installed.stderr);
        let said =
            format!("\n== SKIPPED: prices against genai-prices, which cannot be installed: {reason}\n");
        std::io::stderr().write_all(said.as_bytes()).unwrap();
        return None;
    }
    let python = String::from_utf8(installed.stdout).unwrap();
    let calculated = Command::new(python.trim()).arg(root.join("tests/oracle/prices.py")).output().unwrap();
    assert!(calculated.status.success(), "{}", String::from_utf8_lossy(&calculated.stderr));
    Some(String::from_utf8(calculated.stdout).unwrap())
}

/// Picodollars of a request, unlike `Rates::cost` not rounded.
fn picodollars(rates: Rates, usage: &[u64]) -> u64 {
    let per_token = [rates.input, rates.output, rates.cache_write_5m, rates.cache_write_1h, rates.cache_read];
    let tokens: u64 = per_token.iter().zip(usage).map(|(rate, tokens)| rate * tokens).sum();
    tokens + usage[5] * rates.web_search * 1000
}

#[test]
fn every_price_is_that_of_the_price_lists_own_calculator() {
    let Some(requests) = requests() else { return };
    let prices = Prices::default();
    let mut compared: BTreeMap<String, usize> = BTreeMap::new();
    let mut of_others = 0;
    let mut wrong = Vec::new();
    for line in requests.lines() {
        let request: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| request[key].as_str().unwrap();
        let name = text("name");
        let label = Model::find(&name::canonical(name)).map(Model::label);
        let is_meant =
            label.is_some_and(|label| (label.vendor, label.model) == (text("vendor"), text("model")));
        // The maker's price applies, whoever resells the model.
        if !is_meant && text("vendor") != "anthropic" {
            of_others += 1;
            continue;
        }
        let usage: Vec<u64> = serde_json::from_value(request["usage"].clone()).unwrap();
        let prompt = usage[0] + usage[2] + usage[3] + usage[4];
        let flag = |key: &str| request[key].as_bool().unwrap();
        let terms = Terms { fast: flag("fast"), us_only: false, batch: flag("batch") };
        let rates = prices.quote(name, Timestamp(request["at"].as_i64().unwrap()), prompt, terms);
        let expected = request["picodollars"].as_u64().unwrap();
        let cost = rates.cost(
            Usage {
                input: usage[0],
                output: usage[1],
                cache_write_5m: usage[2],
                cache_write_1h: usage[3],
                cache_read: usage[4],
            },
            usage[5],
        );
        let is_equal = picodollars(rates, &usage) == expected && cost == (expected + 500) / 1000;
        if !is_equal || rates.is_estimate {
            wrong.push(format!("{line}\n  {rates:?} costs {cost}"));
        }
        *compared.entry(text("vendor").to_owned()).or_default() += 1;
    }
    assert!(wrong.is_empty(), "{} wrong, such as\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
    let total: usize = compared.values().sum();
    assert!(total >= 15_000 && compared["anthropic"] >= 5_000 && compared.len() >= 8, "{compared:?}");
    assert!(of_others < total / 4, "{of_others} of others, {compared:?}");
}

fn show(home: &Home, arguments: &[&str]) -> Value {
    let ran = home.fusebox(&[&["prices", "show", "--json"], arguments].concat());
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    ran.json()
}

#[test]
fn a_model_under_any_of_its_names() {
    let home = Home::new();
    let shown = show(&home, &["us.anthropic.claude-opus-4-5-20251101-v1:0"]);
    let expected = json!({
        "name": "us.anthropic.claude-opus-4-5-20251101-v1:0", "model": "claude-opus-4-5", "vendor": "anthropic",
        "like": null, "exact": true, "configured": false,
        "prices": [{
            "prompt_above": 0, "speed": "standard", "input": 5.0, "output": 25.0, "cache_write_5m": 6.25,
            "cache_write_1h": 10.0, "cache_read": 0.5, "web_search_per_1000": 10.0, "estimated": false,
        }],
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(shown[key], *value, "{key}: {shown}");
    }
    assert!(shown["source"].as_str().unwrap().starts_with("genai-prices 0."), "{shown}");
    let text = home.fusebox(&["prices", "show", "anthropic/claude-opus-4.5"]).stdout;
    assert!(text.starts_with("anthropic/claude-opus-4.5: claude-opus-4-5 (anthropic)\n"), "{text}");
    assert!(text.contains("any     standard   5.00   25.00        6.25     10.00  0.50\n"), "{text}");
    assert!(text.contains("1,000 web searches cost $10.00."), "{text}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn tiers_and_fast_mode_are_shown_at_a_date() {
    let home = Home::new();
    let haiku = show(&home, &["claude-haiku-5-5", "--at", "2026-11-01"]);
    let rows: Vec<Value> = haiku["prices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| json!([row["prompt_above"], row["input"]]))
        .collect();
    assert_eq!(rows, [json!([0, 0.1]), json!([100_000, 0.5])]);
    let text = home.fusebox(&["prices", "show", "claude-haiku-5-5"]).stdout;
    assert!(
        text.contains("\nup to 100,000  standard   0.10    0.50       0.125      0.20  0.01\nover 100,000   standard   0.50    2.50       0.625      1.00  0.05\n"),
        "{text}"
    );

    let speeds = |at: &str| {
        let shown = show(&home, &["claude-opus-4-8", "--at", at]);
        let rows = shown["prices"].as_array().unwrap();
        rows.iter().map(|row| json!([row["speed"], row["input"]])).collect::<Vec<_>>()
    };
    assert_eq!(speeds("2026-11-29"), [json!(["standard", 5.0]), json!(["fast", 10.0])]);
    assert_eq!(speeds("2026-11-30T00:00:00Z"), [json!(["standard", 5.0])]);

    let read = |at: &str| show(&home, &["claude-sonnet-5-5", "--at", at])["prices"][0]["cache_read"].clone();
    assert_eq!((read("2026-10-06"), read("2026-10-07")), (json!(0.2), json!(0.1)));
    let source = show(&home, &["claude-sonnet-5-5"])["source"].clone();
    assert_eq!(source, "added by Fusebox from Anthropic's pricing page, 2026-11-29");

    let ran = home.fusebox(&["prices", "show", "claude-opus-5", "--at", "yesterday"]);
    assert!(ran.code == 2 && ran.stderr.contains("use a date such as"), "{ran:?}");
}

#[test]
fn a_model_without_a_price_is_estimated() {
    let home = Home::new();
    let shown = show(&home, &["claude-haiku-9"]);
    assert_eq!(
        (&shown["model"], &shown["exact"], &shown["like"]),
        (&json!(null), &json!(false), &json!("claude-haiku-4-5"))
    );
    assert_eq!((&shown["prices"][0]["input"], &shown["prices"][0]["estimated"]), (&json!(1.0), &json!(true)));
    let text = home.fusebox(&["prices", "show", "claude-haiku-9"]).stdout;
    assert!(text.starts_with("claude-haiku-9 is not in the price list; charged as claude-haiku-4-5, the most expensive model of its family\n"), "{text}");
}

#[test]
fn a_model_of_no_family_is_charged_as_the_dearest_claude_model() {
    let home = Home::new();
    for name in ["nosuch", "foo/bar", "claude"] {
        let text = home.fusebox(&["prices", "show", name]).stdout;
        let says = format!(
            "{name} is not in the price list; charged as claude-opus-4-1, the most expensive Claude model\n"
        );
        assert!(text.starts_with(&says), "{text}");
    }
    let ran = home.fusebox(&["prices", "show", ""]);
    assert!(ran.code == 2 && ran.stderr.contains("use 1 to 256 characters"), "{ran:?}");
}

/// Tables show short names, so these are taken, too.
#[test]
fn short_names_are_taken() {
    let home = without_history();
    let text = home.fusebox(&["prices", "show", "opus-5-5"]).stdout;
    assert!(text.starts_with("claude-opus-5-5 (anthropic)\n"), "{text}");
    let call = ["cost", "record", "--task", "t", "--platform", "p", "--model", "haiku-4-5", "--json"];
    let recorded = home.fusebox(&[&call[..], &["--input", "1k", "--output", "0"]].concat()).json();
    assert_eq!(
        (&recorded["model"], &recorded["cost_usd"], &recorded["price_estimated"]),
        (&json!("claude-haiku-4-5"), &json!(0.001), &json!(false))
    );
    std::fs::write(home.path("prompt"), "x".repeat(400)).unwrap();
    let path = home.path("prompt");
    let estimate =
        home.fusebox(&["cost", "estimate", "--model", "opus-5-5", path.to_str().unwrap(), "--json"]);
    assert_eq!(estimate.json()["models"][0]["price_estimated"], false, "{estimate:?}");
}

#[test]
fn prices_that_may_mislead_are_warned_about() {
    let home = Home::new();
    let warned = |toml: &str| {
        home.configure(toml);
        let ran = home.fusebox(&["config", "check"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.stdout.lines().filter(|line| line.starts_with("warning: ")).map(str::to_owned).collect::<Vec<_>>()
    };
    let two =
        warned("[prices.\"claude-opus-4-5\"]\ninput = 1\n[prices.\"claude-opus-4-5-20251101\"]\ninput = 2\n");
    assert_eq!(two.len(), 1, "{two:?}");
    assert!(
        two[0]
            .contains("config.toml: prices.\"claude-opus-4-5-20251101\": is another name of claude-opus-4-5"),
        "{two:?}"
    );
    // As the warning says: each name has its own rates.
    let input = |model: &str| show(&home, &[model])["prices"][0]["input"].clone();
    assert_eq!((input("claude-opus-4-5"), input("claude-opus-4-5-20251101")), (json!(1.0), json!(2.0)));
    let unlisted = warned("[prices.nosuch]\ninput = 1\n");
    assert_eq!(unlisted.len(), 1, "{unlisted:?}");
    let says = "what is not set here (output, cache_write_5m, cache_write_1h, cache_read) costs as much as claude-opus-4-1";
    assert!(unlisted[0].contains(says), "{unlisted:?}");
    assert_eq!(warned(OWN_RATES), Vec::<String>::new());
}

#[test]
fn own_rates_and_discounts_are_shown() {
    let home = Home::new();
    home.configure(
        "[prices]\ndiscount = 0.1\n[prices.\"claude-opus-4.5\"]\ninput = 4.0\ndiscount = 0.5\n\
         [prices.our-model]\ninput = 1\noutput = 2\ncache_write_5m = 3\ncache_write_1h = 4\ncache_read = 0.5\n",
    );
    let row = |model: &str| {
        let shown = show(&home, &[model]);
        let row = &shown["prices"][0];
        json!([shown["configured"], shown["exact"], row["input"], row["output"]])
    };
    assert_eq!(row("claude-opus-4-5-20251101"), json!([true, true, 2.0, 12.5]));
    assert_eq!(row("claude-opus-5"), json!([true, true, 4.5, 22.5]));
    assert_eq!(row("our-model"), json!([true, true, 0.9, 1.8]));
    let text = home.fusebox(&["prices", "show", "our-model"]).stdout;
    assert!(
        text.starts_with("our-model is not in the price list; your configuration sets all its rates\n"),
        "{text}"
    );
    let text = home.fusebox(&["config", "show"]).stdout;
    assert!(text.contains("\"claude-opus-4.5\".input = 4.0") && text.contains("discount = 0.1"), "{text}");
    home.configure(&text);
    assert_eq!(row("our-model"), json!([true, true, 0.9, 1.8]), "{text}");

    home.configure("[prices]\ndiscount = 2\n");
    let ran = home.fusebox(&["prices", "show", "claude-opus-5"]);
    let refused = "config/fusebox/config.toml:2: prices.discount: must be a number from 0 to 1 (found 2)";
    assert!(ran.code == 2 && ran.stderr.contains(refused), "{ran:?}");
}

#[test]
fn the_list_is_by_vendor() {
    let home = Home::new();
    let listed = |arguments: &[&str]| {
        let ran = home.fusebox(&[&["prices", "list", "--json"], arguments].concat());
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
        ran.json().as_array().unwrap().clone()
    };
    let claude = listed(&["--vendor", "anthropic"]);
    assert_eq!(listed(&["--vendor", "Anthropic"]), claude);
    assert!(claude.iter().all(|row| row["vendor"] == "anthropic"));
    let fast =
        claude.iter().find(|row| row["model"] == "claude-fable-5-2" && row["speed"] == "fast").unwrap();
    assert_eq!((&fast["input"], &fast["output"]), (&json!(16.0), &json!(80.0)));
    let all = listed(&[]);
    assert!(all.len() > 500 && claude.iter().all(|row| all.contains(row)));
    let text = home.fusebox(&["prices", "list", "--vendor", "anthropic"]).stdout;
    assert!(text.lines().next().unwrap().starts_with("VENDOR"), "{text}");
    assert!(text.contains("29 models, in dollars per million tokens, at 20"), "{text}");

    let ran = home.fusebox(&["prices", "list", "--vendor", "acme"]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.stderr.starts_with("fusebox: there is no vendor \"acme\": must be one of anthropic, openai, "),
        "{ran:?}"
    );
}

/// A response of a model: 1,000 tokens of input, 100 of output, 10 of cache reads.
fn response(n: usize, model: &str) -> Value {
    let mut line = message(n, 1000, 100);
    line["message"]["model"] = json!(model);
    line
}

fn check(home: &Home) -> Ran {
    let ran = home.fusebox(&["prices", "check", "--json"]);
    assert_eq!(ran.stderr, "", "{ran:?}");
    ran
}

/// A home with a client that has no history.
fn without_history() -> Home {
    let home = Home::new();
    std::fs::create_dir_all(home.path("claude/projects")).unwrap();
    home
}

/// The rates of a model that nobody knows: exact, whatever it is.
const OWN_RATES: &str = "[prices.claude-haiku-9]\ninput = 2\noutput = 4\ncache_write_5m = 1\ncache_write_1h = 1\n\
                         cache_read = 1\n";

#[test]
fn models_without_an_exact_price_are_named() {
    let home = without_history();
    assert_eq!((check(&home).code, check(&home).json()), (0, json!({"models": [], "priced_since": []})));
    assert_eq!(home.fusebox(&["prices", "check"]).stdout, "No model has been used yet.\n");
    let lines = [response(1, "claude-haiku-9"), response(2, "claude-haiku-9"), response(3, "claude-opus-5")];
    home.append(&home.transcript("s"), &lines);
    // It imports first. 1,000 × $1 + 100 × $5 + 10 × $0.10 per million, twice.
    let ran = check(&home);
    let expected = json!({
        "models": [{"model": "claude-haiku-9", "like": "claude-haiku-4-5", "requests": 2, "tokens": 2220,
            "estimated_usd": 0.003002, "seen_in": "ledger"}],
        "priced_since": [],
    });
    assert_eq!((ran.code, ran.json()), (3, expected));
    let text = home.fusebox(&["prices", "check"]);
    assert_eq!(text.code, 3);
    for words in [
        "claude-haiku-9         2   2,220    $0.0030  claude-haiku-4-5  ledger\n",
        "1 model has no exact price: its responses are charged as estimates. Set rates in [prices]",
        "`fusebox prices reprice`",
    ] {
        assert!(text.stdout.contains(words), "{words}: {}", text.stdout);
    }
    // With rates of one's own there is nothing to find. What was charged stays.
    home.configure(OWN_RATES);
    let ran = check(&home);
    let since = json!([{"model": "claude-haiku-9", "records": 2, "requests": 2, "tokens": 2220,
        "estimated_usd": 0.003002}]);
    assert_eq!((ran.code, ran.json()), (0, json!({"models": [], "priced_since": since})));
    let text = home.fusebox(&["prices", "check"]);
    assert_eq!(text.code, 0);
    assert!(text.stdout.starts_with("Every model seen has an exact price.\n"), "{}", text.stdout);
    assert!(text.stdout.contains("2 records of it ($0.0030) in the ledger were charged"), "{}", text.stdout);
}

#[test]
fn a_speed_without_a_price_is_no_exact_price() {
    let home = Home::new();
    let mut fast = response(1, "claude-haiku-4-5");
    fast["message"]["usage"]["speed"] = json!("fast");
    home.append(&home.transcript("s"), &[fast, response(2, "claude-haiku-4-5")]);
    let ran = check(&home);
    let model = ran.json()["models"][0].clone();
    let found = ["model", "like", "requests", "estimated_usd"].map(|key| model[key].clone());
    assert_eq!(
        (ran.code, found),
        (3, [json!("claude-haiku-4-5"), json!("claude-haiku-4-5"), json!(1), json!(0.003002)])
    );
}

#[test]
fn recorded_calls_are_checked() {
    let home = without_history();
    let call = |task: &str, model: &str| {
        let target = ["cost", "record", "--task", task, "--platform", "p", "--model", model];
        let ran = home.fusebox(&[&target[..], &["--input", "1000", "--output", "1000"]].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
    };
    call("t1", "gpt-4o");
    assert_eq!(check(&home).code, 0);
    call("t2", "no-such-model");
    let ran = check(&home);
    let model = ran.json()["models"][0].clone();
    assert_eq!((ran.code, &model["model"], &model["requests"]), (3, &json!("no-such-model"), &json!(1)));
    assert!(model["estimated_usd"].as_f64().unwrap() > 0.0 && model["like"].is_string(), "{model}");
}

#[test]
fn what_only_the_store_knows_is_checked() {
    crate::dollars::on_both_stores(|home| {
        home.append(&home.transcript("s"), &[response(1, "claude-haiku-9")]);
        home.hook("PostToolUse", "s", json!({}));
        // The client's folder was deleted: the ledger has nothing.
        std::fs::remove_dir_all(home.path("claude")).unwrap();
        std::fs::create_dir_all(home.path("claude/projects")).unwrap();
        let ran = home.fusebox(&["prices", "check", "--json"]);
        let expected = json!([{"model": "claude-haiku-9", "like": "claude-haiku-4-5", "requests": 1,
            "tokens": 1110, "estimated_usd": 0.001501, "seen_in": "store"}]);
        assert_eq!((ran.code, &ran.json()["models"]), (3, &expected), "{ran:?}");
    });
}
