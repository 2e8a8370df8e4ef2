//! What Redis stores of a session: no prompts or other texts, no results, no paths.

use serde_json::{Value, json};

use super::Shared;
use crate::harness::Home;
use crate::terminal::prompt_from;

const S: &str = "0a1b2c3d-0000-4000-8000-000000000001";

/// A transcript line with text wherever a client writes some.
fn line(n: usize, home: &Home) -> Vec<Value> {
    let cwd = home.path("project");
    let said = json!([
        {"type": "thinking", "thinking": format!("marker-thought-{n}")},
        {"type": "text", "text": format!("marker-text-{n}")},
        {"type": "tool_use", "id": format!("toolu_{n}"), "name": "Bash",
            "input": {"command": "cat marker-input", "description": "marker-description"}}
    ]);
    let usage = json!({"input_tokens": 300, "output_tokens": 20, "cache_creation_input_tokens": 5, "cache_read_input_tokens": 10});
    let of = |kind: &str, uuid: String, message: Value| {
        json!({"type": kind, "uuid": uuid, "sessionId": S, "cwd": cwd, "gitBranch": "marker-branch", "isSidechain": false,
            "requestId": format!("req_{n}"), "timestamp": "2026-11-22T10:00:00.000Z", "message": message})
    };
    vec![
        of("user", format!("u-{n}"), json!({"role": "user", "content": format!("marker-prompt-{n}")})),
        of(
            "assistant",
            format!("a-{n}"),
            json!({"id": format!("msg_{n}"), "role": "assistant", "model": "claude-test-1",
            "stop_reason": "tool_use", "content": said, "usage": usage}),
        ),
        of(
            "user",
            format!("r-{n}"),
            json!({"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": format!("toolu_{n}"), "content": "marker-result"}]}),
        ),
    ]
}

/// Everything that hooks and commands do, with texts and paths in all inputs.
fn use_everything(shared: &Shared) {
    let home = &shared.home;
    home.hook("SessionStart", S, json!({"source": "startup"}));
    home.hook("UserPromptSubmit", S, json!({"prompt": "marker-prompt: work on marker-file"}));
    let call = |n: usize, tool: &str, input: Value| json!({"tool_name": tool, "tool_use_id": format!("toolu_{n}"), "tool_input": input});
    for n in 1..=6 {
        home.append(&home.transcript(S), &line(n, home));
        // A loop, from which events and reasons are stored.
        let bash =
            call(n, "Bash", json!({"command": "cat marker-input", "description": "marker-description"}));
        home.hook("PreToolUse", S, bash.clone());
        let mut over = bash;
        over["tool_response"] =
            json!({"stdout": "marker-result", "stderr": "marker-error", "interrupted": false});
        home.hook("PostToolUse", S, over.clone());
        home.hook("PostToolBatch", S, json!({"tool_calls": [over]}));
    }
    let write = json!({"file_path": home.path("project/marker-file"), "content": "marker-content"});
    home.hook("PreToolUse", S, call(20, "Write", write));
    let failed = json!({"tool_name": "Read", "tool_use_id": "toolu_21", "tool_input": {"file_path": "/marker-path"},
        "error": "marker-error"});
    home.hook("PostToolUseFailure", S, failed);
    // Subagents, with a type and a prompt, and their activity.
    let agent =
        json!({"prompt": "marker-task", "description": "marker-description", "subagent_type": "Explore"});
    home.hook("PreToolUse", S, call(30, "Agent", agent.clone()));
    home.hook("PreToolUse", S, call(31, "Agent", agent));
    let file = home.agent_transcript(S, "abc");
    home.append(&file, &line(40, home));
    let stopped = json!({"agent_id": "abc", "agent_type": "Explore", "agent_transcript_path": file,
        "last_assistant_message": "marker-text"});
    home.hook("SubagentStop", S, stopped);
    let prompt = json!({"prompt": "fusebox: status", "prompt_id": "p-1", "permission_mode": "default"});
    prompt_from(home, &home.payload("UserPromptSubmit", S, prompt), None);
    home.hook("Stop", S, json!({"last_assistant_message": "marker-text"}));
    home.hook("SessionEnd", S, json!({"reason": "other"}));
    for command in [
        &["budget", "extend", "session", "--session", S, "--tokens", "10", "--reason", "nearly done"][..],
        &["budget", "extend", "ours", "--tokens", "10", "--reason", "nearly done"],
        &["circuit", "reset", "--session", S, "--reason", "nearly done"],
        &["alerts", "ack", "--all"],
        &["init"],
        &["status", "--all"],
        &["doctor"],
    ] {
        let ran = shared.operator(command);
        assert!(ran.code == 0 || command == ["doctor"], "{command:?}: {ran:?}");
    }
}

#[test]
fn redis_holds_no_words_and_no_paths() {
    let furnish = |home: Home| {
        home.var("FUSEBOX_THROTTLE_HARD_LIMIT_TOKENS", "1000000").var("FUSEBOX_THROTTLE_MAX_CONCURRENCY", "1")
    };
    let shared = Shared::with(furnish);
    let home = &shared.home;
    home.configure(
        "[[budget]]\nname = \"session\"\nlimit = 1000\n\
         [[budget]]\nname = \"ours\"\nscope = \"project\"\nwindow = \"month\"\nlimit = 1500\n\
         [[budget]]\nname = \"kinds\"\nscope = \"agent_type\"\nwindow = \"month\"\nlimit = 10000\n",
    );
    use_everything(&shared);
    let all = shared.everything();
    // Otherwise the run does not cover enough.
    for part in [
        ":message:",
        ":alert:",
        ":events:",
        ":standings:",
        ":operations:",
        ":acknowledged",
        ":installed",
        ":live:",
    ] {
        assert!(all.iter().any(|(key, _)| key.contains(part)), "no {part}: {all:#?}");
    }
    assert!(all.iter().any(|(key, _)| key.contains("project-")), "the project's hash: {all:#?}");
    let folder = home.path("").to_string_lossy().trim_end_matches('/').to_owned();
    let name = folder.rsplit('/').next().unwrap().to_owned();
    for (key, value) in &all {
        let text = format!("{key} {value}");
        for secret in ["marker", folder.as_str(), name.as_str(), "/project", ".jsonl", "cat "] {
            assert!(!text.contains(secret), "{secret}: {key}: {value}");
        }
        let mut words = text.split(|c: char| c.is_whitespace() || "\"|,:".contains(c));
        assert!(!words.any(|word| word.starts_with('/')), "a path: {key}: {value}");
    }
    // Each key expires, and belongs to this tenant.
    for (key, _) in &all {
        assert!(key.starts_with("fusebox:{acme}:"), "{key}");
        assert_ne!(shared.server.text(&["TTL", key]), "-1", "{key}");
    }
}
