//! Hooks that wait for a line of the transcript.

use std::fs::File;
use std::io::Write;
use std::process::Stdio;

use serde_json::json;

use crate::harness::{Home, hook_of, message};
use crate::killed::sleeps;

/// Waits until a process is waiting for a file lock.
fn until_blocked(process: u32) {
    let waits = |line: &str| {
        let mut words = line.split_whitespace();
        line.contains("->") && words.any(|word| word == process.to_string())
    };
    while !std::fs::read_to_string("/proc/locks").unwrap().lines().any(waits) {
        std::thread::yield_now();
    }
}

#[test]
fn a_hook_waits_for_a_line_before_it_opens_the_store() {
    let home = Home::new().var("FUSEBOX_BUDGET_SESSION_LIMIT", "1000");
    let transcript = home.transcript("s");
    home.append(&transcript, &[message(1, 950, 1)]);
    home.hook("PostToolUse", "s", json!({}));
    let recorded = || {
        let store = rusqlite::Connection::open(home.path("state/state.db")).unwrap();
        store.query_row("SELECT COUNT(*) FROM messages", (), |row| row.get::<_, i64>(0)).unwrap()
    };

    // Nobody can open the store while its folder is locked.
    let folder = File::open(home.path("state")).unwrap();
    fs2::FileExt::lock_exclusive(&folder).unwrap();
    let call = json!({"tool_name": "Bash", "tool_input": {"command": "true"}, "tool_use_id": "toolu_2"});
    let payload = home.payload("PostToolBatch", "s", json!({"tool_calls": [call]}));
    let mut hook = home.command(hook_of("PostToolBatch"));
    let mut hook = hook.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    hook.stdin.take().unwrap().write_all(payload.to_string().as_bytes()).unwrap();
    until_blocked(hook.id());
    // A hook that opened the store first would also find this line.
    home.append(&transcript, &[message(2, 500, 1)]);
    drop(folder);
    assert!(hook.wait_with_output().unwrap().status.success());
    assert_eq!(recorded(), 1, "it had waited before");

    home.hook("PostToolUse", "s", json!({}));
    assert_eq!(recorded(), 2, "the next one reads it");
}

#[test]
fn a_transcript_that_does_not_exist_is_not_waited_for() {
    // Nothing was counted yet, so a limit may be near: hooks wait for the line of the call.
    let home = Home::new().var("FUSEBOX_BUDGET_SESSION_LIMIT", "1000");
    home.append(&home.transcript("there"), &[]);
    let waits = |event: &str, session: &str| {
        let call = json!({"tool_name": "Bash", "tool_input": {"command": "true"}, "tool_use_id": "toolu_1"});
        let mut fields = call.clone();
        fields["tool_calls"] = json!([call]);
        let payload = home.payload(event, session, fields).to_string();
        sleeps(home.command(hook_of(event)), payload.as_bytes())
    };
    for event in ["PreToolUse", "PostToolBatch"] {
        assert!(waits(event, "there"), "{event} waits for a line");
        assert!(!waits(event, "missing"), "{event} waits for nothing");
    }
}
