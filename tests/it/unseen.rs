//! Responses that no transcript shows: no file, another file, a file that stands still or is replaced.

mod clients;
mod crashes;
mod repeated;
mod settled;
mod standing;

use serde_json::{Value, json};

use crate::harness::{Home, Ran, message};
use crate::redis::Server;

/// A test on a home with each kind of store.
macro_rules! on_both_stores {
    ($($test:ident),+ $(,)?) => {
        $(mod $test {
            #[test]
            fn embedded() {
                super::$test(&$crate::unseen::home());
            }

            #[test]
            fn shared() {
                let server = $crate::redis::Server::start();
                super::$test(&$crate::unseen::shared_home(&server));
            }
        })+
    };
}
use on_both_stores;

/// A home with a session budget of 100,000 tokens that stops at once.
fn home() -> Home {
    budgeted(Home::new())
}

/// The same, on a shared store.
fn shared_home(server: &Server) -> Home {
    budgeted(
        Home::new()
            .var("FUSEBOX_STORE_REDIS_URL", &server.url())
            .var("FUSEBOX_STORE_REDIS_TIMEOUT_MS", "1000")
            .var("FUSEBOX_STORE_TENANT", "unseen"),
    )
}

fn budgeted(home: Home) -> Home {
    let clock = home.path("clock").to_string_lossy().into_owned();
    home.without_lines()
        .var("FUSEBOX_TEST_CLOCK", &clock)
        .var("FUSEBOX_BUDGET_SESSION_LIMIT", "100000")
        .var("FUSEBOX_BUDGET_SESSION_ON_LIMIT", "stop")
}

/// The calls of response `n`: two, the second of which the client rejected.
fn calls(n: usize) -> Value {
    json!({"tool_calls": [
        {"tool_name": "Bash", "tool_input": {"command": format!("step {n}")}, "tool_use_id": format!("toolu_{n}"),
            "tool_response": format!("done {n}")},
        {"tool_name": "Nothing", "tool_input": {"n": n}, "tool_use_id": format!("toolu_{n}_b"),
            "tool_response": "no such tool"},
    ]})
}

/// The hook after all calls of response `n`.
fn batch(home: &Home, session: &str, n: usize) -> Ran {
    home.hook("PostToolBatch", session, calls(n))
}

/// The line of response `n`: 1,000 fresh tokens.
fn line(n: usize) -> Value {
    let mut line = message(n, 900, 100);
    let more =
        json!({"type": "tool_use", "id": format!("toolu_{n}_b"), "name": "Nothing", "input": {"n": n}});
    line["message"]["content"].as_array_mut().unwrap().push(more);
    line["timestamp"] = json!(now());
    line
}

/// The line of a response that ends a turn: 1,000 fresh tokens.
fn last_line(n: usize, text: &str) -> Value {
    let mut line = message(n, 900, 100);
    line["message"]["content"] = json!([{"type": "text", "text": text}]);
    line["message"]["stop_reason"] = json!("end_turn");
    line["timestamp"] = json!(now());
    line
}

fn now() -> String {
    chrono::DateTime::from_timestamp_millis(fusebox::platform::clock().0).unwrap().to_rfc3339()
}

/// How often a hook said that the count is incomplete.
fn told(ran: &Ran) -> usize {
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    ran.stdout.matches("count is incomplete").count()
}

/// Used tokens, requests, tool calls, and how many responses no transcript shows.
fn counted(home: &Home, session: &str) -> [u64; 4] {
    let status = home.status(session);
    let of = |value: &Value| value.as_u64().unwrap();
    let missing = of(&status["unseen_responses"]) + of(&status["uncharged_responses"]);
    assert_eq!(status["incomplete"], missing > 0, "{status}");
    assert!(of(&status["estimated_messages"]) >= of(&status["unseen_responses"]), "{status}");
    [
        of(&status["budgets"][0]["used"]),
        of(&status["requests"]),
        of(&status["tool_calls"]),
        of(&status["unseen_responses"]),
    ]
}

/// Nothing is wrong, and nothing is estimated.
#[track_caller]
fn assert_exact(home: &Home, session: &str, responses: u64, tool_calls: u64) {
    assert_eq!(counted(home, session), [1000 * responses, responses, tool_calls, 0]);
    assert_eq!(home.status(session)["estimated_messages"], 0);
}

fn without_a_file_the_limit_holds(home: &Home) {
    home.hook("SessionStart", "s", json!({"source": "startup"}));
    home.hook("UserPromptSubmit", "s", json!({"prompt": "go on", "prompt_id": "1"}));
    assert!(batch(home, "s", 1).is_silent(), "its line may be on its way");
    assert_eq!(counted(home, "s"), [0, 0, 0, 0]);
    let second = batch(home, "s", 2);
    assert_eq!(told(&second), 1, "{second:?}");
    assert!(second.stdout.contains("does not exist"), "{second:?}");
    assert_eq!(counted(home, "s"), [56_000, 2, 4, 2], "from the second one on, each is charged at once");
    let third = batch(home, "s", 3);
    assert!(told(&third) == 0 && !third.stdout.contains("\"continue\":false"), "{third:?}");
    // 112,000 of 100,000.
    let fourth = batch(home, "s", 4).json();
    assert_eq!(fourth["continue"], false, "{fourth}");
    assert_eq!(counted(home, "s"), [112_000, 4, 8, 4]);
    let prompt = home.hook("UserPromptSubmit", "s", json!({"prompt": "more"})).json();
    assert_eq!(prompt["decision"], "block", "{prompt}");

    let status = home.fusebox(&["status", "--session", "s", "--check"]);
    assert_eq!(status.code, 3, "{status:?}");
    assert!(status.stdout.contains("incomplete: no transcript shows 4 responses"), "{status:?}");
    assert!(!status.stdout.contains("of the messages are estimates"), "{status:?}");
    let doctor = home.fusebox(&["doctor"]).stdout;
    assert!(doctor.contains("1 session incomplete"), "{doctor}");
    assert_eq!(home.journal().matches("incomplete transcript").count(), 1, "{}", home.journal());
}

fn a_file_elsewhere_is_read(home: &Home) {
    let elsewhere = home.path("claude/projects/-other/s.jsonl");
    let first = line(1);
    for n in 1..=3 {
        home.append(&elsewhere, &[if n == 1 { first.clone() } else { line(n) }]);
        assert!(batch(home, "s", n).is_silent());
    }
    assert_exact(home, "s", 3, 6);
    // Status reads it too, and both are read if the named one comes back.
    home.append(&elsewhere, &[line(4)]);
    assert_exact(home, "s", 4, 8);
    home.append(&home.transcript("s"), &[first, line(5)]);
    batch(home, "s", 5);
    home.append(&elsewhere, &[line(6)]);
    batch(home, "s", 6);
    assert_exact(home, "s", 6, 12);
}

fn what_is_no_file_is_told_and_charged(home: &Home) {
    type Put = fn(&std::path::Path);
    let puts: [(&str, Put); 3] = [
        ("null", |path| std::os::unix::fs::symlink("/dev/null", path).unwrap()),
        ("folder", |path| std::fs::create_dir(path).unwrap()),
        ("pipe", |path| {
            assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
        }),
    ];
    for (name, put) in puts {
        let transcript = home.transcript(name);
        std::fs::create_dir_all(transcript.parent().unwrap()).unwrap();
        put(&transcript);
        let said: Vec<Ran> = (1..=4).map(|n| batch(home, name, n)).collect();
        assert_eq!(said.iter().map(told).collect::<Vec<_>>(), [0, 1, 0, 0], "{name}: {said:?}");
        assert!(said[1].stdout.contains("is not a regular file"), "{name}: {said:?}");
        assert_eq!(said[3].json()["continue"], false, "{name}");
        assert_eq!(counted(home, name), [112_000, 4, 8, 4], "{name}");
    }
}

fn a_subagent_without_a_file_is_charged(home: &Home) {
    let of = |n: usize| {
        let mut fields = calls(n);
        fields["agent_id"] = json!("a1");
        fields["agent_type"] = json!("explorer");
        fields
    };
    home.append(&home.transcript("s"), &[line(1)]);
    batch(home, "s", 1);
    for n in 11..=13 {
        home.hook("PostToolBatch", "s", of(n));
    }
    let end = json!({"agent_id": "a1", "agent_type": "explorer", "last_assistant_message": "found it"});
    home.hook("SubagentStop", "s", end);
    // The largest response so far had 1,000 tokens.
    assert_eq!(counted(home, "s"), [5000, 5, 8, 4]);
    // The main agent's file is in order.
    for n in 2..=4 {
        home.append(&home.transcript("s"), &[line(n)]);
        assert!(batch(home, "s", n).is_silent());
    }
    assert_eq!(counted(home, "s"), [8000, 8, 14, 4]);
    // The helper of a compaction has no type and no file.
    let helper = json!({"agent_id": "a2", "agent_type": "", "last_assistant_message": "a summary"});
    home.hook("SubagentStop", "s", helper);
    home.hook("SessionEnd", "s", json!({"reason": "other"}));
    assert_eq!(counted(home, "s"), [8000, 8, 14, 4]);
}

fn a_single_answer_without_a_file_is_charged(home: &Home) {
    home.hook("SessionStart", "s", json!({"source": "startup"}));
    home.hook("UserPromptSubmit", "s", json!({"prompt": "hi", "prompt_id": "1"}));
    home.hook("Stop", "s", json!({"last_assistant_message": "Hello!"}));
    home.hook("SessionEnd", "s", json!({"reason": "other"}));
    assert_eq!(counted(home, "s"), [28_000, 1, 0, 1]);
    assert!(home.journal().contains("incomplete transcript"), "{}", home.journal());
    // Nobody could be told when it ended.
    let again = home.hook("UserPromptSubmit", "s", json!({"prompt": "hi", "prompt_id": "2"}));
    assert_eq!(told(&again), 0, "nothing is new: {again:?}");
    home.hook("Stop", "s", json!({"last_assistant_message": "Hello again!"}));
    assert_eq!(counted(home, "s"), [56_000, 2, 0, 2]);
}

fn events_that_come_twice_count_once(home: &Home) {
    for n in 1..=3 {
        let payload = home.payload("PostToolBatch", "s", calls(n)).to_string();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| home.run("post-tool-use", payload.as_bytes()));
            }
        });
        batch(home, "s", n);
    }
    assert_eq!(counted(home, "s"), [84_000, 3, 6, 3]);
    let end = home.payload("Stop", "s", json!({"last_assistant_message": "bye"})).to_string();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| home.run("session-event", end.as_bytes()));
        }
    });
    assert_eq!(counted(home, "s"), [112_000, 4, 6, 4]);
}

on_both_stores!(
    without_a_file_the_limit_holds,
    a_file_elsewhere_is_read,
    what_is_no_file_is_told_and_charged,
    a_subagent_without_a_file_is_charged,
    a_single_answer_without_a_file_is_charged,
    events_that_come_twice_count_once,
);
