//! What a file shows after all is no longer estimated, and what it shows late never is.

use serde_json::json;

use super::{assert_exact, batch, budgeted, counted, last_line, line, on_both_stores, told};
use crate::harness::Home;
use crate::redis::{Manner, Proxy, Server};

fn a_file_that_comes_back_replaces_the_estimates(home: &Home) {
    let file = home.transcript("s");
    for n in 1..=3 {
        home.append(&file, &[line(n)]);
        batch(home, "s", n);
    }
    // The file stands still. Two turns end meanwhile.
    let mut late = Vec::new();
    for n in [4, 5, 7, 8] {
        late.push(line(n));
        batch(home, "s", n);
        if n == 5 || n == 8 {
            let text = format!("done with {n}");
            late.push(last_line(n + 1, &text));
            home.hook("Stop", "s", json!({"last_assistant_message": text}));
            home.hook("UserPromptSubmit", "s", json!({"prompt": "more"}));
        }
    }
    assert_eq!(counted(home, "s"), [9000, 9, 14, 6]);

    // What a hook reads before the rest is there changes nothing for the rest.
    home.append(&file, &late[..2]);
    home.hook("PostToolUse", "s", json!({"tool_use_id": "toolu_8"}));
    assert_eq!(counted(home, "s"), [9000, 9, 14, 4]);
    home.append(&file, &late[2..]);
    home.append(&file, &[line(10)]);
    batch(home, "s", 10);
    home.hook("SessionEnd", "s", json!({"reason": "other"}));
    assert_exact(home, "s", 10, 16);
}

fn a_replaced_file_is_noticed_until_it_is_back(home: &Home) {
    let (file, kept) = (home.transcript("s"), home.path("kept.jsonl"));
    let first = line(1);
    home.append(&file, &[first.clone(), line(2)]);
    batch(home, "s", 2);
    std::fs::rename(&file, &kept).unwrap();
    home.append(&file, &[first]);
    home.append(&kept, &[line(3), line(4), line(5)]);
    let said: usize = (3..=5).map(|n| told(&batch(home, "s", n))).sum();
    assert_eq!(said, 1);
    assert_eq!(counted(home, "s"), [5000, 5, 10, 3]);
    std::fs::rename(&kept, &file).unwrap();
    home.append(&file, &[line(6)]);
    batch(home, "s", 6);
    assert_exact(home, "s", 6, 12);
    // It is in order again: one response may be late.
    assert!(batch(home, "s", 7).is_silent());
    assert_exact(home, "s", 6, 12);
    home.append(&file, &[line(7)]);
    assert_exact(home, "s", 7, 14);
}

fn late_lines_are_never_estimated(home: &Home) {
    let file = home.transcript("s");
    for n in 1..=5 {
        // Each line comes one response late.
        if n > 1 {
            home.append(&file, &[line(n - 1)]);
        }
        assert!(batch(home, "s", n).is_silent());
    }
    home.append(&file, &[line(5), last_line(6, "all done")]);
    for event in ["Stop", "Stop", "UserPromptSubmit", "SessionEnd"] {
        let fields = json!({"last_assistant_message": " all done\n", "prompt": "x", "reason": "other"});
        assert_eq!(told(&home.hook(event, "s", fields)), 0);
    }
    assert_exact(home, "s", 6, 10);
    assert_eq!(home.journal(), "");
}

/// A client wrote its total when it exited. The resumed one writes nothing more.
fn a_total_of_an_earlier_run_settles_no_later_response(home: &Home) {
    let file = home.transcript("s");
    let first = line(1);
    let model = first["message"]["model"].as_str().unwrap();
    let total = json!({"type": "cost-state", "startTime": 1, "modelUsage": {
        (model): {"inputTokens": 950, "outputTokens": 150, "cacheReadInputTokens": 10}
    }});
    home.append(&file, &[first]);
    batch(home, "s", 1);
    home.append(&file, &[total]);
    home.hook("SessionEnd", "s", json!({"reason": "other"}));
    home.hook("SessionStart", "s", json!({"source": "resume"}));
    for n in 2..=4 {
        batch(home, "s", n);
    }
    // 100 tokens of the first run are on no line.
    assert_eq!(counted(home, "s"), [4100, 4, 8, 3]);
}

on_both_stores!(
    a_file_that_comes_back_replaces_the_estimates,
    a_replaced_file_is_noticed_until_it_is_back,
    late_lines_are_never_estimated,
    a_total_of_an_earlier_run_settles_no_later_response,
);

/// While the store does not answer, the session's hooks go on charging; it gets everything afterwards.
#[test]
fn a_store_that_is_away_gets_the_estimates_later() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let home = budgeted(
        Home::new().var("FUSEBOX_STORE_REDIS_URL", &proxy.url()).var("FUSEBOX_STORE_TENANT", "unseen"),
    );
    batch(&home, "s", 1);
    batch(&home, "s", 2);
    assert_eq!(counted(&home, "s"), [56_000, 2, 4, 2]);
    proxy.behave(Manner::CutRequests);
    let third = batch(&home, "s", 3);
    assert!(!third.stdout.contains("\"continue\":false"), "{third:?}");
    // 112,000 of 100,000.
    let fourth = batch(&home, "s", 4);
    assert!(fourth.stdout.contains("\"continue\":false"), "{fourth:?}");
    assert_eq!(home.status("s")["unseen_responses"], 4);
    proxy.behave(Manner::Pass);
    home.wake_store("s");
    home.hook("PostToolUse", "s", json!({"tool_use_id": "toolu_4"}));
    assert_eq!(counted(&home, "s"), [112_000, 4, 8, 4]);
    // An emptied store gets them again.
    server.command(&["FLUSHALL"]);
    home.hook("PostToolUse", "s", json!({"tool_use_id": "toolu_4"}));
    assert_eq!(counted(&home, "s"), [112_000, 4, 8, 4]);
    home.append(&home.transcript("s"), &[line(1), line(2), line(3), line(4)]);
    home.hook("PostToolUse", "s", json!({"tool_use_id": "toolu_4"}));
    assert_exact(&home, "s", 4, 8);
}
