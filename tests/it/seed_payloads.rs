//! The seed's payloads: `tool`, `arguments`, `response`, `sessionId`; a block is exit code 2.

use serde_json::{Value, json};

use crate::harness::{Home, message};

fn call(id: Option<&str>, n: u64, input: u64, output: u64) -> Vec<u8> {
    let mut payload = json!({
        "tool": "Bash", "arguments": {"command": format!("echo {n}")}, "sessionId": "seed",
        "response": {"output": "x", "usage": {"input_tokens": input, "output_tokens": output}},
    });
    if let Some(id) = id {
        payload["tool_use_id"] = json!(id);
    }
    payload.to_string().into_bytes()
}

#[test]
fn tokens_are_charged_once_for_each_call_or_payload() {
    let home = Home::new();
    for _ in 0..3 {
        assert!(home.run("post-tool-use", &call(Some("c1"), 1, 100, 10)).is_silent());
        assert!(home.run("post-tool-use", &call(None, 2, 200, 20)).is_silent());
    }
    assert!(home.run("post-tool-use", &call(Some("c2"), 1, 100, 10)).is_silent());
    let status = home.status("seed");
    assert_eq!(status["tokens"]["input"], 400);
    assert_eq!(status["tokens"]["output"], 40);
    assert_eq!((&status["requests"], &status["tool_calls"]), (&json!(3), &json!(3)));
}

#[test]
fn usage_is_found_where_responses_carry_it_and_its_absence_is_no_failure() {
    let home = Home::new();
    for response in [
        json!({"input_tokens": 5, "output_tokens": 1}),
        json!({"metadata": {"input_tokens": 5, "output_tokens": 1}}),
        json!({"usage": {"input_tokens": 5.0, "output_tokens": 1}}),
        json!({"usage": {"input_tokens": null}}),
        json!("text only"),
        json!(null),
        json!({}),
    ] {
        let payload = json!({"tool": "Bash", "arguments": {}, "sessionId": "seed", "response": response});
        assert!(home.run("post-tool-use", payload.to_string().as_bytes()).is_silent(), "{response}");
    }
    assert_eq!(home.status("seed")["tokens"]["input"], 15);
}

#[test]
fn a_real_clients_payload_is_never_charged_from_what_it_carries() {
    let home = Home::new();
    let mut payload: Value = serde_json::from_slice(&call(None, 1, 100, 10)).unwrap();
    payload["transcript_path"] = json!(home.transcript("seed"));
    assert!(home.run("post-tool-use", payload.to_string().as_bytes()).is_silent());
    let with_usage =
        json!({"tool_use_id": "t", "tool_response": {"usage": {"input_tokens": 999, "output_tokens": 9}}});
    assert!(home.hook("PostToolUse", "seed", with_usage).is_silent());
    assert_eq!(home.status("seed")["tokens"]["input"], 0);
}

#[test]
fn warning_exhaustion_and_extension() {
    let home = Home::new().var("FUSEBOX_BUDGET_SESSION_LIMIT", "1000");
    let pre = br#"{"tool":"Bash","arguments":{},"sessionId":"seed"}"#;
    assert!(home.run("pre-tool-use", pre).is_silent(), "an unknown session is allowed");
    assert!(home.run("post-tool-use", &call(Some("a"), 1, 400, 10)).is_silent());

    let warned = home.run("post-tool-use", &call(Some("b"), 2, 400, 10));
    assert_eq!((warned.code, warned.stderr.as_str()), (0, ""));
    assert!(
        warned.json()["hookSpecificOutput"]["additionalContext"].as_str().unwrap().contains("82.00%"),
        "{warned:?}"
    );
    assert!(home.run("pre-tool-use", pre).is_silent());

    let over = home.run("post-tool-use", &call(Some("c"), 3, 400, 10));
    assert_eq!((over.code, over.stdout.as_str()), (2, ""));
    assert!(over.stderr.contains("1,230 / 1,000 tokens (123.00%)"), "{over:?}");
    let blocked = home.run("pre-tool-use", pre);
    assert_eq!((blocked.code, blocked.stdout.as_str()), (2, ""));
    assert!(blocked.stderr.contains("budget reached"), "{blocked:?}");
    let prompt = home.run("prompt-submit", br#"{"sessionId":"seed","prompt":"hi"}"#);
    assert_eq!(prompt.code, 2, "{prompt:?}");

    let ran = home.fusebox(&[
        "budget",
        "extend",
        "session",
        "--session",
        "seed",
        "--tokens",
        "500",
        "--reason",
        "go",
    ]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(home.run("pre-tool-use", pre).is_silent());
    let line = home.run("prompt-submit", br#"{"sessionId":"seed","prompt":"hi"}"#).json();
    let context = line["hookSpecificOutput"]["additionalContext"].as_str().unwrap();
    assert!(context.contains("Session budget: 1,230 / 1,500 tokens (82.00%)"), "{context}");
}

/// A program may also call the hooks in a session of Claude Code: new transcript lines count.
#[test]
fn in_a_session_with_a_transcript_that_is_read_on() {
    let home = Home::new().var("FUSEBOX_BUDGET_SESSION_LIMIT", "1000");
    home.append(&home.transcript("s"), &[message(1, 850, 0)]);
    home.hook("PostToolUse", "s", json!({}));
    home.append(&home.transcript("s"), &[message(2, 200, 0)]);
    let denied = home.run("pre-tool-use", br#"{"tool":"Bash","arguments":{"command":"ls"},"sessionId":"s"}"#);
    assert_eq!(denied.code, 2, "{denied:?}");
    assert!(denied.stderr.contains("1,050 / 1,000 tokens"), "{denied:?}");
}
