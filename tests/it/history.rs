//! `fusebox history`: what happened, over all sessions.

use serde_json::{Value, json};

use crate::dollars::on_both_stores;
use crate::harness::{Home, message};

/// Response `n` of claude-haiku-4-5: $0.200001.
fn response(n: usize) -> Value {
    let mut line = message(n, 100_000, 20_000);
    line["message"]["model"] = json!("claude-haiku-4-5");
    line
}

fn respond(home: &Home, session: &str, n: usize) {
    home.append(&home.transcript(session), &[response(n)]);
    home.hook("PostToolUse", session, json!({}));
}

fn call(home: &Home, session: &str, id: &str) {
    // In the transcript, or its response would be missing there after a while.
    let mut line = message(99, 0, 0);
    line["message"]["content"][0]["id"] = json!(id);
    line["message"]["usage"]["cache_read_input_tokens"] = json!(0);
    home.append(&home.transcript(session), &[line]);
    let call = json!({"tool_use_id": id, "tool_name": "Bash", "tool_input": {"command": "secret"}});
    home.hook("PreToolUse", session, call);
}

/// The same call with the same result until the breaker opens.
fn trip(home: &Home, session: &str) {
    for n in 1..=5 {
        let mut call = json!({"tool_use_id": format!("toolu_{session}{n}"), "tool_name": "Bash",
            "tool_input": {"command": "secret"}});
        home.hook("PreToolUse", session, call.clone());
        call["tool_response"] = json!({"stdout": "same", "stderr": "", "interrupted": false});
        home.hook("PostToolUse", session, call.clone());
        call["tool_response"] = json!("same");
        home.hook("PostToolBatch", session, json!({"tool_calls": [call]}));
    }
}

fn history(home: &Home, arguments: &[&str]) -> Vec<Value> {
    let ran = home.fusebox(&[&["history", "--json"], arguments].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.json().as_array().unwrap().clone()
}

const BUDGET: &str =
    "[[budget]]\nname = \"session\"\nunit = \"usd\"\nlimit = 0.30\nthresholds = [0.5, 1.0]\nwrap_up = 0\n";

#[test]
fn everything_that_happened_is_listed_newest_last() {
    on_both_stores(|home| {
        let nothing = home.fusebox(&["history"]);
        assert_eq!((nothing.code, nothing.stderr.as_str()), (0, ""), "{nothing:?}");
        assert!(nothing.stdout.starts_with("Nothing has happened yet"), "{nothing:?}");
        assert_eq!(history(home, &[]), [] as [Value; 0]);

        home.configure(BUDGET);
        respond(home, "one", 1);
        respond(home, "one", 2);
        call(home, "one", "toolu_denied");
        let extend = ["budget", "extend", "session", "--session", "one", "--usd", "0.25", "--reason"];
        let extended = home.fusebox(&[&extend[..], &["first\nsecond"]].concat());
        assert_eq!(extended.code, 0, "{extended:?}");
        trip(home, "two");
        let reset = ["circuit", "reset", "--session", "two", "--reason", "known"];
        assert_eq!(home.fusebox(&reset).code, 0);

        let all = history(home, &[]);
        let mut kinds: Vec<&str> = all.iter().map(|entry| entry["event"].as_str().unwrap()).collect();
        let times: Vec<&str> = all.iter().map(|entry| entry["at"].as_str().unwrap()).collect();
        assert!(times.is_sorted(), "{times:?}");
        assert_eq!(kinds[..4], ["BUDGET_ALERT", "BUDGET_ALERT", "CALL_DENIED", "BUDGET_DECIDED"]);
        kinds.sort_unstable();
        kinds.dedup();
        for kind in [
            "BUDGET_ALERT",
            "BUDGET_DECIDED",
            "CALL_DENIED",
            "CIRCUIT_DECIDED",
            "CIRCUIT_OPENED",
            "CIRCUIT_WARNING",
        ] {
            assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
        }
        let find = |kind: &str| all.iter().find(|entry| entry["event"] == kind).unwrap();
        let decided = find("BUDGET_DECIDED");
        let fields = ["kind", "amount", "unit", "budget", "value", "actor"].map(|name| &decided[name]);
        assert_eq!(json!(fields), json!(["extend", 0.25, "usd", "session", "one", "tester"]), "{decided}");
        let denied = find("CALL_DENIED");
        assert_eq!((&denied["session"], &denied["tool"]), (&json!("one"), &json!("Bash")));
        assert_eq!(
            (&denied["reason"]["used"], &denied["reason"]["limit"]),
            (&json!(0.400002), &json!(0.3)),
            "{denied}"
        );
        let alert = find("BUDGET_ALERT");
        assert_eq!((&alert["used"], &alert["threshold"]), (&json!(0.200001), &json!(0.5)), "{alert}");

        let shown = home.fusebox(&["history"]);
        assert_eq!((shown.code, shown.stderr.as_str()), (0, ""), "{shown:?}");
        let text = &shown.stdout;
        assert_eq!(text.lines().count(), all.len(), "one line each: {text}");
        for words in [
            "  budget session (session one): passed 50% of $0.30 ($0.20 used)\n",
            "  session one, main: a call to Bash was denied, and the turn stopped: budget session was paused: $0.40 / $0.30\n",
            "  budget session (session one): extended by $0.25 by tester: first second\n",
            "  session two, main: circuit breaker opened: the same call with the same result",
            "  session two, main: circuit breaker reset by tester: known\n",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        assert!(!text.contains("secret") && !text.contains('\u{1b}'), "{text}");

        let last = home.fusebox(&["history", "--last", "2"]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(last.stdout.lines().collect::<Vec<_>>(), lines[lines.len() - 2..]);
        assert_eq!(last.stderr, format!("Showing the last 2 of {}; --last 0 shows all.\n", all.len()));
        assert_eq!(history(home, &["--last", "2"]), all[all.len() - 2..]);
        assert_eq!(history(home, &["--last", "0"]), all);
    });
}

#[test]
fn a_budget_that_is_no_longer_configured_keeps_its_unit_or_says_none() {
    // The default configuration has a budget named session.
    let budget = BUDGET.replace("\"session\"", "\"mine\"");
    let home = Home::new();
    home.configure(&budget);
    respond(&home, "one", 1);
    let extend = ["budget", "extend", "mine", "--session", "one", "--usd", "0.25", "--reason", "r"];
    assert_eq!(home.fusebox(&extend).code, 0);
    home.configure("");
    // Its alert says what it counted.
    let decided =
        |home: &Home| history(home, &[]).into_iter().find(|entry| entry["event"] == "BUDGET_DECIDED");
    let known = decided(&home).unwrap();
    assert_eq!((&known["amount"], &known["unit"]), (&json!(0.25), &json!("usd")), "{known}");
    // It counts something else now.
    home.configure(&budget.replace("usd", "requests").replace("0.30", "3"));
    assert_eq!(decided(&home).unwrap()["unit"], json!(null));

    let home = Home::new();
    home.configure(&budget.replace("[0.5, 1.0]", "[]"));
    respond(&home, "one", 1);
    assert_eq!(home.fusebox(&extend).code, 0);
    home.configure("");
    let unknown = decided(&home).unwrap();
    assert_eq!((unknown.get("amount"), &unknown["unit"]), (None, &json!(null)), "{unknown}");
    let text = home.fusebox(&["history"]).stdout;
    assert!(text.contains("budget mine (one): extended by tester: r\n"), "{text}");
}

#[test]
fn throttling_is_listed() {
    let home = Home::new()
        .var("FUSEBOX_THROTTLE_HARD_LIMIT_TOKENS", "1000000")
        .var("FUSEBOX_THROTTLE_MAX_CONCURRENCY", "2");
    for id in ["toolu_1", "toolu_2", "toolu_3"] {
        let input = json!({"prompt": "secret", "subagent_type": "Explore"});
        home.hook("PreToolUse", "s", json!({"tool_name": "Agent", "tool_use_id": id, "tool_input": input}));
    }
    let text = home.fusebox(&["history"]).stdout;
    let words = "a call to Agent was denied: as many subagents were running as may at once (2 of 2)\n";
    assert!(text.contains(words) && !text.contains("secret"), "{text}");
}
