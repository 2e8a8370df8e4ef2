//! Dollars with a real Claude Code client: what it reckons that a session costs is a second opinion on our count and on
//! our prices, and budgets in dollars stop it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::guarded::{fusebox, guarded, journal, ran, status, step, tokens};
use crate::rig::{Api, Client, Outcome, Script, Turn, Usage, Version, client_tests};

/// A model that clients have prices for and request by this name.
struct Priced {
    name: &'static str,
    /// Sold in fast mode.
    fast: bool,
    /// 2.1.197 has its price, too.
    is_old: bool,
}

const fn priced(name: &'static str, fast: bool, is_old: bool) -> Priced {
    Priced { name, fast, is_old }
}

const MODELS: [Priced; 17] = [
    priced("claude-fable-5", false, true),
    priced("claude-fable-5-1", false, false),
    priced("claude-fable-5-2", true, false),
    priced("claude-haiku-4-5-20251001", false, true),
    priced("claude-haiku-5-5", false, false),
    priced("claude-mythos-5", false, true),
    priced("claude-mythos-5-1", false, false),
    priced("claude-mythos-5-2", true, false),
    priced("claude-opus-4-5-20251101", false, true),
    priced("claude-opus-4-6", false, true),
    priced("claude-opus-4-7", false, true),
    priced("claude-opus-4-8", false, true),
    priced("claude-opus-5", true, false),
    priced("claude-opus-5-5", true, false),
    priced("claude-sonnet-4-6", false, true),
    priced("claude-sonnet-5", false, false),
    priced("claude-sonnet-5-5", false, false),
];

/// Nano-dollars of dollars in JSON. The client reckons in floating point.
#[track_caller]
fn nanos(dollars: &Value) -> u64 {
    (dollars.as_f64().unwrap_or_else(|| panic!("{dollars} is no amount")) * 1e9).round() as u64
}

/// Nano-dollars per model, by the client.
fn reckoned(run: &Outcome) -> BTreeMap<String, u64> {
    let models = run.result["modelUsage"].as_object().unwrap();
    models.iter().map(|(model, usage)| (model.clone(), nanos(&usage["costUSD"]))).collect()
}

/// Nano-dollars per model, by `fusebox report`.
fn reported(client: &Client) -> BTreeMap<String, u64> {
    let (code, text) = fusebox(client, &["report", "model", "--json"]);
    assert_eq!(code, 0, "{text}");
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let rows = report["rows"].as_array().unwrap().iter();
    rows.map(|row| (row["key"].as_str().unwrap().to_owned(), nanos(&row["totals"]["usd"]))).collect()
}

/// Asserts that the session's cost is the client's total, to the nano-dollar, without estimates.
#[track_caller]
fn assert_same_cost(version: Version, client: &Client, session: &str, total: &Value) {
    let cost = &status(client, session)["cost"];
    assert_eq!(nanos(&cost["usd"]), nanos(total), "{cost}, and the client's total is {total}");
    assert_eq!(cost["estimated_usd"], 0.0, "{cost}");
    match version.writes_totals() {
        true => assert_eq!(nanos(&cost["client_usd"]), nanos(total), "{cost}"),
        false => assert_eq!(cost["client_usd"], Value::Null, "{cost}"),
    }
    assert_eq!(journal(client), "");
}

/// A last response: every class of tokens, and three web searches.
fn of_every_class(text: &str, n: u64) -> Turn {
    let searches = json!({"server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 2}});
    Turn::text(text).usage(Usage::new(1_003 + n, 807).cache(2_001, 3_007, 50_021)).terms(searches)
}

fn every_model_costs_what_the_client_reckons(version: Version) {
    let mut script = Script::new();
    let mut agents = serde_json::Map::new();
    let models: Vec<&Priced> =
        MODELS.iter().filter(|model| model.is_old || version.writes_totals()).collect();
    // A few at once: with all of them, a busy machine keeps the client from writing its transcripts in time.
    for (group, models) in models.chunks(3).enumerate() {
        let mut calls = Turn::text("ask").usage(Usage::new(17, 19));
        for (n, model) in models.iter().enumerate() {
            let agent = format!("m{group}{n}");
            let input = json!({"description": model.name, "prompt": format!("[[agent:{agent}]] work"),
                "subagent_type": agent, "run_in_background": false});
            calls = calls.and_tool("Agent", input);
            script = script.agent(&agent, work_of(model, version));
            let definition = json!({"description": model.name, "prompt": "Work.", "model": model.name});
            agents.insert(agent, definition);
        }
        script = script.main(calls);
    }
    let api = Api::start(script.main(of_every_class("done", 1)));
    let client = guarded(version, &api, 100_000_000);
    let agents = Value::from(agents).to_string();
    let run = client.prompt("ask everyone").args(["--agents", &agents]).format("json").run().ok();
    let by_client = reckoned(&run);
    assert_eq!(by_client.len(), models.len() + 1, "{by_client:?}");
    assert_eq!(tokens(&status(&client, &run.session)), api.loop_usage());
    // The client marks a model with its long context (`[1m]`); lines do not.
    let by_client = by_client.into_iter().map(|(model, cost)| (model.replace("[1m]", ""), cost));
    assert_eq!(reported(&client), by_client.collect());
    assert_same_cost(version, &client, &run.session, &run.result["total_cost_usd"]);
}

/// Responses of all that a model has a price for.
fn work_of(model: &Priced, version: Version) -> Vec<Turn> {
    // Above 100,000 tokens of prompt, haiku-5-5 is dearer.
    let mut turns = vec![Turn::bash("cat a.txt").usage(Usage::new(60_000, 101).cache(0, 0, 40_001))];
    // The API takes this from the models 4.6 on. The client reckons a tenth more for any; 2.1.197 for none.
    if version.writes_totals() && !model.name.contains("-4-5") {
        let us_only = json!({"inference_geo": "us"});
        turns.push(Turn::bash("cat b.txt").usage(Usage::new(1_009, 203).cache(308, 401, 503)).terms(us_only));
    }
    if model.fast {
        let fast = json!({"speed": "fast"});
        turns
            .push(Turn::bash("cat README.md").usage(Usage::new(1_013, 211).cache(311, 409, 509)).terms(fast));
    }
    // The same answer of every agent would look like a loop.
    turns.push(of_every_class(model.name, 2));
    turns
}

fn a_resumed_and_compacted_session_costs_what_the_client_reckons(version: Version) {
    let script = Script::new()
        .main(Turn::agent("a1", false).usage(Usage::new(1_201, 285).cache(2_000, 1_009, 15_000)))
        .main(of_every_class("done", 1))
        .main(of_every_class("done", 2))
        .main(of_every_class("done", 3))
        .agent("a1", [step(7), of_every_class("done", 4)])
        .compact(Turn::text("<summary>short</summary>").usage(Usage::new(4_321, 321).cache(0, 0, 777)));
    let api = Api::start(script);
    let client = guarded(version, &api, 100_000_000);
    let costs = |client: &Client, run: &Outcome| {
        assert_same_cost(version, client, &run.session, &run.result["total_cost_usd"]);
    };
    let first = client.prompt("one").format("json").run().ok();
    costs(&client, &first);
    if !version.writes_totals() {
        // After a resume, it reckons only what came since.
        return;
    }
    let client = client.model("claude-opus-5-5");
    for prompt in ["two", "/compact", "three"] {
        let run = client.prompt(prompt).resume(&first.session).format("json").run().ok();
        costs(&client, &run);
    }
    assert_eq!(api.count("compact"), 1);
}

/// A client that loops, at $0.012375 for each response, with a session budget of $0.03.
fn looping_at_three_cents(version: Version, api: &Api, on_limit: &str) -> Client {
    let client = guarded(version, api, 0);
    let config = client.root().join("fusebox.toml");
    let budget =
        format!("[[budget]]\nname = \"session\"\nunit = \"usd\"\nlimit = 0.03\non_limit = \"{on_limit}\"\n");
    std::fs::write(&config, budget).unwrap();
    client.env("FUSEBOX_CONFIG", &config.to_string_lossy()).without("FUSEBOX_BUDGET_SESSION_LIMIT")
}

/// The scenario `loop`: 1,000, 100, 500 and 20,000 tokens of claude-sonnet-4-5 at 3, 15, 3.75 and 0.30 dollars per million.
fn in_a_loop() -> Script {
    let usage = Usage::new(1000, 100).cache(500, 0, 20_000);
    Script::new()
        .main(Turn::text("again @N@").and_bash("echo run-@N@ >> ran.txt; echo run-@N@").usage(usage))
        .loop_last_main()
}

/// Asserts that the client was stopped after so many responses, of which the third crossed the limit, and what they cost.
#[track_caller]
fn assert_stopped_after(responses: u64, version: Version, on_limit: &str) {
    let api = Api::start(in_a_loop());
    let client = looping_at_three_cents(version, &api, on_limit);
    let run = client.prompt("go on forever").run();
    assert_eq!(run.result["terminal_reason"], "hook_stopped");
    assert_eq!(api.count("main") as u64, responses);
    assert_eq!(ran(&client), 2, "no tool runs once the limit is crossed");
    let status = status(&client, &run.session);
    let of_one = 12_375_000;
    let budget = &status["budgets"][0];
    let shown = [&budget["used"], &status["cost"]["usd"], &run.result["total_cost_usd"]].map(nanos);
    assert_eq!(shown, [responses * of_one; 3], "{status}");
    let is = [&budget["limit"], &budget["unit"], &budget["status"], &status["stopped"]];
    assert_eq!(is, [&json!(0.03), &json!("usd"), &json!("paused"), &json!(true)], "{status}");
    assert_eq!(fusebox(&client, &["status", "--session", &run.session, "--check"]).0, 3);
    assert_same_cost(version, &client, &run.session, &run.result["total_cost_usd"]);
    // The prompt is blocked without a request.
    client.prompt("and again").resume(&run.session).run();
    assert_eq!(api.count("main") as u64, responses);
}

/// Three responses of it are $0.037125.
fn a_budget_in_dollars_stops_a_loop(version: Version) {
    assert_stopped_after(3, version, "stop");
}

fn a_budget_in_dollars_leaves_one_response_to_finish(version: Version) {
    assert_stopped_after(4, version, "pause");
}

/// The client reckons at the price of the model that it asked for, whichever answers.
fn what_another_model_answers_is_charged_at_its_own_price(version: Version) {
    let usage = Usage::new(1000, 1000).cache(1000, 1000, 1000);
    let script = Script::new()
        .main(Turn::bash("cat a.txt").usage(usage).model("claude-haiku-4-5-20251001"))
        .main(Turn::text("done").usage(usage));
    let api = Api::start(script);
    let client = guarded(version, &api, 100_000_000);
    let run = client.prompt("work").format("json").run().ok();
    assert_eq!(nanos(&run.result["total_cost_usd"]), 2 * 28_050_000, "{}", run.result);
    let status = status(&client, &run.session);
    assert_eq!(tokens(&status), api.loop_usage());
    assert_eq!(nanos(&status["cost"]["usd"]), 9_350_000 + 28_050_000, "{status}");
}

/// A client without a price takes that of its default model. We take the dearest of the family, and say so.
fn a_model_without_a_price_is_an_estimate_of_our_own(version: Version) {
    let script = Script::new().main(Turn::text("done").usage(Usage::new(1000, 1000).cache(1000, 1000, 1000)));
    let api = Api::start(script);
    let client = guarded(version, &api, 100_000_000).model("claude-opus-77");
    let run = client.prompt("work").format("json").run().ok();
    let default = if version.writes_totals() { 37_200_000 } else { 46_750_000 };
    assert_eq!(nanos(&run.result["total_cost_usd"]), default, "{}", run.result);
    let cost = &status(&client, &run.session)["cost"];
    assert_eq!([&cost["usd"], &cost["estimated_usd"]].map(nanos), [140_250_000; 2], "{cost}");
}

client_tests!(recorded:
    every_model_costs_what_the_client_reckons,
    a_resumed_and_compacted_session_costs_what_the_client_reckons,
    a_budget_in_dollars_stops_a_loop,
    a_budget_in_dollars_leaves_one_response_to_finish,
    what_another_model_answers_is_charged_at_its_own_price,
    a_model_without_a_price_is_an_estimate_of_our_own,
);
