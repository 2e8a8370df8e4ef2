//! Real clients that loop or fan out, with the breaker and throttling.

use serde_json::{Value, json};

use crate::guarded::{fusebox, guarded, journal, ran, status};
use crate::rig::{Api, Client, Script, Turn, Usage, Version, client_tests};

/// A limit that the session does not come near.
const PLENTY: u64 = 100_000_000;

/// The same command with the same result.
fn same() -> Turn {
    Turn::text("again").and_bash("echo x >> ran.txt; echo no rule to make target").usage(Usage::new(20, 10))
}

/// How many answers the API gave after the one that tripped the breaker.
fn calls_after_trip(api: &Api, tripped_at_response: usize) -> usize {
    api.count("main") - tripped_at_response
}

fn a_loop_is_warned_denied_and_stopped(version: Version) {
    let api = Api::start(Script::new().main(same()).loop_last_main());
    let client = guarded(version, &api, PLENTY);
    let run = client.prompt("loop").run();
    assert_eq!(run.result["terminal_reason"], "hook_stopped");
    assert_eq!(ran(&client), 5, "no tool runs once it is open");
    assert!(calls_after_trip(&api, 5) <= 1, "{}", api.count("main"));
    let told = |words: &str| api.was_told(words);
    assert!(told("looks like a loop") && told("circuit breaker is open"));
    let circuit = status(&client, &run.session)["circuit"].clone();
    assert_eq!((&circuit["state"], &circuit["rule"]), (&json!("open"), &json!("same_call")));
    assert_eq!((&circuit["iterations"], &circuit["tripped_at_call"]), (&json!(5), &json!(5)));
    assert_eq!(fusebox(&client, &["status", "--session", &run.session, "--check"]).0, 3);

    // A person's prompt resets the breaker.
    let again = client.prompt("and again").resume(&run.session).run();
    assert_eq!(again.result["terminal_reason"], "hook_stopped");
    assert_eq!(ran(&client), 10);
    assert_eq!(journal(&client), "");
}

/// A model that ignores every denial and calls something different each time.
fn a_model_that_ignores_every_denial_is_stopped(version: Version) {
    let other =
        Turn::text("on @N@").and_bash("echo @N@ >> ran.txt").and_tool("NoSuchTool", json!({"n": "@N@"}));
    let script = (0..5).fold(Script::new(), |script, _| script.main(same())).main(other).loop_last_main();
    let api = Api::start(script);
    let client = guarded(version, &api, PLENTY).env("FUSEBOX_BREAKER_WRAP_UP", "2");
    let run = client.prompt("loop").run();
    assert_eq!(run.result["terminal_reason"], "hook_stopped");
    assert!(calls_after_trip(&api, 5) <= 3, "{}", api.count("main"));
    assert_eq!(ran(&client), 5);
    assert_eq!(journal(&client), "");
}

fn calls_that_the_client_refuses_are_a_loop_too(version: Version) {
    let api = Api::start(Script::new().main(Turn::tool("NoSuchTool", json!({"x": 1}))).loop_last_main());
    let client = guarded(version, &api, PLENTY);
    let run = client.prompt("loop").run();
    assert_eq!(run.result["terminal_reason"], "hook_stopped");
    assert!(api.count("main") <= 4 + 1, "{}", api.count("main"));
    assert_eq!(status(&client, &run.session)["circuit"]["rule"], "same_failure");
    assert_eq!(journal(&client), "");
}

fn a_subagent_that_loops_is_stopped_alone(version: Version) {
    let script = Script::new()
        .main(Turn::agent("a1", false))
        .main(Turn::text("The helper went round in circles."))
        .agent("a1", [same()])
        .loop_last_agents();
    let api = Api::start(script);
    let client = guarded(version, &api, PLENTY);
    let run = client.prompt("delegate").run().ok();
    assert_eq!(run.text(), "The helper went round in circles.");
    assert!(api.count("agent:a1") <= 5 + 1, "{}", api.count("agent:a1"));
    let status = status(&client, &run.session);
    assert_eq!((&status["circuit"]["state"], &status["stopped"]), (&json!("closed"), &json!(false)));
    let agents: Vec<&Value> = status["agents"].as_object().unwrap().values().collect();
    assert_eq!(agents[0]["circuit"]["state"], "open");
    assert_eq!(journal(&client), "");
}

/// Polling with changing results, paging, and parallel reads.
fn work_that_gets_on_is_let_alone(version: Version) {
    let page = |n: u64| {
        Turn::tool("Read", json!({"file_path": "@PROJECT@/long.txt", "offset": n * 10 + 1, "limit": 10}))
    };
    let poll = || Turn::bash("sleep 0.01; date +%s%N | tail -c 5; wc -l ran.txt; echo x >> ran.txt");
    let mut script = Script::new().main((0..6).fold(Turn::text("look"), |turn, n| {
        turn.and_tool("Read", json!({"file_path": "@PROJECT@/long.txt", "offset": n, "limit": 1}))
    }));
    for n in 0..8 {
        script = script.main(page(n)).main(poll());
    }
    let api = Api::start(script.main(Turn::text("Done.")));
    let client = guarded(version, &api, PLENTY);
    let text: String = (0..100).map(|n| format!("line {n}\n")).collect();
    std::fs::write(client.project().join("long.txt"), text).unwrap();
    let run = client.prompt("work").run().ok();
    assert_eq!(run.text(), "Done.");
    let shown = fusebox(&client, &["circuit", "show", "--session", &run.session, "--json"]).1;
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap()["events"], json!([]), "{shown}");
    assert_eq!(status(&client, &run.session)["circuit"]["iterations"], 22);
    assert_eq!(journal(&client), "");
}

/// Twelve subagents, each of which records when it works.
fn fan_out(background: bool) -> (Turn, Vec<(String, Vec<Turn>)>) {
    let names: Vec<String> = (0..12).map(|n| format!("w{n}")).collect();
    let turn = names.iter().fold(Turn::text("all at once"), |turn, name| turn.and_agent(name, background));
    let work = |name: &String| {
        let turns = [
            Turn::bash(&format!("echo + >> live.txt; sleep 0.3; echo {name}; echo - >> live.txt")),
            Turn::text("result"),
        ];
        (name.clone(), turns.to_vec())
    };
    let work = names.iter().map(work).collect();
    (turn, work)
}

fn fanning_out(main: impl IntoIterator<Item = Turn>, work: Vec<(String, Vec<Turn>)>) -> Api {
    let script = main.into_iter().fold(Script::new(), Script::main);
    Api::start(work.into_iter().fold(script, |script, (name, turns)| script.agent(&name, turns)))
}

/// How many subagents worked in total, and at most at the same time.
fn crowd(client: &Client) -> (usize, i32) {
    let text = std::fs::read_to_string(client.project().join("live.txt")).unwrap_or_default();
    let (mut live, mut most, mut all) = (0, 0, 0);
    for line in text.lines() {
        live += if line == "+" { 1 } else { -1 };
        all += usize::from(line == "+");
        most = most.max(live);
    }
    (all, most)
}

fn throttled(client: Client, hard_limit: u64) -> Client {
    client
        .env("FUSEBOX_THROTTLE_HARD_LIMIT_TOKENS", &hard_limit.to_string())
        .env("FUSEBOX_THROTTLE_MAX_CONCURRENCY", "3")
}

fn twelve_parallel_subagents_never_exceed_the_cap(version: Version) {
    let (turn, work) = fan_out(false);
    let api = fanning_out([turn.clone(), turn, Turn::text("Done.")], work);
    let client = throttled(guarded(version, &api, PLENTY), PLENTY);
    let run = client.prompt("fan out").run().ok();
    let (all, most) = crowd(&client);
    assert!(most <= 3 && all >= 3, "{all} in all, {most} at the same time");
    assert!(api.was_told("already running (3 of 3)"));
    let throttle = status(&client, &run.session)["throttle"].clone();
    assert_eq!(
        (&throttle["live"], &throttle["max"], &throttle["throttled"]),
        (&json!(0), &json!(3), &json!(false))
    );
    assert_eq!(journal(&client), "");
}

fn twelve_background_subagents_never_exceed_the_cap(version: Version) {
    let (turn, work) = fan_out(true);
    let api = fanning_out([turn.clone(), turn, Turn::text("They work."), Turn::text("Done.")], work);
    let client = throttled(guarded(version, &api, PLENTY), PLENTY);
    let run = client.prompt("fan out").run().ok();
    let (all, most) = crowd(&client);
    assert!(most <= 3 && all >= 3, "{all} in all, {most} at the same time");
    assert_eq!(status(&client, &run.session)["throttle"]["live"], 0);
    assert_eq!(journal(&client), "");
}

fn at_ninety_percent_they_work_one_at_a_time(version: Version) {
    let (turn, work) = fan_out(false);
    let first = Turn::bash("echo begin").usage(Usage::new(9_000, 50));
    let api = fanning_out([first, turn, Turn::text("Done.")], work);
    let client = throttled(guarded(version, &api, PLENTY), 10_000);
    let run = client.prompt("fan out").run().ok();
    let (all, most) = crowd(&client);
    assert_eq!((all, most), (1, 1));
    assert!(api.was_told("only one subagent may run at a time"));
    let throttle = status(&client, &run.session)["throttle"].clone();
    assert_eq!((&throttle["max"], &throttle["throttled"]), (&json!(1), &json!(true)));
    assert_eq!(journal(&client), "");
}

client_tests!(live:
    twelve_parallel_subagents_never_exceed_the_cap,
    twelve_background_subagents_never_exceed_the_cap,
    at_ninety_percent_they_work_one_at_a_time,
);
client_tests!(recorded:
    a_loop_is_warned_denied_and_stopped,
    a_model_that_ignores_every_denial_is_stopped,
    calls_that_the_client_refuses_are_a_loop_too,
    a_subagent_that_loops_is_stopped_alone,
    work_that_gets_on_is_let_alone,
);
