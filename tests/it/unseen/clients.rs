//! Real clients that write no transcript are held, too.

use serde_json::json;

use crate::guarded::{fusebox, guarded, journal, status, step};
use crate::rig::{Api, Script, Version, client_tests};

/// The ways in which a client writes no transcript: an argument, or a variable.
const WAYS: [(&str, &[&str], Option<&str>); 2] = [
    ("--no-session-persistence", &["--no-session-persistence"], None),
    ("CLAUDE_CODE_SKIP_PROMPT_HISTORY", &[], Some("CLAUDE_CODE_SKIP_PROMPT_HISTORY")),
];

/// Each response is charged 28,000 tokens: the fourth crosses the limit of 100,000.
fn is_held(version: Version, on_limit: &str, most: usize) {
    for (way, arguments, variable) in WAYS {
        let api = Api::start(Script::new().main(step(0)).loop_last_main());
        let client = guarded(version, &api, 100_000).env("FUSEBOX_BUDGET_SESSION_ON_LIMIT", on_limit);
        let client = match variable {
            Some(name) => client.env(name, "1"),
            None => client,
        };
        let mut prompt = client.prompt("loop");
        if let [argument] = arguments {
            prompt = prompt.args([argument]);
        }
        let run = prompt.run();
        assert_eq!(run.code, Some(0), "{way}");
        assert_eq!(run.result["terminal_reason"], "hook_stopped", "{way}");
        let made = api.count("main");
        assert!((4..=4 + most).contains(&made), "{way}: {made} responses");
        let status = status(&client, &run.session);
        assert_eq!(
            (&status["incomplete"], &status["stopped"]),
            (&json!(true), &json!(true)),
            "{way}: {status}"
        );
        assert_eq!(status["unseen_responses"], json!(made), "{way}: {status}");
        assert_eq!(journal(&client).matches("incomplete transcript").count(), 1, "{way}");
        assert_eq!(fusebox(&client, &["status", "--session", &run.session, "--check"]).0, 3, "{way}");
    }
}

fn without_a_transcript_a_loop_is_stopped(version: Version) {
    is_held(version, "stop", 0);
}

fn without_a_transcript_a_loop_is_paused(version: Version) {
    is_held(version, "pause", 1);
}

client_tests!(live: without_a_transcript_a_loop_is_stopped, without_a_transcript_a_loop_is_paused);
