//! Whatever hangs, a hook ends by itself, with exit code 0; and nothing hangs unnecessarily.
#![allow(unsafe_code)]

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::harness::{Home, message};

/// A home whose hooks have the deadlines that people's have.
fn hurried() -> Home {
    let home = Home::new();
    home.hurry(true);
    home
}

#[test]
fn a_store_that_hangs_ends_no_hook_otherwise_than_in_silence() {
    let home = hurried().var("FUSEBOX_BUDGET_SESSION_LIMIT", "10");
    home.append(&home.transcript("s"), &[message(1, 100, 1)]);
    fs::create_dir_all(home.path("state")).unwrap();
    fs::write(home.path("state/journal.jsonl"), b"").unwrap();
    // As if another process was replacing the database, and never finished.
    let folder = File::open(home.path("state")).unwrap();
    folder.lock().unwrap();
    std::thread::scope(|scope| {
        for event in ["PreToolUse", "PostToolUse", "UserPromptSubmit", "SessionStart", "SessionEnd"] {
            let home = &home;
            scope.spawn(move || {
                assert!(home.hook(event, "s", json!({"tool_use_id": "toolu_1"})).is_silent(), "{event}")
            });
        }
    });
    drop(folder);
    assert!(home.journal().contains("not done within"), "{}", home.journal());
    let denied = home.hook("PreToolUse", "s", json!({"tool_use_id": "toolu_1"})).json();
    assert_eq!(denied["hookSpecificOutput"]["permissionDecision"], "deny");
}

#[test]
fn a_client_that_does_not_read_holds_no_hook() {
    let home = hurried().var("FUSEBOX_BUDGET_SESSION_LIMIT", "10");
    home.append(&home.transcript("s"), &[message(1, 100, 1)]);
    let (unread, mut full) = std::io::pipe().unwrap();
    let descriptor = full.as_raw_fd();
    let nonblocking = |on: bool| {
        let flags = if on { libc::O_NONBLOCK } else { 0 };
        // SAFETY: a plain call on an open descriptor.
        assert_eq!(unsafe { libc::fcntl(descriptor, libc::F_SETFL, flags) }, 0);
    };
    nonblocking(true);
    while full.write(&[b'x'; 4096]).is_ok() {}
    nonblocking(false);
    let mut command = home.command("pre-tool-use");
    command.stdin(Stdio::piped()).stdout(full.try_clone().unwrap());
    let mut child = command.spawn().unwrap();
    let payload = home.payload("PreToolUse", "s", json!({"tool_use_id": "toolu_1"})).to_string();
    child.stdin.take().unwrap().write_all(payload.as_bytes()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    full.flush().unwrap();
    drop(unread);
}

#[test]
fn a_transcript_that_is_a_pipe_is_not_waited_for() {
    let home = hurried();
    let pipe = home.path("pipe.jsonl");
    let name = std::ffi::CString::new(pipe.to_str().unwrap()).unwrap();
    // SAFETY: a C string that outlives the call.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    fs::create_dir_all(home.path("state")).unwrap();
    fs::write(home.path("state/journal.jsonl"), b"").unwrap();
    for event in ["PreToolUse", "PostToolUse", "UserPromptSubmit", "SessionEnd"] {
        let ran = home.hook(event, "s", json!({"transcript_path": pipe}));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{event}");
    }
    assert_eq!(home.journal(), "");
}

#[test]
#[cfg_attr(not(feature = "test-clock"), ignore = "needs the feature test-clock")]
fn a_clock_that_goes_back_while_a_hook_waits_does_not_prolong_the_wait() {
    let home = hurried().var("FUSEBOX_BUDGET_SESSION_LIMIT", "10");
    let clock = home.path("clock");
    let home = home.var("FUSEBOX_TEST_CLOCK", &clock.to_string_lossy());
    home.append(&home.transcript("s"), &[message(1, 100, 1)]);
    let over = AtomicBool::new(false);
    let mut file =
        fs::OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&clock).unwrap();
    let denied = std::thread::scope(|scope| {
        scope.spawn(|| {
            // Each reading of the clock is earlier than the previous one. One write, so that each finds a number.
            for back in 1_000_000.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                std::os::unix::fs::FileExt::write_all_at(&file, format!("-{back}000").as_bytes(), 0).unwrap();
            }
        });
        // The line of this call never comes.
        let denied = home.hook("PreToolUse", "s", json!({"tool_use_id": "toolu_none"}));
        over.store(true, Ordering::Relaxed);
        denied
    });
    file.flush().unwrap();
    assert_eq!(denied.json()["hookSpecificOutput"]["permissionDecision"], "deny");
}
