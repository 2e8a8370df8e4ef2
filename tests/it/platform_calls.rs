//! Calls of platforms in hooks: reserved before they run, settled afterwards, denied where no request is left.

mod clients;

use serde_json::{Value, json};

use crate::harness::{Home, Ran};
use crate::redis::Server;

const S: &str = "s";

const HOUR_MS: i64 = 3_600_000;

/// A test on a home with each kind of store.
macro_rules! on_both_stores {
    ($($test:ident),+ $(,)?) => {
        $(mod $test {
            #[test]
            fn embedded() {
                super::$test(&super::home());
            }

            #[test]
            fn shared() {
                let server = crate::redis::Server::start();
                super::$test(&super::shared_home(&server));
            }
        })+
    };
}

fn home() -> Home {
    let home = Home::new();
    let clock = home.path("clock").to_string_lossy().into_owned();
    home.var("FUSEBOX_TEST_CLOCK", &clock)
}

fn shared_home(server: &Server) -> Home {
    home().var("FUSEBOX_STORE_REDIS_URL", &server.url()).var("FUSEBOX_STORE_REDIS_TIMEOUT_MS", "1000")
}

/// Gemini, with a daily budget of four requests; codex; and searches, without a budget.
const CONFIG: &str = r#"
[[platform]]
name = "gemini"
commands = ["gemini"]
tools = ["mcp__gemini__*"]
ttl = 600

[[platform]]
name = "codex"
commands = ["codex exec"]

[[platform]]
name = "search"
tools = ["WebSearch"]

[[budget]]
name = "gemini-daily"
scope = "platform"
match = "gemini"
unit = "requests"
limit = 4
window = "day"
thresholds = [0.5, 1.0]
"#;

on_both_stores!(
    each_request_of_a_compound_command_counts,
    what_is_no_request_does_not_count,
    a_call_that_ran_is_used_and_one_that_never_ran_is_not,
    at_the_limit_only_its_calls_are_denied_until_the_next_day,
    parallel_calls_do_not_pass_the_limit,
    all_platforms_of_a_command_or_none,
    a_gateway_that_repeats_ids_counts_each_call,
    nothing_of_a_repeated_id_stays_reserved,
    calls_of_two_sessions_with_one_id_are_two,
    without_the_cache_it_is_charged_when_it_expires,
    each_threshold_is_told_once,
    an_agent_settles_no_call_of_its_own,
    a_run_with_other_settings_counts_here,
);

fn ready(home: &Home) {
    home.configure(CONFIG);
    // Noon, UTC: no test passes midnight by accident.
    let now = fusebox::platform::clock().0;
    set_clock(home, 12 * HOUR_MS - now.rem_euclid(24 * HOUR_MS));
}

/// Moves the clock by this, from the real time.
fn set_clock(home: &Home, ms: i64) {
    std::fs::write(home.path("clock"), ms.to_string()).unwrap();
}

fn later(home: &Home, ms: i64) {
    let moved: i64 = std::fs::read_to_string(home.path("clock")).unwrap().parse().unwrap();
    set_clock(home, moved + ms);
}

fn bash(home: &Home, event: &str, id: &str, command: &str, response: Value) -> Ran {
    let call = json!({"tool_name": "Bash", "tool_use_id": id, "tool_input": {"command": command}, "tool_response": response});
    home.hook(event, S, call)
}

fn before(home: &Home, id: &str, command: &str) -> Ran {
    bash(home, "PreToolUse", id, command, Value::Null)
}

fn after(home: &Home, id: &str, command: &str) -> Ran {
    bash(home, "PostToolUse", id, command, json!({"stdout": "done", "stderr": ""}))
}

fn batch(home: &Home, id: &str, command: &str, response: &str) -> Ran {
    let call = json!({"tool_name": "Bash", "tool_use_id": id, "tool_input": {"command": command}, "tool_response": response});
    home.hook("PostToolBatch", S, json!({"tool_calls": [call]}))
}

fn is_denied(ran: &Ran) -> bool {
    !ran.stdout.is_empty() && ran.json()["hookSpecificOutput"]["permissionDecision"] == "deny"
}

fn reason(ran: &Ran) -> String {
    assert!(is_denied(ran), "{ran:?}");
    ran.json()["hookSpecificOutput"]["permissionDecisionReason"].as_str().unwrap().to_owned()
}

/// Used and reserved requests of a platform, as a person sees them.
fn standing(home: &Home, platform: &str) -> (u64, u64) {
    let ran = home.fusebox(&["quota", "status", "--platform", platform, "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let found = ran.json();
    let platforms = found.as_array().unwrap_or_else(|| panic!("{found}"));
    let open = platforms.iter().flat_map(|one| one["reservations"].as_array().unwrap());
    let reserved = open.map(|one| one["requests"].as_u64().unwrap()).sum();
    let budget = platforms.iter().find_map(|one| one["budgets"].as_array().unwrap().first().cloned());
    (budget.map_or(0, |budget| budget["used"].as_u64().unwrap()), reserved)
}

fn each_request_of_a_compound_command_counts(home: &Home) {
    ready(home);
    let command =
        "cd x && gemini -p a | tee out; timeout 60 /usr/bin/gemini -p 'b; gemini' && bash -c 'gemini -p c'";
    assert!(before(home, "t1", command).is_silent());
    assert_eq!(standing(home, "gemini"), (0, 3));
    after(home, "t1", command);
    assert_eq!(standing(home, "gemini"), (3, 0));
    // By a tool.
    let call = json!({"tool_name": "mcp__gemini__ask", "tool_use_id": "t2", "tool_input": {"prompt": "hi"}});
    assert!(home.hook("PreToolUse", S, call).is_silent());
    assert_eq!(standing(home, "gemini"), (3, 1));
}

fn what_is_no_request_does_not_count(home: &Home) {
    ready(home);
    let harmless = [
        "echo gemini -p hi",
        "grep -r gemini .",
        "cat gemini.txt # gemini -p hi",
        "codex login",
        "fusebox run --platform gemini -- gemini -p hi",
        "ls",
    ];
    for (n, command) in harmless.iter().enumerate() {
        let id = format!("t{n}");
        assert!(before(home, &id, command).is_silent(), "{command}");
        after(home, &id, command);
    }
    assert_eq!(standing(home, "gemini"), (0, 0));
    assert_eq!(standing(home, "codex"), (0, 0));
    // `fusebox run` counts it as another platform's call.
    assert!(before(home, "other", "fusebox run --platform codex -- gemini -p hi").is_silent());
    assert_eq!(standing(home, "gemini"), (0, 1));
}

fn a_call_that_ran_is_used_and_one_that_never_ran_is_not(home: &Home) {
    ready(home);
    let run = |id: &str| assert!(before(home, id, "gemini -p x").is_silent(), "{id}");
    run("ok");
    after(home, "ok", "gemini -p x");
    after(home, "ok", "gemini -p x");
    batch(home, "ok", "gemini -p x", "done");
    assert_eq!(standing(home, "gemini"), (1, 0));
    // It failed: it was used.
    run("failed");
    bash(home, "PostToolUseFailure", "failed", "gemini -p x", Value::Null);
    assert_eq!(standing(home, "gemini"), (2, 0));
    // A person, a rule or another hook refused it: it was not.
    let refusals = [
        "The user doesn't want to proceed with this tool use. The tool use was rejected",
        "Permission to use Bash with command gemini -p x has been denied.",
        "PreToolUse:Bash hook error: [other]: not today",
        "<tool_use_error>InputValidationError: Bash failed</tool_use_error>",
    ];
    for (n, text) in refusals.iter().enumerate() {
        let id = format!("refused{n}");
        run(&id);
        assert_eq!(standing(home, "gemini"), (2, 1));
        batch(home, &id, "gemini -p x", text);
        assert_eq!(standing(home, "gemini"), (2, 0), "{text}");
    }
    // The hook after it was killed: the batch shows that it ran.
    run("unheard");
    batch(home, "unheard", "gemini -p x", "an answer");
    assert_eq!(standing(home, "gemini"), (3, 0));
}

fn at_the_limit_only_its_calls_are_denied_until_the_next_day(home: &Home) {
    ready(home);
    for n in 0..4 {
        let id = format!("t{n}");
        assert!(before(home, &id, "gemini -p x").is_silent());
        after(home, &id, "gemini -p x");
    }
    let told = reason(&before(home, "t4", "gemini -p x"));
    for part in
        ["budget gemini-daily", "4 / 4 requests (100.00%)", "resets at", "fusebox budget extend gemini-daily"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(before(home, "t5", "ls").is_silent(), "other calls go on");
    assert!(before(home, "t6", "codex exec hi").is_silent());
    let why = home.fusebox(&["explain", "t4", "--json"]).json();
    assert_eq!(
        (&why["decision"], &why["reason"]["budget"]),
        (&json!("denied"), &json!("gemini-daily")),
        "{why}"
    );
    assert_eq!(home.status(S)["stopped"], false);
    // A denied call never ran.
    batch(home, "t4", "gemini -p x", &format!("PreToolUse:Bash hook error: {told}"));
    assert_eq!(standing(home, "gemini"), (4, 0));
    later(home, 12 * HOUR_MS);
    assert!(before(home, "t7", "gemini -p x").is_silent(), "a new day");
    assert_eq!(standing(home, "gemini"), (0, 1));
}

fn parallel_calls_do_not_pass_the_limit(home: &Home) {
    ready(home);
    let denied: usize = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..12)
            .map(|n| {
                scope.spawn(move || usize::from(is_denied(&before(home, &format!("t{n}"), "gemini -p x"))))
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).sum()
    });
    assert_eq!((denied, standing(home, "gemini")), (8, (0, 4)));
}

fn all_platforms_of_a_command_or_none(home: &Home) {
    ready(home);
    let five = "codex exec a; ".to_owned() + &"gemini -p x; ".repeat(5);
    assert!(reason(&before(home, "t1", &five)).contains("no room for 5 requests"));
    assert_eq!((standing(home, "gemini"), standing(home, "codex")), ((0, 0), (0, 0)));
    assert!(before(home, "t2", "codex exec a; gemini -p x").is_silent());
    assert_eq!((standing(home, "gemini"), standing(home, "codex")), ((0, 1), (0, 1)));
}

fn a_gateway_that_repeats_ids_counts_each_call(home: &Home) {
    ready(home);
    // Also with another number of requests.
    for command in ["gemini -p x", "gemini -p x", "gemini -p x; gemini -p y"] {
        assert!(before(home, "one", command).is_silent());
        after(home, "one", command);
    }
    assert_eq!(standing(home, "gemini"), (4, 0));
    assert!(is_denied(&before(home, "one", "gemini -p x")));
}

fn nothing_of_a_repeated_id_stays_reserved(home: &Home) {
    ready(home);
    for command in ["gemini -p x", "codex exec a; gemini -p x"] {
        assert!(before(home, "one", command).is_silent());
        after(home, "one", command);
    }
    assert_eq!((standing(home, "gemini"), standing(home, "codex").1), ((2, 0), 0));
}

fn calls_of_two_sessions_with_one_id_are_two(home: &Home) {
    ready(home);
    let call =
        json!({"tool_name": "Bash", "tool_use_id": "call_0", "tool_input": {"command": "gemini -p x"}});
    for session in ["a", "b"] {
        assert!(home.hook("PreToolUse", session, call.clone()).is_silent());
    }
    assert_eq!(standing(home, "gemini"), (0, 2));
    home.hook("PostToolUse", "a", call);
    assert_eq!(standing(home, "gemini"), (1, 1));
}

fn without_the_cache_it_is_charged_when_it_expires(home: &Home) {
    ready(home);
    assert!(before(home, "t1", "gemini -p x").is_silent());
    std::fs::remove_file(home.path("cache/guardrails-s.json")).unwrap();
    after(home, "t1", "gemini -p x");
    assert_eq!(standing(home, "gemini"), (0, 1));
    later(home, 600_000);
    assert_eq!(standing(home, "gemini"), (1, 0));
}

fn each_threshold_is_told_once(home: &Home) {
    ready(home);
    let mut told = Vec::new();
    for n in 0..4 {
        let id = format!("t{n}");
        before(home, &id, "gemini -p x");
        let said = after(home, &id, "gemini -p x").stdout;
        told.push(said.matches("gemini-daily").count() > 0);
        let said = batch(home, &id, "gemini -p x", "done").stdout;
        assert!(!said.contains("gemini-daily"), "{said}");
    }
    assert_eq!(told, [false, true, false, true]);
    let alerts = home.fusebox(&["alerts", "list", "--json"]).json();
    assert_eq!(alerts.as_array().map_or(0, Vec::len), 2, "{alerts}");
}

#[test]
fn without_a_store_calls_are_allowed_or_denied_as_configured() {
    for (store_down, denied) in [("local", false), ("deny", true)] {
        let server = Server::start();
        let home = shared_home(&server);
        home.configure(&CONFIG.replace("thresholds", &format!("store_down = \"{store_down}\"\nthresholds")));
        assert!(before(&home, "t0", "gemini -p x").is_silent());
        drop(server);
        let ran = before(&home, "t1", "gemini -p x");
        assert_eq!(is_denied(&ran), denied, "{store_down}: {ran:?}");
        if denied {
            assert!(reason(&ran).contains("the store cannot be reached"), "{ran:?}");
        }
        assert!(!is_denied(&before(&home, "t2", "ls")), "{store_down}");
    }
}

fn an_agent_settles_no_call_of_its_own(home: &Home) {
    ready(home);
    assert!(before(home, "t1", "gemini -p a").is_silent());
    for settle in [&["quota", "release"][..], &["quota", "record", "--amount", "0"][..]] {
        let mut command = home.command("fusebox");
        command.args(settle).args(["--platform", "gemini", "--key", "s/t1"]).env("CLAUDECODE", "1");
        let ran = crate::harness::run(&mut command, b"");
        assert!(ran.code == 2 && ran.stderr.contains("inside an agent's shell"), "{ran:?}");
    }
    assert_eq!(standing(home, "gemini"), (0, 1));
    // Its own it may.
    let mut command = home.command("fusebox");
    command.args(["quota", "reserve", "--platform", "gemini", "--key", "mine"]).env("CLAUDECODE", "1");
    assert_eq!(crate::harness::run(&mut command, b"").code, 0);
    let mut command = home.command("fusebox");
    command.args(["quota", "release", "--platform", "gemini", "--key", "mine"]).env("CLAUDECODE", "1");
    assert_eq!(crate::harness::run(&mut command, b"").code, 0);
    assert!(after(home, "t1", "gemini -p a").is_silent());
    assert_eq!(standing(home, "gemini"), (1, 0));
}

fn a_run_with_other_settings_counts_here(home: &Home) {
    ready(home);
    let run = "fusebox run --platform gemini -- gemini -p a";
    let path = format!("export PATH=\"$HOME/bin:$PATH\"; {run}");
    for (at, command) in [run.to_owned(), format!("FUSEBOX_CHAIN=x {run}"), path].iter().enumerate() {
        assert!(before(home, &format!("own{at}"), command).is_silent());
        assert_eq!(standing(home, "gemini"), (0, 0), "`run` counts it: {command}");
    }
    let elsewhere = [
        format!("FUSEBOX_BUDGET_GEMINI_DAILY_LIMIT=99 {run}"),
        format!("export FUSEBOX_STATE_DIR=/tmp/other; {run}"),
        format!("env HOME=/tmp/other {run}"),
        format!("sudo -u other {run}"),
    ];
    for (at, command) in elsewhere.iter().enumerate() {
        assert!(before(home, &format!("t{at}"), command).is_silent(), "{command}");
        assert_eq!(standing(home, "gemini"), (0, at as u64 + 1), "the hook counts it: {command}");
    }
    assert!(is_denied(&before(home, "t9", &elsewhere[0])));
}
