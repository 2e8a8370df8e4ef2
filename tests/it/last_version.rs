//! An update: data of the previous version (the store's file, a session's cache, the settings) remains valid.

use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};

use crate::harness::{Home, message};

/// Tokens of the three responses counted by the previous version.
const COUNTED: [(u64, u64); 3] = [(500, 50), (300, 0), (250, 0)];

/// A home from the previous version: store and cache from `fixtures/stores`, and its settings.
fn updated() -> Home {
    let home = Home::new();
    home.configure("[[budget]]\nname = \"session\"\nlimit = 1000\non_limit = \"stop\"\n");
    let folder = home.path("");
    let folder = folder.to_str().unwrap().trim_end_matches('/');
    std::fs::create_dir_all(home.path("state")).unwrap();
    let db = rusqlite::Connection::open(home.path("state/state.db")).unwrap();
    let sql = include_str!("../fixtures/stores/version-5.sql").replace("@HOME@", folder);
    db.execute_batch(&sql).unwrap();

    let lines: Vec<Value> =
        COUNTED.iter().enumerate().map(|(i, (input, output))| message(i + 1, *input, *output)).collect();
    home.append(&home.transcript("s"), &lines);
    let inode = std::fs::metadata(home.transcript("s")).unwrap().ino();
    let cache = include_str!("../fixtures/stores/version-5-cache.json").replace("@HOME@", folder);
    let cache = cache.replace("@INODE@", &inode.to_string());
    private_folder(&home);
    std::fs::write(cache_file(&home), cache).unwrap();
    home
}

/// The folder of the caches, private to its owner.
fn private_folder(home: &Home) {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().mode(0o700).create(home.path("cache")).unwrap();
}

fn cache_file(home: &Home) -> std::path::PathBuf {
    home.path("cache/guardrails-s.json")
}

fn cache(home: &Home) -> Value {
    serde_json::from_slice(&std::fs::read(cache_file(home)).unwrap()).unwrap()
}

fn call(n: usize) -> Value {
    json!({"tool_name": "Bash", "tool_input": {"command": "true"}, "tool_use_id": format!("toolu_{n}")})
}

fn position(cache: &Value) -> &Value {
    cache["positions"].as_object().unwrap().values().next().unwrap()
}

#[test]
fn a_stop_of_the_version_before_holds_by_its_cache_alone() {
    let home = updated();
    std::fs::remove_dir_all(home.path("state")).unwrap();
    std::fs::write(home.path("state"), "no folder: no store can be opened").unwrap();
    let ran = home.hook("PreToolUse", "s", call(5));
    assert_eq!(ran.code, 0, "{ran:?}");
    let answer = ran.json();
    assert_eq!(answer["hookSpecificOutput"]["permissionDecision"], "deny", "{ran:?}");
    assert!(ran.stdout.contains("1,100 / 1,000 tokens"), "{ran:?}");
    assert_eq!(answer["continue"], false, "{ran:?}");
}

#[test]
fn the_configuration_in_the_cache_of_the_version_before_is_the_last_good_one() {
    let home = updated();
    home.configure("this is no TOML");
    let ran = home.hook("PreToolUse", "s", call(5));
    assert!(ran.stdout.contains("1,100 / 1,000 tokens"), "{ran:?}");
}

#[test]
fn messages_of_the_version_before_are_read_again_and_count_once() {
    let home = updated();
    let before = cache(&home);
    home.append(&home.transcript("s"), &[message(4, 70, 0)]);
    let mut fields = call(4);
    fields["tool_response"] = json!({"stdout": "", "stderr": ""});
    assert_eq!(home.hook("PostToolUse", "s", fields).code, 0);

    let after = cache(&home);
    let length = std::fs::metadata(home.transcript("s")).unwrap().len();
    assert_eq!(position(&after)["offset"], length, "{after}");
    assert_ne!(after["epoch"], before["epoch"]);
    assert_eq!(after["ladder"][""]["stopped"], true, "{after}");

    let status = home.status("s");
    let budget = &status["budgets"][0];
    assert_eq!((&budget["used"], &budget["limit"]), (&json!(1170), &json!(1000)), "{status}");
    assert_eq!((&status["stopped"], &status["requests"]), (&json!(true), &json!(4)), "{status}");
    assert_eq!(status["tokens"]["input"], 1120, "{status}");
    assert_eq!(home.totals(), [1120, 50, 4]);
    let alerts = home.fusebox(&["alerts", "list", "--json"]).json();
    assert_eq!(alerts.as_array().unwrap().len(), 4, "none twice: {alerts}");
    assert_eq!(home.journal(), "", "nothing failed");
}
