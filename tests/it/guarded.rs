//! A real Claude Code client with hooks: the count equals what was served, and the bound holds.

use fusebox::agents::claude::registration::{EVENTS, entry, is_supported};
use fusebox::agents::hook::Hook;
use serde_json::{Value, json};

use crate::rig::{Api, Client, Script, Turn, Usage, Version, client_tests};

/// Every hook in exec form, as `fusebox init` registers them for a client of this version.
pub fn hooks(version: Version) -> Value {
    let folder = Client::hooks();
    let group = |hook: Hook| {
        let mut entry = entry(hook, &folder);
        // The client's own limit for a hook: 2 s is too little for a test on a busy machine.
        entry["timeout"] = json!(60);
        json!([{"hooks": [entry]}])
    };
    let version = version.name().parse().ok();
    let events = EVENTS
        .iter()
        .filter(|(event, _)| is_supported(event, version))
        .map(|(event, hook)| ((*event).to_owned(), group(*hook)));
    json!({"hooks": events.collect::<serde_json::Map<_, _>>()})
}

/// A client with hooks, and its own state and caches.
pub fn guarded(version: Version, api: &Api, limit: u64) -> Client {
    let client = Client::new(version, api).settings(&hooks(version));
    let (state, cache) = (client.root().join("state"), client.root().join("cache"));
    client
        .env("FUSEBOX_STATE_DIR", &state.to_string_lossy())
        .env("FUSEBOX_CACHE_DIR", &cache.to_string_lossy())
        .env("FUSEBOX_BUDGET_SESSION_LIMIT", &limit.to_string())
}

/// Lets the client's tools start another client: `$CHILD`, with the hooks in `$CHILD_SETTINGS`.
pub fn with_child(client: Client, version: Version) -> Client {
    let settings = client.root().join("child-settings.json");
    std::fs::write(&settings, hooks(version).to_string()).unwrap();
    let program = client.program().to_string_lossy().into_owned();
    client.env("CHILD", &program).env("CHILD_SETTINGS", &settings.to_string_lossy())
}

/// Runs `fusebox` with `arguments`, as a person beside the client would. Returns exit code and standard output.
pub fn fusebox(client: &Client, arguments: &[&str]) -> (i32, String) {
    let output = client.command(env!("CARGO_BIN_EXE_fusebox")).args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() != Some(1), "fusebox {arguments:?}: {error}");
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stdout).into_owned() + &error)
}

/// `fusebox status --session ID --json`.
pub fn status(client: &Client, session: &str) -> Value {
    let (code, text) = fusebox(client, &["status", "--session", session, "--json"]);
    assert_eq!(code, 0, "{text}");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// The tokens of a status.
pub fn tokens(status: &Value) -> Usage {
    let count = |class: &str| status["tokens"][class].as_u64().unwrap();
    Usage::new(count("input"), count("output")).cache(
        count("cache_write_5m"),
        count("cache_write_1h"),
        count("cache_read"),
    )
}

/// The client's journal; empty if there were no failures.
pub fn journal(client: &Client) -> String {
    std::fs::read_to_string(client.root().join("state/journal.jsonl")).unwrap_or_default()
}

/// A turn of an agent that loops beside others.
pub fn looping() -> Turn {
    Turn::text("on @N@").and_bash("echo @N@ >> ran.txt").usage(Usage::new(200, 50).cache(250, 0, 3000))
}

pub fn step(n: u64) -> Turn {
    Turn::text("step @N@").and_bash("echo @N@ >> ran.txt").usage(Usage::new(100 + n, 50).cache(300, 0, 5000))
}

/// Lines written by the loop's tool: how often it really ran.
pub fn ran(client: &Client) -> usize {
    std::fs::read_to_string(client.project().join("ran.txt")).unwrap_or_default().lines().count()
}

fn a_session_below_its_limit_is_counted_to_the_token(version: Version) {
    let script = Script::new()
        .main(
            Turn::thinking("hm")
                .and_text("look")
                .and_bash("echo one")
                .usage(Usage::new(1200, 85).cache(2000, 1000, 15000)),
        )
        .main(
            Turn::tool("Read", json!({"file_path": "@PROJECT@/a.txt"}))
                .usage(Usage::new(50, 40).cache(300, 0, 18000)),
        )
        .main(Turn::tool("NoSuchTool", json!({})).usage(Usage::new(51, 41)))
        .main(Turn::text("All done.").usage(Usage::new(30, 12)));
    let api = Api::start(script);
    let client = guarded(version, &api, 1_000_000);
    let run = client.prompt("do the basic thing").run().ok();
    assert_eq!(run.text(), "All done.");

    let status = status(&client, &run.session);
    assert_eq!(tokens(&status), api.loop_usage());
    assert_eq!((&status["requests"], &status["tool_calls"]), (&json!(4), &json!(3)));
    assert_eq!(status["estimated_messages"], 0);
    assert_eq!(status["stopped"], false);
    let budget = &status["budgets"][0];
    assert_eq!(budget["name"], "session");
    assert_eq!(budget["used"], 1200 + 85 + 3000 + 50 + 40 + 300 + 51 + 41 + 30 + 12);
    assert_eq!(fusebox(&client, &["status", "--session", &run.session, "--check"]).0, 0);
    assert_eq!(journal(&client), "");
}

fn a_looping_model_is_warned_denied_and_stopped(version: Version) {
    // Each turn has slightly over 450 fresh tokens, so the fourth response crosses the limit.
    let api = Api::start(Script::new().main(step(0)).loop_last_main());
    let client = guarded(version, &api, 1_500);
    let run = client.prompt("loop").run();

    assert_eq!(run.code, Some(0));
    assert_eq!(run.result["terminal_reason"], "hook_stopped");
    // 3 × 450 is below the limit, the 4th response crosses it, and one more is the wrap-up.
    assert_eq!(api.count("main"), 5, "the crossing response is the 4th, wrap-up one more");
    assert_bound(version, "a loop", &api, 1_500, 1);
    assert_eq!(ran(&client), 3, "no tool runs once the limit is crossed");
    let status = status(&client, &run.session);
    assert_eq!(tokens(&status), api.loop_usage());
    assert_eq!(status["stopped"], true);
    assert_eq!(status["budgets"][0]["status"], "paused");
    assert_eq!(fusebox(&client, &["status", "--session", &run.session, "--check"]).0, 3);

    // A prompt is blocked without an API call.
    let again = client.prompt("and again").resume(&run.session).run();
    assert_eq!(again.code, Some(0));
    assert_eq!(api.count("main"), 5);
    assert!(again.stdout.contains("To continue, a person runs in a terminal"), "{}", again.stdout);

    // A person extends the budget, and the session continues.
    let (code, text) = fusebox(
        &client,
        &["budget", "extend", "session", "--session", &run.session, "--tokens", "1000", "--reason", "more"],
    );
    assert_eq!(code, 0, "{text}");
    let third = client.prompt("go on").resume(&run.session).run();
    assert_eq!(third.result["terminal_reason"], "hook_stopped");
    assert!(api.count("main") > 5 && api.count("main") <= 8, "{}", api.count("main"));
    assert_eq!(tokens(&self::status(&client, &run.session)), api.loop_usage());
    assert_eq!(journal(&client), "");
}

/// Asserts that each agent made at most `most` responses after the one that crossed `limit`, and logs the highest
/// number, which `docs/overspend-bound.md` shows in a table.
#[track_caller]
pub fn assert_bound(version: Version, what: &str, api: &Api, limit: u64, most: usize) {
    let after = calls_after_crossing(api, limit);
    let seen = after.values().copied().max().unwrap_or(0);
    // Not eprintln, which the test harness captures.
    let row = format!("bound: {:<8} {what}: at most {most}, seen {seen}\n", version.name());
    if !api.is_replay() {
        let _ = std::io::Write::write_all(&mut std::io::stderr(), row.as_bytes());
    }
    assert!(
        seen <= most,
        "{what}: {after:?} {:?}",
        api.calls().iter().map(|c| (c.order, c.kind.clone())).collect::<Vec<_>>()
    );
}

/// Calls per kind after the response that crossed `limit` fresh tokens, in serving order.
fn calls_after_crossing(api: &Api, limit: u64) -> std::collections::BTreeMap<String, usize> {
    let (mut used, mut after) = (0, std::collections::BTreeMap::new());
    let mut calls: Vec<_> =
        api.calls().into_iter().filter(|call| call.is_loop() && call.status == 200).collect();
    calls.sort_by_key(|call| call.order);
    for call in calls {
        if used >= limit {
            *after.entry(call.kind.clone()).or_default() += 1;
        }
        let u = call.usage;
        used += u.input + u.output + u.cache_write_5m + u.cache_write_1h;
    }
    assert!(used >= limit, "the limit was never crossed: {used}");
    after
}

fn parallel_tools_are_all_denied(version: Version) {
    let turn = || {
        Turn::text("all at once @N@")
            .and_bash("echo @N@a >> ran.txt")
            .and_bash("echo @N@b >> ran.txt")
            .and_tool("Read", json!({"file_path": "@PROJECT@/a.txt"}))
            .and_tool("NoSuchTool", json!({}))
            .usage(Usage::new(100, 60).cache(0, 400, 9000))
    };
    let api = Api::start(Script::new().main(turn()).loop_last_main());
    let client = guarded(version, &api, 1_000);
    let run = client.prompt("loop in parallel").run();
    assert_eq!(run.result["terminal_reason"], "hook_stopped");
    assert_bound(version, "parallel tools", &api, 1_000, 1);
    assert_eq!(ran(&client), 2, "only the first response's two commands ran");
    let status = status(&client, &run.session);
    assert_eq!(tokens(&status), api.loop_usage());
    assert_eq!(status["tool_calls"], api.calls().iter().map(|c| c.tool_calls).sum::<usize>());
    assert_eq!(journal(&client), "");
}

fn stop_at_the_limit_leaves_no_further_response(version: Version) {
    let api = Api::start(Script::new().main(step(0)).loop_last_main());
    let client = guarded(version, &api, 1_000).env("FUSEBOX_BUDGET_SESSION_ON_LIMIT", "stop");
    let run = client.prompt("loop").run();
    assert_eq!(run.result["terminal_reason"], "hook_stopped");
    assert_bound(version, "a loop, on_limit = stop", &api, 1_000, 0);
    assert_eq!(tokens(&status(&client, &run.session)), api.loop_usage());
    assert_eq!(journal(&client), "");
}

fn an_agent_that_closes_its_work_keeps_its_answer(version: Version) {
    let script = Script::new()
        .main(step(0))
        .main(step(1))
        .main(step(2))
        .main(Turn::text("Two of three are done; the third is left.").usage(Usage::new(40, 20)));
    let api = Api::start(script);
    let client = guarded(version, &api, 1_100);
    let run = client.prompt("three things").run().ok();
    assert_eq!(run.text(), "Two of three are done; the third is left.");
    assert_eq!(api.count("main"), 4);
    // The denial's reason reached the model.
    assert!(api.was_told("finish your work"), "{:?}", api.calls());
    let status = status(&client, &run.session);
    assert_eq!(tokens(&status), api.loop_usage());
    assert_eq!(status["stopped"], true, "its work was cut short");
    assert_eq!(journal(&client), "");
}

fn subagents_at_every_depth_are_counted(version: Version) {
    let work = |n: u64| Turn::bash("cat a.txt").usage(Usage::new(700 + n, 31).cache(2000, 10, 100));
    let end = |n: u64| Turn::text("result").usage(Usage::new(70 + n, 33));
    let script = Script::new()
        .main(Turn::agent("a1", false).and_agent("a2", false).usage(Usage::new(1200, 285).cache(0, 300, 5)))
        .main(Turn::agent("bg", true).and_bash("echo goes on").usage(Usage::new(100, 60)))
        .main(Turn::text("Done.").usage(Usage::new(30, 12)))
        .main(Turn::text("The background helper came back.").usage(Usage::new(40, 9)))
        .agent("a1", [work(1), Turn::agent("n1", false).usage(Usage::new(71, 32)), end(1)])
        .agent("a2", [work(2), end(2)])
        .agent("n1", [work(3), end(3)])
        .agent("bg", [work(4), end(4)]);
    let api = Api::start(script);
    let client = guarded(version, &api, 1_000_000);
    let run = client.prompt("delegate").run().ok();
    let status = status(&client, &run.session);
    assert_eq!(tokens(&status), api.loop_usage());
    assert_eq!(status["requests"], api.loop_calls());
    assert_eq!(journal(&client), "");
}

fn parallel_and_nested_subagents_stay_within_the_bound(version: Version) {
    let script = Script::new()
        .main(Turn::agent("a1", false).and_agent("a2", false).usage(Usage::new(300, 100)))
        .main(step(0))
        .loop_last_main()
        .agent("a1", [looping(), Turn::agent("n1", false).usage(Usage::new(100, 20)), looping()])
        .agent("a2", [looping()])
        .agent("n1", [looping()])
        .loop_last_agents();
    let api = Api::start(script);
    let client = guarded(version, &api, 6_000);
    let run = client.prompt("delegate").run();
    assert_eq!(run.code, Some(0));
    // Each live agent: its response in flight, and one wrap-up.
    assert_bound(version, "parallel and nested subagents", &api, 6_000, 2);
    assert_eq!(tokens(&status(&client, &run.session)), api.loop_usage());
    assert_eq!(journal(&client), "");
}

fn a_background_agent_is_held_too_and_wakes_nobody(version: Version) {
    let script = Script::new()
        .main(Turn::agent("bg", true).usage(Usage::new(300, 100)))
        .main(step(0))
        .loop_last_main()
        .agent("bg", [looping()])
        .loop_last_agents();
    let api = Api::start(script);
    let client = guarded(version, &api, 5_000);
    let run = client.prompt("delegate").run();
    assert_eq!(run.code, Some(0));
    assert_bound(version, "a background subagent beside a loop", &api, 5_000, 2);
    let status = status(&client, &run.session);
    assert_eq!(tokens(&status), api.loop_usage());
    assert_eq!(status["stopped"], true);
    assert_eq!(journal(&client), "");
}

fn a_slow_stream_stays_within_the_bound(version: Version) {
    let turn = Turn::text("two commands @N@")
        .and_bash("echo @N@a >> ran.txt")
        .and_bash("echo @N@b >> ran.txt")
        .chunk_delay_ms(20)
        .before_message_delta_ms(400)
        .start_output_tokens(3)
        .usage(Usage::new(120, 80).cache(300, 0, 15000));
    let api = Api::start(Script::new().main(turn).loop_last_main());
    let client = guarded(version, &api, 900);
    let run = client.prompt("slowly").run();
    assert_eq!(run.result["terminal_reason"], "hook_stopped");
    assert_bound(version, "a slow stream", &api, 900, 2);
    assert_eq!(tokens(&status(&client, &run.session)), api.loop_usage());
    assert_eq!(journal(&client), "");
}

fn a_client_inside_a_tool_call_charges_its_parent(version: Version) {
    // The child's prompt belongs to the script's agent "child": the marker identifies its calls.
    let script = Script::new()
        .main(Turn::bash("\"$CHILD\" -p '[[agent:child]] work' --model claude-sonnet-4-5-20250929 --permission-mode bypassPermissions --settings \"$CHILD_SETTINGS\" < /dev/null").usage(Usage::new(400, 100)))
        .main(Turn::text("Done.").usage(Usage::new(30, 12)))
        .agent("child", [Turn::bash("echo @N@ >> ran.txt").usage(Usage::new(500, 40).cache(100, 0, 0)), Turn::text("child done").usage(Usage::new(60, 20))]);
    let api = Api::start(script);
    let client = guarded(version, &api, 1_000_000);
    let client = with_child(client, version);
    let run = client.prompt("start another one").run().ok();
    assert_eq!(api.count("agent:child"), 2);
    let parent = status(&client, &run.session);
    assert_eq!(tokens(&parent), api.loop_usage(), "the child's charges count for the parent");
    let (_, all) = fusebox(&client, &["status", "--all", "--json"]);
    let all: Value = serde_json::from_str(&all).unwrap();
    let child = all.as_array().unwrap().iter().find(|s| s["session"] != run.session.as_str()).unwrap();
    assert_eq!(tokens(child), Usage::new(560, 60).cache(100, 0, 0));
    assert_eq!(journal(&client), "");
}

fn resumes_and_forks_begin_with_their_history(version: Version) {
    let script = Script::new()
        .main(step(1))
        .main(Turn::text("first").usage(Usage::new(11, 12)))
        .main(Turn::text("second").usage(Usage::new(13, 14)))
        .main(Turn::text("forked").usage(Usage::new(15, 16)));
    let api = Api::start(script);
    let client = guarded(version, &api, 1_000_000);
    let first = client.prompt("one").run().ok();
    let second = client.prompt("two").resume(&first.session).run().ok();
    assert_eq!(second.session, first.session);
    let fork = client.prompt("three").resume(&first.session).args(["--fork-session"]).run().ok();
    assert_ne!(fork.session, first.session);
    let parent = Usage::new(101 + 11 + 13, 50 + 12 + 14).cache(300, 0, 5000);
    assert_eq!(tokens(&status(&client, &first.session)), parent);
    let forked = Usage::new(101 + 11 + 13 + 15, 50 + 12 + 14 + 16).cache(300, 0, 5000);
    assert_eq!(tokens(&status(&client, &fork.session)), forked);
}

fn a_compaction_is_counted_although_no_line_says_so(version: Version) {
    let script = Script::new()
        .main(step(1))
        .main(Turn::text("first").usage(Usage::new(11, 12)))
        .main(Turn::text("after").usage(Usage::new(13, 14)))
        .compact(Turn::text("<summary>short</summary>").usage(Usage::new(4321, 321).cache(0, 0, 777)));
    let api = Api::start(script);
    let client = guarded(version, &api, 1_000_000);
    let run = client.prompt("one").run().ok();
    client.prompt("/compact keep it short").resume(&run.session).run().ok();
    client.prompt("two").resume(&run.session).run().ok();
    assert_eq!(api.count("compact"), 1);
    let status = status(&client, &run.session);
    if version.writes_totals() {
        assert_eq!(tokens(&status), Usage::new(101 + 11 + 13 + 4321, 50 + 12 + 14 + 321).cache(300, 0, 5777));
        assert_eq!(status["estimated_messages"], 0, "the client's own total settled it");
    } else {
        // Estimated as one read of the context, whose size the client takes from the last message.
        assert_eq!(tokens(&status), Usage::new(101 + 11 + 13, 50 + 12 + 14).cache(300, 0, 5000 + 11 + 12));
        assert_eq!(status["estimated_messages"], 1);
    }
    assert_eq!(journal(&client), "");
}

fn a_fork_counts_what_both_hold_once(version: Version) {
    let script = Script::new()
        .main(Turn::agent("a1", false).usage(Usage::new(300, 100)))
        .main(Turn::text("first").usage(Usage::new(11, 12)))
        .main(Turn::text("forked").usage(Usage::new(15, 16)))
        .main(Turn::text("forked again").usage(Usage::new(17, 18)))
        .main(Turn::text("parent goes on").usage(Usage::new(19, 20)))
        .agent(
            "a1",
            [Turn::bash("cat a.txt").usage(Usage::new(700, 31)), Turn::text("r").usage(Usage::new(70, 33))],
        )
        .compact(Turn::text("<summary>short</summary>").usage(Usage::new(4321, 321).cache(0, 0, 777)));
    let api = Api::start(script);
    let client = guarded(version, &api, 1_000_000);
    let config = client.root().join("fusebox.toml");
    std::fs::write(&config, "[[budget]]\nname = \"mine\"\nscope = \"user\"\nwindow = \"month\"\nlimit = 9000000\ncount = [\"input\", \"output\", \"cache_write\", \"cache_read\"]\n").unwrap();
    let client = client.env("FUSEBOX_CONFIG", &config.to_string_lossy());
    let mine = |client: &Client| -> u64 {
        let (_, text) = fusebox(client, &["budget", "list", "--json"]);
        let list: Value = serde_json::from_str(&text).unwrap();
        list.as_array().unwrap().iter().find(|b| b["name"] == "mine").unwrap()["used"].as_u64().unwrap()
    };
    let total = |usage: Usage| {
        usage.input + usage.output + usage.cache_write_5m + usage.cache_write_1h + usage.cache_read
    };

    let first = client.prompt("one").run().ok();
    assert_eq!(mine(&client), total(api.loop_usage()));
    let fork = client.prompt("two").resume(&first.session).args(["--fork-session"]).run().ok();
    assert_ne!(fork.session, first.session);
    assert_eq!(
        mine(&client),
        total(api.loop_usage()),
        "the parent's subagents are in the fork's total, but not in its files"
    );
    // A compaction in each branch.
    client.prompt("/compact").resume(&fork.session).run().ok();
    client.prompt("three").resume(&fork.session).run().ok();
    client.prompt("/compact").resume(&first.session).run().ok();
    client.prompt("four").resume(&first.session).run().ok();
    assert_eq!(api.count("compact"), 2);
    // 2.1.197 writes no total, so it is estimated, as above.
    let compactions = if version.writes_totals() { 2 * (4321 + 321 + 777) } else { (15 + 16) + (11 + 12) };
    assert_eq!(mine(&client), total(api.loop_usage()) + compactions);
    assert_eq!(journal(&client), "");
}

client_tests!(live:
    a_looping_model_is_warned_denied_and_stopped,
    parallel_and_nested_subagents_stay_within_the_bound,
    a_background_agent_is_held_too_and_wakes_nobody,
    a_slow_stream_stays_within_the_bound,
    a_client_inside_a_tool_call_charges_its_parent,
);
client_tests!(recorded:
    a_session_below_its_limit_is_counted_to_the_token,
    parallel_tools_are_all_denied,
    stop_at_the_limit_leaves_no_further_response,
    an_agent_that_closes_its_work_keeps_its_answer,
    subagents_at_every_depth_are_counted,
    resumes_and_forks_begin_with_their_history,
    a_compaction_is_counted_although_no_line_says_so,
    a_fork_counts_what_both_hold_once,
);
