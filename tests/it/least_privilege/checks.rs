//! `fusebox doctor` with a shared store.

use serde_json::{Value, json};

use super::{Shared, TENANT};
use crate::harness::{Home, message};
use crate::redis::{Options, Server, free_port};

const S: &str = "s";

/// What cannot be repaired record by record is refilled, once an administrator has flushed the server.
#[test]
fn a_session_without_its_messages_is_found_and_filled_anew() {
    let shared = used();
    shared.raw("fusebox-hook", &["ZREMRANGEBYSCORE", "fusebox:{acme}:d:messages:s", "-inf", "+inf"]);
    let report = doctor(&shared.home);
    assert_says(
        &findings(&report),
        "problem",
        "session s: 0 tokens in the store, 350 when counted again",
        "delete the tenant's keys",
    );
    for (key, _) in shared.everything().iter().filter(|(key, _)| key.starts_with("fusebox:{acme}:d:")) {
        shared.server.command(&["DEL", key]);
    }
    assert_eq!(shared.home.status(S)["budgets"][0]["used"], 330);
    assert_says(&findings(&doctor(&shared.home)), "ok", "counts match", "");
}

/// A read-only account does not have to refill a lost store.
#[test]
fn looking_leaves_a_store_that_is_being_filled_alone() {
    let shared = used();
    shared.server.command(&["FLUSHALL"]);
    shared.home.hook("PostToolUse", S, json!({}));
    let recovering = |home: &Home| home.status(S)["store"]["recovering"].clone();
    assert_eq!(recovering(&shared.home), json!([]));
    let account = shared.operator.iter().fold(Home::new(), |home, (name, value)| home.var(name, value));
    let account = account.var("FUSEBOX_STORE_TENANT", TENANT);
    doctor(&account);
    assert_eq!(recovering(&shared.home), json!([]));
}

/// The check's findings: severity, text, fix.
fn findings(report: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = report["findings"].as_array().unwrap().iter().filter(|f| f["check"] == "shared store");
    all.map(|f| (text(&f["severity"]), text(&f["found"]), text(&f["fix"]))).collect()
}

/// A home with a session with some messages, and registered hooks.
fn used() -> Shared {
    let shared = Shared::start();
    let home = &shared.home;
    assert_eq!(shared.operator(&["init"]).code, 0);
    home.append(&home.transcript(S), &[message(1, 100, 10), message(2, 200, 20)]);
    home.hook("SessionStart", S, json!({"source": "startup"}));
    home.hook("PostToolUse", S, json!({}));
    home.fusebox(&["status", "--session", S]);
    shared
}

fn doctor(home: &Home) -> Value {
    let ran = home.fusebox(&["doctor", "--json"]);
    assert_eq!(ran.stderr, "");
    ran.json()
}

#[track_caller]
fn assert_says(all: &[(String, String, String)], severity: &str, found: &str, fix: &str) {
    let is_it = |(s, f, m): &(String, String, String)| s == severity && f.contains(found) && m.contains(fix);
    assert!(all.iter().any(is_it), "no {severity} {found:?}: {all:#?}");
}

#[test]
fn it_says_who_asks_and_what_they_may() {
    let shared = used();
    let report = doctor(&shared.home);
    assert_eq!(report["holds"], true, "{report:#}");
    let all = findings(&report);
    assert_says(&all, "ok", "tenant acme: user fusebox-hook can record, but not decide", "");
    assert_says(&all, "ok", "counts match the transcripts of 1 session", "");
    assert_says(&all, "note", "may not read maxmemory-policy", "");
    assert_eq!(all.len(), 3, "{all:#?}");

    let all = findings(&shared.operator(&["doctor", "--json"]).json());
    assert_says(&all, "ok", "user fusebox-operator can record and decide", "");
    assert_says(&all, "note", "hooks do not need the right to extend", "");
    assert_eq!(all.len(), 3, "{all:#?}");

    shared.server.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let all = findings(&shared.operator(&["doctor", "--json"]).json());
    assert_says(&all, "warning", "evicts keys (allkeys-lru)", "maxmemory-policy noeviction");

    shared.server.command(&["ACL", "SETUSER", "fusebox-hook", "-hset"]);
    let report = doctor(&shared.home);
    assert_eq!(report["holds"], false);
    assert_says(&findings(&report), "problem", "lacks rights that hooks need", "fusebox redis acl");
}

#[test]
fn the_default_user_of_an_open_server_can_do_everything() {
    let server = Server::start();
    let home = Home::new().var("FUSEBOX_STORE_REDIS_URL", &server.socket_url());
    let all = findings(&home.fusebox(&["doctor", "--json"]).json());
    assert_says(&all, "ok", "user default can record and decide", "");
    assert!(all.iter().all(|(severity, ..)| severity == "ok" || severity == "note"), "{all:#?}");
}

#[test]
fn what_goes_in_the_clear_is_warned_of() {
    let url = format!("redis://fusebox-hook@redis.invalid:{}", free_port());
    let of = |url: &str| {
        let home =
            Home::new().var("FUSEBOX_STORE_REDIS_URL", url).var("FUSEBOX_STORE_REDIS_TIMEOUT_MS", "50");
        findings(&home.fusebox(&["doctor", "--json"]).json())
    };
    assert_says(&of(&url), "warning", "unencrypted", "rediss://");
    let fine = [
        "rediss://redis.invalid",
        &format!("redis://127.0.0.1:{}", free_port()),
        "redis://localhost:1",
        "redis://[::1]:1",
    ];
    for url in fine {
        assert_eq!(of(url), [], "{url}");
    }
}

/// Anyone with the hooks' password can write what hooks write. That is detected and repaired.
#[test]
fn falsified_counts_are_found_and_mended() {
    let shared = used();
    let home = &shared.home;
    let key = |part: &str| {
        let all = shared.everything();
        all.into_iter()
            .map(|(key, _)| key)
            .find(|key| key.contains(part))
            .unwrap_or_else(|| panic!("no {part}"))
    };
    let counter = key(":counter:session ");
    let since = shared.raw("fusebox-hook", &["HGETALL", &counter]).lines().next().unwrap().to_owned();
    let record = key(":message:");
    let whole = shared.raw("fusebox-hook", &["GET", &record]);
    let mut lowered: Value = serde_json::from_str(&whole).unwrap();
    for count in lowered["c"].as_array_mut().unwrap() {
        *count = json!(0);
    }
    let lowered = lowered.to_string();
    // The counter alone; a message that counts nothing; a forgotten message.
    for (words, said) in [
        (
            &["HSET", &counter, &since, "1,0,0,0,0,1,0,0,0"][..],
            "budget session of s: 1 tokens in the store, 330 when counted again",
        ),
        (&["SET", &record, &lowered], "session s: "),
        (&["SET", &record, "", "PX", "1"], "session s: "),
    ] {
        let answer = shared.raw("fusebox-hook", words);
        assert!(!answer.contains("denies"), "{words:?}: {answer}");
        shared
            .server
            .wait_for(&["EXISTS", &record], |there| words.len() < 5 || there == "0" || words[0] != "SET");
        let report = doctor(home);
        assert_eq!(report["holds"], false, "{words:?}: {report:#}");
        let all = findings(&report);
        assert_says(&all, "problem", "counts differ from the transcripts: ", "run `fusebox resync`");
        assert_says(&all, "problem", said, "");
        let ran = home.fusebox(&["resync"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        let report = doctor(home);
        assert_says(&findings(&report), "ok", "counts match", "");
        assert_eq!(
            (&report["holds"], &home.status(S)["budgets"][0]["used"]),
            (&json!(true), &json!(330)),
            "{words:?}"
        );
    }
    // More than in the transcripts need not be wrong.
    std::fs::write(home.transcript(S), format!("{}\n", message(1, 100, 10))).unwrap();
    home.hook("SessionEnd", S, json!({"reason": "other"}));
    let report = doctor(home);
    assert_says(&findings(&report), "warning", "counts more than the transcripts: session s", "deleted");
    assert_eq!(report["holds"], true, "{report:#}");
}

/// Unreadable records are named until somebody has inspected them; a record's name is untrusted text.
#[test]
fn records_that_cannot_be_read_are_named() {
    let shared = used();
    let damaged = "fusebox:{acme}:d:damaged";
    let keys = shared.everything().into_iter().map(|(key, _)| key);
    let mut messages: Vec<String> = keys.filter(|key| key.contains(":message:")).collect();
    messages.sort();
    for key in &messages {
        shared.raw("fusebox-hook", &["SET", key, "no JSON"]);
    }
    let [first, second] = &messages[..] else { panic!("{messages:?}") };
    let both = format!("2 records in Redis could not be read and were set aside: {first}, {second}");
    let fix = "run `fusebox resync`";
    assert_says(&findings(&doctor(&shared.home)), "warning", &both, fix);
    assert_eq!(shared.home.fusebox(&["resync"]).code, 0);
    let all = findings(&doctor(&shared.home));
    assert_says(&all, "warning", &both, "delete the hash");
    assert!(all.iter().all(|(severity, ..)| severity != "problem"), "{all:#?}");
    assert_eq!(shared.server.text(&["HGET", damaged, first]), "no JSON");
    for name in ["a", "a\u{1b}[31m\nb", "c"] {
        shared.raw("fusebox-hook", &["HSET", damaged, name, "x"]);
    }
    let said = r"5 records in Redis could not be read and were set aside: a, a\u{1b}[31m\nb, c, and 2 more";
    assert_says(&findings(&doctor(&shared.home)), "warning", said, fix);
    shared.raw("fusebox-hook", &["EXPIRE", damaged, "0"]);
    let all = findings(&doctor(&shared.home));
    assert!(all.iter().all(|(severity, ..)| severity != "warning"), "{all:#?}");
}

#[test]
fn decisions_that_are_missing_are_named() {
    let shared = used();
    let extend = ["budget", "extend", "session", "--session", S, "--tokens", "5000", "--reason", "x"];
    assert_eq!(shared.operator(&extend).code, 0);
    for (key, _) in shared.decided() {
        shared.server.command(&["DEL", &key]);
    }
    let all = findings(&doctor(&shared.home));
    assert_says(&all, "warning", "1 decision of this machine missing", "fusebox-operator@");
    assert_says(&all, "warning", "missing", "fusebox resync");
    assert_eq!(shared.operator(&["resync"]).code, 0);
    assert!(findings(&doctor(&shared.home)).iter().all(|(severity, ..)| severity != "warning"));
}

#[test]
fn an_evicting_server_is_one_with_room_too() {
    let server = Options::default().set("maxmemory-policy", "volatile-ttl").start();
    let home = Home::new().var("FUSEBOX_STORE_REDIS_URL", &server.socket_url());
    let all = findings(&home.fusebox(&["doctor", "--json"]).json());
    assert_says(&all, "warning", "volatile-ttl", "noeviction");
}
