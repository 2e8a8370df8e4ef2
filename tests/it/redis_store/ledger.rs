//! Decisions of people survive a store that loses them.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::{home_at, respond, used};
use crate::harness::Home;
use crate::redis::Server;

const BUDGETS: &str = "[[budget]]\nname = \"session\"\nlimit = 1_000\n\n[[budget]]\nname = \"ours\"\nscope = \"project\"\nlimit = 5_000\nwindow = \"month\"\n";

fn extend(home: &Home, budget: &str, tokens: &str, more: &[&str]) {
    let arguments = ["budget", "extend", budget, "--tokens", tokens, "--reason", "a test"];
    let ran = home.fusebox(&[&arguments[..], more].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
}

fn operations(home: &Home) -> usize {
    let shown = home.fusebox(&["budget", "show", "session", "--session", "s", "--json"]).json();
    shown["operations"].as_array().unwrap().len()
}

#[test]
fn operations_survive_a_flush() {
    let server = Server::start();
    let home = home_at(&server.socket_url());
    home.configure(BUDGETS);
    assert!(respond(&home, "s", 1..=3).is_silent());
    extend(&home, "session", "500", &["--session", "s"]);
    extend(&home, "ours", "700", &[]);
    let before = (used(&home, "s", "session"), used(&home, "s", "ours").1);
    assert_eq!(before, ((300, 1500), 5700));
    let ledger = home.path("state/operations.jsonl");
    assert_eq!(std::fs::metadata(&ledger).unwrap().permissions().mode() & 0o777, 0o600);
    for _ in 0..2 {
        server.command(&["FLUSHALL"]);
        assert!(respond(&home, "s", 3..=3).is_silent(), "what is known brings nothing new");
        assert_eq!((used(&home, "s", "session"), used(&home, "s", "ours").1), before);
        assert_eq!(operations(&home), 1);
    }
    // A hook alone replays them: nobody with an extension is stopped.
    server.command(&["FLUSHALL"]);
    assert!(respond(&home, "s", 4..=12).stdout.contains("1,200"), "a threshold of the extended limit");
    let denied = home.hook("PreToolUse", "s", json!({"tool_name": "Bash", "tool_input": {"command": "ls"}}));
    assert!(denied.is_silent(), "{denied:?}");
    assert_eq!(used(&home, "s", "session"), (1200, 1500));
}

#[test]
fn a_torn_ledger_is_written_on() {
    let server = Server::start();
    let home = home_at(&server.socket_url());
    home.configure(BUDGETS);
    respond(&home, "s", 1..=1);
    extend(&home, "session", "100", &["--session", "s"]);
    let path = home.path("state/operations.jsonl");
    let mut ledger = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    ledger.write_all(b"{\"tenant\":\"acme\",\"budget\":{\"na").unwrap();
    extend(&home, "session", "20", &["--session", "s"]);
    server.command(&["FLUSHALL"]);
    assert_eq!(used(&home, "s", "session"), (100, 1120));
    // Nothing is replayed to another tenant.
    let other = home.var("FUSEBOX_STORE_TENANT", "other");
    respond(&other, "s", 1..=1);
    assert_eq!(used(&other, "s", "session"), (100, 1000));
}

#[test]
fn the_embedded_store_is_told_again_too() {
    let home = Home::new();
    home.configure(BUDGETS);
    respond(&home, "s", 1..=2);
    extend(&home, "session", "100", &["--session", "s"]);
    let reset = ["budget", "reset", "ours", "--reason", "a test"];
    assert_eq!(home.fusebox(&reset).code, 0);
    if std::env::var_os("FUSEBOX_TEST_REDIS").is_none() {
        for part in ["state.db", "state.db-wal", "state.db-shm"] {
            let _ = std::fs::remove_file(home.path("state").join(part));
        }
    }
    assert_eq!(used(&home, "s", "session"), (200, 1100));
    assert_eq!(operations(&home), 1);
}
