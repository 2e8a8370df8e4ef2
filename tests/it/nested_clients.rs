//! A client inside another client's tool call cannot hide from it.

use serde_json::Value;

use crate::guarded::{fusebox, guarded, status, tokens, with_child};
use crate::rig::{Api, Script, Turn, Usage, Version, client_tests};

/// 2.1.197 passes `CLAUDE_PID` on unchanged: here, set to the outer client, as if the inner one were that one.
fn it_cannot_pass_for_its_parent(version: Version) {
    let start = "CLAUDE_PID=$PPID \"$CHILD\" -p '[[agent:child]] work' --model claude-sonnet-4-5-20250929 \
                 --permission-mode bypassPermissions --settings \"$CHILD_SETTINGS\" < /dev/null";
    let script = Script::new()
        .main(Turn::bash(start).usage(Usage::new(400, 100)))
        .main(Turn::text("Done.").usage(Usage::new(30, 12)))
        .agent("child", [Turn::text("child done").usage(Usage::new(60, 20))]);
    let api = Api::start(script);
    let client = guarded(version, &api, 1_000_000);
    let client = with_child(client, version);
    let run = client.prompt("start another one").run().ok();
    assert_eq!(api.count("agent:child"), 1);
    assert_eq!(
        tokens(&status(&client, &run.session)),
        api.loop_usage(),
        "the child's charges count for the parent"
    );
    let (_, all) = fusebox(&client, &["status", "--all", "--json"]);
    let all: Value = serde_json::from_str(&all).unwrap();
    assert_eq!(all.as_array().unwrap().len(), 2, "{all}");
}

client_tests!(live: it_cannot_pass_for_its_parent);
