//! Texts that a strict parser rejects: halves of emoji, as JavaScript writes them, and JSON that is nested too deeply
//! or has numbers out of range. They silence no hook, and no hook takes them for empty.

use serde_json::{Value, json};

use crate::harness::{Home, Ran, hook_of, message};

const S: &str = "s";

/// A hook's call; in its JSON, `@` stands for something odd: an escape, or a value.
fn hook(home: &Home, event: &str, fields: Value, odd: &str) -> Ran {
    let payload = home.payload(event, S, fields).to_string();
    let stands_for = if odd.starts_with('\\') { "@" } else { "\"@\"" };
    home.run(hook_of(event), payload.replace(stands_for, odd).as_bytes())
}

/// A response with one call, after which the breaker's state is returned.
fn respond(home: &Home, n: usize, tool: &str, input: &Value, result: &Value, odd: &str) -> Value {
    let mut call = json!({"tool_name": tool, "tool_input": input, "tool_use_id": format!("toolu_{n}")});
    call["tool_response"] = result.clone();
    hook(home, "PostToolUse", call.clone(), odd);
    hook(home, "PostToolBatch", json!({"tool_calls": [call]}), odd);
    home.status(S)["circuit"]["state"].clone()
}

fn deep() -> String {
    "[".repeat(300) + &"]".repeat(300)
}

#[test]
fn every_event_is_handled_with_half_an_emoji_in_its_text() {
    let halves = ["\\ud83d", "\\uDE00", "\\ude00\\ud83d", "\\\\\\ud83d x"];
    for (half, event, fields) in halves.into_iter().flat_map(|half| {
        [
            ("Stop", json!({"last_assistant_message": "so @"})),
            ("SubagentStop", json!({"last_assistant_message": "@ so", "agent_id": "a1", "agent_type": "@"})),
            ("PostToolBatch", json!({"tool_calls": [], "x@": 1})),
            (
                "PostToolUseFailure",
                json!({"tool_name": "Bash", "tool_input": {"command": "@"}, "error": "@"}),
            ),
            ("SessionEnd", json!({"reason": "@"})),
        ]
        .map(|(event, fields)| (half, event, fields))
    }) {
        let home = Home::new().var("FUSEBOX_BUDGET_SESSION_LIMIT", "100");
        home.append(&home.transcript(S), &[message(1, 2000, 5)]);
        assert_eq!(hook(&home, event, fields, half).code, 0);
        let alerts = home.fusebox(&["alerts", "list", "--all", "--json"]);
        assert!(alerts.stdout.contains("threshold"), "{event}, {half}: {alerts:?}");
        assert_eq!(home.journal(), "", "{event}, {half}");
    }
}

#[test]
fn the_breaker_sees_texts_that_cannot_be_parsed_as_what_they_are() {
    let deep = deep();
    let odds = ["\\ud83d", "1e999", &deep, "\\ude00\\ud83d"];
    for odd in odds {
        let odd_value = if odd.starts_with('\\') { json!("cut @") } else { json!("@") };
        for (name, loops) in
            [("input", true), ("result", true), ("changing result", false), ("changing input", false)]
        {
            let home = Home::new();
            let mut state = Value::Null;
            for n in 0..8 {
                let changing = if loops {
                    json!(0)
                } else {
                    json!("one two three four five six seven eight".split(' ').nth(n))
                };
                let (input, result) = match name {
                    "input" | "changing input" => (json!({"q": odd_value, "n": [changing]}), json!("same")),
                    _ => (json!({"q": 1}), json!({"x": odd_value, "stdout": {"n": [odd_value, changing]}})),
                };
                state = respond(&home, n, "mcp__a__look", &input, &result, odd);
            }
            assert_eq!(state, if loops { "open" } else { "closed" }, "{name}: {odd:.20}");
        }
    }
}

#[test]
fn a_cut_command_is_checked_like_any_other() {
    let home = Home::new();
    for (command, denied) in [
        ("echo @; fusebox budget extend session --tokens 5 --reason @", true),
        ("sed -i s/@// .claude/settings.json", true),
        ("echo @", false),
    ] {
        let call = json!({"tool_name": "Bash", "tool_input": {"command": command}, "tool_use_id": "t"});
        let ran = hook(&home, "PreToolUse", call, "\\ud83d");
        assert_eq!(ran.stdout.contains("\"deny\""), denied, "{command}: {ran:?}");
    }
}

#[test]
fn a_call_that_cannot_be_read_is_denied_if_it_could_change_something() {
    let home = Home::new();
    for odd in [deep(), "-1e999".into()] {
        for (tool, input, denied) in [
            ("mcp__files__write", json!({"path": "/a", "x": "@"}), true),
            ("Bash", json!({"commands": ["ls", "@"]}), true),
            ("Write", json!("@"), true),
            ("Bash", json!({"command": "ls", "x": "@"}), false),
            ("Read", json!({"file_path": "/a", "x": "@"}), false),
        ] {
            let call = json!({"tool_name": tool, "tool_input": input, "tool_use_id": "t"});
            let ran = hook(&home, "PreToolUse", call, &odd);
            assert_eq!(ran.stdout.contains("cannot be read"), denied, "{tool} {input}: {ran:?}");
            let plain = json!({"tool": tool, "arguments": input, "sessionId": "p"}).to_string();
            let ran = home.run("pre-tool-use", plain.replace("\"@\"", &odd).as_bytes());
            assert_eq!(
                (ran.code == 2, ran.stderr.contains("cannot be read")),
                (denied, denied),
                "{plain}: {ran:?}"
            );
        }
    }
}

#[test]
fn the_plain_protocol_is_heard_with_odd_texts() {
    let deep = deep();
    for odd in ["\"\\ud83d\"", &deep, "1e999"] {
        let home = Home::new();
        for n in 0..6 {
            let payload = json!({"tool": "Bash", "arguments": {"command": "make", "x": "@"}, "sessionId": S, "call_id": n.to_string(),
                "response": {"output": "@", "usage": {"input_tokens": 10, "output_tokens": 1}}});
            let ran = home.run("post-tool-use", payload.to_string().replace("\"@\"", odd).as_bytes());
            assert_eq!(ran.code, if n < 4 { 0 } else { 2 }, "{n}, {odd:.20}: {ran:?}");
        }
        assert_eq!(home.status(S)["tokens"]["input"], 60, "{odd:.20}");
        assert_eq!(home.status(S)["circuit"]["state"], "open", "{odd:.20}");
        assert_eq!(home.journal(), "");
    }
}

#[test]
fn half_an_emoji_in_a_transcript_costs_nothing() {
    let home = Home::new();
    home.append(&home.transcript(S), &[]);
    let line = |n: usize, was: &str, becomes: &str| {
        assert!(message(n, 100, 1).to_string().contains(was));
        message(n, 100, 1).to_string().replacen(was, becomes, 1) + "\n"
    };
    let lines = [
        line(1, "\"Bash\"", "\"\\ud83d\""),
        line(2, "\"msg_2\"", "\"msg_\\ude002\""),
        line(3, "claude-test-1", "claude-\\ud83d"),
        line(4, "\"role\"", "\"\\udbff\":{\"\\ud800\":1},\"role\""),
        line(5, "\"input_tokens\"", "\"\\ud83d\":0,\"input_tokens\""),
    ];
    std::fs::write(home.transcript(S), lines.concat()).unwrap();
    assert!(home.hook("PostToolUse", S, json!({})).is_silent());
    let status = home.status(S);
    assert_eq!((&status["tokens"]["input"], &status["requests"]), (&json!(500), &json!(5)));
    assert_eq!(status["tool_calls"], 5);
}
