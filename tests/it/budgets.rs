//! Budgets from outside: scopes, units, thresholds, modes, decisions, configuration.

use serde_json::{Value, json};

use crate::harness::{Home, Ran, message};

/// Message `n` by `model`, dated now.
fn now(n: usize, tokens: u64, model: &str) -> Value {
    let mut line = message(n, tokens, 0);
    line["timestamp"] =
        json!(chrono::DateTime::from_timestamp_millis(fusebox::platform::clock().0).unwrap().to_rfc3339());
    line["message"]["model"] = json!(model);
    line
}

fn denied(ran: &Ran) -> bool {
    !ran.stdout.is_empty() && ran.json()["hookSpecificOutput"]["permissionDecision"] == "deny"
}

fn pre(home: &Home, session: &str, n: usize) -> Ran {
    home.hook("PreToolUse", session, json!({"tool_use_id": format!("toolu_{n}")}))
}

fn post(home: &Home, session: &str) -> Ran {
    home.hook("PostToolUse", session, json!({}))
}

fn prompt_line(home: &Home, session: &str) -> String {
    let ran = home.hook("UserPromptSubmit", session, json!({"prompt": "x"}));
    ran.json()["hookSpecificOutput"]["additionalContext"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn each_threshold_is_said_once_and_a_jump_says_one_thing() {
    let home = Home::new()
        .var("FUSEBOX_BUDGET_SESSION_LIMIT", "1000")
        .var("FUSEBOX_BUDGET_SESSION_ON_LIMIT", "warn");
    let mut said = Vec::new();
    for n in 1..=12 {
        home.append(&home.transcript("s"), &[message(n, 100, 0)]);
        for _ in 0..2 {
            let ran = post(&home, "s");
            if !ran.stdout.is_empty() {
                said.push((n, ran.json()["systemMessage"].as_str().unwrap().to_owned()));
            }
        }
    }
    let at: Vec<usize> = said.iter().map(|(n, _)| *n).collect();
    assert_eq!(at, [5, 8, 9, 10], "{said:?}");
    assert_eq!(said[0].1, "Fusebox: session budget is 50.00% used: 500 of 1,000 tokens.");
    assert_eq!(
        said[3].1,
        "Fusebox: session budget is 100.00% used: 1,000 of 1,000 tokens. It is over its limit."
    );

    home.append(&home.transcript("t"), &[message(100, 950, 0)]);
    let jump = post(&home, "t").json();
    assert_eq!(jump["systemMessage"], "Fusebox: session budget is 95.00% used: 950 of 1,000 tokens.");
    assert_eq!(
        jump["hookSpecificOutput"]["additionalContext"], jump["systemMessage"],
        "the agent is told too"
    );
    assert!(post(&home, "t").is_silent());
}

#[test]
fn warn_and_shadow_never_hold_back() {
    for (key, value, says) in
        [("ON_LIMIT", "warn", "over its limit"), ("MODE", "shadow", "would have paused the session")]
    {
        let home = Home::new()
            .var("FUSEBOX_BUDGET_SESSION_LIMIT", "100")
            .var(&format!("FUSEBOX_BUDGET_SESSION_{key}"), value);
        home.append(&home.transcript("s"), &[message(1, 500, 0)]);
        assert!(!denied(&pre(&home, "s", 1)));
        let said = post(&home, "s").json();
        assert!(said["systemMessage"].as_str().unwrap().contains(says), "{said}");
        for event in ["PostToolBatch", "Stop", "PreToolUse"] {
            let ran = home.hook(event, "s", json!({"tool_use_id": "toolu_1", "tool_calls": []}));
            assert!(ran.is_silent(), "{event} {ran:?}");
        }
        let prompt = home.hook("UserPromptSubmit", "s", json!({"prompt": "x"})).json();
        assert_eq!(prompt["decision"], Value::Null);
        assert_eq!(home.status("s")["stopped"], false);
    }
}

#[test]
fn it_denies_lets_finish_and_stops() {
    let home = Home::new().var("FUSEBOX_BUDGET_SESSION_LIMIT", "100");
    home.append(&home.transcript("s"), &[message(1, 500, 0), message(2, 1, 0)]);
    let batch = |n: usize| {
        home.hook("PostToolBatch", "s", json!({"tool_calls": [{"tool_use_id": format!("toolu_{n}")}]}))
    };
    // Parallel calls belong to one response.
    for _ in 0..3 {
        let ran = pre(&home, "s", 1);
        assert!(denied(&ran) && ran.json()["continue"].is_null(), "{ran:?}");
    }
    let wrap_up = batch(1).json();
    assert!(wrap_up["continue"].is_null());
    assert!(
        wrap_up["hookSpecificOutput"]["additionalContext"]
            .as_str()
            .unwrap()
            .contains("Finish your work without calling tools")
    );
    assert!(denied(&pre(&home, "s", 2)));
    let stop = batch(2).json();
    assert_eq!(stop["continue"], false);
    assert!(stop["stopReason"].as_str().unwrap().contains("--session s --tokens N"), "{stop}");
    for event in ["PreToolUse", "PostToolUse", "PostToolUseFailure", "PostToolBatch"] {
        let ran = home.hook(event, "s", json!({"tool_use_id": "toolu_2", "tool_calls": []})).json();
        assert_eq!(ran["continue"], false, "{event}");
        assert_eq!(ran["hookSpecificOutput"]["permissionDecision"] == "deny", event == "PreToolUse");
    }
    // A subagent of a stopped session has nothing to wrap up for.
    let agent =
        home.hook("PreToolUse", "s", json!({"tool_use_id": "x", "agent_id": "a1", "agent_type": "Explore"}));
    assert_eq!(agent.json()["continue"], false);
    // A stop event is never blocked: that would wake the agent.
    let end = home.hook("Stop", "s", json!({}));
    assert!(end.stdout.is_empty() || end.json()["decision"].is_null());
    let prompt = home.hook("UserPromptSubmit", "s", json!({"prompt": "<task-notification>…"})).json();
    assert_eq!(prompt["decision"], "block");
    assert_eq!(home.fusebox(&["status", "--session", "s", "--check"]).code, 3);

    // Too small an extension changes nothing; a large enough one ends the stop.
    let extend = |n: &str| {
        home.fusebox(&["budget", "extend", "session", "--session", "s", "--tokens", n, "--reason", "r"])
    };
    let small = extend("10");
    assert!(small.code == 0 && small.stderr.contains("at least 392 more tokens"), "{small:?}");
    assert!(denied(&pre(&home, "s", 2)));
    assert_eq!(extend("1000").code, 0);
    assert!(pre(&home, "s", 2).is_silent());
    assert!(batch(2).is_silent());
    assert_eq!(home.fusebox(&["status", "--session", "s", "--check"]).code, 0);
    // The next time over the limit, there is an allowance again.
    home.append(&home.transcript("s"), &[message(3, 5000, 0)]);
    post(&home, "s");
    assert!(denied(&pre(&home, "s", 3)));
    assert!(batch(3).json()["continue"].is_null());
}

#[test]
fn a_hard_limit_bounds_extensions_and_exhausts() {
    let home = Home::new();
    home.configure("[[budget]]\nname = \"session\"\nlimit = 1000\nhard_limit = 1200\n");
    home.append(&home.transcript("s"), &[message(1, 1100, 0)]);
    post(&home, "s");
    let extend = |n: &str| {
        home.fusebox(&["budget", "extend", "session", "--session", "s", "--tokens", n, "--reason", "r"])
    };
    let too_much = extend("300");
    assert_eq!(too_much.code, 2);
    assert!(
        too_much.stderr.contains("at most 200") && too_much.stderr.contains("hard_limit"),
        "{too_much:?}"
    );
    assert_eq!(extend("200").code, 0);
    assert_eq!(home.status("s")["budgets"][0]["limit"], 1200);
    home.append(&home.transcript("s"), &[message(2, 100, 0)]);
    post(&home, "s");
    assert_eq!(home.status("s")["budgets"][0]["status"], "exhausted");
    assert_eq!(extend("1").code, 2);
    let reason = pre(&home, "s", 2).json()["hookSpecificOutput"]["permissionDecisionReason"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(reason.contains("exhausted") && reason.contains("budget reset session"), "{reason}");
    let reset =
        home.fusebox(&["budget", "reset", "session", "--session", "s", "--reason", "new task", "--json"]);
    assert_eq!(reset.json()["after"]["used"], 0, "{reset:?}");
    assert!(pre(&home, "s", 2).is_silent());
    home.append(&home.transcript("s"), &[now(3, 7, "m")]);
    post(&home, "s");
    let status = home.status("s");
    assert_eq!(status["budgets"][0]["used"], 7, "what came before the reset no longer counts");
    assert_eq!(status["tokens"]["input"], 1207, "but was used all the same");
}

#[test]
fn a_users_budget_holds_across_sessions_and_shows_past_a_threshold() {
    let home = Home::new();
    home.configure("[[budget]]\nname = \"monthly\"\nscope = \"user\"\nwindow = \"month\"\nlimit = 1000\n");
    let first = now(1, 400, "m");
    home.append(&home.transcript("s"), std::slice::from_ref(&first));
    post(&home, "s");
    let breaker = "Circuit breaker: closed (0/1000 iterations)";
    let budget = "Session budget: 400 / 1,000,000 tokens (0.04%)";
    assert_eq!(prompt_line(&home, "s"), format!("{budget}\n{breaker}"));
    home.append(&home.transcript("t"), &[now(2, 500, "m"), first]);
    post(&home, "t");
    let line = prompt_line(&home, "t");
    assert!(line.starts_with("Session budget: 900 / 1,000,000 tokens (0.09%)\n"), "{line}");
    assert!(line.contains("Budget monthly (user tester): 900 / 1,000 tokens (90.00%)"), "{line}");
    home.append(&home.transcript("t"), &[now(3, 200, "m")]);
    post(&home, "t");
    assert!(denied(&pre(&home, "s", 1)) || denied(&pre(&home, "t", 3)));
    let prompt = home.hook("UserPromptSubmit", "s", json!({"prompt": "x"})).json();
    assert_eq!(prompt["decision"], "block", "the other session is held back too");
    assert!(prompt["reason"].as_str().unwrap().contains("resets at"), "{prompt}");
    let ran = home.fusebox(&["budget", "extend", "monthly", "--tokens", "1000", "--reason", "r"]);
    assert!(ran.code == 0 && ran.stdout.contains("(user tester)"), "{ran:?}");
    assert!(pre(&home, "s", 1).is_silent());
    let list = home.fusebox(&["budget", "list", "--all", "--json"]).json();
    let monthly: Vec<&Value> = list.as_array().unwrap().iter().filter(|b| b["name"] == "monthly").collect();
    assert_eq!((monthly.len(), &monthly[0]["used"], &monthly[0]["limit"]), (1, &json!(1100), &json!(2000)));
}

#[test]
fn a_models_budget_holds_back_only_who_uses_it() {
    let home = Home::new();
    home.configure("[[budget]]\nname = \"big\"\nscope = \"model\"\nmatch = \"claude-big*\"\nwindow = \"day\"\nlimit = 100\n");
    home.append(&home.transcript("s"), &[now(1, 10, "claude-small-1")]);
    home.append(&home.agent_transcript("s", "a1"), &[now(2, 200, "claude-big-1")]);
    home.hook("PostToolBatch", "s", json!({"tool_calls": []}));
    assert!(!denied(&pre(&home, "s", 1)));
    let agent = json!({"tool_use_id": "toolu_2", "agent_id": "a1", "agent_type": "Explore"});
    assert!(denied(&home.hook("PreToolUse", "s", agent)));
}

#[test]
fn an_agent_types_budget_holds_back_only_that_type() {
    let home = Home::new();
    home.configure("[[budget]]\nname = \"explorers\"\nscope = \"agent_type\"\nmatch = \"Explore\"\nwindow = \"day\"\nlimit = 100\n");
    home.append(&home.agent_transcript("s", "a1"), &[now(1, 200, "m")]);
    let file = home.agent_transcript("s", "a1").with_extension("meta.json");
    std::fs::write(file, r#"{"agentType":"Explore"}"#).unwrap();
    home.append(&home.transcript("s"), &[now(2, 5, "m")]);
    home.hook("PostToolBatch", "s", json!({"tool_calls": []}));
    let call = |id: &str, kind: &str| {
        home.hook("PreToolUse", "s", json!({"tool_use_id": "x", "agent_id": id, "agent_type": kind}))
    };
    assert!(denied(&call("a1", "Explore")));
    assert!(denied(&call("a2", "Explore")), "a new one of that type too");
    assert!(!denied(&call("a3", "Plan")));
    assert!(!denied(&pre(&home, "s", 2)));
}

#[test]
fn a_declared_task_type_brings_its_budget() {
    let home = Home::new().var("FUSEBOX_TASK_TYPE", "planning");
    home.append(&home.transcript("s"), &[message(1, 60_000, 0)]);
    post(&home, "s");
    let status = home.status("s");
    let task = status["budgets"].as_array().unwrap().iter().find(|b| b["name"] == "task").unwrap();
    assert_eq!((&task["limit"], &task["status"]), (&json!(50_000), &json!("paused")));
    assert!(denied(&pre(&home, "s", 1)));
}

#[test]
fn requests_and_tool_calls_are_units_too() {
    for (unit, option) in [("requests", "--requests"), ("tool_calls", "--tool-calls")] {
        let home = Home::new();
        home.configure(&format!("[[budget]]\nname = \"few\"\nunit = \"{unit}\"\nlimit = 3\n"));
        for n in 1..=3 {
            home.append(&home.transcript("s"), &[message(n, 10, 0)]);
            let ran = pre(&home, "s", n);
            post(&home, "s");
            assert_eq!(denied(&ran), n == 3, "{unit} {n} {ran:?}");
        }
        let wrong =
            home.fusebox(&["budget", "extend", "few", "--session", "s", "--tokens", "5", "--reason", "r"]);
        assert!(wrong.code == 2 && wrong.stderr.contains(option), "{wrong:?}");
        assert_eq!(
            home.fusebox(&["budget", "extend", "few", "--session", "s", option, "5", "--reason", "r"]).code,
            0
        );
        assert!(!denied(&pre(&home, "s", 3)));
    }
}

#[test]
fn a_deleted_budget_no_longer_applies_until_it_is_reset() {
    let home = Home::new().var("FUSEBOX_BUDGET_SESSION_LIMIT", "100");
    home.append(&home.transcript("s"), &[message(1, 500, 0)]);
    assert!(denied(&pre(&home, "s", 1)));
    let ran = home.fusebox(&["budget", "delete", "session", "--session", "s", "--reason", "one-off"]);
    assert!(ran.code == 0 && ran.stdout.contains("→ deleted"), "{ran:?}");
    assert!(pre(&home, "s", 1).is_silent());
    assert_eq!(home.status("s")["budgets"], json!([]));
    let extend =
        home.fusebox(&["budget", "extend", "session", "--session", "s", "--tokens", "5", "--reason", "r"]);
    assert!(extend.code == 2 && extend.stderr.contains("was deleted"), "{extend:?}");
    assert_eq!(home.fusebox(&["budget", "reset", "session", "--session", "s", "--reason", "back"]).code, 0);
    home.append(&home.transcript("s"), &[now(2, 500, "m")]);
    assert!(denied(&pre(&home, "s", 2)));
    let shown = home.fusebox(&["budget", "show", "session", "--session", "s", "--json"]).json();
    let kinds: Vec<&str> =
        shown["operations"].as_array().unwrap().iter().filter_map(|o| o["kind"].as_str()).collect();
    assert_eq!(kinds, ["delete", "reset"]);
    assert_eq!(shown["operations"][0]["actor"], "tester");
    assert_eq!(shown["operations"][0]["reason"], "one-off");
}

#[test]
fn decisions_need_a_reason_a_person_and_a_session() {
    let home = Home::new();
    home.append(&home.transcript("s"), &[message(1, 500, 0)]);
    post(&home, "s");
    let refused = |arguments: &[&str], says: &str| {
        let ran = home.fusebox(arguments);
        assert!(
            ran.code == 2 && ran.stderr.contains(says) && ran.stdout.is_empty(),
            "{arguments:?}: {ran:?}"
        );
    };
    refused(&["budget", "extend", "session", "--session", "s", "--tokens", "5"], "--reason");
    refused(&["budget", "extend", "session", "--session", "s", "--tokens", "5", "--reason", " "], "reason");
    refused(
        &["budget", "extend", "session", "--session", "s", "--tokens", "0", "--reason", "r"],
        "greater than 0",
    );
    refused(&["budget", "extend", "session", "--session", "s", "--tokens", "-5", "--reason", "r"], "-5");
    refused(&["budget", "extend", "session", "--session", "s", "--reason", "r"], "--tokens");
    refused(
        &["budget", "extend", "nosuch", "--session", "s", "--tokens", "5", "--reason", "r"],
        "budgets: session",
    );
    refused(&["budget", "reset", "session", "--session", "zzz", "--reason", "r"], "unknown session zzz");
    assert_eq!(home.status("s")["budgets"][0]["limit"], 1_000_000, "nothing was changed");

    let mut inside = home.command("fusebox");
    inside.env("CLAUDECODE", "1").args([
        "budget",
        "extend",
        "session",
        "--session",
        "s",
        "--tokens",
        "5",
        "--reason",
        "r",
    ]);
    let ran = crate::harness::run(&mut inside, b"");
    assert!(ran.code == 2 && ran.stderr.contains("a terminal that no agent started"), "{ran:?}");
    let mut inside = home.command("fusebox");
    inside.env("CLAUDECODE", "1").args(["status", "--session", "s"]);
    assert_eq!(crate::harness::run(&mut inside, b"").code, 0, "looking is for everybody");

    home.hook("SessionEnd", "s", json!({"reason": "other"}));
    refused(&["budget", "reset", "session", "--reason", "r"], "no session is live");
}

#[test]
fn a_bad_configuration_is_said_by_the_hook_that_finds_it_before_a_tool_call() {
    let home = Home::new();
    home.configure("[[budget]]\nname = \"session\"\nlimit = 700\n");
    home.append(&home.transcript("s"), &[message(1, 100, 0)]);
    assert!(post(&home, "s").is_silent());
    home.configure("[[budget]]\nname = \"session\"\nlimit = -5\n");
    let call = || home.hook("PreToolUse", "s", json!({"tool_name": "Bash", "tool_use_id": "toolu_1"}));
    let told = call().json();
    assert!(told["systemMessage"].as_str().unwrap().contains("config.toml:3"), "{told}");
    assert_eq!(told["hookSpecificOutput"], json!(null), "the call is let through");
    assert!(call().is_silent() && post(&home, "s").is_silent(), "once");
}

#[test]
fn a_bad_configuration_leaves_the_last_good_one_in_force_and_is_said_once() {
    let home = Home::new();
    home.configure("[[budget]]\nname = \"session\"\nlimit = 700\n");
    home.append(&home.transcript("s"), &[message(1, 100, 0)]);
    assert!(post(&home, "s").is_silent());
    home.configure("[[budget]]\nname = \"session\"\nlimit = -5\n");
    let told = post(&home, "s").json();
    let message_ = told["systemMessage"].as_str().unwrap();
    assert!(
        message_.contains("config.toml:3") && message_.contains("the last good one stays in force"),
        "{message_}"
    );
    assert!(post(&home, "s").is_silent(), "said once");
    home.append(&home.transcript("s"), &[message(2, 700, 0)]);
    post(&home, "s");
    assert!(denied(&pre(&home, "s", 2)), "the limit is still 700");
    let ran = home.fusebox(&["status"]);
    assert!(ran.code == 2 && ran.stderr.contains("config.toml:3: budget.session.limit"), "{ran:?}");
    home.configure("[[budget]]\nname = \"session\"\nlimit = 5000\n");
    assert!(!denied(&pre(&home, "s", 2)), "a mended one counts at once");
}

#[test]
fn the_project_may_tighten_and_not_loosen() {
    let home = Home::new();
    home.configure("[[budget]]\nname = \"session\"\nlimit = 1000\n");
    std::fs::create_dir_all(home.path("project/.claude")).unwrap();
    let project = home.path("project/.claude/fusebox.toml");
    std::fs::write(&project, "[[budget]]\nname = \"session\"\nlimit = 500\n").unwrap();
    home.append(&home.transcript("s"), &[message(1, 600, 0)]);
    assert!(denied(&pre(&home, "s", 1)));
    std::fs::write(&project, "enabled = false\n[[budget]]\nname = \"session\"\nlimit = 9000\n").unwrap();
    home.append(&home.transcript("s"), &[message(2, 500, 0)]);
    assert!(denied(&pre(&home, "s", 2)));
    assert_eq!(home.status("s")["budgets"][0]["limit"], 1000);
}

#[test]
fn status_of_nothing_and_of_an_unknown_session() {
    let home = Home::new();
    let ran = home.fusebox(&["status"]);
    assert!(ran.code == 0 && ran.stdout.contains("No sessions yet"), "{ran:?}");
    let ran = home.fusebox(&["status", "--session", "x"]);
    assert!(ran.code == 2 && ran.stderr.contains("unknown session x"), "{ran:?}");
    assert_eq!(home.fusebox(&["status", "--json"]).json(), json!([]));
    assert_eq!(home.fusebox(&["budget", "list", "--json"]).json(), json!([]));
}

#[test]
fn the_status_object_has_the_promised_fields() {
    let home = Home::new();
    home.append(&home.transcript("abc"), &[message(1, 100, 10)]);
    post(&home, "abc");
    let status = home.status("ab");
    let keys: Vec<&String> = status.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "session",
            "tokens",
            "requests",
            "tool_calls",
            "estimated_messages",
            "incomplete",
            "unseen_responses",
            "uncharged_responses",
            "budgets",
            "unknown_budgets",
            "plan",
            "cost",
            "circuit",
            "agents",
            "throttle",
            "stopped",
            "held_by",
            "store"
        ]
    );
    let tokens: Vec<&String> = status["tokens"].as_object().unwrap().keys().collect();
    assert_eq!(tokens, ["input", "output", "cache_write_5m", "cache_write_1h", "cache_read"]);
    let budget = status["budgets"][0].as_object().unwrap();
    for key in [
        "name",
        "scope",
        "value",
        "unit",
        "window",
        "used",
        "limit",
        "remaining",
        "utilization",
        "status",
        "resets_at",
    ] {
        assert!(budget.contains_key(key), "{key}");
    }
    assert_eq!(budget["resets_at"], Value::Null);
    assert_eq!(budget["remaining"], 1_000_000 - 110);
}

#[test]
fn the_persons_command_is_told_of_alerts() {
    let home = Home::new();
    let told = home.path("told");
    // A named pipe: reading it waits for the command, however late.
    assert!(std::process::Command::new("mkfifo").arg(&told).status().unwrap().success());
    let command = format!("[\"/bin/sh\", \"-c\", \"cat > {}\"]", told.display());
    home.configure(&format!("[alerts]\ncommand = {command}\n[[budget]]\nname = \"session\"\nlimit = 1000\n"));
    home.append(&home.transcript("s"), &[message(1, 850, 0)]);
    let said = post(&home, "s");
    assert!(said.stdout.contains("85.00%"), "{said:?}");
    // Two thresholds were passed: 50 % and 80 %.
    let mut text = String::new();
    while text.lines().count() < 2 {
        text += &std::fs::read_to_string(&told).unwrap();
    }
    let mut passed: Vec<f64> = text
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap()["threshold"].as_f64().unwrap())
        .collect();
    passed.sort_by(f64::total_cmp);
    assert_eq!(passed, [0.5, 0.8], "{text}");

    home.configure(
        "[alerts]\ncommand = [\"/no/such/program\"]\n[[budget]]\nname = \"session\"\nlimit = 1000\n",
    );
    home.append(&home.transcript("s"), &[message(2, 80, 0)]);
    assert!(post(&home, "s").stdout.contains("93.00%"));
    assert!(home.journal().contains("alerts.command /no/such/program"), "{}", home.journal());
}

#[test]
fn what_a_session_held_before_the_installation_raises_its_limit() {
    let home = Home::new().var("FUSEBOX_BUDGET_SESSION_LIMIT", "1000");
    // Dated before the installation, which is now.
    home.append(&home.transcript("s"), &[message(1, 5000, 0)]);
    let ran = home.fusebox(&["init", "--user"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(home.hook("SessionStart", "s", json!({"source": "resume"})).code, 0);
    assert!(!denied(&pre(&home, "s", 1)), "an old session does not pause at once");
    let budget = home.status("s")["budgets"][0].clone();
    assert_eq!(
        (&budget["used"], &budget["limit"], &budget["history"]),
        (&json!(5000), &json!(6000), &json!(5000))
    );
    home.append(&home.transcript("s"), &[now(2, 1000, "m")]);
    post(&home, "s");
    assert!(denied(&pre(&home, "s", 2)), "but has no more than others");

    // A lost store gets it back.
    std::fs::remove_file(home.path("state/state.db")).unwrap();
    for side in ["state.db-wal", "state.db-shm"] {
        let _ = std::fs::remove_file(home.path("state").join(side));
    }
    post(&home, "s");
    let budget = home.status("s")["budgets"][0].clone();
    assert_eq!((&budget["used"], &budget["limit"]), (&json!(6000), &json!(6000)));
}
