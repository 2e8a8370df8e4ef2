//! Bugs found by the fault run on machines that share a store, as minimal tests.

use std::fs;
use std::sync::LazyLock;

use fusebox::platform::clock;
use serde_json::{Value, json};

use super::outage::copy_folder;
use super::shared::logging;
use crate::harness::{self, Home};
use crate::redis::Server;

/// Homes on one shared store, with a user budget.
fn homes<const N: usize>() -> (Server, [Home; N]) {
    let server = logging().start();
    let home = |_| {
        let home = Home::new().var("FUSEBOX_STORE_REDIS_URL", &server.socket_url());
        let home = home.var("FUSEBOX_STORE_TENANT", "found");
        home.configure(
            "[[budget]]\nname = \"ever\"\nscope = \"user\"\nwindow = \"month\"\nlimit = 1_000_000\n",
        );
        home
    };
    let homes = std::array::from_fn(home);
    (server, homes)
}

/// A response of this month. In each home it is the same. It is a second old: the time of an installation is recorded to
/// the second.
fn message(n: usize, input: u64, output: u64) -> Value {
    static DATE: LazyLock<String> = LazyLock::new(|| clock().plus_millis(-1000).to_rfc3339());
    let mut line = harness::message(n, input, output);
    line["timestamp"] = DATE.as_str().into();
    line
}

fn works(home: &Home, session: &str, n: usize) {
    home.append(&home.transcript(session), &[message(n, 100, 10)]);
    assert!(home.hook("PostToolUse", session, json!({})).is_silent());
}

fn budget(status: &Value, name: &str) -> Value {
    let budgets = status["budgets"].as_array().unwrap();
    budgets
        .iter()
        .find(|budget| budget["name"] == name)
        .unwrap_or_else(|| panic!("{name}: {status:#}"))
        .clone()
}

#[test]
fn what_was_held_before_the_installation_stays_history_after_a_flush() {
    let (server, [home]) = homes();
    home.append(&home.transcript("s"), &[message(1, 100, 10)]);
    assert_eq!(home.fusebox(&["init"]).code, 0);
    let history = |home: &Home| budget(&home.status("s"), "session")["history"].clone();
    assert!(home.hook("PostToolUse", "s", json!({})).is_silent());
    assert_eq!(history(&home), 110);
    server.command(&["FLUSHALL"]);
    assert_eq!(history(&home), 110);
}

#[test]
fn who_reads_everything_again_says_when_fusebox_was_installed() {
    let (server, [home]) = homes();
    home.append(&home.transcript("s"), &[message(1, 100, 10)]);
    assert_eq!(home.fusebox(&["init"]).code, 0);
    assert!(home.hook("PostToolUse", "s", json!({})).is_silent());
    server.command(&["FLUSHALL"]);
    assert_eq!(home.fusebox(&["resync"]).code, 0);
    assert_eq!(budget(&home.status("s"), "session")["history"], 110);
}

#[test]
fn a_session_whose_cache_is_lost_is_found_by_its_transcript() {
    let (_server, [home]) = homes();
    works(&home, "s", 1);
    fs::remove_dir_all(home.path("cache")).unwrap();
    home.append(&home.transcript("s"), &[message(2, 100, 10)]);
    assert_eq!(budget(&home.status("s"), "ever")["used"], 220);
}

#[test]
fn who_asked_before_the_transcript_was_there_reads_it_later() {
    let (_server, [home]) = homes();
    assert!(home.hook("SessionStart", "s", json!({"source": "startup"})).is_silent());
    fs::remove_dir_all(home.path("cache")).unwrap();
    assert_eq!(budget(&home.status("s"), "ever")["used"], 0);
    works(&home, "s", 1);
    home.append(&home.transcript("s"), &[message(2, 100, 10)]);
    assert_eq!(budget(&home.status("s"), "ever")["used"], 220);
}

#[test]
fn another_machine_does_not_say_that_nothing_more_can_come() {
    let (_server, [here, there]) = homes();
    works(&here, "s", 1);
    assert!(here.hook("SessionEnd", "s", json!({})).is_silent());
    here.append(&here.transcript("s"), &[message(2, 100, 10)]);
    let clock = there.path("clock");
    fs::write(&clock, "60000").unwrap();
    let there = there.var("FUSEBOX_TEST_CLOCK", &clock.to_string_lossy());
    assert_eq!(budget(&there.status("s"), "ever")["used"], 110, "it has not got the transcript");
    // Not requested by name: read because it is incomplete.
    works(&here, "t", 3);
    assert_eq!(budget(&here.status("t"), "ever")["used"], 330);
}

#[test]
fn who_only_asks_does_not_hide_that_the_store_went_back() {
    let (mut server, [here, there]) = homes();
    works(&here, "s", 1);
    let (log, copy) = (server.path("appendonlydir"), server.path("copy"));
    copy_folder(log.as_ref(), copy.as_ref());
    works(&here, "s", 2);
    works(&here, "s", 3);
    server.kill();
    fs::remove_dir_all(&log).unwrap();
    copy_folder(copy.as_ref(), log.as_ref());
    server.restart();
    for _ in 0..3 {
        assert_eq!(budget(&there.status("s"), "ever")["used"], 110, "nobody has noticed yet");
    }
    works(&here, "s", 4);
    assert_eq!(budget(&here.status("s"), "ever")["used"], 440);
}

/// In a window without any charge so far.
#[test]
#[cfg_attr(not(feature = "test-clock"), ignore = "needs the feature test-clock")]
fn a_false_counter_of_a_window_that_has_just_begun_is_mended() {
    let (server, [home]) = homes();
    works(&home, "s", 1);
    let clock = home.path("clock");
    fs::write(&clock, (40_i64 * 24 * 3600 * 1000).to_string()).unwrap();
    let home = home.var("FUSEBOX_TEST_CLOCK", &clock.to_string_lossy());
    let known = server.text(&["KEYS", "*:counter:user month*"]);
    assert_eq!(budget(&home.status("s"), "ever")["used"], 0);
    let all = server.text(&["KEYS", "*:counter:user month*"]);
    let new: Vec<&str> = all.lines().filter(|key| !known.contains(key)).collect();
    let [key] = new[..] else { panic!("{new:?}") };
    server.command(&["HSET", key, &server.text(&["HKEYS", key]), "77,0,0,0,0,0,0,0,0"]);
    assert_eq!(budget(&home.status("s"), "ever")["used"], 77);
    assert_eq!(home.fusebox(&["resync"]).code, 0);
    assert_eq!(budget(&home.status("s"), "ever")["used"], 0);
}

/// Usage beyond the lines is wrong if the list of messages on lines was lost.
#[test]
fn a_total_is_settled_by_what_is_read_with_it() {
    let (server, [home]) = homes();
    works(&home, "s", 1);
    let model = message(1, 1, 1)["message"]["model"].as_str().unwrap().to_owned();
    let usage = json!({"inputTokens": 150, "outputTokens": 10, "cacheCreationInputTokens": 0,
        "cacheCreationEphemeral5mInputTokens": 0, "cacheCreationEphemeral1hInputTokens": 0, "cacheReadInputTokens": 10});
    let line = json!({"type": "cost-state", "sessionId": "s", "startTime": 1, "modelUsage": {model: usage}});
    home.append(&home.transcript("s"), &[line]);
    server.command(&["DEL", "fusebox:{found}:d:messages:s"]);
    assert_eq!(home.fusebox(&["resync"]).code, 0);
    assert_eq!(home.status("s")["tokens"]["input"], 150);
    assert_eq!(budget(&home.status("s"), "ever")["used"], 160);
}
