//! Unreadable, false or lost records in Redis: commands continue, unreadable ones are quarantined, and `fusebox resync`
//! counts again from the transcripts.

use serde_json::{Value, json};

use super::{home_at, respond, used};
use crate::harness::Home;
use crate::redis::Server;

/// A session budget and a user budget.
const BUDGETS: &str = "[[budget]]\nname = \"session\"\nlimit = 100_000\n\n[[budget]]\nname = \"all\"\nscope = \"user\"\nlimit = 1_000_000\nwindow = \"month\"\n";

/// An invalid record.
const BAD: &str = r#"{"h":"s","c":[1,"#;

const DAMAGED: &str = "fusebox:{acme}:d:damaged";

/// A home with two sessions, of three and two messages.
fn begun(server: &Server) -> Home {
    let home = home_at(&server.socket_url());
    home.configure(BUDGETS);
    assert!(respond(&home, "s", 1..=3).is_silent());
    assert!(respond(&home, "t", 21..=22).is_silent());
    extend(&home, 5);
    assert_eq!(used(&home, "s", "all").0, 500);
    home
}

fn extend(home: &Home, tokens: u64) {
    let tokens = tokens.to_string();
    let words = ["budget", "extend", "session", "--session", "s", "--tokens", &tokens, "--reason", "a test"];
    let ran = home.fusebox(&words);
    assert_eq!(ran.code, 0, "{ran:?}");
}

/// A key of the server that contains this.
fn key(server: &Server, pattern: &str) -> String {
    let keys = server.text(&["KEYS", &format!("fusebox:{{acme}}:{pattern}")]);
    keys.lines().min().unwrap_or_else(|| panic!("no {pattern}")).to_owned()
}

/// Checks that everything works with damaged records, and that after `resync` every number is right. `set_aside`: the
/// quarantined records.
fn is_mended(server: &Server, home: &Home, set_aside: &[(String, &str)]) {
    for words in [&["status"][..], &["status", "--all", "--json"], &["budget", "list", "--all"]] {
        let ran = home.fusebox(words);
        assert_eq!(ran.code, 0, "{words:?}: {ran:?}");
    }
    extend(home, 7);
    let hook = home.hook("PreToolUse", "s", json!({"tool_name": "Bash", "tool_input": {"command": "ls"}}));
    assert!(hook.is_silent(), "{hook:?}");
    assert!(respond(home, "s", 4..=4).is_silent());
    let ran = home.fusebox(&["resync", "--json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert_eq!(ran.json()["incomplete"], json!({}));
    assert_eq!((used(home, "s", "session"), used(home, "t", "session").0), ((400, 100_012), 200));
    assert_eq!(used(home, "s", "all").0, 600);
    let shown = home.fusebox(&["budget", "show", "session", "--session", "s", "--json"]).json();
    let amounts: Vec<&Value> = shown["operations"].as_array().unwrap().iter().map(|o| &o["amount"]).collect();
    assert_eq!(amounts, [5, 7], "each decision once, in their order");
    // Again: nothing is left to repair.
    let again = home.fusebox(&["resync", "--json"]).json();
    assert_eq!((&again["requests_added"], &again["budgets"]), (&json!(0), &json!([])), "{again}");
    for (field, bad) in set_aside {
        assert_eq!(server.text(&["HGET", DAMAGED, field]), *bad, "{field}");
    }
    assert_eq!(server.text(&["HLEN", DAMAGED]), set_aside.len().to_string());
    assert_ne!(server.text(&["TTL", DAMAGED]), "-1");
}

/// Sets a key to an invalid record.
fn damage(pattern: &str) {
    let server = Server::start();
    let home = begun(&server);
    let key = key(&server, pattern);
    server.command(&["SET", &key, BAD, "KEEPTTL"]);
    is_mended(&server, &home, &[(key, BAD)]);
}

#[test]
fn a_message_that_is_no_json() {
    damage("d:message:*");
}

#[test]
fn a_session_that_is_no_json() {
    damage("d:session:s");
}

#[test]
fn decisions_that_are_no_json() {
    damage("o:operations:*");
}

#[test]
fn a_session_of_another_shape() {
    for bad in ["[]", r#"{"h":1}"#] {
        let server = Server::start();
        let home = begun(&server);
        let key = key(&server, "d:session:s");
        server.command(&["SET", &key, bad, "KEEPTTL"]);
        is_mended(&server, &home, &[(key, bad)]);
    }
}

#[test]
fn a_counter_that_is_no_list_of_counts() {
    for bad in ["x", "", "1,2", "99999999999999999999,0,0,0,0,0,0,0,0", "nan,0,0,0,0,0,0,0,0"] {
        let server = Server::start();
        let home = begun(&server);
        let key = key(&server, "d:counter:session*|s");
        let since = server.text(&["HKEYS", &key]);
        server.command(&["HSET", &key, &since, bad]);
        is_mended(&server, &home, &[(format!("{key} {since}"), bad)]);
    }
}

/// It counts as 0: a hook that knows a higher number detects lost data, and everything is read again.
#[test]
fn a_number_of_batches_that_is_none() {
    let server = Server::start();
    let home = begun(&server);
    for field in server.text(&["HKEYS", "fusebox:{acme}:d:live:s"]).lines() {
        server.command(&["HSET", "fusebox:{acme}:d:live:s", field, "x"]);
    }
    is_mended(&server, &home, &[]);
}

/// Lua accepts them as numbers, Redis does not.
#[test]
fn numbers_that_are_none_everywhere() {
    for bad in ["nan", "inf", "1e300", "0x10"] {
        let server = Server::start();
        let home = begun(&server);
        for field in server.text(&["HKEYS", "fusebox:{acme}:d:live:s"]).lines() {
            server.command(&["HSET", "fusebox:{acme}:d:live:s", field, bad]);
        }
        is_mended(&server, &home, &[]);
    }
}

/// The list of a session's messages is rebuilt from the transcripts.
#[test]
fn a_list_of_messages_that_is_lost() {
    let server = Server::start();
    let home = home_at(&server.socket_url());
    home.configure(BUDGETS);
    assert!(respond(&home, "s", 1..=100).is_silent());
    assert_eq!((used(&home, "s", "session").0, used(&home, "s", "all").0), (10_000, 10_000));
    server.command(&["DEL", "fusebox:{acme}:d:messages:s"]);
    for key in server.text(&["KEYS", "fusebox:{acme}:d:counter:*"]).lines() {
        server.command(&["DEL", key]);
    }
    assert!(respond(&home, "s", 101..=105).is_silent());
    assert_eq!((used(&home, "s", "session").0, used(&home, "s", "all").0), (500, 500), "what is listed");
    assert_eq!(home.fusebox(&["resync"]).code, 0);
    assert_eq!((used(&home, "s", "session").0, used(&home, "s", "all").0), (10_500, 10_500));
    assert_eq!(server.text(&["ZCARD", "fusebox:{acme}:d:messages:s"]), "105");
}

/// A model's budget is also checked in a window without charges.
#[test]
fn a_false_count_in_a_window_without_messages() {
    let server = Server::start();
    let home = home_at(&server.socket_url());
    home.configure("[[budget]]\nname = \"models\"\nscope = \"model\"\nlimit = 1_000_000\nwindow = \"day\"\n");
    let clock = home.path("clock");
    std::fs::write(&clock, "0").unwrap();
    let home = home.var("FUSEBOX_TEST_CLOCK", &clock.to_string_lossy());
    respond(&home, "s", 1..=3);
    assert_eq!(used(&home, "s", "models").0, 300);
    std::fs::write(&clock, (30 * 24 * 3600 * 1000_u64).to_string()).unwrap();
    respond(&home, "s", 1..=1);
    assert_eq!(used(&home, "s", "models").0, 0, "another day");
    for key in server.text(&["KEYS", "fusebox:{acme}:d:counter:model*"]).lines() {
        for since in server.text(&["HKEYS", key]).lines() {
            server.command(&["HSET", key, since, "9,9,9,9,9,9,9,9,9"]);
        }
    }
    assert_eq!(used(&home, "s", "models").0, 36);
    let ran = home.fusebox(&["resync", "--json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert_eq!(used(&home, "s", "models").0, 0);
}
