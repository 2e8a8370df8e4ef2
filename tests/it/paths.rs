//! Further paths of sessions of real clients: the count equals what was served, and a stop holds until its cause is
//! gone.

mod background;
mod others;
mod terminal;

use serde_json::{Value, json};

use crate::guarded::{assert_bound, fusebox, guarded, journal, status, step, tokens, with_child};
use crate::rig::{Api, Client, Script, Turn, Usage, Version, client_tests};

fn all_sessions(client: &Client) -> Vec<Value> {
    let (_, text) = fusebox(client, &["status", "--all", "--json"]);
    serde_json::from_str(&text).unwrap()
}

/// The only session's status.
fn only(client: &Client) -> Value {
    let all = all_sessions(client);
    assert_eq!(all.len(), 1, "{all:?}");
    all.into_iter().next().unwrap()
}

#[track_caller]
fn assert_counted(client: &Client, api: &Api, session: &str) {
    assert_eq!(tokens(&status(client, session)), api.loop_usage());
    assert_eq!(journal(client), "");
}

fn continued_sessions_go_on_in_their_file(version: Version) {
    let script =
        Script::new().main(step(1)).main(Turn::text("first")).main(step(2)).main(Turn::text("second"));
    let api = Api::start(script);
    let client = guarded(version, &api, 1_000_000);
    let first = client.prompt("one").run().ok();
    let second = client.prompt("two").args(["--continue"]).run().ok();
    assert_eq!(first.session, second.session);
    assert_counted(&client, &api, &first.session);
    assert_eq!(only(&client)["requests"], 4);
}

fn retried_errors_cost_nothing(version: Version) {
    let script = Script::new()
        .main(Turn::error(529, "overloaded_error", "Overloaded"))
        .main(Turn::error(429, "rate_limit_error", "slow down").retry_after(1))
        .main(step(1))
        .main(Turn::text("Done."))
        .main(Turn::error(400, "invalid_request_error", "no such thing"))
        .loop_last_main();
    let api = Api::start(script);
    let client = guarded(version, &api, 1_000_000);
    let run = client.prompt("errors ahead").run().ok();
    assert_counted(&client, &api, &run.session);
    let refused = client.prompt("and more").resume(&run.session).run();
    assert_eq!(refused.code, Some(1));
    let status = status(&client, &run.session);
    assert_eq!(tokens(&status), Usage::new(101 + 10, 50 + 5).cache(300, 0, 5000));
    assert_eq!(status["requests"], 2, "an error is no response");
    assert_eq!(journal(&client), "");
}

fn an_api_that_stays_down_costs_nothing(version: Version) {
    let script = Script::new().main(step(1)).main(Turn::error(500, "api_error", "boom")).loop_last_main();
    let api = Api::start(script);
    let client = guarded(version, &api, 1_000_000);
    let run = client.prompt("work").run();
    assert_eq!(run.code, Some(1));
    assert_eq!(tokens(&status(&client, &run.session)), Usage::new(101, 50).cache(300, 0, 5000));
    assert_eq!(journal(&client), "");
}

fn a_cut_stream_is_estimated_from_what_is_seen(version: Version) {
    let text = "what was said before the line went dead, forty and more characters";
    let script = Script::new()
        .main(step(1))
        .main(Turn::text(text).usage(Usage::new(130, 40)).cut_before("message_delta"))
        .main(Turn::text("Done.").usage(Usage::new(140, 7)));
    let api = Api::start(script);
    let client = guarded(version, &api, 1_000_000);
    let run = client.prompt("work").run();
    let status = status(&client, &run.session);
    let (cut, asked_again) = (api.calls().iter().filter(|c| c.cut).count(), api.count("main") == 3);
    assert_eq!(cut, 1);
    let again = if asked_again { Usage::new(140, 7) } else { Usage::default() };
    let seen = (text.chars().count() / 4) as u64;
    let got = tokens(&status);
    assert_eq!(got.input, 101 + 130 + again.input, "{status}");
    let rest = got.output - 50 - again.output;
    if version.writes_totals() {
        // Its total has the client's estimate, which is about the same.
        assert!((seen..=seen + 1).contains(&rest), "{rest}: {status}");
        assert_eq!(status["estimated_messages"], 0, "{status}");
    } else {
        assert_eq!((rest, &status["estimated_messages"]), (seen, &json!(1)), "{status}");
    }
    assert_eq!(journal(&client), "");
}

fn a_prompt_that_is_too_long_is_compacted_and_counted(version: Version) {
    let big = |text: &str| {
        Turn::text(text).and_bash("seq 1 2000").usage(Usage::new(100, 11).cache(95_000, 0, 101_000))
    };
    let script = Script::new()
        .main(big("one"))
        .main(big("two"))
        .main(Turn::error(400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"))
        .main(Turn::text("after the compaction").usage(Usage::new(40, 20)))
        .main(Turn::text("and on").usage(Usage::new(41, 21)))
        .compact(Turn::text("<summary>short</summary>").usage(Usage::new(4321, 321).cache(0, 0, 777)));
    let api = Api::start(script);
    let client = guarded(version, &api, 10_000_000);
    let run = client.prompt("work").run().ok();
    client.prompt("more").resume(&run.session).run().ok();
    assert_eq!(api.count("compact"), 1);
    let status = status(&client, &run.session);
    let messages = api.loop_usage();
    let counted = tokens(&status);
    if version.writes_totals() {
        let with_summary = Usage::new(messages.input + 4321, messages.output + 321);
        let with_summary = with_summary.cache(messages.cache_write_5m, 0, messages.cache_read + 777);
        assert_eq!((counted, &status["estimated_messages"]), (with_summary, &json!(0)));
    } else {
        assert_eq!((counted.input, counted.output), (messages.input, messages.output));
        assert!(counted.cache_read > messages.cache_read, "the whole context, once: {counted:?}");
        assert_eq!(status["estimated_messages"], 1);
    }
    assert_eq!(journal(&client), "");
}

fn a_fork_after_a_compaction_counts_it_once(version: Version) {
    let script = Script::new()
        .main(step(1))
        .main(Turn::text("first").usage(Usage::new(11, 12)))
        .main(Turn::text("forked").usage(Usage::new(15, 16)))
        .main(Turn::text("parent goes on").usage(Usage::new(19, 20)))
        .compact(Turn::text("<summary>short</summary>").usage(Usage::new(4321, 321).cache(0, 0, 777)));
    let api = Api::start(script);
    let client = guarded(version, &api, 1_000_000);
    let config = client.root().join("fusebox.toml");
    let mine = "[[budget]]\nname = \"mine\"\nscope = \"user\"\nwindow = \"month\"\nlimit = 9000000\n";
    let classes = "count = [\"input\", \"output\", \"cache_write\", \"cache_read\"]\n";
    std::fs::write(&config, format!("{mine}{classes}")).unwrap();
    let client = client.env("FUSEBOX_CONFIG", &config.to_string_lossy());
    let first = client.prompt("one").run().ok();
    client.prompt("/compact").resume(&first.session).run().ok();
    let fork = client.prompt("two").resume(&first.session).args(["--fork-session"]).run().ok();
    client.prompt("three").resume(&first.session).run().ok();
    assert_eq!(api.count("compact"), 1);
    let of = |session: &str| tokens(&status(&client, session));
    let (input, output, read) = if version.writes_totals() { (4321, 321, 777) } else { (0, 0, 11 + 12) };
    let parent = Usage::new(101 + 11 + 19 + input, 50 + 12 + 20 + output).cache(300, 0, 5000 + read);
    assert_eq!(of(&first.session), parent);
    // The client copies what remains after the compaction: the last message before it, and the summary.
    assert_eq!(of(&fork.session), Usage::new(11 + 15 + input, 12 + 16 + output).cache(0, 0, read));
    let (_, text) = fusebox(&client, &["budget", "list", "--all", "--json"]);
    let list: Value = serde_json::from_str(&text).unwrap();
    let mine = list.as_array().unwrap().iter().find(|b| b["name"] == "mine").unwrap();
    let all = Usage::new(101 + 11 + 15 + 19 + input, 50 + 12 + 16 + 20 + output).cache(300, 0, 5000 + read);
    let sum = all.input + all.output + all.cache_write_5m + all.cache_read;
    assert_eq!(mine["used"], sum, "a person's budget counts what both hold once");
    assert_eq!(journal(&client), "");
}

fn a_reset_lifts_a_stop(version: Version) {
    let api = Api::start(Script::new().main(step(0)).loop_last_main());
    let client = guarded(version, &api, 1_000);
    let run = client.prompt("loop").run();
    let stopped_at = api.count("main");
    client.prompt("again").resume(&run.session).run();
    assert_eq!(api.count("main"), stopped_at, "after a stop, none");
    let (code, text) = fusebox(
        &client,
        &["budget", "reset", "session", "--session", &run.session, "--reason", "another task"],
    );
    assert_eq!(code, 0, "{text}");
    client.prompt("again").resume(&run.session).run();
    let again = api.count("main") - stopped_at;
    assert!((3..=4).contains(&again), "as many as at first: {again}");
    assert_eq!(tokens(&status(&client, &run.session)), api.loop_usage());
    assert_eq!(journal(&client), "");
}

fn a_new_window_lifts_a_stop(version: Version) {
    let script = (0..7).fold(Script::new(), |script, _| script.main(step(0)));
    let api = Api::start(script.main(Turn::text("Done.")));
    let client = guarded(version, &api, 1_000_000);
    let config = client.root().join("fusebox.toml");
    std::fs::write(
        &config,
        "[[budget]]\nname = \"hours\"\nscope = \"user\"\nwindow = \"5h\"\nlimit = 1000\n",
    )
    .unwrap();
    let client = client.env("FUSEBOX_CONFIG", &config.to_string_lossy());
    let run = client.prompt("loop").run();
    assert_eq!(run.result["terminal_reason"], "hook_stopped");
    let stopped_at = api.count("main");
    client.prompt("again").resume(&run.session).run();
    assert_eq!(api.count("main"), stopped_at, "after a stop, none");
    // Moves the clock of hooks. The client's own clock, which dates its lines, stays: they belong to the previous
    // window.
    client.move_clock(5 * 3600 * 1000);
    let run = client.prompt("again").resume(&run.session).run().ok();
    assert_eq!(run.text(), "Done.", "the new window lets it go on");
    assert_eq!(journal(&client), "");
}

/// Calls that only PostToolBatch sees: unknown tools, and inputs that the client refuses.
fn an_agent_whose_calls_are_all_refused_is_stopped_too(version: Version) {
    let turn = Turn::text("on @N@")
        .and_tool("NoSuchTool", json!({}))
        .and_tool("Read", json!({"path": 5}))
        // Longer than the client buffers its lines: the bound relies on that.
        .delay_ms(200)
        .usage(Usage::new(300, 100));
    let api = Api::start(Script::new().main(turn).loop_last_main());
    let client = guarded(version, &api, 1_000);
    let run = client.prompt("loop").run();
    assert_eq!(run.result["terminal_reason"], "hook_stopped");
    assert_bound(version, "calls that the client refuses", &api, 1_000, 1);
    assert_counted(&client, &api, &run.session);
}

fn a_looping_client_inside_a_tool_call_is_held_by_its_parents_budget(version: Version) {
    let start = "\"$CHILD\" -p '[[agent:child]] loop' --model claude-sonnet-4-5-20250929 --permission-mode bypassPermissions \
                 --settings \"$CHILD_SETTINGS\" < /dev/null";
    let script = Script::new()
        .main(step(0))
        .main(Turn::bash(start).usage(Usage::new(200, 100)))
        .loop_last_main()
        .agent("child", [step(0)])
        .loop_last_agents();
    let api = Api::start(script);
    // Its own count is still below the limit when its parent's, which includes both, is over.
    let client = with_child(guarded(version, &api, 3_000), version);
    let run = client.prompt("start another one").run();
    assert_eq!(run.code, Some(0));
    assert_bound(version, "a loop in a client inside a tool call", &api, 3_000, 2);
    assert_counted(&client, &api, &run.session);
    assert_eq!(all_sessions(&client).len(), 2);
}

fn a_terminal_session_is_counted_over_clear_and_compaction(version: Version) {
    let script = Script::new()
        .main(step(1))
        .main(Turn::text("first answer").usage(Usage::new(11, 12)))
        .main(Turn::text("second answer").usage(Usage::new(13, 14)))
        .main(Turn::text("third answer").usage(Usage::new(15, 16)))
        .compact(Turn::text("<summary>short</summary>").usage(Usage::new(4321, 321).cache(0, 0, 777)));
    let api = Api::start(script);
    let client = guarded(version, &api, 1_000_000);
    let terminal = client.terminal(&[]);
    terminal.enter("one");
    terminal.wait("first answer");
    terminal.wait_for("the turn to end", || only(&client)["requests"] == 2);
    terminal.enter("/compact");
    terminal.wait_for("the compaction", || api.count("compact") == 1);
    terminal.wait("Compacted (ctrl+o");
    // 2.1.197 leaves the command in its input box.
    terminal.enter("two");
    terminal.wait("second answer");
    terminal.wait_for("the turn to end", || only(&client)["requests"].as_u64() >= Some(4));
    terminal.enter("/clear");
    terminal.wait_for("the screen to clear", || !terminal.screen().contains("second answer"));
    terminal.enter("three");
    terminal.wait("third answer");
    terminal.wait_for("the turn to end", || {
        all_sessions(&client).iter().any(|s| tokens(s) == Usage::new(15, 16))
    });
    terminal.enter("/exit");
    assert_eq!(terminal.exit_code(), Some(0));
    let all = all_sessions(&client);
    assert_eq!(all.len(), 2, "/clear begins another session: {all:?}");
    let (cleared, last) = match all[0]["tokens"]["input"] == 15 {
        true => (&all[1], &all[0]),
        false => (&all[0], &all[1]),
    };
    assert_eq!(tokens(last), Usage::new(15, 16));
    let counted = tokens(cleared);
    if version.writes_totals() {
        let all = Usage::new(101 + 11 + 13 + 4321, 50 + 12 + 14 + 321).cache(300, 0, 5000 + 777);
        assert_eq!((counted, &cleared["estimated_messages"]), (all, &json!(0)));
    } else {
        assert_eq!((counted.input, counted.output), (101 + 11 + 13, 50 + 12 + 14));
        assert_eq!(cleared["estimated_messages"], 1);
    }
    assert_eq!(journal(&client), "");
}

fn a_terminal_session_is_stopped_and_interrupted(version: Version) {
    // The first tool call runs until Escape ends it.
    let script = Script::new()
        .main(Turn::bash("touch started; sleep 60").usage(Usage::new(400, 100)))
        .main(step(0))
        .loop_last_main();
    let api = Api::start(script);
    let client = guarded(version, &api, 1_000);
    let terminal = client.terminal(&[]);
    terminal.enter("wait");
    terminal.wait_for("the command to start", || client.project().join("started").exists());
    terminal.keys(&["Escape"]);
    terminal.wait("nterrupted");
    assert_eq!(tokens(&only(&client)), api.loop_usage(), "an interrupted turn is counted");
    terminal.enter("loop");
    terminal.wait("To continue, a person runs in a terminal");
    terminal.wait_for("the stop", || only(&client)["stopped"] == true);
    let stopped_at = api.count("main");
    assert_bound(version, "a loop in a terminal", &api, 1_000, 1);
    terminal.enter("again");
    terminal.wait("Or send this prompt");
    assert_eq!(api.count("main"), stopped_at, "after a stop, none");
    assert_eq!(tokens(&only(&client)), api.loop_usage());
    assert_eq!(journal(&client), "");
}

client_tests!(recorded:
    continued_sessions_go_on_in_their_file,
    retried_errors_cost_nothing,
    an_api_that_stays_down_costs_nothing,
    a_cut_stream_is_estimated_from_what_is_seen,
    a_prompt_that_is_too_long_is_compacted_and_counted,
    a_fork_after_a_compaction_counts_it_once,
    a_reset_lifts_a_stop,
    a_new_window_lifts_a_stop,
    an_agent_whose_calls_are_all_refused_is_stopped_too,
    a_terminal_session_is_counted_over_clear_and_compaction,
);
client_tests!(live:
    a_looping_client_inside_a_tool_call_is_held_by_its_parents_budget,
    a_terminal_session_is_stopped_and_interrupted,
);
