//! Bugs found by the fault run, each as a separate test.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::harness::{Home, message};

/// A user budget besides the session's.
const EVER: &str = "[[budget]]\nname = \"ever\"\nscope = \"user\"\nlimit = 1000000\n";

fn home() -> Home {
    let home = Home::new();
    home.configure(EVER);
    home
}

fn database(home: &Home) -> Connection {
    Connection::open(home.path("state/state.db")).unwrap()
}

/// Copies the state folder, or restores the copy.
fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// Appends a message to a session, and runs a hook that reads it.
fn works(home: &Home, session: &str, n: usize) {
    home.append(&home.transcript(session), &[message(n, 100, 10)]);
    assert!(home.hook("PostToolUse", session, json!({})).is_silent());
}

fn sessions(home: &Home) -> Vec<(String, u64)> {
    let listed = home.fusebox(&["status", "--all", "--json"]);
    assert_eq!(listed.code, 0, "{listed:?}");
    let input = |s: &Value| s["tokens"]["input"].as_u64().unwrap();
    let listed = listed.json();
    let mut all: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (s["session"].as_str().unwrap().to_owned(), input(s)))
        .collect();
    all.sort();
    all
}

/// A budget in a status.
fn budget<'s>(status: &'s Value, name: &str) -> &'s Value {
    status["budgets"].as_array().unwrap().iter().find(|b| b["name"] == name).unwrap()
}

/// Damages all pages of a table or an index. The database still opens.
fn damage(home: &Home, table: &str) {
    let db = database(home);
    let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
    db.query_row(checkpoint, (), |_| Ok(())).unwrap();
    let sql = "SELECT rootpage FROM sqlite_schema WHERE name = ?";
    let page = db.query_row(sql, [table], |r| r.get::<_, i64>(0)).unwrap() as usize;
    drop(db);
    let mut bytes = fs::read(home.path("state/state.db")).unwrap();
    bytes[(page - 1) * 1024..page * 1024].fill(0xee);
    fs::write(home.path("state/state.db"), bytes).unwrap();
}

#[test]
fn a_store_that_is_lost_with_all_caches_still_knows_the_installation_and_is_filled() {
    let home = home();
    let mut old = message(1, 300, 0);
    old["timestamp"] = "2020-01-01T00:00:00Z".into();
    home.append(&home.transcript("s"), &[old]);
    assert_eq!(home.fusebox(&["init"]).code, 0);
    works(&home, "s", 2);
    works(&home, "t", 3);
    for file in ["state.db", "state.db-wal", "state.db-shm"] {
        let _ = fs::remove_file(home.path("state").join(file));
    }
    fs::remove_dir_all(home.path("cache")).unwrap();
    assert_eq!(sessions(&home), [("s".into(), 400), ("t".into(), 100)]);
    assert_eq!(budget(&home.status("s"), "session")["history"], 410, "all of it is older");
}

#[test]
fn a_store_that_went_back_in_time_is_filled_again_for_sessions_that_it_never_knew_too() {
    let home = home();
    works(&home, "s", 1);
    copy(&home.path("state"), &home.path("copy"));
    works(&home, "s", 2);
    works(&home, "t", 3);
    let epoch = "SELECT value FROM meta WHERE name = 'epoch'";
    let of = |home: &Home| database(home).query_row(epoch, (), |r| r.get::<_, String>(0)).unwrap();
    let before = of(&home);
    copy(&home.path("copy"), &home.path("state"));
    assert_eq!(sessions(&home), [("s".into(), 200), ("t".into(), 100)]);
    assert_eq!(budget(&home.status("s"), "ever")["used"], 330);
    assert_ne!(of(&home), before, "it is another store, for everybody");
}

#[test]
fn a_hook_that_finds_the_store_gone_back_in_time_tells_all_sessions() {
    let home = home();
    works(&home, "s", 1);
    works(&home, "t", 2);
    copy(&home.path("state"), &home.path("copy"));
    works(&home, "s", 3);
    works(&home, "t", 4);
    copy(&home.path("copy"), &home.path("state"));
    works(&home, "s", 5);
    // The other session runs no hooks; its cache says that everything was read.
    home.hook("SessionStart", "new", json!({"source": "startup"}));
    let used =
        database(&home).query_row("SELECT SUM(input) FROM messages", (), |r| r.get::<_, i64>(0)).unwrap();
    assert_eq!(used, 500);
}

#[test]
fn sums_that_are_older_or_newer_than_the_messages_are_added_up_anew() {
    let home = home();
    works(&home, "s", 1);
    works(&home, "s", 2);
    // A log that lost its end during a checkpoint: some tables are older than others.
    let db = database(&home);
    db.execute_batch(
        "DELETE FROM memberships WHERE message = 2; DELETE FROM messages WHERE id = 2; UPDATE sessions SET sequence = 1",
    )
    .unwrap();
    drop(db);
    works(&home, "s", 3);
    let status = home.status("s");
    assert_eq!(status["tokens"]["input"], 300);
    assert_eq!(budget(&status, "ever")["used"], 330);
    assert_eq!(budget(&status, "session")["used"], 330);
}

#[test]
fn an_alert_that_was_claimed_under_another_clock_is_shown() {
    let home = Home::new().var("FUSEBOX_BUDGET_SESSION_LIMIT", "200");
    home.append(&home.transcript("s"), &[message(1, 100, 10)]);
    // Recorded by a hook that cannot show it.
    assert!(home.hook("PostCompact", "s", json!({})).is_silent());
    let db = database(&home);
    assert_eq!(db.execute("UPDATE alerts SET claimed_until = 4102444800000", ()).unwrap(), 1);
    drop(db);
    let said = home.hook("PostToolUse", "s", json!({})).stdout;
    assert!(said.contains("is 55.00% used"), "{said}");
    assert!(home.hook("PostToolUse", "s", json!({})).is_silent());
}

#[test]
fn a_status_counts_what_other_sessions_have_not_reported_yet() {
    let home = home();
    works(&home, "s", 1);
    works(&home, "t", 2);
    home.append(&home.transcript("t"), &[message(3, 1000, 0)]);
    assert_eq!(budget(&home.status("s"), "ever")["used"], 1220);
}

/// A client that called a hook, and runs until dropped: a shell, which knows its own process id.
struct RunningHook(std::process::Child);

impl RunningHook {
    fn start(home: &Home, event: &str) -> Self {
        let payload = home.payload(event, "s", json!({"source": "resume"})).to_string();
        fs::write(home.path("payload"), payload).unwrap();
        // `exec cat` keeps the same process.
        let script = "export CLAUDE_PID=$$; \"$0\" < payload; echo; exec cat";
        let mut command = Command::new("sh");
        command.args(["-c", script, crate::harness::program_path(crate::harness::hook_of(event))]);
        let mut command = home.furnish(command);
        command.current_dir(home.path("")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "\n", "a silent hook");
        Self(child)
    }
}

impl Drop for RunningHook {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_session_that_goes_on_under_another_client_is_live_whatever_became_of_its_start() {
    let home = home();
    let is_live = || {
        let list = home.fusebox(&["budget", "list", "--json"]).json();
        list.as_array().unwrap().iter().any(|b| b["value"] == "s")
    };
    let first = RunningHook::start(&home, "SessionStart");
    assert!(is_live());
    drop(first);
    assert!(!is_live());
    // Its SessionStart was lost.
    home.append(&home.transcript("s"), &[message(1, 100, 10)]);
    let _second = RunningHook::start(&home, "PostToolUse");
    assert!(is_live());
}

#[test]
fn a_command_that_finds_the_store_damaged_says_so_and_goes_on_with_a_new_one() {
    let home = home();
    works(&home, "s", 1);
    works(&home, "t", 2);
    fs::remove_dir_all(home.path("cache")).unwrap();
    damage(&home, "sessions");
    let listed = home.fusebox(&["status", "--all"]);
    assert_eq!(listed.code, 0, "{listed:?}");
    assert!(listed.stderr.contains("was corrupt") && listed.stderr.contains("are lost"), "{listed:?}");
    assert_eq!(sessions(&home), [("s".into(), 100), ("t".into(), 100)]);
}

#[test]
fn alerts_that_cannot_be_read_are_not_said_to_be_none() {
    let home = Home::new().var("FUSEBOX_BUDGET_SESSION_LIMIT", "200");
    home.append(&home.transcript("s"), &[message(1, 100, 10)]);
    home.hook("PostToolUse", "s", json!({}));
    damage(&home, "alerts");
    let show = ["budget", "show", "session", "--session", "s"];
    let shown = home.fusebox(&show);
    assert_eq!((shown.code, shown.stdout.as_str()), (1, ""), "{shown:?}");
    assert!(shown.stderr.contains("was corrupt"), "{shown:?}");
    let shown = home.fusebox(&show);
    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(shown.stdout.contains("passed 50%"), "rebuilt, and raised again: {shown:?}");
}

#[test]
fn a_session_whose_files_name_no_project_yet_is_charged_to_the_one_that_its_hooks_name() {
    let home = Home::new();
    home.configure("[[budget]]\nname = \"here\"\nscope = \"project\"\nlimit = 1000\n");
    home.append(&home.transcript("s"), &[message(1, 100, 10)]);
    // A store to be refilled, and nothing that knows the session.
    fs::create_dir_all(home.path("state")).unwrap();
    fs::write(home.path("state/state.db"), b"no database").unwrap();
    assert_eq!(home.fusebox(&["status", "--all"]).code, 0);
    home.append(&home.transcript("s"), &[message(2, 100, 10)]);
    home.hook("PostToolUse", "s", json!({}));
    assert_eq!(budget(&home.status("s"), "here")["used"], 220);
    let listed = home.fusebox(&["budget", "list", "--json"]).json();
    let here = listed.as_array().unwrap().iter().find(|b| b["name"] == "here").unwrap().clone();
    assert_eq!(here["used"], 220);
    assert_eq!(here["value"], json!(home.path("project").canonicalize().unwrap()));
}

#[test]
fn caches_that_nobody_writes_for_a_month_are_deleted() {
    let home = Home::new();
    for session in ["old", "kept", "held"] {
        works(&home, session, 1);
        works(&home, session, 2);
    }
    let of = |session: &str, part: &str| home.path("cache").join(format!("guardrails-{session}.{part}"));
    // Sessions from a month ago were read completely.
    database(&home).execute("UPDATE sessions SET complete = 1, ended = last_seen", ()).unwrap();
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(31 * 24 * 3600);
    for session in ["old", "held"] {
        for part in ["json", "new", "lock"] {
            let file = fs::OpenOptions::new().append(true).open(of(session, part)).unwrap();
            file.set_modified(then).unwrap();
        }
    }
    let held = fs::File::open(of("held", "lock")).unwrap();
    held.lock().unwrap();
    fs::write(home.path("cache/guardrails-notes.txt"), b"not ours").unwrap();
    home.hook("SessionStart", "new", json!({"source": "startup"}));
    for part in ["json", "new", "lock"] {
        assert!(!of("old", part).exists(), "{part}");
        assert!(of("kept", part).exists() && of("held", part).exists(), "{part}");
    }
    assert!(home.path("cache/guardrails-notes.txt").exists());
    // The old session's data is read again.
    works(&home, "old", 3);
    assert_eq!(home.status("old")["tokens"]["input"], 300);
}
