//! Whatever is on standard input: exit code 0, no output or a valid answer, and no other files written.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use fusebox::agents::hook::Hook;
use fusebox::hook::run::handle_payload;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::endless::bounded;
use super::mutate::mutated;
use super::{amount, seed};
use crate::harness::{Home, message};
use crate::random::Random;

const HOOKS: [Hook; 4] = [Hook::PreToolUse, Hook::PostToolUse, Hook::PromptSubmit, Hook::SessionEvent];

/// Payloads of the client and of the plain protocol. Those for which a hook waits for a line name a line that exists,
/// or none.
fn corpus(home: &Home) -> Vec<Value> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/hooks");
    let mut corpus = vec![
        json!({"tool": "Bash", "arguments": {"command": "true"}, "sessionId": "seed", "tool_use_id": "c1",
            "response": {"output": "x", "usage": {"input_tokens": 3, "output_tokens": 2}}}),
        json!({"tool": "Read", "sessionId": "seed", "response": {"input_tokens": 3, "output_tokens": 2.5}}),
        json!({"sessionId": "seed", "prompt": "go on"}),
    ];
    for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let Ok(mut payload) = serde_json::from_slice::<Value>(&std::fs::read(&file).unwrap()) else {
            continue;
        };
        if payload["hook_event_name"].is_string() {
            payload["transcript_path"] = json!(home.transcript("s"));
            payload["session_id"] = json!("s");
            payload["last_assistant_message"] = Value::Null;
            corpus.push(payload);
        }
    }
    assert!(corpus.len() > 40, "{}", corpus.len());
    corpus
}

fn home() -> Home {
    // A limit that only warns: a hook that waits for a line takes 200 ms each time.
    let home =
        Home::new().var("FUSEBOX_BUDGET_SESSION_LIMIT", "20").var("FUSEBOX_BUDGET_SESSION_ON_LIMIT", "warn");
    home.append(&home.transcript("s"), &[message(1, 10, 1), message(2, 20, 1)]);
    home
}

/// Whether it is JSON. (An invalid byte within a text is unusual, but the guard still works.)
fn is_json(input: &[u8]) -> bool {
    serde_json::from_str::<&RawValue>(&String::from_utf8_lossy(input)).is_ok()
}

fn is_answer(stdout: &[u8]) -> bool {
    const FIELDS: [&str; 6] =
        ["continue", "stopReason", "decision", "reason", "systemMessage", "hookSpecificOutput"];
    let is_known = |answer: Value| {
        answer.as_object().is_some_and(|fields| fields.keys().all(|name| FIELDS.contains(&name.as_str())))
    };
    stdout.is_empty() || serde_json::from_slice(stdout).is_ok_and(is_known)
}

/// Checks that there are no unexpected files.
fn check_tree(home: &Home) {
    let names = |of: &Path| -> BTreeSet<String> {
        let entries = std::fs::read_dir(of).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let known: BTreeSet<String> = ["cache", "claude", "project", "state"].map(str::to_owned).into();
    assert!(names(&home.path("")).is_subset(&known), "{:?}", names(&home.path("")));
    assert!(names(&home.path("project")).is_empty());
    assert_eq!(names(&home.path("claude/projects/-p")), ["s.jsonl".to_owned()].into());
    let is_cache = |name: &String| name.starts_with("guardrails-");
    assert!(names(&home.path("cache")).iter().all(is_cache), "{:?}", names(&home.path("cache")));
    let is_state = |name: &String| name.starts_with("state.db") || name.starts_with("journal.jsonl");
    assert!(names(&home.path("state")).iter().all(is_state), "{:?}", names(&home.path("state")));
    assert!(!Path::new("/tmp/escape").exists());
}

fn shown(input: &[u8]) -> String {
    String::from_utf8_lossy(&input[..input.len().min(3000)]).into_owned()
}

#[test]
fn whatever_comes_in_is_answered_in_process() {
    /// Sessions with many names accumulate, so each part has a home of its own.
    const PART: usize = 2_500;
    let all = amount(PART, 1_000_000);
    let parts: Vec<(Hook, u64)> =
        (0..(all / PART) as u64).flat_map(|part| HOOKS.map(|hook| (hook, part))).collect();
    let (next, silent) = (AtomicUsize::new(0), HOOKS.map(|_| AtomicUsize::new(0)));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((hook, part)) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    silent[*hook as usize].fetch_add(fuzz_in_process(*hook, *part, PART), Ordering::Relaxed);
                }
            });
        }
    });
    for silent in silent.map(AtomicUsize::into_inner) {
        let is_mixed = silent > all / 10 && silent < all * 9 / 10;
        assert!(is_mixed, "{silent} of {all} are not understood: no good mixture");
    }
}

/// Handles `count` inputs. Returns how many were not understood.
fn fuzz_in_process(hook: Hook, part: u64, count: usize) -> usize {
    let mut random = Random::new(seed() + hook as u64 * 1000 + part * 10_000);
    let mut silent = 0;
    let home = home();
    let (env, corpus) = (home.env(), corpus(&home));
    for _ in 0..count {
        let input = mutated(&mut random, &corpus);
        let call = AssertUnwindSafe(|| {
            let answered = handle_payload(hook, &env, &String::from_utf8_lossy(&input));
            let understood = answered.is_ok();
            let reply = answered.ok().flatten().map(|answered| answered.reply);
            (reply.unwrap_or_default(), understood)
        });
        let (reply, understood) = std::panic::catch_unwind(call)
            .unwrap_or_else(|_| panic!("{} panics on {}", hook.name(), shown(&input)));
        if !is_json(&input) {
            assert!(!understood && reply == Default::default(), "{}: {}", hook.name(), shown(&input));
        }
        assert!(is_answer(&reply.stdout), "{}: {reply:?} on {}", hook.name(), shown(&input));
        assert_eq!(reply.blocks, !reply.stderr.is_empty(), "{}: {}", hook.name(), shown(&input));
        silent += usize::from(!understood);
    }
    check_tree(&home);
    silent
}

#[test]
fn whatever_comes_in_is_answered_by_the_executables() {
    let all = amount(120, 2_000);
    for (n, hook) in
        ["pre-tool-use", "post-tool-use", "prompt-submit", "session-event"].into_iter().enumerate()
    {
        let mut random = Random::new(seed() + 77 * n as u64);
        let home = home();
        let corpus = corpus(&home);
        for _ in 0..all {
            let input = mutated(&mut random, &corpus);
            let ran = home.run(hook, &input);
            assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{hook}: {ran:?} on {}", shown(&input));
            assert!(is_answer(ran.stdout.as_bytes()), "{hook}: {ran:?} on {}", shown(&input));
            assert!(is_json(&input) || ran.stdout.is_empty(), "{hook}: {ran:?} on {}", shown(&input));
        }
        assert!(!home.journal().contains("panic"), "{}", home.journal());
        check_tree(&home);
    }
}

#[test]
fn as_much_as_is_read_is_answered_in_silence_and_bounded_memory() {
    const MIB: usize = 1024 * 1024;
    let home = home();
    let object = |inner: &str, times: usize| format!("{{\"x\":[{}0]}}", inner.repeat(times)).into_bytes();
    let deep = |open: &str| open.repeat(15 * MIB / open.len()).into_bytes();
    let call = |result: &[u8]| {
        let before = b"{\"session_id\":\"s\",\"hook_event_name\":\"PostToolUse\",\"tool_name\":\"Bash\",\"tool_use_id\":\"t\",\
            \"tool_input\":{\"command\":\"ls\"},\"tool_response\":{\"stdout\":\"";
        [&before[..], result, b"\",\"stderr\":\"\"}}"].concat()
    };
    let mut inputs = vec![
        vec![b'x'; 65 * MIB],
        object("[],", 5 * MIB),
        object("{\"a\":1},", 15 * MIB / 8),
        deep("["),
        deep("{\"a\":"),
        format!("{{\"session_id\":\"{}\"}}", "s".repeat(15 * MIB)).into_bytes(),
        format!(
            "{{\"session_id\":\"s\",\"hook_event_name\":\"PreToolUse\",\"tool_input\":{}",
            "[".repeat(15 * MIB)
        )
        .into_bytes(),
    ];
    inputs.extend(
        [&b"x"[..], b"\xff", b"\xed\xa0\xbd", b"\\ud83d", b"\\n"]
            .map(|part| call(&part.repeat(15 * MIB / part.len()))),
    );
    // More than is read.
    inputs.push(call(&vec![b'x'; 70 * MIB]));
    for hook in ["pre-tool-use", "post-tool-use"] {
        for input in &inputs {
            let ran = bounded(&home, hook, &[], input);
            assert!(ran.is_silent(), "{hook} on {}: {ran:.200?}", shown(&input[..60]));
        }
    }
    check_tree(&home);
}
