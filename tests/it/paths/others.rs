//! Other hooks beside ours, in the same settings and in another layer: they keep working, and our denials win.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{assert_counted, step};
use crate::guarded::{assert_bound, guarded, hooks, ran};
use crate::rig::{Api, Client, Script, Turn, Version, client_tests};

/// Another hook: a shell script, for these events.
fn at<'a>(events: impl IntoIterator<Item = &'a str>, script: &str) -> Value {
    let entry = json!({"type": "command", "command": "/bin/sh", "args": ["-c", script], "timeout": 10});
    let groups = events.into_iter().map(|event| (event.to_owned(), json!([{"hooks": [entry]}])));
    json!({"hooks": groups.collect::<serde_json::Map<_, _>>()})
}

/// Our hooks, with the others before them.
fn beside(version: Version, theirs: &Value) -> Value {
    let mut settings = hooks(version);
    for (event, groups) in theirs["hooks"].as_object().unwrap() {
        let group = groups[0].clone();
        match settings["hooks"][event].as_array_mut() {
            Some(ours) => ours.insert(0, group),
            None => settings["hooks"][event] = json!([group]),
        }
    }
    settings
}

/// Where the other hooks are: in the same file as ours, or in the user's.
#[derive(Clone, Copy, Debug)]
enum Layer {
    Same,
    Users,
}

fn with_theirs(version: Version, api: &Api, limit: u64, layer: Layer, theirs: &Value) -> Client {
    let client = guarded(version, api, limit);
    match layer {
        Layer::Same => client.settings(&beside(version, theirs)),
        Layer::Users => client.user_settings(theirs),
    }
}

const ALLOW: &str =
    r#"echo '{"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"allow"}}'"#;
const DENY: &str = r#"echo '{"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"deny","permissionDecisionReason":"not here"}}'"#;
const BLOCK: &str = "echo 'not here' >&2; exit 2";
const REWRITE: &str = r#"echo '{"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"allow","updatedInput":{"command":"echo rewritten >> ran.txt"}}}'"#;

fn what_others_allow_is_denied_all_the_same(version: Version) {
    for layer in [Layer::Same, Layer::Users] {
        let api = Api::start(Script::new().main(step(0)).loop_last_main());
        let client = with_theirs(version, &api, 1_000, layer, &at(["PreToolUse"], ALLOW));
        let run = client.prompt("loop").run();
        assert_eq!(run.result["terminal_reason"], "hook_stopped", "{layer:?}");
        assert_bound(version, "a loop, and a hook of others that allows", &api, 1_000, 1);
        assert_eq!(ran(&client), 2, "no call runs once the limit is crossed");
        assert_counted(&client, &api, &run.session);
    }
}

fn what_others_deny_stays_denied(version: Version) {
    for (layer, deny) in [(Layer::Same, DENY), (Layer::Users, DENY), (Layer::Same, BLOCK)] {
        let api = Api::start(Script::new().main(step(0)).main(Turn::text("Done.")));
        let client = with_theirs(version, &api, 1_000_000, layer, &at(["PreToolUse"], deny));
        let run = client.prompt("work").run().ok();
        assert_eq!(run.text(), "Done.");
        assert_eq!(ran(&client), 0, "{layer:?}");
        assert!(api.calls().iter().any(|call| call.last_message.contains("not here")));
        assert_counted(&client, &api, &run.session);
    }
}

fn what_others_rewrite_runs_until_the_limit(version: Version) {
    let api = Api::start(Script::new().main(step(0)).loop_last_main());
    let client = with_theirs(version, &api, 1_000, Layer::Users, &at(["PreToolUse"], REWRITE));
    let run = client.prompt("loop").run();
    assert_eq!(run.result["terminal_reason"], "hook_stopped");
    assert_bound(version, "a loop, and a hook of others that rewrites", &api, 1_000, 1);
    let ran = std::fs::read_to_string(client.project().join("ran.txt")).unwrap();
    assert_eq!(ran.lines().collect::<Vec<_>>(), ["rewritten"; 2], "their word below the limit, ours past it");
    assert_counted(&client, &api, &run.session);
}

/// Slower than our own deadline: only the client waits for the other hook.
fn others_may_be_slow(version: Version) {
    let api = Api::start(Script::new().main(step(0)).loop_last_main());
    let slow = at(["PreToolUse", "PostToolBatch"], "sleep 2");
    let client = with_theirs(version, &api, 800, Layer::Same, &slow).env("FUSEBOX_TEST_PATIENCE", "1");
    let run = client.prompt("loop").run();
    assert_eq!(run.result["terminal_reason"], "hook_stopped");
    assert_bound(version, "a loop, and slow hooks of others", &api, 800, 1);
    assert_counted(&client, &api, &run.session);
}

fn others_hear_of_every_event_too(version: Version) {
    let ours = hooks(version);
    let events: Vec<&str> = ours["hooks"].as_object().unwrap().keys().map(String::as_str).collect();
    let script = r#"echo "$(cat)" | sed 's/.*"hook_event_name":"\([A-Za-z]*\)".*/\1/' >> "$HOME/heard""#;
    let turns = Script::new()
        .main(step(0))
        .main(Turn::bash("false"))
        .main(Turn::agent("a", false))
        .main(Turn::text("Done."))
        .agent("a", [Turn::text("r")]);
    let api = Api::start(turns);
    let client = with_theirs(version, &api, 1_000_000, Layer::Same, &at(events, script));
    let run = client.prompt("work").run().ok();
    assert_counted(&client, &api, &run.session);
    let heard = std::fs::read_to_string(client.home().join("heard")).unwrap();
    let heard: BTreeSet<&str> = heard.lines().collect();
    let expected = [
        "PostToolBatch",
        "PostToolUse",
        "PostToolUseFailure",
        "PreToolUse",
        "SessionEnd",
        "SessionStart",
        "Stop",
        "SubagentStop",
        "UserPromptSubmit",
    ];
    assert!(heard.is_superset(&expected.into()), "{heard:?}");
}

client_tests!(recorded: what_others_allow_is_denied_all_the_same, others_may_be_slow);
client_tests!(facts:
    what_others_deny_stays_denied,
    what_others_rewrite_runs_until_the_limit,
    others_hear_of_every_event_too,
);
