//! Sessions in terminals: resumed, with another model, in another window.

use super::{all_sessions, only, step};
use crate::guarded::{guarded, journal, ran, status, tokens};
use crate::rig::{Api, Client, Script, Turn, Usage, Version, client_tests};

/// Adds these budgets to the client's configuration.
fn with_budgets(client: Client, toml: &str) -> Client {
    let file = client.root().join("fusebox.toml");
    std::fs::write(&file, toml).unwrap();
    client.env("FUSEBOX_CONFIG", &file.to_string_lossy())
}

fn a_new_window_lets_an_open_terminal_go_on(version: Version) {
    let api = Api::start(Script::new().main(step(0)).loop_last_main());
    let client = guarded(version, &api, 1_000_000);
    let hours = "[[budget]]\nname = \"hours\"\nscope = \"user\"\nwindow = \"5h\"\nlimit = 1000\n";
    let client = with_budgets(client, hours);
    let terminal = client.terminal(&[]);
    terminal.enter("loop");
    terminal.wait_for("the stop", || only(&client)["stopped"] == true);
    terminal.enter("again");
    terminal.wait("Original prompt: again");
    let (stopped_at, ran_then) = (api.count("main"), ran(&client));
    // Moves the clock of hooks. The client's own clock, which dates its lines, stays: they belong to the previous
    // window.
    client.move_clock(5 * 3600 * 1000);
    terminal.enter("again");
    terminal.wait_for("the loop to go on", || api.count("main") >= stopped_at + 2 && ran(&client) > ran_then);
    terminal.keys(&["Escape"]);
    terminal.wait("nterrupted");
    assert_eq!(only(&client)["stopped"], false);
    assert_eq!(journal(&client), "");
}

fn a_session_is_resumed_in_a_terminal(version: Version) {
    let script = Script::new()
        .main(step(1))
        .main(Turn::text("first answer").usage(Usage::new(11, 12)))
        .main(Turn::text("second answer").usage(Usage::new(13, 14)))
        .main(Turn::text("third answer").usage(Usage::new(15, 16)));
    let api = Api::start(script);
    let client = guarded(version, &api, 1_000_000);
    let first = client.prompt("the first prompt").run().ok();
    let terminal = client.terminal(&[]);
    terminal.enter("another session");
    terminal.wait("second answer");
    terminal.wait_for("the turn to end", || {
        all_sessions(&client).iter().any(|s| tokens(s) == Usage::new(13, 14))
    });
    terminal.enter(&format!("/resume {}", first.session));
    terminal.wait("first answer");
    terminal.enter("go on");
    terminal.wait("third answer");
    terminal.wait_for("the count", || status(&client, &first.session)["requests"] == 3);
    terminal.enter("/exit");
    assert_eq!(terminal.exit_code(), Some(0));
    let resumed = Usage::new(101 + 11 + 15, 50 + 12 + 16).cache(300, 0, 5000);
    assert_eq!(tokens(&status(&client, &first.session)), resumed);
    let all = all_sessions(&client);
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!(all.iter().map(tokens).sum::<Usage>(), api.loop_usage());
    assert_eq!(journal(&client), "");
}

fn another_model_is_not_held_by_a_models_budget(version: Version) {
    let script = Script::new().main(step(0)).main(step(0)).main(step(0)).main(step(0));
    let api = Api::start(script.main(Turn::text("fifth answer").usage(Usage::new(17, 18))));
    let client = guarded(version, &api, 1_000_000);
    let dear = "[[budget]]\nname = \"dear\"\nscope = \"model\"\nmatch = \"*sonnet*\"\nwindow = \"month\"\nlimit = 1000\n";
    let client = with_budgets(client, dear);
    let terminal = client.terminal(&[]);
    terminal.enter("loop");
    terminal.wait("hook stopped");
    terminal.wait_for("the stop", || only(&client)["stopped"] == true);
    let session = only(&client)["session"].as_str().unwrap().to_owned();
    let blocked = |times| {
        let what = format!("{times} blocked prompts");
        terminal.wait_for(&what, || terminal.screen().matches("Original prompt: again").count() == times);
    };
    terminal.enter("again");
    blocked(1);
    terminal.enter("/model opus");
    terminal.wait("Switch model?|Set model to Opus");
    if terminal.screen().contains("Switch model?") {
        terminal.keys(&["Enter"]);
        terminal.wait("Set model to Opus");
    }
    terminal.enter("again");
    if version == Version::V2_1_197 {
        // No hook reports the choice, and the client writes it too late: a new session is needed.
        blocked(2);
        terminal.enter("/clear");
        terminal.wait_for("the screen to clear", || !terminal.screen().contains("Original prompt"));
        terminal.enter("again");
    }
    terminal.wait("fifth answer");
    assert_eq!(api.count("main"), 5);
    assert!(api.calls().last().unwrap().model.contains("opus"), "{:?}", api.calls().last());
    let counted = || all_sessions(&client).iter().map(tokens).sum::<Usage>();
    terminal.wait_for("the count", || counted() == api.loop_usage());
    let all = all_sessions(&client);
    assert!(all.iter().any(|s| s["session"] == session.as_str()));
    assert_eq!(journal(&client), "");
}

client_tests!(recorded:
    a_new_window_lets_an_open_terminal_go_on,
    a_session_is_resumed_in_a_terminal,
    another_model_is_not_held_by_a_models_budget,
);
