//! `fusebox uninstall`: restores settings byte by byte, and removes nothing of others.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use crate::harness::{Home, message, run};

/// Typical settings, without Fusebox.
const SETTINGS: [&str; 9] = [
    "",
    "{}",
    "{ }\n\n",
    "{\n  \"hooks\": {}\n}\n",
    "{\"model\":\"opus\",\"hooks\":{\"Stop\":[]}}",
    "{\n\t\"permissions\": {\"allow\": [\"Bash(git *)\"]},\n\t\"n\": 2.50\n}",
    "{\n  \"hooks\": {\n    \"PreToolUse\": [{\"matcher\": \"Bash\", \"hooks\": [{\"type\": \"command\", \"command\": \"true\"}]}]\n  },\n  \"z\": 1\n}\n",
    "{\"hooks\": {\"Notification\": [{\"hooks\": [{\"type\": \"command\", \"command\": \"say \\\"hooks\\\"\"}]}]}, \"a\": \"{}\"}",
    "{\r\n  \"a\": 1\r\n}\r\n",
];

fn file(home: &Home) -> std::path::PathBuf {
    home.path("claude/settings.json")
}

fn put(home: &Home, text: &str) {
    fs::create_dir_all(home.path("claude")).unwrap();
    fs::write(file(home), text).unwrap();
}

fn read(home: &Home) -> String {
    fs::read_to_string(file(home)).unwrap()
}

#[track_caller]
fn fusebox(home: &Home, arguments: &[&str]) -> String {
    let ran = home.fusebox(arguments);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    ran.stdout
}

#[test]
fn init_and_uninstall_change_nothing() {
    for settings in SETTINGS {
        let home = Home::new();
        put(&home, settings);
        fusebox(&home, &["init"]);
        assert_ne!(read(&home), settings);
        let said = fusebox(&home, &["uninstall"]);
        assert!(said.contains("Hooks removed from") && said.contains("Backup"), "{said}");
        assert_eq!(read(&home), settings);
        // And again, with hooks of another folder in between.
        fusebox(&home, &["init"]);
        let moved = read(&home).replace("/pre-tool-use", "/../debug/pre-tool-use");
        put(&home, &moved);
        fusebox(&home, &["init"]);
        fusebox(&home, &["uninstall"]);
        assert_eq!(read(&home), settings);
    }
}

#[test]
fn a_file_that_init_made_goes() {
    let home = Home::new();
    fusebox(&home, &["init"]);
    let said = fusebox(&home, &["uninstall"]);
    assert!(said.contains("which contained nothing else"), "{said}");
    assert!(!file(&home).exists());
    assert!(fusebox(&home, &["uninstall"]).contains("No Fusebox hooks in"));
}

#[test]
fn what_came_in_since_stays_to_the_byte() {
    let home = Home::new();
    put(&home, "{\n  \"a\": 1\n}\n");
    fusebox(&home, &["init"]);
    let registered = read(&home);
    put(&home, &registered.replacen("\"a\": 1", "\"a\":   2,\n  \"b\": [1,2]", 1));
    fusebox(&home, &["uninstall"]);
    assert_eq!(read(&home), "{\n  \"a\":   2,\n  \"b\": [1,2]\n}\n");

    // Also if `init` created the file.
    let home = Home::new();
    fusebox(&home, &["init"]);
    let mut all: Value = serde_json::from_str(&read(&home)).unwrap();
    all["model"] = json!("opus");
    all["hooks"]["Stop"]
        .as_array_mut()
        .unwrap()
        .push(json!({"hooks": [{"type": "command", "command": "theirs"}]}));
    put(&home, &all.to_string());
    fusebox(&home, &["uninstall"]);
    let left: Value = serde_json::from_str(&read(&home)).unwrap();
    assert_eq!(
        left,
        json!({"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "theirs"}]}]}, "model": "opus"})
    );
}

#[test]
fn a_dry_run_only_shows() {
    let home = Home::new();
    put(&home, "{\"a\": 1}");
    fusebox(&home, &["init"]);
    let before = read(&home);
    let shown = fusebox(&home, &["uninstall", "--dry-run", "--purge"]);
    assert!(shown.contains("Changes to ") && shown.contains("\"hooks\": {"), "{shown}");
    assert!(shown.contains("Would remove") && shown.contains("state.db"), "{shown}");
    assert_eq!(read(&home), before);
    assert!(home.path("state/state.db").exists());
    let json: Value = serde_json::from_str(&fusebox(&home, &["uninstall", "--dry-run", "--json"])).unwrap();
    assert_eq!((&json["dry_run"], &json["files"][0]["changed"]), (&json!(true), &json!(true)));
    assert_eq!(json["purged"], json!([]));
}

#[test]
fn the_file_that_init_used_is_found_again() {
    let home = Home::new();
    fusebox(&home, &["init", "--local"]);
    let local = home.path("project/.claude/settings.local.json");
    assert!(local.exists());
    // From any folder.
    let ran = run(home.command("fusebox").arg("uninstall").current_dir("/"), b"");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(!local.exists(), "{ran:?}");
    fusebox(&home, &["init"]);
    fusebox(&home, &["init", "--project"]);
    fusebox(&home, &["uninstall", "--project"]);
    assert!(
        file(&home).exists() && !home.path("project/.claude/settings.json").exists(),
        "only what was named"
    );
}

#[test]
fn settings_that_are_not_understood_are_left_alone() {
    let home = Home::new();
    fusebox(&home, &["init"]);
    put(&home, "{\"hooks\": ");
    let ran = home.fusebox(&["uninstall", "--purge", "--yes"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
    assert!(ran.stderr.contains("settings.json") && ran.stderr.contains("Nothing was changed"), "{ran:?}");
    assert!(home.path("state/state.db").exists(), "nothing at all");
}

#[test]
fn purging_removes_what_is_fuseboxs_and_nothing_else() {
    let home = Home::new();
    fusebox(&home, &["init"]);
    home.configure("enabled = true\n");
    home.append(&home.transcript("s"), &[message(1, 1, 1)]);
    home.hook("PostToolUse", "s", json!({}));
    home.run("pre-tool-use", b"{");
    fs::write(home.path("state/mine.txt"), "mine").unwrap();
    symlink(home.path("project"), home.path("cache/guardrails-link.json")).unwrap();
    let ran = home.fusebox(&["uninstall", "--purge"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("there is no terminal; add --yes"), "{ran:?}");
    assert!(file(&home).exists(), "nothing was changed");

    let said = fusebox(&home, &["uninstall", "--purge", "--yes"]);
    assert!(said.contains("your configuration"), "{said}");
    let names = |place: &str| -> Vec<String> {
        fs::read_dir(home.path(place))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    assert_eq!(names("state"), ["mine.txt"]);
    assert_eq!(names("cache"), ["guardrails-link.json"]);
    assert!(home.path("project").exists() && home.path("config/fusebox/config.toml").exists());
    assert!(home.transcript("s").exists());

    // Otherwise empty folders are removed as well.
    let home = Home::new();
    fusebox(&home, &["init"]);
    home.hook("UserPromptSubmit", "s", json!({"prompt": "x"}));
    fusebox(&home, &["uninstall", "--purge", "--yes"]);
    assert!(!home.path("state").exists() && !home.path("cache").exists());
}

#[test]
fn not_in_an_agents_shell() {
    let home = Home::new();
    fusebox(&home, &["init"]);
    let ran =
        run(home.command("fusebox").args(["uninstall", "--purge", "--yes"]).env("CLAUDECODE", "1"), b"");
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("agent's shell"), "{ran:?}");
    assert!(file(&home).exists() && home.path("state/state.db").exists());
}
