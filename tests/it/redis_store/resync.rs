//! `fusebox resync`: finds what is missing, and counts nothing twice.

use serde_json::json;

use super::{home_at, respond, used};
use crate::harness::Home;
use crate::redis::Server;

/// A session with an unread transcript. No hook runs before.
fn written(home: &Home) {
    let line = |n| {
        let mut line = crate::harness::message(n, 90, 10);
        line["cwd"] = json!("/elsewhere");
        line
    };
    let lines: Vec<_> = (11..=12).map(line).collect();
    home.append(&home.transcript("unread"), &lines);
}

fn resync(home: &Home) -> serde_json::Value {
    let ran = home.fusebox(&["resync", "--json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    ran.json()
}

/// What it finds, from a complete store to one that lost parts.
fn finds_what_is_missing(home: &Home) {
    respond(home, "s", 1..=3);
    let extend = ["budget", "extend", "session", "--session", "s", "--tokens", "5", "--reason", "a test"];
    assert_eq!(home.fusebox(&extend).code, 0);
    let found = resync(home);
    let of = |name: &str| found[name].as_u64().unwrap();
    assert_eq!((of("sessions"), of("requests"), of("requests_added")), (1, 3, 0), "{found}");
    assert_eq!((of("operations"), of("operations_added")), (1, 0), "{found}");
    assert_eq!((&found["budgets"], &found["incomplete"]), (&json!([]), &json!({})));
    written(home);
    let found = resync(home);
    assert_eq!((&found["requests"], &found["requests_added"]), (&json!(5), &json!(2)), "{found}");
    let added = json!([{"name": "session", "value": "unread", "unit": "tokens", "before": 0, "after": 200}]);
    assert_eq!(found["budgets"], added);
    assert_eq!(found["store"]["recovering"], json!([]));
    assert_eq!((used(home, "s", "session").0, used(home, "unread", "session").0), (300, 200));
    // Charged to the project in the transcript, not to that of the reader.
    let shown = |session: &str| {
        home.fusebox(&["status", "--session", session]).stdout.lines().nth(1).unwrap().to_owned()
    };
    assert_ne!(shown("s"), shown("unread"));
    let said = home.fusebox(&["resync"]).stdout;
    assert!(said.contains("Re-read 2 sessions") && said.contains("No budget's count changed."), "{said}");
    let refused =
        home.furnish(home.command("fusebox")).arg("resync").env("CLAUDECODE", "1").output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn with_the_embedded_store() {
    finds_what_is_missing(&Home::new());
}

#[test]
fn with_a_shared_store() {
    let server = Server::start();
    let home = home_at(&server.socket_url());
    finds_what_is_missing(&home);
    // The store lost a single message, and nobody noticed.
    for key in server.text(&["KEYS", "fusebox:{acme}:d:counter:*"]).lines() {
        server.command(&["DEL", key]);
    }
    assert_eq!(used(&home, "s", "session").0, 300, "counters are added up where they are missing");
    server.command(&["FLUSHALL"]);
    let found = resync(&home);
    assert_eq!((&found["requests_added"], &found["operations_added"]), (&json!(5), &json!(1)), "{found}");
    assert_eq!(used(&home, "s", "session"), (300, 1_000_005));
    let denied = home_at("unix:///nowhere/socket").fusebox(&["resync"]);
    assert_eq!(denied.code, 1);
    assert!(denied.stderr.contains("there is no such socket"), "{denied:?}");
}
