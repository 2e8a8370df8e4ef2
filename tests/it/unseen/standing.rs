//! Files that stand still, grow without responses, or turn up later.

use serde_json::{Value, json};

use super::{assert_exact, batch, budgeted, counted, last_line, line, on_both_stores, told};
use crate::harness::Home;
use crate::redis::{Manner, Proxy, Server};

/// Lets time pass for the hooks: `seconds` from the real one.
pub fn at_second(home: &Home, seconds: u64) {
    std::fs::write(home.path("clock"), (seconds * 1000).to_string()).unwrap();
}

fn stop(home: &Home, text: &str) -> usize {
    told(&home.hook("Stop", "s", json!({"last_assistant_message": text})))
}

fn a_text_that_a_file_showed_before_is_charged_again(home: &Home) {
    let file = home.transcript("s");
    home.append(&file, &[line(1), last_line(2, "Done.")]);
    // The same event may call two hooks.
    assert_eq!([stop(home, "Done."), stop(home, "Done.")], [0, 0]);
    assert_exact(home, "s", 2, 2);
    for turn in 1..=3 {
        at_second(home, 10 * turn);
        stop(home, "Done.");
    }
    assert_eq!(counted(home, "s"), [5000, 5, 2, 3]);
    home.append(&file, &[3, 4, 5].map(|n| last_line(n, "Done.")));
    at_second(home, 40);
    home.hook("UserPromptSubmit", "s", json!({"prompt": "more"}));
    assert_exact(home, "s", 5, 2);
}

fn the_text_of_a_line_with_several_blocks_is_known(home: &Home) {
    let mut answer = last_line(1, "First,");
    answer["message"]["content"].as_array_mut().unwrap().extend([
        json!({"type": "thinking", "thinking": "and now?", "signature": ""}),
        json!({"type": "text", "text": "then.\n"}),
    ]);
    home.append(&home.transcript("s"), &[answer]);
    assert_eq!(stop(home, "First,\nthen."), 0);
    assert_eq!(told(&home.hook("UserPromptSubmit", "s", json!({"prompt": "more"}))), 0);
    assert_exact(home, "s", 1, 0);
}

fn a_late_line_with_the_text_of_the_turn_before_is_not_estimated(home: &Home) {
    let file = home.transcript("s");
    for turn in 1..=4 {
        at_second(home, 10 * turn as u64);
        // The line is there before the hook in every other turn.
        let written = [last_line(turn, "Done.")];
        if turn % 2 == 1 {
            home.append(&file, &written);
        }
        assert_eq!(stop(home, "Done."), 0);
        if turn % 2 == 0 {
            home.append(&file, &written);
        }
        assert_eq!(told(&home.hook("UserPromptSubmit", "s", json!({"prompt": "more"}))), 0);
    }
    assert_exact(home, "s", 4, 0);
    assert_eq!(home.journal(), "");
}

fn a_file_that_only_grows_is_not_waited_for(home: &Home) {
    use std::io::Write;
    let file = home.transcript("s");
    home.append(&file, &[line(1)]);
    batch(home, "s", 1);
    let junk = [[b'y'; 1023].as_slice(), b"\n"].concat().repeat(1024);
    let mut grown = std::fs::OpenOptions::new().append(true).open(&file).unwrap();
    // More than six hooks read.
    for _ in 0..200 {
        grown.write_all(&junk).unwrap();
    }
    let said: usize = (2..=6).map(|n| told(&batch(home, "s", n))).sum();
    assert_eq!(said, 1, "{}", home.journal());
}

fn a_file_elsewhere_is_found_again_without_the_cache(home: &Home) {
    let elsewhere = home.path("claude/projects/-other/s.jsonl");
    home.append(&elsewhere, &[line(1), line(2)]);
    batch(home, "s", 1);
    batch(home, "s", 2);
    std::fs::remove_file(home.path("cache/guardrails-s.json")).unwrap();
    for n in 3..=8 {
        home.append(&elsewhere, &[line(n)]);
        assert_eq!(told(&batch(home, "s", n)), 0);
    }
    assert_exact(home, "s", 8, 16);
}

fn a_file_that_turns_up_elsewhere_later_is_read(home: &Home) {
    for n in 1..=3 {
        batch(home, "s", n);
    }
    assert_eq!(counted(home, "s"), [84_000, 3, 6, 3]);
    home.append(&home.path("claude/projects/-other/s.jsonl"), &[line(1), line(2), line(3)]);
    home.hook("UserPromptSubmit", "s", json!({"prompt": "more"}));
    assert_exact(home, "s", 3, 6);
}

on_both_stores!(
    a_text_that_a_file_showed_before_is_charged_again,
    the_text_of_a_line_with_several_blocks_is_known,
    a_late_line_with_the_text_of_the_turn_before_is_not_estimated,
    a_file_that_only_grows_is_not_waited_for,
    a_file_elsewhere_is_found_again_without_the_cache,
    a_file_that_turns_up_elsewhere_later_is_read,
);

/// What a store that lost its data gets again costs as much as before, whatever came since.
#[test]
fn an_estimate_keeps_its_size() {
    let server = Server::start();
    let home = budgeted(
        Home::new().var("FUSEBOX_STORE_REDIS_URL", &server.url()).var("FUSEBOX_STORE_TENANT", "unseen"),
    );
    let file = home.transcript("s");
    home.append(&file, &[line(1)]);
    for n in 1..=4 {
        batch(&home, "s", n);
    }
    assert_eq!(counted(&home, "s"), [4000, 4, 8, 3]);
    let mut large = line(5);
    large["message"]["usage"]["input_tokens"] = json!(49_900);
    home.append(&file, &[large]);
    batch(&home, "s", 5);
    assert_eq!(counted(&home, "s"), [54_000, 5, 10, 3]);
    server.command(&["FLUSHALL"]);
    home.hook("PostToolUse", "s", json!({"tool_use_id": "toolu_5"}));
    assert_eq!(counted(&home, "s"), [54_000, 5, 10, 3]);
}

/// A file that is found while the store does not answer is read on, too.
#[test]
fn a_file_found_without_the_store_is_kept() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let home = budgeted(
        Home::new().var("FUSEBOX_STORE_REDIS_URL", &proxy.url()).var("FUSEBOX_STORE_TENANT", "unseen"),
    );
    home.append(&home.transcript("s"), &[line(1)]);
    batch(&home, "s", 1);
    proxy.behave(Manner::CutRequests);
    let elsewhere = home.path("claude/projects/-other/s.jsonl");
    for n in 2..=8 {
        home.append(&elsewhere, &[line(n)]);
        assert_eq!(told(&batch(&home, "s", n)), 0);
    }
    let cache: Value =
        serde_json::from_slice(&std::fs::read(home.path("cache/guardrails-s.json")).unwrap()).unwrap();
    assert_eq!(cache["session"]["transcript"], json!(elsewhere));
    proxy.behave(Manner::Pass);
    home.wake_store("s");
    home.hook("PostToolUse", "s", json!({"tool_use_id": "toolu_8"}));
    assert_exact(&home, "s", 8, 16);
}
