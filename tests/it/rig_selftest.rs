//! Tests the rig itself: without hooks, the client uses what the scripted API served.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::{Api, Client, MODEL, Script, Turn, Usage, Version, client_tests, lines};

fn two_tools(version: Version) {
    let script = Script::new()
        .main(
            Turn::thinking("hm")
                .and_text("look")
                .and_bash("echo one-@N@ > one.txt")
                .usage(Usage::new(1200, 85).cache(2000, 1000, 15000)),
        )
        .main(
            Turn::tool("Read", json!({"file_path": "@PROJECT@/a.txt"}))
                .usage(Usage::new(50, 40).cache(300, 0, 18000)),
        )
        .main(Turn::text("All done.").usage(Usage::new(30, 12)));
    let api = Api::start(script);
    let client = Client::new(version, &api);
    let run = client.prompt("do the basic thing").run().ok();

    assert_eq!(run.text(), "All done.");
    assert_eq!(run.result["session_id"], run.session.as_str());
    assert_eq!(api.count("main"), 3);
    assert!(client.project().join("one.txt").is_file());
    assert_eq!(client.transcripts().len(), 1);
    let count = client.count();
    assert_eq!(count.usage, api.loop_usage());
    assert_eq!(count.usage, Usage::new(1280, 137).cache(2300, 1000, 33000));
    assert_eq!((count.messages.len(), count.tool_calls), (3, 2));
}

fn subagents(version: Version) {
    let agent = |n: u64| Turn::bash("cat a.txt").usage(Usage::new(700 + n, 31).cache(2000, 0, 100));
    let end = |n: u64| Turn::text("result").usage(Usage::new(70 + n, 33));
    let script = Script::new()
        .main(Turn::agent("a1", false).and_agent("a2", false).usage(Usage::new(1200, 285)))
        .main(Turn::agent("bg", true).and_bash("echo goes on").usage(Usage::new(100, 60)))
        .main(Turn::text("Done.").usage(Usage::new(30, 12)))
        .main(Turn::text("The background helper came back.").usage(Usage::new(40, 9)))
        .agent("a1", [agent(1), Turn::agent("n1", false).usage(Usage::new(71, 32)), end(1)])
        .agent("a2", [agent(2), end(2)])
        .agent("n1", [agent(3), end(3)])
        .agent("bg", [agent(4), end(4)]);
    let api = Api::start(script);
    let client = Client::new(version, &api);
    client.prompt("use helpers").run().ok();

    let counts = ["agent:a1", "agent:a2", "agent:n1", "agent:bg"].map(|k| api.count(k));
    assert_eq!(counts, [3, 2, 2, 2]);
    assert_eq!(client.transcripts().len(), 5);
    let count = client.count();
    assert_eq!(count.usage, api.loop_usage());
    assert_eq!(count.messages.len(), api.loop_calls());
}

fn slow_stream(version: Version) {
    let script = Script::new()
        .main(
            Turn::bash("echo one")
                .and_text("and")
                .and_bash("echo two")
                .usage(Usage::new(1200, 185))
                .start_output_tokens(3)
                .chunk_delay_ms(20)
                .before_message_delta_ms(400),
        )
        .main(Turn::text("Done.").usage(Usage::new(30, 12)));
    let api = Api::start(script);
    let client = Client::new(version, &api);
    client.prompt("slowly").run().ok();

    // The final usage, not that at the start of the message.
    assert_eq!(client.count().usage, Usage::new(1230, 197));
    assert_eq!(client.count().tool_calls, 2);
}

fn api_errors(version: Version) {
    let script = Script::new()
        .main(Turn::error(529, "overloaded_error", "Overloaded"))
        .main(Turn::error(429, "rate_limit_error", "slow down").retry_after(1))
        .main(Turn::bash("echo x").usage(Usage::new(100, 20)))
        .main(Turn::text("text that is cut").usage(Usage::new(130, 40)).cut_before("message_delta"))
        .main(Turn::text("Done.").usage(Usage::new(140, 7)))
        // 2.1.330 retries after a 400, leaving parts out.
        .main(Turn::error(400, "invalid_request_error", "no such thing"))
        .loop_last_main();
    let api = Api::start(script);
    let client = Client::new(version, &api);
    client.prompt("errors ahead").run().ok();
    let statuses: Vec<_> = api.calls().iter().filter(|c| c.is_loop()).map(|c| c.status).collect();
    assert_eq!(statuses, [529, 429, 200, 200, 200]);
    assert_eq!(api.calls().iter().filter(|c| c.cut).count(), 1);

    let refused = client.prompt("one more").run();
    assert_eq!(refused.code, Some(1));
    assert_eq!(refused.result["is_error"], true);
    // Only the start of the cut message is known: one output token instead of 40.
    assert_eq!(client.count().usage, Usage::new(370, 28));
    assert_eq!(client.count().usage, api.loop_usage_seen());
}

fn resume_and_fork(version: Version) {
    let turn = |n| Turn::text("ok").usage(Usage::new(n, 1));
    let api = Api::start(Script::new().main(turn(100)).main(turn(200)).main(turn(400)));
    let client = Client::new(version, &api);
    let first = client.prompt("one").run().ok();
    let again = client.prompt("two").resume(&first.session).run().ok();
    let fork = client.prompt("three").args(["--continue", "--fork-session"]).run().ok();

    assert_eq!(again.session, first.session);
    assert_ne!(fork.session, first.session);
    assert_eq!(client.transcripts().len(), 2);
    assert_eq!(client.count().usage, api.loop_usage());
}

fn compaction(version: Version) {
    let script = Script::new()
        .main(Turn::text("one").usage(Usage::new(100, 10)))
        .compact(Turn::text("<summary>made up</summary>").usage(Usage::new(4321, 321)));
    let api = Api::start(script);
    let client = Client::new(version, &api);
    let run = client.prompt("first").run().ok();
    client.prompt("/compact be brief").resume(&run.session).run().ok();

    assert_eq!((api.count("main"), api.count("compact")), (1, 1));
    // The compaction's own tokens are on no message, only in the client's final total.
    assert_eq!(client.count().usage, Usage::new(100, 10));
    let all = lines(&client.transcripts()[0]);
    let account = all.iter().rfind(|l| l["type"] == "cost-state").expect("a cost-state line");
    assert_eq!(account["modelUsage"][MODEL]["inputTokens"], 4421);
}

fn hooks_and_order(version: Version) {
    // The second answer waits for the first one's tool, so the order does not depend on timing.
    let script = Script::new()
        .main(Turn::bash("touch ready").and_text("go"))
        .main(Turn::text("Done.").until_file("@PROJECT@/ready"));
    let api = Api::start(script);
    let hook = |file: &str| {
        let args = json!(["-c", format!("cat > \"$HOME/{file}\"")]);
        json!([{"hooks": [{"type": "command", "command": "/bin/sh", "args": args}]}])
    };
    let client = Client::new(version, &api)
        .user_settings(&json!({"hooks": {"Stop": hook("stop.json")}}))
        .settings(&json!({"hooks": {"PreToolUse": hook("tool.json")}}));
    let running = client.prompt("with hooks").start();
    let limit = Duration::from_mins(1);
    assert!(api.wait_until(limit, |calls| calls.len() >= 2 && calls.iter().all(|c| c.done)));
    let run = running.wait().ok();

    assert_eq!(run.text(), "Done.");
    let payload = |file: &str| lines(&client.home().join(file)).remove(0);
    assert_eq!(payload("tool.json")["tool_name"], "Bash");
    assert_eq!(payload("stop.json")["session_id"], run.session.as_str());
}

fn nothing_left_behind(version: Version) {
    let api = Api::start(Script::new().main(Turn::bash("echo @N@")).loop_last_main());
    // An endless client, killed.
    let client = Client::new(version, &api);
    let root = client.root().to_owned();
    let running = client.prompt("loop").start();
    let limit = Duration::from_mins(1);
    assert!(api.wait_until(limit, |calls| calls.len() >= 3));
    drop(running);
    drop(client);
    assert!(!root.exists());

    // A terminal closed while the client is working.
    let client = Client::new(version, &api);
    let root = client.root().to_owned();
    let terminal = client.terminal(&[]);
    let before = api.calls().len();
    terminal.enter("loop");
    assert!(api.wait_until(limit, |calls| calls.len() >= before + 3));
    drop(terminal);
    drop(client);
    assert!(!root.exists());
}

fn terminal(version: Version) {
    let script = Script::new()
        .main(Turn::bash("echo hi > hi.txt").usage(Usage::new(100, 10)))
        .main(Turn::text("first answer").usage(Usage::new(200, 20)));
    let api = Api::start(script);
    let client = Client::new(version, &api);
    let terminal = client.terminal(&[]);
    terminal.enter("hello there");
    terminal.wait("first answer");
    terminal.enter("/exit");
    assert_eq!(terminal.exit_code(), Some(0));
    assert_eq!(client.count().usage, api.loop_usage());
}

/// What a recording must not have: paths and names of the machine where it was made, secrets, the client's long texts.
#[test]
fn recordings_have_nothing_of_the_machine_or_the_clients_texts() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
    let mut recordings = 0;
    for version in fs::read_dir(folder).unwrap() {
        for file in fs::read_dir(version.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            for word in [env!("CARGO_MANIFEST_DIR"), "/root", "Linux ", "_TOKEN"] {
                assert!(!text.contains(word), "{}: {word}", path.display());
            }
            for line in text.lines() {
                let moment: Value = serde_json::from_str(line).unwrap();
                for call in moment["mark"]["calls"].as_array().into_iter().flatten() {
                    let message = call["last_message"].as_str().unwrap();
                    assert!(message.len() < 3000, "{}: a long text of the client", path.display());
                }
            }
            recordings += 1;
        }
    }
    assert!(recordings > 90, "{recordings}");
}

client_tests!(facts:
    two_tools,
    subagents,
    slow_stream,
    resume_and_fork,
    hooks_and_order,
    nothing_left_behind,
    terminal,
);
client_tests!(newest: api_errors, compaction);
