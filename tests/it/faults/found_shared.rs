//! What the fault run found of machines that share a store, as small as it can be told.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Home, message};
use crate::redis::Server;

/// Homes on one shared store, with a budget of the user's.
fn homes<const N: usize>() -> Option<(Server, [Home; N])> {
    let server = Server::start()?;
    let home = |_| {
        let home = Home::new().var("FUSEBOX_STORE_REDIS_URL", &server.socket_url());
        let home = home.var("FUSEBOX_STORE_TENANT", "found");
        home.configure("[[budget]]\nname = \"ever\"\nscope = \"user\"\nlimit = 1_000_000\n");
        home
    };
    let homes = std::array::from_fn(home);
    Some((server, homes))
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
    let Some((server, [home])) = homes() else { return };
    home.append(&home.transcript("s"), &[message(1, 100, 10)]);
    assert_eq!(home.fusebox(&["init"]).code, 0);
    let history = |home: &Home| budget(&home.status("s"), "session")["history"].clone();
    assert!(home.hook("PostToolUse", "s", json!({})).is_silent());
    assert_eq!(history(&home), 110);
    server.command(&["FLUSHALL"]);
    assert_eq!(history(&home), 110);
}

#[test]
fn a_session_whose_cache_is_lost_is_found_by_its_transcript() {
    let Some((_server, [home])) = homes() else { return };
    works(&home, "s", 1);
    fs::remove_dir_all(home.path("cache")).unwrap();
    home.append(&home.transcript("s"), &[message(2, 100, 10)]);
    assert_eq!(budget(&home.status("s"), "ever")["used"], 220);
}

#[test]
fn who_asked_before_the_transcript_was_there_reads_it_later() {
    let Some((_server, [home])) = homes() else { return };
    assert!(home.hook("SessionStart", "s", json!({"source": "startup"})).is_silent());
    fs::remove_dir_all(home.path("cache")).unwrap();
    assert_eq!(budget(&home.status("s"), "ever")["used"], 0);
    works(&home, "s", 1);
    home.append(&home.transcript("s"), &[message(2, 100, 10)]);
    assert_eq!(budget(&home.status("s"), "ever")["used"], 220);
}

#[test]
fn another_machine_does_not_say_that_nothing_more_can_come() {
    let Some((_server, [here, there])) = homes() else { return };
    works(&here, "s", 1);
    assert!(here.hook("SessionEnd", "s", json!({})).is_silent());
    here.append(&here.transcript("s"), &[message(2, 100, 10)]);
    let clock = there.path("clock");
    fs::write(&clock, "60000").unwrap();
    let there = there.var("FUSEBOX_TEST_CLOCK", &clock.to_string_lossy());
    assert_eq!(budget(&there.status("s"), "ever")["used"], 110, "it has not got the transcript");
    // Not asked for by its name: read on because it is not complete.
    works(&here, "t", 3);
    assert_eq!(budget(&here.status("t"), "ever")["used"], 330);
}
