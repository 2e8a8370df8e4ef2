//! Behaviour of the real client that the code relies on and captures do not show. If a client changes it, a test fails
//! before a user notices.

use serde_json::{Value, json};

use crate::rig::{Api, Client, Script, Turn, Usage, Version, client_tests};

/// Hooks that append a line to `facts` in the client's folder: the event, whether a person attends, and whether the
/// transcript already has the client's total.
fn witness(client: &Client) -> Value {
    let facts = client.root().join("facts");
    let script = format!(
        "p=$(cat); e=$(printf %s \"$p\" | sed 's/.*\"hook_event_name\":\"\\([A-Za-z]*\\)\".*/\\1/'); \
         t=$(printf %s \"$p\" | sed 's/.*\"transcript_path\":\"\\([^\"]*\\)\".*/\\1/'); \
         c=$(grep -c '\"type\":\"cost-state\"' \"$t\" 2>/dev/null); \
         echo \"$e attended=$CLAUDE_CODE_SESSION_ATTENDED totals=${{c:-0}}\" >> '{}'",
        facts.display()
    );
    let entry =
        json!([{"hooks": [{"type": "command", "command": "/bin/sh", "args": ["-c", script], "timeout": 5}]}]);
    let events = [
        "SessionStart",
        "UserPromptSubmit",
        "PreToolUse",
        "PostToolUse",
        "PostToolBatch",
        "Stop",
        "SessionEnd",
    ];
    json!({"hooks": events.iter().map(|e| ((*e).to_owned(), entry.clone())).collect::<serde_json::Map<_, _>>()})
}

fn facts(client: &Client) -> Vec<String> {
    let text = std::fs::read_to_string(client.root().join("facts")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn script() -> Script {
    Script::new()
        .main(Turn::bash("echo hello").usage(Usage::new(100, 10)))
        .main(Turn::text("All done.").usage(Usage::new(50, 5)))
}

fn in_print_mode_nobody_attends_and_the_total_is_there_at_the_end(version: Version) {
    let api = Api::start(script());
    let client = Client::new(version, &api);
    let settings = witness(&client);
    let client = client.settings(&settings);
    client.prompt("work").run().ok();
    let facts = facts(&client);
    assert!(facts.len() >= 7, "{facts:?}");
    // 2.1.197 has neither the variable nor totals.
    let (attended, totals) = if version.writes_totals() { ("0", 1) } else { ("", 0) };
    assert!(facts.iter().all(|f| f.contains(&format!("attended={attended} "))), "{facts:?}");
    assert!(facts.contains(&format!("SessionEnd attended={attended} totals={totals}")), "{facts:?}");
}

fn in_a_terminal_somebody_attends_and_clear_writes_the_total_after_its_hook(version: Version) {
    let api = Api::start(script());
    let client = Client::new(version, &api);
    let settings = witness(&client);
    let client = client.settings(&settings);
    let terminal = client.terminal(&[]);
    terminal
        .wait_for("the session to start", || facts(&client).iter().any(|f| f.starts_with("SessionStart")));
    terminal.enter("work");
    terminal.wait("All done.");
    terminal.wait_for("the turn to end", || facts(&client).iter().any(|f| f.starts_with("Stop ")));
    terminal.enter("/clear");
    terminal
        .wait_for("/clear to end the session", || facts(&client).iter().any(|f| f.starts_with("SessionEnd")));
    let seen = facts(&client);
    assert!(seen.iter().all(|f| f.contains("attended=1")), "{seen:?}");
    assert!(seen.contains(&"SessionEnd attended=1 totals=0".to_owned()), "{seen:?}");
    let total_written = || {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        client.transcripts().into_iter().any(|path| read(path).contains("\"type\":\"cost-state\""))
    };
    terminal.wait_for("the total, which comes after the hook", total_written);
}

client_tests!(facts: in_print_mode_nobody_attends_and_the_total_is_there_at_the_end);
client_tests!(newest: in_a_terminal_somebody_attends_and_clear_writes_the_total_after_its_hook);
