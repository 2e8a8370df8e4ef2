//! What hooks can do with their user, what they cannot, and who can.

use serde_json::{Value, json};

use super::Shared;
use crate::harness::{Home, Ran, message};
use crate::terminal::prompt_from;

const S: &str = "s";

/// A session that used 1,100 of 1,000 tokens.
fn over() -> Shared {
    let furnish = |home: Home| {
        home.var("FUSEBOX_BUDGET_SESSION_LIMIT", "1000").var("CLAUDE_CODE_SESSION_ATTENDED", "1")
    };
    let shared = Shared::with(furnish);
    shared.home.append(&shared.home.transcript(S), &[message(1, 1000, 100)]);
    shared.home.hook("SessionStart", S, json!({"source": "startup"}));
    shared.home.hook("PostToolUse", S, json!({}));
    shared
}

fn budget(shared: &Shared) -> Value {
    shared.home.status(S)["budgets"][0].clone()
}

fn call(n: usize) -> Value {
    json!({"tool_name": "Bash", "tool_use_id": format!("toolu_{n}"), "tool_input": {"command": "make"}})
}

fn is_denied(ran: &Ran) -> bool {
    ran.stdout.contains("\"permissionDecision\":\"deny\"")
}

#[test]
fn hooks_record_warn_and_deny() {
    let shared = over();
    let home = &shared.home;
    assert_eq!((&budget(&shared)["used"], &budget(&shared)["status"]), (&json!(1100), &json!("paused")));
    assert!(is_denied(&home.hook("PreToolUse", S, call(9))));
    let alerts = home.fusebox(&["alerts", "list", "--json"]).json();
    assert_eq!(alerts.as_array().unwrap().len(), 4, "{alerts}");
    assert!(home.hook("UserPromptSubmit", S, json!({"prompt": "go on"})).stdout.contains("block"));
    assert_eq!(home.journal(), "");
    assert_eq!(shared.decided(), [], "nothing that people decide");
}

#[test]
fn hooks_trip_the_breaker_and_throttle() {
    let furnish = |home: Home| {
        home.var("FUSEBOX_THROTTLE_HARD_LIMIT_TOKENS", "1000000").var("FUSEBOX_THROTTLE_MAX_CONCURRENCY", "1")
    };
    let shared = Shared::with(furnish);
    let home = &shared.home;
    for n in 1..=5 {
        assert!(home.hook("PreToolUse", S, call(n)).is_silent());
        let mut over = call(n);
        over["tool_response"] = json!({"stdout": "no rule", "stderr": "", "interrupted": false});
        home.hook("PostToolUse", S, over.clone());
        home.hook("PostToolBatch", S, json!({"tool_calls": [over]}));
    }
    assert_eq!(home.status(S)["circuit"]["state"], "open");
    // Breakers are data of hooks, so a person at a terminal can decide about them with the hooks' user.
    let ran = home.fusebox(&["circuit", "ack", "--session", S, "--reason", "seen"]);
    assert_eq!(ran.code, 0, "{ran:?}");

    let ask = |id: &str| {
        let call = json!({"tool_name": "Agent", "tool_use_id": id, "tool_input": {"prompt": id}});
        home.hook("PreToolUse", "t", call)
    };
    assert!(!is_denied(&ask("a1")));
    assert!(is_denied(&ask("a2")), "one at a time");
    home.hook(
        "PostToolUse",
        "t",
        json!({"tool_name": "Agent", "tool_use_id": "a1", "tool_response": {"status": "completed"}}),
    );
    assert!(!is_denied(&ask("a2")));
    assert_eq!(home.journal(), "");
}

#[test]
fn hooks_fill_a_store_that_lost_everything() {
    let shared = over();
    let home = &shared.home;
    shared.server.command(&["FLUSHALL"]);
    home.append(&home.transcript(S), &[message(2, 10, 1)]);
    home.hook("SessionStart", S, json!({"source": "resume"}));
    home.hook("PostToolUse", S, json!({}));
    assert_eq!(budget(&shared)["used"], 1111);
    assert!(!home.fusebox(&["status"]).stdout.contains("recover"), "it is filled");
    assert!(!home.journal().contains("denies"), "{}", home.journal());
}

/// A machine's ledger has the operator's decisions there. Hooks may not replay them, but everything else is refilled.
#[test]
fn decisions_that_redis_lost_are_told_by_the_operator() {
    let shared = over();
    let home = &shared.home;
    let extend = ["budget", "extend", "session", "--session", S, "--tokens", "5000", "--reason", "x"];
    assert_eq!(shared.operator(&extend).code, 0);
    assert_eq!(budget(&shared)["limit"], 6000);
    shared.server.command(&["FLUSHALL"]);
    home.append(&home.transcript(S), &[message(2, 10, 1)]);
    home.hook("SessionStart", S, json!({"source": "resume"}));
    home.hook("PostToolUse", S, json!({}));
    assert_eq!((&budget(&shared)["used"], &budget(&shared)["limit"]), (&json!(1111), &json!(1000)));
    assert_eq!(home.fusebox(&["status", "--json"]).code, 0);
    let ran = home.fusebox(&["resync"]);
    assert!(
        ran.code == 1
            && ran.stderr.starts_with("fusebox: 1 decision of /")
            && ran.stderr.contains("operations.jsonl is still missing"),
        "{ran:?}"
    );
    assert!(
        ran.stderr
            .trim_end()
            .ends_with("FUSEBOX_STORE_REDIS_PASSWORD_FILE=FILE FUSEBOX_STORE_TENANT=acme fusebox resync"),
        "{ran:?}"
    );
    assert_eq!(ran.stderr.lines().count(), 1, "the store is filled otherwise: {ran:?}");
    let ran = shared.operator(&["resync", "--json"]);
    assert_eq!((ran.code, &ran.json()["operations_added"]), (0, &json!(1)), "{ran:?}");
    assert_eq!(budget(&shared)["limit"], 6000);
    assert!(!home.journal().contains("denies"), "{}", home.journal());
}

/// Every command that decides, as typed.
fn decisions() -> [Vec<&'static str>; 4] {
    let of = |what| vec!["budget", what, "session", "--session", S, "--reason", "because"];
    let extend = [of("extend"), vec!["--tokens", "5000"]].concat();
    [extend, of("reset"), of("delete"), vec!["alerts", "ack", "--all"]]
}

#[test]
fn a_hooks_user_decides_nothing_and_is_told_who_can() {
    let shared = over();
    let home = &shared.home;
    let (before, kept) = (budget(&shared), shared.everything());
    for decision in decisions() {
        let ran = home.fusebox(&decision);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{decision:?}: {ran:?}");
        let named =
            ["budget", "alerts"].iter().find_map(|word| ran.stderr.split_once(&format!(" fusebox {word} ")));
        let (said, _) = named.unwrap_or_else(|| panic!("names no command: {ran:?}"));
        assert!(ran.stderr.contains(&format!("fusebox {} {}", decision[0], decision[1])), "{ran:?}");
        assert!(said.contains("may record, but not decide") && said.contains("nothing was "), "{said}");
        assert!(said.contains("FUSEBOX_STORE_REDIS_URL=unix://fusebox-operator@/"), "{said}");
        assert!(said.ends_with("FUSEBOX_STORE_REDIS_PASSWORD_FILE=FILE FUSEBOX_STORE_TENANT=acme"), "{said}");
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    }
    assert_eq!(budget(&shared), before);
    assert_eq!(shared.decided(), []);
    let keys = |all: Vec<(String, String)>| {
        all.into_iter().map(|(key, _)| key).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(keys(shared.everything()), keys(kept), "nothing was begun");
    assert!(is_denied(&home.hook("PreToolUse", S, call(9))));
    // The store works, so hooks keep calling it.
    home.append(&home.transcript(S), &[message(2, 10, 1)]);
    home.hook("PostToolUse", S, json!({}));
    assert_eq!((budget(&shared)["used"].clone(), home.journal()), (json!(1111), String::new()));
}

#[test]
fn an_operator_decides_by_the_same_commands() {
    let shared = over();
    let home = &shared.home;
    for decision in decisions() {
        let ran = shared.operator(&decision);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{decision:?}: {ran:?}");
    }
    assert_eq!(home.fusebox(&["alerts", "list", "--json"]).json(), json!([]));
    assert_eq!(home.status(S)["budgets"], json!([]), "it was deleted last");
    // Hooks still log in with their own user.
    assert!(!is_denied(&home.hook("PreToolUse", S, call(9))));
    home.append(&home.transcript(S), &[message(2, 10, 1)]);
    home.hook("PostToolUse", S, json!({}));
    assert_eq!(home.journal(), "");
    shared.server.command(&["ACL", "DELUSER", "fusebox-operator"]);
    home.append(&home.transcript(S), &[message(3, 10, 1)]);
    home.hook("PostToolUse", S, json!({}));
    assert_eq!((home.status(S)["tokens"]["input"].clone(), home.journal()), (json!(1020), String::new()));
}

#[test]
fn a_prompt_of_a_hooks_user_is_answered_with_the_operators_command() {
    let shared = over();
    let home = &shared.home;
    for (prompt, command) in [
        (
            "fusebox: extend session 50k because x",
            "fusebox budget extend session --session s --tokens 50000 --reason",
        ),
        ("fusebox: reset because x", "fusebox budget reset session --session s --reason"),
    ] {
        let payload = home.payload(
            "UserPromptSubmit",
            S,
            json!({"prompt": prompt, "prompt_id": "p-1", "permission_mode": "default"}),
        );
        let ran = prompt_from(home, &payload, None);
        let reason = ran.json()["reason"].as_str().unwrap().to_owned();
        assert!(reason.starts_with("Fusebox: nothing was changed: this Redis user may record"), "{reason}");
        assert!(reason.contains("FUSEBOX_STORE_REDIS_URL=unix://fusebox-operator@/"), "{reason}");
        assert!(reason.contains(command), "{reason}");
    }
    assert_eq!((shared.decided(), budget(&shared)["limit"].clone()), (vec![], json!(1000)));
    assert!(is_denied(&home.hook("PreToolUse", S, call(9))));
}

#[test]
fn by_itself_a_hooks_user_reaches_nothing_else_either() {
    let shared = over();
    shared.operator(&["budget", "extend", "session", "--session", S, "--tokens", "5000", "--reason", "x"]);
    let decided = shared.decided();
    let (operations, _) = decided.iter().find(|(key, _)| key.contains(":operations:")).unwrap();
    for words in [
        &["SET", operations, "[]"][..],
        &["DEL", operations],
        &["EXPIRE", operations, "1"],
        &["HSET", "fusebox:{acme}:o:acknowledged", "1", "x"],
        &["SET", "fusebox:{acme}:o:installed", "1"],
        &["SET", "fusebox:{other}:d:epoch", "1"],
        &["GET", "fusebox:{other}:d:epoch"],
        &["GET", "elsewhere"],
        &["RENAME", "fusebox:{acme}:d:epoch", operations],
        &["COPY", operations, "fusebox:{acme}:d:x"],
        &["FLUSHALL"],
        &["KEYS", "*"],
        &["SCAN", "0"],
        &["CONFIG", "GET", "*"],
        &["ACL", "LIST"],
        &["ACL", "SETUSER", "fusebox-hook", "~*"],
        &["SCRIPT", "FLUSH"],
        &["SHUTDOWN"],
        &["EVAL", "return 1", "0"],
        &["PUBLISH", "x", "y"],
        &["MONITOR"],
    ] {
        let said = shared.raw("fusebox-hook", words);
        assert!(said.contains("NoPerm"), "{words:?}: {said}");
    }
    assert!(shared.raw("fusebox-hook", &["GET", operations]).contains("5000"), "it reads what holds");
    for words in [
        &["GET", "fusebox:{other}:d:epoch"][..],
        &["SCAN", "0"],
        &["FLUSHALL"],
        &["CONFIG", "GET", "*"],
        &["KEYS", "*"],
    ] {
        let said = shared.raw("fusebox-operator", words);
        assert!(said.contains("NoPerm"), "{words:?}: {said}");
    }
    assert_eq!(shared.decided(), decided);
}

#[test]
fn init_goes_on_without_noting_the_installation() {
    let shared = Shared::start();
    let home = &shared.home;
    let ran = home.fusebox(&["init"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("fusebox: warning: the shared store does not know when"), "{ran:?}");
    assert!(ran.stderr.contains("redis://") || ran.stderr.contains("unix://fusebox-operator@"), "{ran:?}");
    assert!(
        ran.stderr
            .trim_end()
            .ends_with("FUSEBOX_STORE_REDIS_PASSWORD_FILE=FILE FUSEBOX_STORE_TENANT=acme fusebox init"),
        "{ran:?}"
    );
    assert!(home.path("claude/settings.json").exists() && home.path("state/install.json").exists());
    assert_eq!(shared.decided(), []);
    let ran = shared.operator(&["init"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert_eq!(shared.decided().len(), 1);
    // Now recorded, whatever the machine.
    let ran = home.fusebox(&["init"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
}

/// Whichever permission is missing, hooks stay silent, and a step is recorded completely or not at all.
#[test]
fn who_may_not_do_all_of_a_step_does_none_of_it() {
    let shared = over();
    let home = &shared.home;
    let stored = || {
        let mut all = shared.everything();
        all.sort();
        all
    };
    let messages = |all: &[(String, String)]| all.iter().filter(|(key, _)| key.contains(":message:")).count();
    let commands = home.fusebox(&["redis", "acl", "--json"]).json()[0]["commands"].clone();
    let mut refused = 0;
    for (n, command) in commands.as_array().unwrap().iter().map(|c| c.as_str().unwrap()).enumerate() {
        let before = stored();
        shared.server.command(&["ACL", "SETUSER", "fusebox-hook", &format!("-{command}")]);
        home.append(&home.transcript(S), &[message(n + 10, 10, 1)]);
        let ran = home.hook("PostToolUse", S, json!({}));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{command}: {ran:?}");
        let after = stored();
        if messages(&after) == messages(&before) {
            assert_eq!(after, before, "without {command}");
            home.wake_store(S);
            refused += 1;
        }
        shared.server.command(&["ACL", "SETUSER", "fusebox-hook", &format!("+{command}")]);
        home.hook("PostToolUse", S, json!({}));
        assert_eq!(budget(&shared)["used"], 1100 + 11 * (n + 1), "after {command} was missing");
    }
    assert!(refused >= 10, "{refused}");
    let forever =
        shared.everything().into_iter().filter(|(key, _)| shared.server.text(&["TTL", key]) == "-1");
    assert_eq!(forever.collect::<Vec<_>>(), [], "keys that live for ever");
}
