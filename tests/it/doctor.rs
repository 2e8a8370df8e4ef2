//! `fusebox doctor`: passes if the guard works, and finds each problem that breaks it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Home, Ran, message, program_path, run};

/// A home with the hooks registered.
fn registered() -> Home {
    let home = Home::new();
    assert_eq!(home.fusebox(&["init"]).code, 0);
    home
}

fn doctor(home: &Home) -> Value {
    let ran = home.fusebox(&["doctor", "--json"]);
    let report = ran.json();
    assert_eq!(ran.code, i32::from(report["holds"] == false), "{ran:?}");
    assert_eq!(ran.stderr, "");
    report
}

/// A check's findings of this severity.
fn found(report: &Value, check: &str, severity: &str) -> Vec<String> {
    let all = report["findings"].as_array().unwrap().iter();
    let those = all.filter(|f| f["check"] == check && f["severity"] == severity);
    those.map(|f| f["found"].as_str().unwrap().to_owned()).collect()
}

/// Asserts that there is such a finding with a fix, and that the exit code matches.
#[track_caller]
fn assert_found(home: &Home, check: &str, severity: &str, text: &str) {
    let report = doctor(home);
    let texts = found(&report, check, severity);
    assert!(texts.iter().any(|t| t.contains(text)), "no {severity} of {check} says {text:?}: {report:#}");
    let is_problem = |f: &Value| f["severity"] == "problem";
    assert_eq!(report["holds"] == false, report["findings"].as_array().unwrap().iter().any(is_problem));
    if severity != "note" {
        let mends = report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|f| f["check"] == check && f["severity"] == severity);
        assert!(mends.into_iter().all(|f| !f["fix"].as_str().unwrap_or_default().is_empty()), "{report:#}");
    }
}

fn settings(home: &Home) -> Value {
    serde_json::from_slice(&fs::read(home.path("claude/settings.json")).unwrap()).unwrap()
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Changes the user's settings.
fn change(home: &Home, change: impl FnOnce(&mut Value)) {
    let mut all = settings(home);
    change(&mut all);
    write(&home.path("claude/settings.json"), &all.to_string());
}

/// A script in the home folder.
fn script(home: &Home, name: &str, text: &str) -> String {
    let path = home.path(name);
    write(&path, &format!("#!/bin/sh\n{text}\n"));
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_fresh_installation_is_green() {
    let home = registered();
    let report = doctor(&home);
    assert_eq!(report["holds"], true, "{report:#}");
    for check in ["executables", "hooks", "denial", "folders", "store", "journal", "configuration"] {
        assert_eq!(found(&report, check, "ok").len(), 1, "{check}: {report:#}");
    }
    // The check leaves nothing in the person's own store.
    assert_eq!(home.fusebox(&["status", "--all", "--json"]).json(), json!([]));
    assert!(!home.path("cache").exists() || fs::read_dir(home.path("cache")).unwrap().next().is_none());
    assert_eq!(home.journal(), "");
}

#[test]
fn people_see_what_to_do() {
    let home = Home::new();
    let ran = home.fusebox(&["doctor"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stdout.contains("✗ hooks         no hook is registered\n                → run `fusebox init`"),
        "{ran:?}"
    );
    assert!(ran.stdout.ends_with("The hooks would not stop an agent. 2 problems, 1 warning.\n"), "{ran:?}");
    assert!(ran.stdout.lines().all(|line| line.chars().count() <= 80), "{ran:?}");
    let ran = registered().fusebox(&["doctor"]);
    assert!(ran.stdout.ends_with("The hooks work. 0 problems, 0 warnings.\n"), "{ran:?}");
    let ran = home.fusebox(&["doctor", "--dir", "nowhere"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("no such folder"), "{ran:?}");
}

/// Lines fit the terminal, or 80 columns without one; words are not split.
#[test]
fn lines_keep_to_the_terminal() {
    let home = registered().var("NO_COLOR", "1");
    // A path is one word, however long.
    let folder = Path::new(program_path("fusebox")).parent().unwrap().to_str().unwrap();
    let lines = |shown: &str| {
        shown.lines().filter(|line| !line.contains(folder)).map(str::to_owned).collect::<Vec<_>>()
    };
    let widest = |shown: &str| lines(shown).iter().map(|line| line.trim_end().chars().count()).max().unwrap();
    let within = |columns: usize| {
        let command = format!("stty rows 24 cols {columns}; exec {} doctor", program_path("fusebox"));
        let ran = run(home.furnish(Command::new("script")).args(["-qec", &command, "/dev/null"]), b"");
        assert!(ran.stdout.contains("The hooks work."), "{ran:?}");
        ran.stdout
    };
    let piped = home.fusebox(&["doctor"]).stdout;
    let words = |shown: &str| shown.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    for (columns, shown) in [(80, piped.clone()), (80, within(80)), (120, within(120))] {
        assert!(widest(&shown) <= columns, "{columns}: {shown}");
        assert_eq!(words(&shown), words(&piped), "{columns}");
        let paths = ["state", "cache"].map(|name| home.path(name).display().to_string());
        assert!(paths.iter().all(|path| shown.contains(path)), "{columns}: {shown}");
    }
    assert!(widest(&within(120)) > 80);
}

#[test]
fn missing_executables_are_found() {
    let home = registered();
    change(&home, |all| {
        all["hooks"]["PreToolUse"][0]["hooks"][0]["command"] = json!(home.path("gone/pre-tool-use"));
    });
    assert_found(&home, "executables", "problem", "gone/pre-tool-use: No such file");
    assert_found(&home, "denial", "problem", "was not stopped");

    let home = registered();
    let copy = home.path("bin/pre-tool-use");
    fs::create_dir_all(copy.parent().unwrap()).unwrap();
    fs::copy(program_path("pre-tool-use"), &copy).unwrap();
    fs::set_permissions(&copy, Permissions::from_mode(0o644)).unwrap();
    change(&home, |all| all["hooks"]["PreToolUse"][0]["hooks"][0]["command"] = json!(copy));
    assert_found(&home, "executables", "problem", "is not executable");
}

#[test]
fn hooks_that_are_missing_limited_or_not_waited_for_are_found() {
    type Change = fn(&mut Value);
    let cases: [(Change, &str, &str); 8] = [
        (
            |all| drop(all["hooks"].as_object_mut().unwrap().remove("PreCompact")),
            "problem",
            "not registered: PreCompact",
        ),
        (
            |all| drop(all["hooks"].as_object_mut().unwrap().remove("PostToolBatch")),
            "problem",
            "not registered: PostToolBatch",
        ),
        (|all| all["hooks"]["PreToolUse"][0]["matcher"] = json!("Bash"), "problem", "limited to \"Bash\""),
        (|all| all["hooks"]["Stop"][0]["hooks"][0]["async"] = json!(true), "problem", "is async"),
        (
            |all| all["hooks"]["Stop"][0]["hooks"][0]["timeout"] = json!(1),
            "problem",
            "timeout of 1 s, shorter",
        ),
        (
            |all| all["hooks"]["Stop"][0]["hooks"][0]["timeout"] = json!(60),
            "note",
            "timeout of 60 s, not 2 s",
        ),
        (|all| all["hooks"]["Stop"][0]["hooks"][0]["type"] = json!("comand"), "problem", "ignores all hooks"),
        (|all| all["disableAllHooks"] = json!(true), "problem", "disableAllHooks is true"),
    ];
    for (with, severity, text) in cases {
        let home = registered();
        change(&home, with);
        assert_found(&home, "hooks", severity, text);
    }
    let home = registered();
    let own = settings(&home)["hooks"]["Stop"].clone();
    write(
        &home.path("project/.claude/settings.local.json"),
        &json!({"hooks": {"Stop": own, "Notification": own}}).to_string(),
    );
    assert_found(&home, "hooks", "warning", "registered 2 times at Stop (user, local settings)");
    assert_found(&home, "hooks", "warning", "does not handle this event");
}

#[test]
fn a_later_layer_has_the_last_word() {
    let home = registered();
    write(&home.path("project/.claude/settings.json"), r#"{"disableAllHooks": true}"#);
    assert_found(&home, "hooks", "problem", "project/.claude/settings.json: no hook runs");
    write(&home.path("project/.claude/settings.local.json"), r#"{"disableAllHooks": false}"#);
    assert_eq!(doctor(&home)["holds"], true);
    // Only an administrator can exclude other hooks.
    change(&home, |all| all["allowManagedHooksOnly"] = json!(true));
    assert_eq!(doctor(&home)["holds"], true);
    // Another project is not affected.
    fs::write(home.path("project/.claude/settings.local.json"), "{}").unwrap();
    fs::create_dir_all(home.path("elsewhere")).unwrap();
    assert_eq!(doctor(&home)["holds"], false);
    let elsewhere = home.fusebox(&["doctor", "--dir", home.path("elsewhere").to_str().unwrap()]);
    assert_eq!(elsewhere.code, 0, "{elsewhere:?}");
}

#[test]
fn settings_that_are_no_json_are_found() {
    let home = registered();
    write(&home.path("claude/settings.json"), "{ \"hooks\": ");
    assert_found(&home, "hooks", "problem", "settings.json");
    assert_found(&home, "hooks", "problem", "no hook is registered");
}

#[test]
fn a_command_that_does_not_deny_is_found() {
    for (text, said) in [
        ("exit 0 # fusebox", "answered nothing"),
        ("exit 1 # fusebox", "failed (exit status: 1)"),
        ("echo hello # fusebox", "did not answer with JSON"),
        (
            "echo '{\"hookSpecificOutput\":{\"permissionDecision\":\"allow\"}}' # fusebox",
            "instead of a denial",
        ),
    ] {
        let home = registered();
        let fake = script(&home, "bin/pre-tool-use", text);
        change(&home, |all| all["hooks"]["PreToolUse"][0]["hooks"][0]["command"] = json!(fake));
        assert_found(&home, "denial", "problem", said);
    }
    // In shell form, with variables and redirections, it is checked in the same way.
    let home = registered();
    change(&home, |all| {
        let line = format!("X=1 '{}' 2>/dev/null", program_path("pre-tool-use"));
        all["hooks"]["PreToolUse"][0]["hooks"][0] = json!({"type": "command", "command": line, "timeout": 2});
    });
    let report = doctor(&home);
    assert_eq!(found(&report, "denial", "ok").len(), 1, "{report:#}");
}

#[test]
fn other_folders_than_the_hooks_are_found() {
    let home = registered().var("FUSEBOX_CACHE_DIR", "/nowhere/cache");
    assert_found(&home, "folders", "warning", "the cache folder is /nowhere/cache in this terminal, but was");
    let home = registered();
    change(&home, |all| all["env"] = json!({"FUSEBOX_STATE_DIR": "/other", "FUSEBOX_ENABLED": "0"}));
    assert_found(&home, "folders", "problem", "sets FUSEBOX_STATE_DIR=/other for the hooks");
    assert_found(&home, "folders", "warning", "sets FUSEBOX_ENABLED=0 for the hooks");
    let home = Home::new();
    assert_found(&home, "folders", "warning", "left no record");
}

#[test]
fn an_unfit_cache_folder_is_found() {
    let home = registered();
    fs::create_dir(home.path("cache")).unwrap();
    fs::set_permissions(home.path("cache"), Permissions::from_mode(0o755)).unwrap();
    assert_found(&home, "folders", "problem", "is readable by others");
    fs::remove_dir(home.path("cache")).unwrap();
    symlink(home.path("project"), home.path("cache")).unwrap();
    assert_found(&home, "folders", "problem", "is a symbolic link");
    fs::remove_file(home.path("cache")).unwrap();
    fs::write(home.path("cache"), "").unwrap();
    assert_found(&home, "folders", "problem", "is not a folder");
}

#[test]
fn a_store_that_cannot_be_used_or_was_lost_is_found() {
    let home = registered();
    // The log as well: it contains whole pages.
    fs::remove_file(home.path("state/state.db-wal")).unwrap();
    fs::write(home.path("state/state.db"), vec![b'x'; 8192]).unwrap();
    assert_found(&home, "store", "warning", "the store was corrupt");
    assert_found(&home, "store", "warning", "being refilled from the transcripts");
    assert_found(&home, "store", "note", "set aside: 1 corrupt store, the latest as");
    assert_eq!(home.fusebox(&["status"]).code, 0);
    assert_eq!(found(&doctor(&home), "store", "ok").len(), 1);

    let home = registered();
    fs::remove_dir_all(home.path("state")).unwrap();
    fs::write(home.path("state"), "in the way").unwrap();
    assert_found(&home, "store", "problem", "state");
}

#[test]
fn journalled_failures_are_found() {
    let home = registered();
    home.run("pre-tool-use", b"{");
    home.run("pre-tool-use", b"{");
    assert_found(&home, "journal", "warning", "pre-tool-use failed 2 times, last at");
    let old = json!({"at": 1, "hook": "post-tool-use", "problem": "long ago"});
    fs::write(home.path("state/journal.jsonl"), format!("{old}\nnot json\n")).unwrap();
    assert_eq!(found(&doctor(&home), "journal", "ok"), ["no failures in the last 24 hours, 1 older"]);
}

#[test]
fn what_the_configuration_gives_away_is_found() {
    let home = registered();
    home.configure("[[budget]]\nname = \"session\"\nlimit = -1\n");
    assert_found(&home, "configuration", "problem", "limit");
    home.configure("[[budget]]\nname = \"session\"\nmode = \"shadow\"\n");
    assert_found(&home, "configuration", "problem", "no budget stops an agent");
    home.configure("enabled = false\n");
    assert_found(&home, "configuration", "problem", "hooks do nothing");
    home.configure("");
    write(
        &home.path("project/.claude/fusebox.toml"),
        "[[budget]]\nname = \"session\"\nlimit = 500\nwrap_up = 9\n",
    );
    assert_found(&home, "configuration", "note", "the project sets budget.session.limit = 500");
    assert_found(&home, "configuration", "warning", "wrap_up");
    assert_eq!(doctor(&home)["holds"], true, "a project can only tighten");
}

#[test]
fn the_clients_version_is_judged() {
    for (printed, severity, text) in [
        ("2.1.330 (Claude Code)", "ok", "is 2.1.330, a tested version"),
        ("2.1.332 (Claude Code)", "ok", "is 2.1.332, a tested version"),
        ("2.1.250 (Claude Code)", "ok", "between tested versions"),
        ("2.1.42 (Claude Code)", "problem", "versions before 2.1.197 are not known to obey stops"),
        ("9.0.0 (Claude Code)", "note", "newer than 2.1.332"),
        ("hello", "warning", "--version printed \"hello\""),
    ] {
        let home = registered();
        let client = script(&home, "bin/claude", &format!("echo '{printed}'"));
        let ran = home.fusebox(&["doctor", "--json", "--client", &client]);
        let texts = found(&ran.json(), "client", severity);
        assert!(texts.iter().any(|t| t.contains(text)), "{printed}: {ran:?}");
        assert_eq!(ran.code, i32::from(severity == "problem"));
    }
    assert_found(&registered(), "client", "note", "no claude on the PATH");
    // A client that does not know an event needs no hook for it.
    let home = Home::new();
    let client = script(&home, "bin/claude", "echo '2.1.197 (Claude Code)'");
    assert_eq!(home.fusebox(&["init", "--client", &client]).code, 0);
    assert_eq!(home.fusebox(&["doctor", "--client", &client]).code, 0);
    assert_found(&home, "hooks", "problem", "not registered: PostModelSwitch");
}

#[test]
fn a_session_that_no_hook_reported_is_found() {
    let home = registered();
    home.append(&home.transcript("s"), &[message(1, 1, 1)]);
    assert_found(&home, "sessions", "warning", "1 active session was never reported by a hook");
    home.hook("PostToolUse", "s", json!({}));
    assert_eq!(found(&doctor(&home), "sessions", "warning"), Vec::<String>::new());
}

#[test]
fn charges_of_unknown_kinds_are_named() {
    let home = registered();
    let mut line = message(1, 10, 5);
    let part = |kind: &str| json!({"type": kind, "input_tokens": 100, "output_tokens": 20, "model": "claude-other-1"});
    line["message"]["usage"]["iterations"] =
        ["message", "advisor_message", "tarot_reading", "not a name"].map(part).as_slice().into();
    home.append(&home.transcript("s"), &[line]);
    home.hook("PostToolUse", "s", json!({}));
    assert_found(&home, "sessions", "warning", "charged beside the totals: ?, tarot_reading");
    // 10 and 5 of the response, three parts of 120.
    assert_eq!(home.status("s")["budgets"][0]["used"], 375);
}

#[test]
fn models_without_an_exact_price_are_named() {
    let home = registered();
    let mut known = message(1, 10, 5);
    known["message"]["model"] = json!("claude-opus-5");
    home.append(&home.transcript("s"), &[known]);
    home.hook("PostToolUse", "s", json!({}));
    assert_eq!(found(&doctor(&home), "prices", "warning"), Vec::<String>::new());
    home.append(&home.transcript("s"), &[message(2, 10, 5)]);
    home.hook("PostToolUse", "s", json!({}));
    let named = "1 model without an exact price, charged as estimates: claude-test-1";
    assert_found(&home, "prices", "warning", named);
    let fix = doctor(&home)["findings"].as_array().unwrap().last().unwrap()["fix"].clone();
    assert!(fix.as_str().unwrap().contains("`fusebox prices check`"), "{fix}");
    assert!(fix.as_str().unwrap().contains("[prices]"), "{fix}");
    // The ledger alone.
    let other = Home::new();
    other.append(&other.transcript("s"), &[message(1, 10, 5)]);
    assert_eq!(other.fusebox(&["import"]).code, 0);
    assert!(found(&doctor(&other), "prices", "warning")[0].contains(named));
}

#[cfg(feature = "test-clock")]
#[test]
fn an_installation_in_the_future_is_found_and_makes_no_history() {
    let home = Home::new();
    let clock = home.path("clock");
    write(&clock, "400000000000");
    let home = home.var("FUSEBOX_TEST_CLOCK", &clock.to_string_lossy());
    assert_eq!(home.fusebox(&["init"]).code, 0);
    write(&clock, "0");
    assert_found(&home, "store", "warning", "which is in the future");
    home.append(&home.transcript("s"), &[message(1, 10, 5)]);
    home.hook("PostToolUse", "s", json!({}));
    let budget = &home.status("s")["budgets"][0];
    assert_eq!((&budget["used"], &budget["history"]), (&json!(15), &json!(0)));
}

#[test]
fn help_says_the_exit_codes() {
    let Ran { code, stdout, .. } = Home::new().fusebox(&["doctor", "--help"]);
    assert_eq!(code, 0);
    assert!(
        stdout.contains("Exit code") && stdout.contains("--json") && stdout.contains("Examples"),
        "{stdout}"
    );
}
