//! `fusebox redis acl` itself.

use serde_json::{Value, json};

use super::{Shared, TENANT};
use crate::harness::{Home, message};
use crate::redis::Options;
use crate::redis::users::{self, PASSWORD};

#[test]
fn lines_go_to_one_place_and_what_they_mean_to_another() {
    let home = Home::new();
    let ran = home.fusebox(&["redis", "acl", "--tenant", "acme", "--hook-user", "ci", "--operator", "alice"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let [hook, operator] = &ran.stdout.lines().collect::<Vec<_>>()[..] else { panic!("{ran:?}") };
    assert!(hook.starts_with("user ci reset resetchannels on #SHA256-OF-THE-PASSWORD "), "{hook}");
    assert!(hook.contains(" ~fusebox:{acme}:d:* %R~fusebox:{acme}:o:* -@all "), "{hook}");
    assert!(
        operator.starts_with("user alice reset ") && operator.contains(" ~fusebox:{acme}:o:* "),
        "{operator}"
    );
    assert!(ran.stderr.lines().all(|line| line.starts_with("# ")), "{ran:?}");
    assert!(ran.stderr.contains("cannot extend"), "{ran:?}");

    let users = home.fusebox(&["redis", "acl", "--tenant", "acme", "--json"]).json();
    assert_eq!((&users[0]["user"], &users[0]["role"]), (&json!("fusebox-hook"), &json!("hook")));
    assert_eq!((&users[1]["user"], &users[1]["role"]), (&json!("fusebox-operator"), &json!("operator")));
    assert!(hook.ends_with(users[0]["rules"].as_str().unwrap()), "{users}");
    for user in users.as_array().unwrap() {
        for command in ["keys", "flushall", "eval", "config", "acl|setuser", "rename", "copy"] {
            assert!(!user["commands"].as_array().unwrap().contains(&json!(command)), "{command}: {user}");
        }
    }
}

#[test]
fn the_tenant_is_the_configurations_where_none_is_named() {
    let home = Home::new().var("FUSEBOX_STORE_TENANT", "lab");
    assert!(home.fusebox(&["redis", "acl"]).stdout.contains("~fusebox:{lab}:d:*"));
    assert!(home.fusebox(&["redis", "acl", "--tenant", "a.b"]).stdout.contains("~fusebox:{a.b}:d:*"));
}

#[test]
fn names_that_cannot_be_names_are_refused() {
    let home = Home::new();
    for wrong in [
        &["--tenant", "a*"][..],
        &["--tenant", "a}:d:* ~*"],
        &["--tenant", ""],
        &["--hook-user", "a b"],
        &["--operator", ""],
        &["--hook-user", "x", "--operator", "x"],
    ] {
        let ran = home.fusebox(&[&["redis", "acl"], wrong].concat());
        assert!(ran.code == 2 && ran.stdout.is_empty() && !ran.stderr.is_empty(), "{wrong:?}: {ran:?}");
    }
}

#[test]
fn a_line_without_a_password_is_taken_by_no_server() {
    let server = crate::redis::Server::start();
    let users = Home::new().fusebox(&["redis", "acl", "--json"]).json();
    let rules = users[0]["rules"].as_str().unwrap();
    let words: Vec<&str> = ["ACL", "SETUSER", "u"].into_iter().chain(rules.split(' ')).collect();
    assert!(server.text(&words).contains("ERR"), "{}", server.text(&words));
    assert_eq!(server.text(&["ACL", "GETUSER", "u"]), "nil");
}

/// Finds commands that a user may run but no hook or command has used.
#[test]
fn no_command_is_allowed_that_is_not_used() {
    let shared = Shared::with(|home| home.var("FUSEBOX_THROTTLE_HARD_LIMIT_TOKENS", "1000000"));
    let home = &shared.home;
    let limit = "[[budget]]\nname = \"session\"\nlimit = 100\nthresholds = [0.5, 1.0]\n";
    home.configure(limit);
    for (n, session) in [(1, "s"), (2, "t")] {
        home.append(&home.transcript(session), &[message(n, 60, 20)]);
        home.hook("SessionStart", session, json!({"source": "startup"}));
        home.hook("PostToolUse", session, json!({}));
    }
    // Replay, with another budget, what the first one did not count.
    home.configure(&format!(
        "{limit}[[budget]]\nname = \"models\"\nscope = \"model\"\nwindow = \"month\"\nlimit = 1000\n"
    ));
    home.append(&home.transcript("s"), &[message(3, 60, 20)]);
    home.hook("PostToolUse", "s", json!({}));
    home.hook(
        "PreToolUse",
        "s",
        json!({"tool_name": "Agent", "tool_use_id": "a", "tool_input": {"prompt": "p"}}),
    );
    // Lost, and refilled.
    shared.server.command(&["FLUSHALL"]);
    home.hook("PostToolUse", "s", json!({}));
    home.hook("UserPromptSubmit", "s", json!({"prompt": "go on"}));
    home.hook("SessionEnd", "t", json!({"reason": "other"}));
    for command in
        [&["status"][..], &["doctor"], &["budget", "list", "--all"], &["alerts", "list"], &["resync"]]
    {
        home.fusebox(command);
    }
    home.fusebox(&["budget", "show", "session", "--session", "s"]);
    home.fusebox(&["quota", "status"]);
    let unused = |user: &Value| -> Vec<Value> {
        let stats = shared.server.text(&["INFO", "commandstats"]);
        let used = |name: &str| {
            stats.contains(&format!("cmdstat_{name}:")) || ["asking", "select", "info"].contains(&name)
        };
        let commands = user["commands"].as_array().unwrap().iter();
        commands.filter(|name| !used(name.as_str().unwrap())).cloned().collect()
    };
    let users = home.fusebox(&["redis", "acl", "--json"]).json();
    assert_eq!(unused(&users[0]), [] as [Value; 0]);
    shared.server.command(&["UNLINK", "fusebox:{acme}:o:installed"]);
    shared.operator(&["init"]);
    shared.operator(&["doctor"]);
    shared.operator(&["budget", "extend", "session", "--session", "s", "--tokens", "900", "--reason", "x"]);
    shared.operator(&["alerts", "ack", "--all"]);
    // The operator's: those of the hooks and more.
    assert_eq!(unused(&users[1]), [] as [Value; 0]);
    assert!(!home.journal().contains("denies"), "{}", home.journal());
}

/// Calls of platforms are in no transcript, so only the server's file can bring them back.
#[test]
fn with_the_documented_default_user_an_append_only_file_is_loaded() {
    let line = "user default off ~* &* +@all";
    assert!(include_str!("../../../docs/shared-store.md").contains(line));
    let printed = Home::new().fusebox(&["redis", "acl", "--tenant", TENANT]).stdout;
    let users = format!("{line}\n{}", users::with_password(&printed));
    let mut server =
        Options::default().acl(&users).set("appendonly", "yes").set("appendfsync", "always").start();
    let password = server.path("password");
    std::fs::write(&password, PASSWORD).unwrap();
    let home = Home::new()
        .var("FUSEBOX_STORE_REDIS_URL", &server.socket_url().replace("//", "//fusebox-hook@"))
        .var("FUSEBOX_STORE_REDIS_PASSWORD_FILE", &password)
        .var("FUSEBOX_STORE_TENANT", TENANT);
    home.configure(
        "[[budget]]\nname = \"day\"\nscope = \"platform\"\nmatch = \"gemini\"\nunit = \"requests\"\nlimit = 9\nwindow = \"month\"\n",
    );
    let recorded = home.fusebox(&["quota", "record", "--platform", "gemini"]);
    assert_eq!(recorded.code, 0, "{recorded:?}");
    server.restart();
    let summary = home.fusebox(&["quota", "summary", "--json"]).json();
    assert_eq!(summary["gemini"]["used"], 1, "{summary}");
}
