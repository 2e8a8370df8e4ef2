//! `fusebox init` from outside: exit code, output, files.

mod home;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use fusebox::agents::claude::registration::{EVENTS, entry, status_line};
use fusebox::agents::hook;
use fusebox::domain::time::Timestamp;
use fusebox::store::Recover;
use fusebox::store::sqlite::SqliteStore;
use serde_json::{Value, json};

use home::{Home, bin_dir};

/// What init writes to an empty file.
pub fn registered(bin_dir: &Path) -> Value {
    let group = |hook| json!([{"hooks": [entry(hook, bin_dir)]}]);
    EVENTS.into_iter().map(|(event, hook)| (event.to_owned(), group(hook))).collect()
}

/// The whole file then.
fn written() -> Value {
    json!({"hooks": registered(bin_dir()), "statusLine": status_line(bin_dir())})
}

#[test]
fn registers_where_nothing_is() {
    let home = Home::new();
    let said = home.init([]).ok();

    assert_eq!(home.json(), written());
    assert!(home.backups().is_empty());
    assert!(said.contains("  post-tool-use  PostToolUse, PostToolUseFailure, PostToolBatch\n"), "{said}");
    assert!(said.contains(&home.file().display().to_string()) && said.contains("fusebox status"), "{said}");

    let record = home.record();
    assert_eq!(record["settings_file"], home.file().to_str().unwrap());
    assert_eq!(record["state_dir"], home.at("state").to_str().unwrap());
    assert_eq!(record["cache_dir"], home.at("cache").to_str().unwrap());
    assert_eq!(record["config"], home.at("config/fusebox/config.toml").to_str().unwrap());
    assert_eq!(record["binaries"].as_array().unwrap().len(), hook::programs().count());
    assert_eq!(record["version"], env!("CARGO_PKG_VERSION"));
    let mut store = SqliteStore::open(&home.at("state"), Timestamp(0)).unwrap().store;
    let installed = store.installed_at().unwrap().unwrap();
    assert_eq!(record["installed_at"], installed.to_rfc3339());
}

#[test]
fn keeps_what_is_there() {
    let before = r#"{
    "zeta": [1,   2.50],  "permissions": {"allow": ["Bash(git *)"]},
    "hooks": {
        "Notification": [{"hooks": [{"type": "command", "command": "notify-send hi"}]}],
        "PreToolUse": [
            {"matcher": "Bash", "note": "mine", "hooks": [
                {"type": "command", "command": "./check pre-tool-use", "timeout": 30, "extra": {"b": 1, "a": 2}}
            ]}
        ],
        "Stop": []
    },
    "alpha": 1e3
}"#;
    let home = Home::with(before);
    fs::set_permissions(home.file(), Permissions::from_mode(0o640)).unwrap();
    let said = home.init([]).ok();

    let text = home.text();
    let (head, _) = before.split_once("\"hooks\": {\n").unwrap();
    assert!(text.starts_with(head), "{text}");
    let status_line_alone = "    \"statusLine\": {\n        \"type\": \"command\",\n";
    assert!(text.contains(&format!("    }},\n    \"alpha\": 1e3,\n{status_line_alone}")), "{text}");
    assert!(text.contains("\n        \"Notification\": ["), "indented as the file is: {text}");
    let mut expected: Value = serde_json::from_str(before).unwrap();
    let ours = registered(bin_dir());
    for (event, group) in ours.as_object().unwrap() {
        let groups = &mut expected["hooks"][event];
        let mut all = groups.as_array().cloned().unwrap_or_default();
        all.extend(group.as_array().unwrap().clone());
        *groups = all.into();
    }
    expected["statusLine"] = status_line(bin_dir());
    // As text, because the order of keys matters.
    assert_eq!(home.json().to_string(), expected.to_string());

    let backups = home.backups();
    assert_eq!(backups.len(), 1);
    assert_eq!(fs::read_to_string(&backups[0]).unwrap(), before);
    let name = backups[0].file_name().unwrap().to_str().unwrap();
    let stamp = name.strip_prefix("settings.json.fusebox-backup-").unwrap();
    assert!(stamp.len() == 16 && stamp.ends_with('Z') && said.contains(name), "{said}");
    for file in [&home.file(), &backups[0]] {
        assert_eq!(fs::metadata(file).unwrap().mode() & 0o777, 0o640);
    }
}

#[test]
fn a_second_time_changes_nothing() {
    let home = Home::with(r#"{"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "true"}]}]}}"#);
    home.init([]).ok();
    let (text, record, inode) = (home.text(), home.record(), fs::metadata(home.file()).unwrap().ino());
    let said = home.init([]).ok();

    assert!(said.contains("Already registered"), "{said}");
    assert_eq!((home.text(), home.record()), (text, record));
    assert_eq!(fs::metadata(home.file()).unwrap().ino(), inode);
    assert_eq!(home.backups().len(), 1);
}

#[test]
fn brings_its_own_entries_up_to_date_in_place() {
    let foreign = json!({"type": "command", "command": "true"});
    let shell = |command: &str| json!({"type": "command", "command": command, "timeout": 9});
    let home = Home::new();
    let old = home.other_bin("old place").join("session-event");
    let settings = json!({"hooks": {
        "PreToolUse": [{"matcher": "*", "hooks": [foreign, shell("X=1 '/gone/pre-tool-use' || true"), foreign]}],
        "PostToolUse": [{"hooks": [shell("post-tool-use"), foreign, shell("/gone/too/post-tool-use")]}],
        "UserPromptSubmit": [{"hooks": [shell("\"$HOME\"/bin/prompt-submit")]}, {"hooks": [foreign]}],
        "Stop": [{"hooks": [{"type": "command", "command": old, "args": ["x"]}]}],
        "Notification": [{"hooks": [shell("/gone/session-event")]}],
    }});
    home.write(&settings.to_string());
    let said = home.init([]).ok();

    let ours = registered(bin_dir());
    let of = |event: &str| ours[event][0]["hooks"][0].clone();
    let mut expected = settings;
    let hooks = expected["hooks"].as_object_mut().unwrap();
    hooks["PreToolUse"][0]["hooks"][1] = of("PreToolUse");
    hooks["PostToolUse"][0]["hooks"] = json!([of("PostToolUse"), foreign]);
    hooks["UserPromptSubmit"][0]["hooks"][0] = of("UserPromptSubmit");
    hooks["Stop"][0]["hooks"][0] = of("Stop");
    hooks.shift_remove("Notification");
    for (event, groups) in ours.as_object().unwrap() {
        hooks.entry(event).or_insert_with(|| groups.clone());
    }
    expected["statusLine"] = status_line(bin_dir());
    assert_eq!(home.json().to_string(), expected.to_string());
    assert!(said.contains(&format!("Replaced  {}", old.display())), "{said}");
    assert!(said.contains("Replaced  /gone/too/post-tool-use"), "{said}");
}

#[test]
fn an_entry_for_some_tools_becomes_one_for_all() {
    let home = Home::with(
        &json!({"hooks": {"PreToolUse": [
            {"matcher": "Bash", "hooks": [{"type": "command", "command": bin_dir().join("pre-tool-use"), "args": []}]},
        ]}})
        .to_string(),
    );
    let ran = home.init([]);
    assert_eq!(home.json()["hooks"]["PreToolUse"], registered(bin_dir())["PreToolUse"]);
    assert!(ran.stderr.contains("limited to \"Bash\" at PreToolUse"), "{}", ran.stderr);
}

#[test]
fn a_program_of_the_same_name_is_left_alone() {
    let home = Home::new();
    let dir = home.at("home/bin");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("pre-tool-use"), "#!/bin/sh\nexec my-own-check\n").unwrap();
    let theirs = json!([
        {"type": "command", "command": dir.join("pre-tool-use"), "args": []},
        {"type": "command", "command": "~/bin/pre-tool-use --fast"},
        {"type": "command", "command": "\"$CLAUDE_PROJECT_DIR\"/.claude/hooks/pre-tool-use"},
    ]);
    home.write(&json!({"hooks": {"PreToolUse": [{"hooks": theirs}]}}).to_string());
    home.init([]).ok();
    let groups = &home.json()["hooks"]["PreToolUse"];
    assert_eq!(groups[0]["hooks"], theirs);
    assert_eq!(groups[1], registered(bin_dir())["PreToolUse"][0]);
}

#[test]
fn follows_a_link() {
    let home = Home::new();
    fs::create_dir_all(home.at("dotfiles")).unwrap();
    fs::create_dir_all(home.at("claude")).unwrap();
    symlink("../dotfiles/settings.json", home.file()).unwrap();
    home.init([]).refused(&["settings.json is a dangling link"]);

    fs::write(home.at("dotfiles/settings.json"), "{}").unwrap();
    home.init([]).ok();
    assert!(home.file().is_symlink());
    assert_eq!(home.json()["hooks"], registered(bin_dir()));
    assert_eq!(fs::read_dir(home.at("dotfiles")).unwrap().count(), 2, "the file and its backup");
}

#[test]
fn refuses_what_it_does_not_understand() {
    for (settings, place) in [
        ("{\n  \"a\": 1,\n}\n", "line 3, column 1"),
        ("{\n  // mine\n}\n", "line 2, column 3"),
        ("[]", "expected an object"),
        ("{\"hooks\": [\n]}", "line 1, column"),
        ("{\"hooks\": {\"Stop\":\n {}}}", "line 2, column"),
        ("{\"hooks\": {\"Stop\": [\n\n{\"matcher\": \"\"}]}}", "line 3, column"),
        ("{\"hooks\": {\"Other\": [{\"hooks\": [\n\"x\"]}]}}", "line 2, column"),
        ("{\"hooks\": {},\n \"hooks\": {}}", "line 2, column"),
    ] {
        let home = Home::with(settings);
        let path = home.file().display().to_string();
        home.init([]).refused(&[&path, place, "correct the file", "Nothing was changed"]);
        assert_eq!(home.text(), settings);
        assert_eq!(fs::read_dir(home.at("claude")).unwrap().count(), 1);
        assert!(!home.at("state").exists());
    }
    let home = Home::with("");
    home.init([]).ok();
    assert_eq!(home.json(), written(), "an empty file says nothing");
}

#[test]
fn refuses_without_executables() {
    let home = Home::new();
    let bin = home.other_bin("bin");
    fs::remove_file(bin.join("prompt-submit")).unwrap();
    fs::set_permissions(bin.join("session-event"), Permissions::from_mode(0o644)).unwrap();
    home.init(["--bin-dir", bin.to_str().unwrap()]).refused(&[
        bin.to_str().unwrap(),
        "prompt-submit is missing, session-event is not executable",
        "cargo build --release --bins",
    ]);
    assert!(!home.at("claude").exists() && !home.at("state").exists());
}

#[test]
fn warns_of_what_keeps_hooks_from_running() {
    let home = Home::with(
        &json!({
            "disableAllHooks": true,
            "allowManagedHooksOnly": true,
            "hooks": {"Stop": [{"hooks": [{"type": "shell", "command": "x"}, {"type": "command", "timeout": "5"}]}]},
        })
        .to_string(),
    );
    let ran = home.init([]);
    assert_eq!(ran.code, Some(0));
    let lines: Vec<_> = ran.stderr.lines().collect();
    // (allowManagedHooksOnly only counts in managed settings.)
    assert_eq!(lines.len(), 3, "{}", ran.stderr);
    assert!(lines[0].contains("disableAllHooks"));
    assert!(lines[1].contains("hooks.Stop[0].hooks[0]") && lines[1].contains("\"shell\""), "{}", lines[1]);
    assert!(
        lines[2].contains("hooks.Stop[0].hooks[1]") && lines[2].contains("timeout \"5\""),
        "{}",
        lines[2]
    );
    assert_eq!(home.json()["hooks"]["PreToolUse"], registered(bin_dir())["PreToolUse"]);
}

#[test]
fn scopes() {
    let home = Home::new();
    let hooks = |path: &str| {
        let text = fs::read(home.at(path)).unwrap();
        serde_json::from_slice::<Value>(&text).unwrap()["hooks"].clone()
    };
    let ours = registered(bin_dir());
    home.init_with(&[("CLAUDE_CONFIG_DIR", "")], &["--user"]).ok();
    assert_eq!(hooks("home/.claude/settings.json"), ours);
    let said = home.init(["--project"]).ok();
    assert_eq!(hooks("project/.claude/settings.json"), ours);
    assert!(said.contains("--local"), "{said}");
    home.init(["--local"]).ok();
    assert_eq!(hooks("project/.claude/settings.local.json"), ours);
    fs::create_dir(home.at("project/sub")).unwrap();
    home.init(["--dir", "sub", "--project"]).ok();
    assert_eq!(hooks("project/sub/.claude/settings.json"), ours);
    assert!(!home.file().exists());

    home.init(["--project", "--dir", "nowhere"]).refused(&["nowhere: no such folder"]);
    for args in [["--user", "--local"], ["--dir", "sub"]] {
        assert_eq!(home.init(args).code, Some(2), "{args:?}");
    }
}

#[test]
fn a_dry_run_only_shows() {
    let home = Home::with("{\n  \"model\": \"opus\"\n}\n");
    let said = home.init(["--dry-run"]).ok();
    assert!(said.contains("\n  {\n-   \"model\": \"opus\"\n+   \"model\": \"opus\",\n"), "{said}");
    assert!(said.contains("+     \"PreToolUse\": [\n"), "{said}");
    let said = home.init(["--dry-run", "--json"]).ok();
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said["changed"], &said["dry_run"]), (&json!(true), &json!(true)));
    assert_eq!(home.text(), "{\n  \"model\": \"opus\"\n}\n");
    assert!(home.backups().is_empty() && !home.at("state").exists());
    // It changes nothing, so agents may run it.
    assert_eq!(home.init_with(&[("CLAUDECODE", "1")], &["--dry-run"]).code, Some(0));

    home.init([]).ok();
    assert!(home.init(["--dry-run"]).ok().starts_with("Nothing would change in "));
}

#[test]
fn not_in_an_agents_shell() {
    let home = Home::with("{}");
    home.init_with(&[("CLAUDECODE", "1")], &[]).refused(&[
        "`fusebox init`",
        "a person",
        "terminal that no agent started",
    ]);
    assert_eq!(home.text(), "{}");
    assert!(!home.at("state").exists());
}

#[test]
fn answers_in_json() {
    let home = Home::with("{}");
    let said: Value = serde_json::from_str(&home.init(["--json"]).ok()).unwrap();
    let binaries: Value =
        hook::programs().map(|name| (name.to_owned(), json!(bin_dir().join(name)))).collect();
    let expected = json!({
        "settings_file": home.file(),
        "changed": true,
        "dry_run": false,
        "backup": home.backups()[0],
        "events": EVENTS.map(|(event, _)| event),
        "client": null,
        "binaries": binaries,
        "status_line": "set",
        "installed_at": home.record()["installed_at"],
    });
    assert_eq!(said, expected);
    let again: Value = serde_json::from_str(&home.init(["--json"]).ok()).unwrap();
    assert_eq!((&again["changed"], &again["backup"]), (&json!(false), &Value::Null));
}

#[test]
fn a_later_init_renews_the_paths_and_keeps_the_time() {
    let home = Home::with("{}");
    home.init([]).ok();
    let mut earlier = home.record();
    earlier["installed_at"] = "2026-01-02T03:04:05Z".into();
    fs::write(home.at("state/install.json"), earlier.to_string()).unwrap();
    // The store is lost, but the record still has the time.
    for file in ["state.db", "state.db-wal", "state.db-shm"] {
        let _ = fs::remove_file(home.at("state").join(file));
    }
    // Three changes in far less than a second: each backup is a separate file.
    let texts: Vec<String> = ["one", "two", "three"]
        .into_iter()
        .map(|name| {
            let before = home.text();
            let bin = home.other_bin(name);
            home.init(["--bin-dir", &format!("../{name}/./")]).ok();
            assert_eq!(home.json()["hooks"], registered(&bin));
            before
        })
        .collect();
    let kept: Vec<_> = home.backups().iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    assert!(texts.iter().all(|text| kept.contains(text)));
    assert_eq!(kept.len(), 4);

    let record = home.record();
    assert_eq!(record["installed_at"], "2026-01-02T03:04:05Z");
    assert_eq!(record["binaries"][0], home.at("three/pre-tool-use").to_str().unwrap());
    let mut store = SqliteStore::open(&home.at("state"), Timestamp(0)).unwrap().store;
    assert_eq!(store.installed_at().unwrap(), Timestamp::parse("2026-01-02T03:04:05Z"));
}

/// A program that reports this version of the client.
fn client(home: &Home, folder: &str, script: &str) -> std::path::PathBuf {
    fs::create_dir_all(home.at(folder)).unwrap();
    let program = home.at(folder).join("claude");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    program
}

#[test]
fn an_older_client_gets_no_event_that_it_does_not_know() {
    let home = Home::new();
    let old = client(&home, "old", "[ \"$*\" = --version ] && echo '2.1.197 (Claude Code)'");
    let new = client(&home, "new", "echo '2.1.330 (Claude Code)'");
    let said = home.init(["--client", old.to_str().unwrap()]).ok();
    assert!(said.contains("Client    2.1.197") && !said.contains("PostModelSwitch"), "{said}");
    let hooks = &home.json()["hooks"];
    assert_eq!(hooks["PostModelSwitch"], Value::Null, "in a terminal, 2.1.197 asks about it at every start");
    assert_eq!(hooks.as_object().unwrap().len(), EVENTS.len() - 1);

    // The client is updated, and downgraded again.
    home.init(["--client", new.to_str().unwrap()]).ok();
    assert_eq!(home.json()["hooks"], registered(bin_dir()));
    let path = format!("{}:/usr/bin:/bin", home.at("old").display());
    home.init_with(&[("PATH", &path)], &[]).ok();
    assert_eq!(home.json()["hooks"]["PostModelSwitch"], Value::Null);
}

#[test]
fn a_client_that_does_not_say_its_version() {
    let home = Home::new();
    for (script, problem) in [("exit 3", "exit status: 3"), ("echo hello", "--version printed \"hello\"")] {
        let odd = client(&home, "odd", script);
        home.init_with(&[], &["--client", odd.to_str().unwrap()]).refused(&[problem, "Nothing was changed"]);
        assert!(!home.file().exists());
    }
    let missing = home.at("nowhere");
    home.init_with(&[], &["--client", missing.to_str().unwrap()]).refused(&["nowhere"]);
    // A client that is found, but not named, causes no error.
    let path = format!("{}:/usr/bin:/bin", home.at("odd").display());
    let ran = home.init_with(&[("PATH", &path)], &[]);
    assert!(ran.stderr.contains("assuming a new version"), "{ran:?}");
    assert_eq!(home.json()["hooks"], registered(bin_dir()));
}

#[test]
fn a_folder_with_a_dollar_in_its_name_is_known_again() {
    let home = Home::new();
    let bin = home.other_bin("my $bin");
    home.init(["--bin-dir", bin.to_str().unwrap()]).ok();
    let first = home.text();
    home.init(["--bin-dir", bin.to_str().unwrap()]).ok();
    assert_eq!(home.text(), first, "registered once");
    home.init([]).ok();
    assert_eq!(home.json()["hooks"], registered(bin_dir()), "and found to be replaced");
}
