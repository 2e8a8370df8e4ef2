//! The hook contract: whatever the input, exit code 0 and no output unless there is a decision.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::harness::{Home, hook_of, message};

const HOOKS: [&str; 4] = ["pre-tool-use", "post-tool-use", "prompt-submit", "session-event"];

const EVENTS: [&str; 13] = [
    "PreToolUse",
    "PostToolUse",
    "PostToolUseFailure",
    "PostToolBatch",
    "UserPromptSubmit",
    "SessionStart",
    "Stop",
    "StopFailure",
    "SubagentStop",
    "SessionEnd",
    "PreCompact",
    "PostCompact",
    "PostModelSwitch",
];

#[test]
fn garbage_on_standard_input_is_answered_with_silence() {
    let home = Home::new();
    let deep = "[".repeat(100_000);
    let deep_object = format!("{{\"session_id\":\"s\",\"x\":{deep}");
    let inputs: [&[u8]; 16] = [
        b"",
        b"{",
        b"}",
        b"null",
        b"[]",
        b"42",
        b"\"text\"",
        b"not json at all",
        b"{}",
        b"{\"session_id\":5}",
        b"{\"session_id\":\"\",\"hook_event_name\":\"PreToolUse\"}",
        b"{\"session_id\":\"s\",\"hook_event_name\":\"NoSuchEvent\"}",
        b"{\"session_id\":\"s\",\"hook_event_name\":null}",
        b"\xff\xfe\x00garbage",
        deep.as_bytes(),
        deep_object.as_bytes(),
    ];
    for hook in HOOKS {
        for input in inputs {
            let ran = home.run(hook, input);
            let shown = String::from_utf8_lossy(&input[..input.len().min(60)]);
            assert!(ran.is_silent(), "{hook} on {shown}: {ran:?}");
        }
    }
    // Otherwise it would go unnoticed: a client with a new protocol would disable the guard.
    assert!(home.journal().contains("not understood: 2 bytes"), "{}", home.journal());
}

#[test]
fn every_captured_payload_is_taken_and_breaks_nothing() {
    let home = Home::new();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/hooks");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let text = std::fs::read_to_string(entry.path()).unwrap();
        let Ok(payload) = serde_json::from_str::<Value>(&text) else { continue };
        let Some(event) = payload["hook_event_name"].as_str() else { continue };
        // To the hook registered for it, and to all others, which do nothing.
        for hook in HOOKS {
            let ran = home.run(hook, text.as_bytes());
            assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{hook} on {:?}", entry.path());
            if hook != hook_of(event) || !EVENTS.contains(&event) {
                assert_eq!(ran.stdout, "", "{hook} on {:?}", entry.path());
            } else if !ran.stdout.is_empty() {
                assert!(ran.json().is_object());
            }
        }
        seen += 1;
    }
    assert!(seen > 30, "{seen} payloads");
    // Their transcripts are not here.
    assert!(home.journal().lines().all(|line| line.contains("incomplete transcript")), "{}", home.journal());
}

#[test]
fn odd_values_in_a_payload_are_no_failure() {
    let home = Home::new();
    home.append(&home.transcript("s"), &[message(1, 10, 1)]);
    for event in EVENTS {
        for fields in [
            json!({"agent_id": null, "agent_type": null, "tool_use_id": null, "last_assistant_message": null}),
            json!({"agent_id": "../../../etc/passwd", "agent_type": "x"}),
            json!({"agent_id": "a\u{0}b"}),
            json!({"transcript_path": null}),
            json!({"transcript_path": "/nowhere/at/all.jsonl"}),
            json!({"transcript_path": "/dev/null"}),
            json!({"transcript_path": "/tmp"}),
            json!({"cwd": null}),
            json!({"tool_calls": null}),
            json!({"tool_calls": [{"tool_use_id": null}, {}]}),
            json!({"tool_response": "x".repeat(3_000_000)}),
        ] {
            let ran = home.hook(event, "s", fields.clone());
            assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{event} {fields:.200}");
        }
    }
}

#[test]
fn a_session_id_is_never_a_path() {
    let home = Home::new();
    for id in
        ["../escape", "/etc/cron.d/x", "a/b", "..", ".hidden", "x\u{0}y", &"long".repeat(100), "ünïcode"]
    {
        home.hook("PostToolUse", id, json!({"transcript_path": home.transcript("s")}));
    }
    let names = |dir: &str| -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(home.path(dir))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert!(
        names("cache").iter().all(|n| n.starts_with("guardrails-") && !n.contains("escape")),
        "{:?}",
        names("cache")
    );
    assert_eq!(names(""), ["cache", "project", "state"]);
}

/// Runs a hook through a shell with these redirections.
fn redirected(home: &Home, hook: &str, redirections: &str, payload: &[u8]) -> crate::harness::Ran {
    let hook = home.command(hook);
    let mut command = std::process::Command::new("/bin/sh");
    command
        .env_clear()
        .envs(hook.get_envs().filter_map(|(k, v)| Some((k, v?))))
        .current_dir(home.path("project"));
    command.arg("-c").arg(format!("exec \"$0\" {redirections}")).arg(hook.get_program());
    crate::harness::run(&mut command, payload)
}

#[test]
fn closed_streams_are_no_failure() {
    let home = Home::new().var("FUSEBOX_BUDGET_SESSION_LIMIT", "10");
    home.append(&home.transcript("s"), &[message(1, 100, 1)]);
    for (event, closed) in
        EVENTS.iter().flat_map(|e| [(e, ">&-"), (e, "<&-"), (e, "2>&-"), (e, "<&- >&- 2>&-")])
    {
        let payload = home.payload(event, "s", json!({"tool_use_id": "toolu_1"})).to_string();
        let ran = redirected(&home, hook_of(event), closed, payload.as_bytes());
        assert_eq!(ran.code, 0, "{event} {closed}: {ran:?}");
    }
    // The output went nowhere, least of all into a file.
    for file in ["state/state.db", "cache/guardrails-s.json"] {
        let bytes = std::fs::read(home.path(file)).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("hookSpecificOutput"), "{file}");
    }
}

#[test]
fn streams_of_the_wrong_kind_are_no_failure() {
    let home = Home::new().var("FUSEBOX_BUDGET_SESSION_LIMIT", "10");
    home.append(&home.transcript("s"), &[message(1, 100, 1)]);
    for (event, wrong) in EVENTS.iter().flat_map(|e| [(e, "1</dev/null"), (e, "2</dev/null")]) {
        let payload = home.payload(event, "s", json!({"tool_use_id": "toolu_1"})).to_string();
        let ran = redirected(&home, hook_of(event), wrong, payload.as_bytes());
        assert_eq!(ran.code, 0, "{event} {wrong}: {ran:?}");
    }
    assert_eq!(home.journal(), "");
    for unreadable in ["0>/dev/null", "</"] {
        let ran = redirected(&home, "pre-tool-use", unreadable, b"");
        assert!(ran.code == 0 && ran.is_silent(), "{unreadable}: {ran:?}");
    }
    assert_eq!(home.journal().matches("standard input cannot be read").count(), 2, "{}", home.journal());
    // An exit code is a decision even if nobody can read the reason.
    let over = json!({"tool": "Bash", "arguments": {}, "sessionId": "seed", "tool_use_id": "a",
        "response": {"usage": {"input_tokens": 100, "output_tokens": 1}}});
    assert_eq!(home.run("post-tool-use", over.to_string().as_bytes()).code, 2);
    let call = json!({"tool": "Bash", "arguments": {}, "sessionId": "seed"}).to_string();
    for redirection in ["", "2</dev/null"] {
        let ran = redirected(&home, "pre-tool-use", redirection, call.as_bytes());
        assert_eq!(ran.code, 2, "{redirection}: {ran:?}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let home = Home::new().var("FUSEBOX_BUDGET_SESSION_LIMIT", "10");
    home.append(&home.transcript("s"), &[message(1, 100, 1)]);
    let mut command = home.command("pre-tool-use");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let payload = home.payload("PreToolUse", "s", json!({"tool_use_id": "toolu_1"})).to_string();
    child.stdin.take().unwrap().write_all(payload.as_bytes()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_deadline_holds() {
    let home = Home::new();
    home.hurry(true);
    for hook in HOOKS {
        // Endless standard input; and all signals blocked, as a parent may leave them.
        let mut command = home.command(hook);
        #[allow(unsafe_code)]
        // SAFETY: sigprocmask with a filled set is safe between fork and exec.
        unsafe {
            command.pre_exec(|| {
                let mut all: libc::sigset_t = std::mem::zeroed();
                libc::sigfillset(&raw mut all);
                libc::sigprocmask(libc::SIG_BLOCK, &raw const all, std::ptr::null_mut());
                Ok(())
            });
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let held_open = child.stdin.take();
        let output = child.wait_with_output().unwrap();
        drop(held_open);
        assert_eq!(output.status.code(), Some(0), "{hook}");
        assert!(output.stdout.is_empty(), "{hook}");
    }
    // The state folder does not exist, so there is no journal; that is no failure either.
    std::fs::create_dir_all(home.path("state")).unwrap();
    std::fs::write(home.path("state/journal.jsonl"), b"").unwrap();
    let mut child = home.command("post-tool-use").stdin(Stdio::piped()).spawn().unwrap();
    let held_open = child.stdin.take();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    drop(held_open);
    assert!(home.journal().contains("not done within"), "{}", home.journal());
}

#[test]
fn the_deadline_holds_for_an_answer_that_nobody_reads() {
    let home = Home::new();
    home.hurry(true);
    let budget = |n| format!("[[budget]]\nname = \"budget-{n:02}-{}\"\nlimit = 1_000_000\n", "x".repeat(50));
    home.configure(&(0..100).map(budget).collect::<String>());
    home.append(&home.transcript("s"), &[message(1, 100, 1)]);
    let answer = home.hook("UserPromptSubmit", "s", json!({"prompt": "go on"})).stdout;
    assert!(answer.len() > 4096, "more than the pipe takes: {} bytes", answer.len());
    let (reader, writer) = std::io::pipe().unwrap();
    #[allow(unsafe_code)]
    // SAFETY: the descriptor is open, and the kernel checks the size.
    let size = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETPIPE_SZ, 4096) };
    assert_eq!(size, 4096);
    // The deadline writes to a journal that already exists.
    std::fs::write(home.path("state/journal.jsonl"), b"").unwrap();
    let mut child = home.command("prompt-submit").stdin(Stdio::piped()).stdout(writer).spawn().unwrap();
    let payload = home.payload("UserPromptSubmit", "s", json!({"prompt": "go on"})).to_string();
    child.stdin.take().unwrap().write_all(payload.as_bytes()).unwrap();
    let mut status = None;
    for _ in 0..200 {
        status = child.try_wait().unwrap();
        if status.is_some() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    if status.is_none() {
        child.kill().unwrap();
    }
    drop(reader);
    assert_eq!(status.expect("the hook ends").code(), Some(0));
    assert!(home.journal().contains("not done within"), "{}", home.journal());
}

#[test]
fn a_locked_store_does_not_hold_the_client_up() {
    let home = Home::new();
    home.append(&home.transcript("s"), &[message(1, 100, 1)]);
    home.hook("PostToolUse", "s", json!({}));
    let store = rusqlite::Connection::open(home.path("state/state.db")).unwrap();
    store.execute_batch("BEGIN EXCLUSIVE").unwrap();
    home.append(&home.transcript("s"), &[message(2, 100, 1)]);
    home.hurry(true);
    for event in EVENTS {
        let ran = home.hook(event, "s", json!({"tool_use_id": "toolu_2"}));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{event}");
    }
    home.hurry(false);
    store.execute_batch("ROLLBACK").unwrap();
    drop(store);
    home.hook("PostToolUse", "s", json!({}));
    assert_eq!(home.status("s")["tokens"]["input"], 200);
    assert!(home.journal().contains("locked"), "{}", home.journal());
}

#[test]
fn a_field_of_an_unexpected_type_counts_as_absent() {
    let home = Home::new().var("FUSEBOX_BUDGET_SESSION_LIMIT", "1000");
    home.append(&home.transcript("s"), &[message(1, 100, 1)]);
    let odd = json!({"agent_type": 7, "tool_name": ["Bash"], "tool_use_id": {}, "tool_input": 5, "error": 1,
        "is_interrupt": "no", "tool_calls": [3, {"tool_use_id": "toolu_1"}, null], "prompt": [], "model": false});
    for event in EVENTS {
        let ran = home.hook(event, "s", odd.clone());
        assert_eq!(ran.code, 0, "{event}: {ran:?}");
        if hook_of(event) == "post-tool-use" {
            assert_eq!(home.status("s")["tokens"]["input"], 100, "{event} is recorded all the same");
        }
    }
    assert_eq!(home.journal(), "");
}

#[test]
fn a_locked_store_is_asked_by_one_hook_and_left_alone_by_the_next() {
    let home = Home::new().var("FUSEBOX_BUDGET_SESSION_LIMIT", "1000");
    home.append(&home.transcript("s"), &[message(1, 100, 1)]);
    home.hook("PostToolUse", "s", json!({}));
    let store = rusqlite::Connection::open(home.path("state/state.db")).unwrap();
    store.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let refused = || home.journal().matches("locked").count();
    home.append(&home.transcript("s"), &[message(2, 100, 1)]);
    home.hurry(true);
    for _ in 0..8 {
        assert!(home.hook("PostToolUse", "s", json!({})).is_silent());
    }
    assert!((1..8).contains(&refused()), "not every hook waits: {}", home.journal());
    // Counting continues meanwhile: each hook after a response counts, as with a store that answers.
    home.append(&home.transcript("s"), &[message(3, 900, 1)]);
    home.hook("PostToolUse", "s", json!({}));
    let denied = home.hook("PreToolUse", "s", json!({"tool_use_id": "toolu_3"})).json();
    assert_eq!(denied["hookSpecificOutput"]["permissionDecision"], "deny");
    store.execute_batch("ROLLBACK").unwrap();
    drop(store);
    home.hurry(false);
    let total = || {
        let store = rusqlite::Connection::open(home.path("state/state.db")).unwrap();
        store.query_row("SELECT COUNT(*) FROM messages", (), |row| row.get::<_, i64>(0)).unwrap()
    };
    // After the back-off, hooks ask again; a person's command asks at any time.
    home.wake_store("s");
    home.hook("PostToolUse", "s", json!({}));
    assert_eq!(total(), 3);
    assert_eq!(home.status("s")["tokens"]["input"], 1100);
}

#[test]
fn a_persons_command_asks_a_store_that_hooks_leave_alone() {
    let home = Home::new();
    home.append(&home.transcript("s"), &[message(1, 100, 1)]);
    home.hook("PostToolUse", "s", json!({}));
    let store = rusqlite::Connection::open(home.path("state/state.db")).unwrap();
    store.execute_batch("BEGIN EXCLUSIVE").unwrap();
    home.append(&home.transcript("s"), &[message(2, 100, 1)]);
    home.hurry(true);
    home.hook("PostToolUse", "s", json!({}));
    home.hurry(false);
    store.execute_batch("ROLLBACK").unwrap();
    drop(store);
    assert_eq!(home.status("s")["tokens"]["input"], 200);
}

#[test]
fn disabled_means_nothing_is_done_and_nothing_said() {
    let home = Home::new().var("FUSEBOX_ENABLED", "0").var("FUSEBOX_BUDGET_SESSION_LIMIT", "10");
    home.append(&home.transcript("s"), &[message(1, 100, 1)]);
    for event in EVENTS {
        assert!(home.hook(event, "s", json!({"tool_use_id": "toolu_1"})).is_silent(), "{event}");
    }
    assert!(!home.path("state").exists());
    assert!(!home.path("cache").exists());
}

#[test]
fn a_cache_folder_of_somebody_else_is_not_believed() {
    let home = Home::new().var("FUSEBOX_BUDGET_SESSION_LIMIT", "10");
    home.append(&home.transcript("s"), &[message(1, 100, 1)]);
    // The folder is a symbolic link to one that others can write to.
    std::fs::create_dir(home.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(home.path("elsewhere"), home.path("cache")).unwrap();
    let denied = home.hook("PreToolUse", "s", json!({"tool_use_id": "toolu_1"})).json();
    assert_eq!(denied["hookSpecificOutput"]["permissionDecision"], "deny");
    assert_eq!(
        std::fs::read_dir(home.path("elsewhere")).unwrap().count(),
        0,
        "nothing is written through the link"
    );
    assert!(home.journal().contains("symbolic link"), "{}", home.journal());
}
