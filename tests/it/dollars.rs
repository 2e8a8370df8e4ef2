//! Budgets in dollars, and what sessions cost, on both stores.

use serde_json::{Value, json};

use crate::harness::{Home, Ran, message};
use crate::redis::Server;

/// Runs a test on a home with each kind of store.
pub fn on_both_stores(test: impl Fn(&Home)) {
    test(&Home::new());
    let server = Server::start();
    test(&Home::new().var("FUSEBOX_STORE_REDIS_URL", &server.url()));
}

/// Response `n` of claude-haiku-4-5: $0.200001, at 1, 5 and 0.10 dollars per million tokens.
fn response(n: usize) -> Value {
    let mut line = message(n, 100_000, 20_000);
    line["message"]["model"] = json!("claude-haiku-4-5-20251001");
    line
}

fn record(home: &Home, lines: &[Value]) {
    home.append(&home.transcript("s"), lines);
    home.hook("PostToolUse", "s", json!({}));
}

fn call(home: &Home) -> Ran {
    home.hook("PreToolUse", "s", json!({"tool_use_id": "toolu_9", "tool_name": "Bash", "tool_input": {}}))
}

fn is_denied(ran: &Ran) -> bool {
    ran.stdout.contains("\"permissionDecision\":\"deny\"")
}

fn budget(more: &str) -> String {
    format!("[[budget]]\nname = \"session\"\nunit = \"usd\"\nlimit = 0.50\nwrap_up = 0\n{more}")
}

fn cost(home: &Home) -> Value {
    home.status("s")["cost"].clone()
}

#[test]
fn it_holds_and_a_person_extends_it() {
    on_both_stores(|home| {
        home.configure(&budget(""));
        record(home, &[response(1), response(2)]);
        assert!(!is_denied(&call(home)));
        record(home, &[response(3)]);
        let denied = call(home);
        assert!(is_denied(&denied), "{denied:?}");
        assert!(denied.stdout.contains("session budget reached: $0.60 / $0.50 (120.00%)."), "{denied:?}");
        assert!(denied.stdout.contains("--session s --usd N --reason"), "{denied:?}");
        let status = home.status("s");
        let shown = &status["budgets"][0];
        let numbers = ["used", "limit", "remaining", "unit"].map(|name| &shown[name]);
        assert_eq!(numbers, [&json!(0.600003), &json!(0.5), &json!(0.0), &json!("usd")], "{shown}");
        assert_eq!(status["cost"], json!({"usd": 0.600003, "estimated_usd": 0.0, "client_usd": null}));

        let extend = |option: &str, amount: &str| {
            let target = ["budget", "extend", "session", "--session", "s", "--reason", "r", "--json"];
            home.fusebox(&[&target[..], &[option, amount]].concat())
        };
        let wrong = extend("--tokens", "1000");
        assert_eq!(wrong.code, 2, "{wrong:?}");
        assert!(wrong.stderr.contains("budget session counts dollars: use --usd N"), "{wrong:?}");
        for amount in ["five", "-1", "0.0000000001"] {
            let refused = extend("--usd", amount);
            assert_eq!(refused.code, 2, "{refused:?}");
        }
        let extended = extend("--usd", "0.25").json();
        assert_eq!(
            (&extended["operation"]["amount"], &extended["after"]["limit"]),
            (&json!(0.25), &json!(0.75)),
            "{extended}"
        );
        assert!(!is_denied(&call(home)));
        let shown = home.fusebox(&["budget", "show", "session", "--session", "s"]);
        assert!(shown.stdout.contains("extended by $0.25"), "{shown:?}");
    });
}

#[test]
fn a_hard_limit_in_dollars_cannot_be_passed() {
    let home = Home::new();
    home.configure(&budget("hard_limit = 0.75\n"));
    record(&home, &[response(1)]);
    let target = ["budget", "extend", "session", "--session", "s", "--reason", "r", "--usd", "0.30"];
    let refused = home.fusebox(&target);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused.stderr.contains("can be extended by at most $0.25 (its hard limit is $0.75)"),
        "{refused:?}"
    );
}

#[test]
fn it_counts_in_every_scope() {
    on_both_stores(|home| {
        let scopes = ["session", "user", "project", "model", "agent_type"];
        let budgets = scopes.map(|scope| {
            format!(
                "[[budget]]\nname = \"of-{scope}\"\nscope = \"{scope}\"\nwindow = \"day\"\nunit = \"usd\"\nlimit = 5\n"
            )
        });
        home.configure(&budgets.concat());
        let mut today = response(1);
        let now = fusebox::platform::clock().0;
        today["timestamp"] = json!(chrono::DateTime::from_timestamp_millis(now).unwrap().to_rfc3339());
        // The other one is of another day.
        record(home, &[today, response(2)]);
        let listed = home.fusebox(&["budget", "list", "--all", "--json"]).json();
        let used = |name: &str| {
            let found = listed.as_array().unwrap().iter().find(|budget| budget["name"] == name);
            found.unwrap_or_else(|| panic!("{name}: {listed}"))["used"].clone()
        };
        for scope in scopes {
            assert_eq!(used(&format!("of-{scope}")), 0.200001, "{scope}");
        }
    });
}

#[test]
fn what_changes_a_price() {
    on_both_stores(|home| {
        // 1,000 of each class of claude-opus-5: 5, 25, 6.25, 10 and 0.50 dollars per million.
        let mut n = 0;
        let mut costs = |change: &dyn Fn(&mut Value)| {
            n += 1;
            let mut line = message(n, 1000, 1000);
            line["message"]["model"] = json!("claude-opus-5");
            line["timestamp"] = json!("2026-11-22T10:00:00.000Z");
            line["message"]["usage"] = json!({"input_tokens": 1000, "output_tokens": 1000,
                "cache_creation_input_tokens": 2000, "cache_read_input_tokens": 1000,
                "cache_creation": {"ephemeral_5m_input_tokens": 1000, "ephemeral_1h_input_tokens": 1000}});
            change(&mut line["message"]);
            let before = home.status("s")["cost"]["usd"].as_f64().unwrap_or_default();
            record(home, &[line]);
            let after = cost(home);
            let difference = (after["usd"].as_f64().unwrap() - before) * 1e9;
            (difference.round() as u64, after["estimated_usd"].as_f64().unwrap() > 0.0)
        };
        record(home, &[]);
        assert_eq!(costs(&|_| {}), (46_750_000, false));
        assert_eq!(costs(&|m| m["usage"]["speed"] = json!("fast")), (93_500_000, false));
        assert_eq!(costs(&|m| m["usage"]["speed"] = json!("standard")), (46_750_000, false));
        assert_eq!(costs(&|m| m["usage"]["inference_geo"] = json!("us")), (51_425_000, false));
        assert_eq!(costs(&|m| m["usage"]["service_tier"] = json!("batch")), (23_375_000, false));
        let searched = json!({"web_search_requests": 3});
        assert_eq!(costs(&|m| m["usage"]["server_tool_use"] = searched.clone()), (76_750_000, false));
        // Not in the table: as claude-opus-4-1, the dearest of its family, and marked.
        assert_eq!(costs(&|m| m["model"] = json!("claude-opus-77")), (140_250_000, true));
    });
}

#[test]
fn an_estimate_is_marked() {
    let home = Home::new();
    record(&home, &[message(1, 100_000, 20_000)]);
    let cost = cost(&home);
    assert!(cost["usd"].as_f64().unwrap() > 0.0, "{cost}");
    assert_eq!(cost["usd"], cost["estimated_usd"]);
    let shown = home.fusebox(&["status", "--session", "s"]).stdout;
    let line = shown.lines().find(|line| line.contains("cost: ")).unwrap();
    assert!(line.ends_with('+') && line.contains("cost: $"), "{shown}");
}

/// Neither another reading nor another discount changes what a response was charged.
#[test]
fn a_response_keeps_its_price() {
    on_both_stores(|home| {
        record(home, &[response(1)]);
        assert_eq!(cost(home)["usd"], 0.200001);
        home.configure("[prices]\ndiscount = 0.5\n");
        std::fs::remove_dir_all(home.path("cache")).unwrap();
        record(home, &[response(2)]);
        assert_eq!(cost(home)["usd"], 0.3000015);
        // Copied by a fork.
        home.append(&home.transcript("fork"), &[response(1)]);
        home.hook("PostToolUse", "fork", json!({}));
        assert_eq!(home.status("fork")["cost"]["usd"], 0.200001);
    });
}

#[test]
fn what_the_client_reckons_is_shown() {
    let total = |run: u64, usd: f64| {
        json!({"type": "cost-state", "startTime": run, "modelUsage": {"claude-haiku-4-5-20251001": {
            "inputTokens": 100_000, "outputTokens": 20_000, "cacheReadInputTokens": 10,
            "cacheCreationInputTokens": 0, "costUSD": usd}}})
    };
    on_both_stores(|home| {
        record(home, &[response(1), total(1, 0.200_001)]);
        let status = home.status("s");
        assert_eq!(status["cost"]["client_usd"], 0.200001, "{status}");
        let shown = home.fusebox(&["status", "--session", "s"]).stdout;
        assert!(shown.contains("cost: $0.20 · the client reckons the same"), "{shown}");
        // It goes on: the total is of the past.
        let mut later = response(2);
        later["timestamp"] = json!("2026-11-22T11:00:00.000Z");
        record(home, &[later]);
        assert_eq!(cost(home)["client_usd"], Value::Null);
        record(home, &[total(2, 0.25)]);
        let shown = home.fusebox(&["status", "--session", "s"]).stdout;
        assert!(shown.contains("cost: $0.40 · the client reckons $0.45 (+$0.0500)"), "{shown}");
    });
}

/// Lines name the model, totals a model with its long context apart from the same model without.
#[test]
fn what_a_total_says_of_a_long_context_is_no_other_response() {
    let of = |usd: f64| {
        json!({"inputTokens": 100_000, "outputTokens": 20_000, "cacheReadInputTokens": 10,
            "cacheCreationInputTokens": 0, "costUSD": usd})
    };
    let usage =
        json!({"claude-haiku-4-5-20251001": of(0.200_001), "claude-haiku-4-5-20251001[1m]": of(0.200_002)});
    on_both_stores(|home| {
        let mut long = response(2);
        long["requestedModel"] = json!("claude-haiku-4-5-20251001[1m]");
        record(
            home,
            &[response(1), long, json!({"type": "cost-state", "startTime": 1, "modelUsage": usage})],
        );
        let status = home.status("s");
        assert_eq!(status["tokens"]["input"], 200_000, "{status}");
        assert_eq!(
            status["cost"],
            json!({"usd": 0.400_002, "estimated_usd": 0.0, "client_usd": 0.400_003}),
            "{status}"
        );
    });
}

/// The client's totals are by the model that it asked for, whichever answered: a compaction is found in them.
#[test]
fn what_another_model_answered_is_counted_once() {
    let total = json!({"type": "cost-state", "startTime": 1, "modelUsage": {"claude-sonnet-4-5": {
        "inputTokens": 104_000, "outputTokens": 20_300, "cacheReadInputTokens": 10,
        "cacheCreationInputTokens": 0, "costUSD": 0.6}}});
    on_both_stores(|home| {
        let mut answered = response(1);
        answered["requestedModel"] = json!("claude-sonnet-4-5");
        let boundary = json!({"type": "system", "subtype": "compact_boundary", "uuid": "b",
            "timestamp": "2026-11-22T10:00:05.000Z", "compactMetadata": {"trigger": "manual", "preTokens": 9_000}});
        record(home, &[answered, boundary]);
        assert_eq!(home.status("s")["estimated_messages"], 1);
        record(home, std::slice::from_ref(&total));
        let status = home.status("s");
        let tokens = ["input", "output", "cache_read"].map(|class| status["tokens"][class].as_u64().unwrap());
        assert_eq!(tokens, [104_000, 20_300, 10], "{status}");
        assert_eq!(status["estimated_messages"], 0, "{status}");
        // The compaction as the response before it: 4,000 and 300 tokens of claude-haiku-4-5.
        assert_eq!(status["cost"]["usd"], 0.205501, "{status}");
    });
}

#[test]
fn without_its_store_it_goes_on_counting() {
    let mut server = Server::start();
    let home = Home::new().var("FUSEBOX_STORE_REDIS_URL", &server.url());
    home.configure(&budget("store_down = \"local\"\n"));
    record(&home, &[response(1)]);
    server.kill();
    record(&home, &[response(2)]);
    assert!(!is_denied(&call(&home)));
    record(&home, &[response(3)]);
    let denied = call(&home);
    assert!(is_denied(&denied) && denied.stdout.contains("$0.60 / $0.50"), "{denied:?}");
    server.restart();
}

#[test]
fn a_denial_is_explained_in_dollars() {
    let home = Home::new();
    home.configure(&budget(""));
    record(&home, &[response(1), response(2), response(3)]);
    assert!(is_denied(&call(&home)));
    let explained = home.fusebox(&["explain", "toolu_9", "--json"]).json();
    let reason = &explained["reason"];
    assert_eq!((&reason["used"], &reason["limit"]), (&json!(0.600003), &json!(0.5)), "{explained}");
    let text = home.fusebox(&["explain", "toolu_9"]).stdout;
    assert!(text.contains("budget session was paused: $0.60 / $0.50"), "{text}");
}

#[test]
fn an_alert_is_in_dollars() {
    let home = Home::new();
    home.configure(&budget(""));
    record(&home, &[response(1)]);
    home.append(&home.transcript("s"), &[response(2)]);
    let told = home.hook("PostToolUse", "s", json!({})).json();
    let told = told["systemMessage"].as_str().unwrap();
    assert_eq!(told, "Fusebox: session budget is 80.00% used: $0.40 of $0.50.");
    let alerts = home.fusebox(&["alerts", "list", "--json"]).json();
    assert_eq!((&alerts[0]["used"], &alerts[0]["limit"]), (&json!(0.400002), &json!(0.5)), "{alerts}");
    let table = home.fusebox(&["alerts", "list"]).stdout;
    assert!(table.contains("$0.40") && table.contains("$0.50"), "{table}");
}

#[test]
fn limits_that_no_unit_has_are_refused() {
    for (toml, says) in [
        (
            "limit = 5.5\n",
            "budget.b.limit: must be a whole number, because the unit is not usd or percent (found 5.5)",
        ),
        (
            "limit = -1\nunit = \"usd\"\n",
            "budget.b.limit: must be dollars from 0 to 9,000,000, such as 5.00 (found -1)",
        ),
        (
            "limit = 9000001\nunit = \"usd\"\n",
            "budget.b.limit: must be dollars from 0 to 9,000,000, such as 5.00 (found 9000001)",
        ),
        (
            "limit = 5.00\nhard_limit = 4.99\nunit = \"usd\"\n",
            "budget.b.hard_limit: must be at least the limit, 5 (found 4.99)",
        ),
        (
            "limit = 0.0000000001\nunit = \"usd\"\n",
            "budget.b.limit: must be 0, or at least 0.000000001 dollars (found 0.0000000001)",
        ),
        (
            "unit = \"usd\"\n",
            "budget.b.limit: is required for a new budget: must be dollars from 0 to 9,000,000, such as 5.00",
        ),
    ] {
        let home = Home::new();
        home.configure(&format!("[[budget]]\nname = \"b\"\n{toml}"));
        let ran = home.fusebox(&["config", "check"]);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stdout.contains(says), "{says}: {ran:?}");
    }
}

/// The default limit of the built-in budget is a number of tokens.
#[test]
fn the_built_in_budget_in_dollars_needs_a_limit() {
    let home = Home::new();
    home.configure("[[budget]]\nname = \"session\"\nunit = \"usd\"\n");
    let ran = home.fusebox(&["config", "check"]);
    let says = "budget.session.limit: is required, because the unit is usd: must be dollars from 0 to 9,000,000, such as 5.00";
    assert!(ran.code == 2 && ran.stdout.contains(says), "{ran:?}");
    let ran = home.fusebox(&["budget", "list"]);
    assert!(ran.code == 2 && ran.stderr.contains(says), "{ran:?}");
    // Until then, hooks count tokens.
    home.append(&home.transcript("s"), &[response(1)]);
    home.hook("PostToolUse", "s", json!({}));
    home.configure("");
    assert_eq!(home.status("s")["budgets"][0]["limit"], 1_000_000);
}

/// A comma is no decimal point: `1,50` must not become 150.
#[test]
fn amounts_with_commas_are_not_misread() {
    let home = Home::new();
    home.configure(
        "[[budget]]\nname = \"daily\"\nscope = \"user\"\nwindow = \"day\"\nunit = \"usd\"\nlimit = 5\n",
    );
    let extend = |amount: &str| {
        home.fusebox(&["budget", "extend", "daily", "--usd", amount, "--reason", "more", "--json"])
    };
    for amount in ["1,50", "1.234,50", "1,2,3", ",5"] {
        let ran = extend(amount);
        assert!(ran.code == 2 && ran.stderr.contains("with a point before the cents"), "{amount}: {ran:?}");
    }
    assert_eq!(extend("1,234.50").json()["after"]["limit"], 1239.5);
    for amount in ["1,5k", "1,50"] {
        let ran = home.fusebox(&["budget", "extend", "daily", "--tokens", amount, "--reason", "more"]);
        assert!(ran.code == 2 && ran.stderr.contains("use a whole number"), "{amount}: {ran:?}");
    }
    // Without --value there is nothing to misspell.
    let used = "fusebox: user tester has used nothing in this window yet\n";
    assert_eq!(extend("2.50").stderr, used);
    let named = ["budget", "extend", "daily", "--value", "tseter", "--usd", "1", "--reason", "more"];
    assert!(home.fusebox(&named).stderr.contains("for user tseter in this window: check the spelling"));
}
