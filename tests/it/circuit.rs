//! The circuit breaker from outside: warn, deny, stop, and the ways to reset it.

use serde_json::{Value, json};

use crate::harness::{Home, Ran, message};

const S: &str = "s";

/// One response with one call: the hooks before it, after it, and at the end of the response.
fn respond(home: &Home, id: u32, command: &str, result: &str) -> [Ran; 3] {
    respond_as(home, id, command, result, json!({}))
}

fn respond_as(home: &Home, id: u32, command: &str, result: &str, agent: Value) -> [Ran; 3] {
    let (id, input) = (format!("toolu_{id}"), json!({"command": command}));
    let with = |fields: Value| {
        let mut all = agent.clone();
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        all
    };
    let call = json!({"tool_name": "Bash", "tool_input": input, "tool_use_id": id});
    let before = home.hook("PreToolUse", S, with(call.clone()));
    let after = if is_denied(&before) {
        Ran { code: 0, stdout: String::new(), stderr: String::new() }
    } else {
        let mut over = call.clone();
        over["tool_response"] = json!({"stdout": result, "stderr": "", "interrupted": false});
        home.hook("PostToolUse", S, with(over))
    };
    let response = if is_denied(&before) {
        format!(
            "PreToolUse:Bash hook error: {}",
            before.json()["hookSpecificOutput"]["permissionDecisionReason"].as_str().unwrap()
        )
    } else {
        result.to_owned()
    };
    let mut over = call;
    over["tool_response"] = json!(response);
    let batch = home.hook("PostToolBatch", S, with(json!({"tool_calls": [over]})));
    [before, after, batch]
}

fn is_denied(ran: &Ran) -> bool {
    !ran.stdout.is_empty() && ran.json()["hookSpecificOutput"]["permissionDecision"] == "deny"
}

fn prompt(home: &Home, text: &str) -> Ran {
    home.hook("UserPromptSubmit", S, json!({"prompt": text}))
}

/// The same call five times: opens the breaker.
fn trip(home: &Home) {
    for id in 1..=5 {
        respond(home, id, "make test", "error: no rule");
    }
    assert_eq!(home.status(S)["circuit"]["state"], "open");
}

#[test]
fn a_loop_is_warned_denied_and_stopped() {
    let home = Home::new();
    for id in 1..=3 {
        assert!(respond(&home, id, "make test", "error: no rule").iter().all(Ran::is_silent));
    }
    let [.., warned] = respond(&home, 4, "make test", "error: no rule");
    let said = warned.json();
    let context = said["hookSpecificOutput"]["additionalContext"].as_str().unwrap();
    assert!(
        context.contains("looks like a loop")
            && context.contains("4 times in a row (Bash, \"make test\"; trips at 5)"),
        "{context}"
    );
    assert_eq!(said["systemMessage"], context);
    assert!(said.get("continue").is_none());

    let [before, _, opened] = respond(&home, 5, "make test", "error: no rule");
    assert!(before.is_silent());
    let context = opened.json()["hookSpecificOutput"]["additionalContext"].to_string();
    assert!(context.contains("circuit breaker is open") && context.contains("Finish your work"), "{context}");

    let [denied, _, stopped] = respond(&home, 6, "ls", "a");
    let reason = denied.json()["hookSpecificOutput"]["permissionDecisionReason"].to_string();
    assert!(
        reason.contains("the same call with the same result, 5 times in a row")
            && reason.contains("Try something else"),
        "{reason}"
    );
    assert_eq!(stopped.json()["continue"], false);
    assert!(stopped.json()["stopReason"].as_str().unwrap().contains("fusebox circuit ack"));

    let status = home.status(S);
    let circuit = &status["circuit"];
    assert_eq!((&circuit["state"], &circuit["rule"]), (&json!("open"), &json!("same_call")));
    assert_eq!((&circuit["iterations"], &circuit["max_iterations"]), (&json!(5), &json!(1000)));
    assert_eq!(circuit["tripped_at_call"], 5);
    assert!(circuit["reason"].as_str().unwrap().contains("same call"));
    assert_eq!(circuit["signature"].as_str().unwrap().len(), 12);
    assert_eq!(status["stopped"], true);
    assert_eq!(home.fusebox(&["status", "--session", S, "--check"]).code, 3);
    // Stored and listed without the input.
    for arguments in
        [&["circuit", "list"][..], &["circuit", "list", "--json"], &["circuit", "show", "--session", S]]
    {
        let listed = home.fusebox(arguments);
        assert_eq!(listed.code, 0);
        assert!(listed.stdout.contains("same_call") || listed.stdout.contains("same call"), "{listed:?}");
        assert!(!listed.stdout.contains("make test"), "{listed:?}");
    }
    for file in ["state/state.db", "state/state.db-wal"] {
        let bytes = std::fs::read(home.path(file)).unwrap_or_default();
        assert!(memchr::memmem::find(&bytes, b"make test").is_none(), "{file}");
    }
}

#[test]
fn a_persons_prompt_starts_afresh_and_a_client_made_one_does_not() {
    let home = Home::new();
    trip(&home);
    let notification = "<task-notification>\n<task-id>a1</task-id>\n</task-notification>";
    // Not stopped yet: background work may wake the agent, whose calls are denied.
    assert!(prompt(&home, notification).stdout.find("block").is_none());
    let [denied, _, stopped] = respond(&home, 6, "ls", "a");
    assert!(is_denied(&denied));
    assert_eq!(stopped.json()["continue"], false);
    let blocked = prompt(&home, notification);
    assert_eq!(blocked.json()["decision"], "block");
    assert_eq!(home.status(S)["circuit"]["state"], "open");

    let context =
        prompt(&home, "go on, but otherwise").json()["hookSpecificOutput"]["additionalContext"].to_string();
    assert!(
        context.contains("Circuit breaker: closed (5/1000 iterations, was open: same_call)"),
        "{context}"
    );
    let circuit = home.status(S)["circuit"].clone();
    assert_eq!((&circuit["state"], &circuit["iterations"]), (&json!("closed"), &json!(0)));
    assert!(respond(&home, 7, "ls", "a").iter().all(Ran::is_silent));
    let context = prompt(&home, "and more").json()["hookSpecificOutput"]["additionalContext"].to_string();
    assert!(context.contains("Circuit breaker: closed (1/1000 iterations)"), "{context}");
}

/// A line of a response with one call.
fn calling(tool: &str, input: Value) -> Value {
    let mut line = message(90, 1, 1);
    line["message"]["content"] =
        json!([{"type": "tool_use", "id": "toolu_90", "name": tool, "input": input}]);
    line
}

#[test]
fn what_an_agent_schedules_is_no_persons_prompt() {
    let text = "look at the queue again";
    // Known from the transcript (a subagent's, too, and after the cache is lost), or from the event alone.
    let ways = [("transcript", false), ("transcript", true), ("event", false)];
    for (n, (tool, input)) in [
        ("CronCreate", json!({"cron": "*/5 * * * *", "prompt": format!("  {text}\n"), "recurring": true})),
        ("ScheduleWakeup", json!({"delaySeconds": 270, "reason": "it waits", "prompt": text})),
        ("SendMessage", json!({"to": "main", "message": text})),
        ("mcp__planner__create_scheduled_task", json!({"prompt": text})),
    ]
    .into_iter()
    .enumerate()
    {
        // The first in every way, each of the others in one.
        for (known_by, agent) in if n == 0 { &ways[..] } else { &ways[n - 1..n] }.iter().copied() {
            let home = Home::new();
            // The person may have begun with the same words: nothing was scheduled yet.
            trip(&home);
            prompt(&home, text);
            assert_eq!(home.status(S)["circuit"]["state"], "closed");
            if known_by == "event" {
                home.hook(
                    "PreToolUse",
                    S,
                    json!({"tool_name": tool, "tool_input": input, "tool_use_id": "toolu_90"}),
                );
            } else {
                let file = if agent { home.agent_transcript(S, "a1") } else { home.transcript(S) };
                home.append(&home.transcript(S), &[message(89, 1, 1)]);
                home.append(&file, &[calling(tool, input.clone())]);
            }
            trip(&home);
            if agent {
                std::fs::remove_file(home.path("cache/guardrails-s.json")).unwrap();
            }
            let told = prompt(&home, &format!("{text} ")).json();
            let told = told["systemMessage"].as_str().unwrap_or_default();
            // Without the cache, the hook does not know that the breaker is open.
            assert_eq!(
                told.contains("the agent scheduled this prompt"),
                !agent,
                "{tool} by {known_by}: {told}"
            );
            let circuit = home.status(S)["circuit"].clone();
            assert_eq!(
                (&circuit["state"], &circuit["iterations"]),
                (&json!("open"), &json!(5)),
                "{tool} by {known_by}"
            );
            prompt(&home, "look at the queue again, please");
            assert_eq!(home.status(S)["circuit"]["state"], "closed", "a person's own words");
        }
    }
}

#[test]
fn words_given_to_other_tools_are_still_a_persons() {
    let text = "review src/main.rs";
    for (tool, input) in [
        ("Agent", json!({"description": "review", "prompt": text, "subagent_type": "reviewer"})),
        ("WebFetch", json!({"url": "http://127.0.0.1/", "prompt": text})),
        ("Bash", json!({"command": text})),
        ("CronCreate", json!({"cron": "* * * * *", "prompt": format!("{text} and src/lib.rs")})),
    ] {
        let home = Home::new();
        home.append(&home.transcript(S), &[calling(tool, input)]);
        trip(&home);
        prompt(&home, text);
        assert_eq!(home.status(S)["circuit"]["state"], "closed", "{tool}");
    }
}

#[test]
fn the_clients_own_prompts_close_nothing() {
    for text in [
        "<teammate-message teammate_id=\"lead\" color=\"blue\">\ngo on\n</teammate-message>",
        "<task-notification>\n<task-id>a1</task-id>\n</task-notification>",
        "# Autonomous loop check\n\nYou're being invoked on a timer.",
        "# /loop tick — loop.md tasks\n\n- one",
    ] {
        let home = Home::new();
        trip(&home);
        prompt(&home, text);
        assert_eq!(home.status(S)["circuit"]["state"], "open", "{text}");
        prompt(&home, &format!("what does this mean?\n{text}"));
        assert_eq!(home.status(S)["circuit"]["state"], "closed", "{text}");
    }
}

#[test]
fn acknowledged_it_tries_one_call() {
    let home = Home::new();
    trip(&home);
    let refused = home.fusebox(&["circuit", "ack", "--session", S, "--reason", " "]);
    assert_eq!((refused.code, refused.stderr.contains("a reason is required")), (2, true));
    let done = home.fusebox(&["circuit", "ack", "--session", S, "--reason", "fixed"]);
    assert!(done.code == 0 && done.stdout.contains("half-open"), "{done:?}");
    assert_eq!(home.fusebox(&["circuit", "ack", "--session", S, "--reason", "again"]).code, 2);
    assert_eq!(home.status(S)["circuit"]["state"], "half_open");
    let ask = |id: &str| {
        let call = json!({"tool_name": "Bash", "tool_input": {"command": "ls"}, "tool_use_id": id});
        home.hook("PreToolUse", S, call)
    };
    assert!(ask("toolu_10").is_silent());
    let other = ask("toolu_11");
    assert!(is_denied(&other) && other.stdout.contains("half-open"), "{other:?}");
    assert!(ask("toolu_10").is_silent());
    let over = json!({"tool_name": "Bash", "tool_input": {"command": "ls"}, "tool_use_id": "toolu_10",
        "tool_response": {"stdout": "a", "stderr": ""}});
    let closed = home.hook("PostToolUse", S, over);
    assert!(closed.stdout.contains("closed again"), "{closed:?}");
    assert_eq!(home.status(S)["circuit"]["state"], "closed");
    assert!(respond(&home, 12, "ls", "a").iter().all(Ran::is_silent));
}

#[test]
fn a_bad_probe_opens_it_again_and_a_reset_closes_it() {
    let home = Home::new();
    trip(&home);
    assert_eq!(home.fusebox(&["circuit", "ack", "--session", S, "--reason", "x"]).code, 0);
    respond(&home, 6, "make test", "error: no rule");
    assert_eq!(home.status(S)["circuit"]["state"], "open");
    assert!(is_denied(&respond(&home, 7, "ls", "a")[0]));
    let done = home.fusebox(&["circuit", "reset", "--session", S, "--reason", "x", "--json"]);
    assert_eq!(done.json()[0]["state"], "closed");
    assert!(respond(&home, 8, "ls", "a").iter().all(Ran::is_silent));
    let in_agent = Home::new().var("CLAUDECODE", "1");
    for command in ["ack", "reset"] {
        let refused = in_agent.fusebox(&["circuit", command, "--session", S, "--reason", "x"]);
        assert!(
            refused.code == 2 && refused.stderr.contains("in a terminal that no agent started"),
            "{refused:?}"
        );
    }
}

#[test]
fn switched_off_it_does_nothing_and_says_nothing() {
    let home = Home::new().var("FUSEBOX_BREAKER_ENABLED", "false");
    for id in 1..=12 {
        assert!(respond(&home, id, "make test", "no").iter().all(Ran::is_silent));
    }
    assert!(!prompt(&home, "x").stdout.contains("Circuit"));
    assert_eq!(home.status(S)["circuit"], Value::Null);
    assert_eq!(home.fusebox(&["circuit", "list", "--all", "--json"]).json(), json!([]));
}

#[test]
fn a_shadow_only_says_what_it_would_have_done() {
    let home = Home::new().var("FUSEBOX_BREAKER_MODE", "shadow");
    let said: Vec<String> =
        (1..=9).flat_map(|id| respond(&home, id, "make test", "no")).map(|ran| ran.stdout).collect();
    let said: Vec<&String> = said.iter().filter(|text| !text.is_empty()).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("(shadow)") && said[0].contains("would have tripped"));
    assert_eq!(home.status(S)["circuit"]["state"], "closed");
}

#[test]
fn each_agent_has_a_breaker_of_its_own() {
    let home = Home::new();
    let agent = json!({"agent_id": "a1", "agent_type": "Explore"});
    for id in 1..=5 {
        respond_as(&home, id, "make test", "no", agent.clone());
    }
    let status = home.status(S);
    assert_eq!(status["agents"]["a1"]["circuit"]["state"], "open");
    assert_eq!(
        (&status["circuit"]["state"], &status["circuit"]["iterations"]),
        (&json!("closed"), &json!(0))
    );
    assert!(is_denied(&respond_as(&home, 6, "ls", "a", agent.clone())[0]));
    assert!(respond(&home, 7, "ls", "a").iter().all(Ran::is_silent));
    assert_eq!(home.fusebox(&["circuit", "reset", "--session", S, "--agent", "a1", "--reason", "x"]).code, 0);
    assert!(respond_as(&home, 8, "ls", "b", agent).iter().all(Ran::is_silent));
}

#[test]
fn six_hooks_at_once_give_one_history() {
    let home = Home::new();
    assert!(respond(&home, 100, "pwd", "/p").iter().all(Ran::is_silent));
    let call = |id: u32| {
        json!({"tool_name": "Bash", "tool_input": {"command": format!("echo {id}")}, "tool_use_id": format!("toolu_{id}"),
            "tool_response": {"stdout": id.to_string(), "stderr": ""}})
    };
    std::thread::scope(|scope| {
        for id in [3, 1, 6, 2, 5, 4, 1, 6] {
            let (home, call) = (&home, call(id));
            scope.spawn(move || assert!(home.hook("PostToolUse", S, call).is_silent()));
        }
    });
    let calls: Vec<Value> = (1..=6).map(call).collect();
    assert!(home.hook("PostToolBatch", S, json!({"tool_calls": calls})).is_silent());
    assert_eq!(home.status(S)["circuit"]["iterations"], 7);
}

#[test]
fn calls_that_only_the_batch_sees_count() {
    let home = Home::new();
    let mut last = None;
    for id in 1..=4 {
        let call = json!({"tool_name": "NoSuchTool", "tool_input": {"x": 1}, "tool_use_id": format!("toolu_{id}"),
            "tool_response": "<tool_use_error>Error: No such tool available: NoSuchTool</tool_use_error>"});
        last = Some(home.hook("PostToolBatch", S, json!({"tool_calls": [call]})));
    }
    assert!(last.unwrap().stdout.contains("circuit breaker is open"));
    assert_eq!(home.status(S)["circuit"]["rule"], "same_failure");
}

#[test]
fn it_stays_open_though_the_cache_is_lost() {
    let home = Home::new();
    trip(&home);
    std::fs::remove_dir_all(home.path("cache")).unwrap();
    assert!(is_denied(&respond(&home, 6, "ls", "a")[0]));
}

#[test]
fn the_iterations_are_told_and_limited() {
    let home =
        Home::new().var("FUSEBOX_BREAKER_MAX_ITERATIONS", "6").var("FUSEBOX_BREAKER_TELL_ITERATIONS", "4");
    let said: Vec<[Ran; 3]> =
        (1..=7).map(|id| respond(&home, id, &format!("echo {id}"), &format!("{id}"))).collect();
    assert!(said[..3].iter().flatten().all(Ran::is_silent));
    assert!(said[3][2].stdout.contains("4 calls since the last prompt"), "{:?}", said[3]);
    assert!(said[5][2].stdout.contains("circuit breaker is open"), "{:?}", said[5]);
    assert!(is_denied(&said[6][0]));
}

#[test]
fn what_is_no_call_is_no_loop() {
    let home = Home::new();
    let shapeless =
        [json!({"tool_name": ""}), json!({"tool_name": "Bash"}), json!({"tool_input": {"command": "ls"}})];
    for (kind, shapeless) in shapeless.iter().enumerate() {
        for id in 0..12 {
            let mut over = shapeless.clone();
            over["tool_use_id"] = json!(format!("toolu_{kind}_{id}"));
            over["tool_response"] = json!({"stdout": "no"});
            assert!(home.hook("PostToolUse", S, over.clone()).is_silent());
            assert!(home.hook("PostToolBatch", S, json!({"tool_calls": [over]})).is_silent());
        }
    }
    for shapeless in [json!({"prompt": {}}), json!({"tool": "Read"}), json!({"arguments": {"command": "ls"}})]
    {
        for _ in 0..12 {
            let mut payload = shapeless.clone();
            payload["sessionId"] = json!(S);
            assert!(home.run("post-tool-use", payload.to_string().as_bytes()).is_silent(), "{payload}");
        }
    }
    assert_eq!(home.status(S)["circuit"]["iterations"], 0);
}

#[test]
fn a_person_who_asks_for_repetitions_gets_them() {
    let home = Home::new();
    prompt(&home, "run the tests 20 times and tell me how often they fail");
    for id in 1..=20 {
        assert!(respond(&home, id, "make test", "ok").iter().all(Ran::is_silent), "{id}");
    }
    for id in 21..=25 {
        respond(&home, id, "make test", "ok");
    }
    assert_eq!(home.status(S)["circuit"]["state"], "open");
}

#[test]
fn the_seeds_payloads_trip_it_too() {
    let home = Home::new();
    let call = |id: u32| {
        let payload = json!({"tool": "Bash", "arguments": {"command": "make"}, "sessionId": S, "tool_use_id": format!("c{id}"),
            "response": {"output": "no"}});
        payload.to_string()
    };
    for id in 1..=5 {
        home.run("post-tool-use", call(id).as_bytes());
    }
    let denied = home.run("pre-tool-use", call(6).as_bytes());
    assert_eq!((denied.code, denied.stdout.as_str()), (2, ""));
    assert!(denied.stderr.contains("circuit breaker is open"), "{denied:?}");
}

#[test]
fn a_call_is_explained() {
    let home = Home::new();
    trip(&home);
    assert!(is_denied(&respond(&home, 6, "ls", "a")[0]));
    let why = home.fusebox(&["explain", "toolu_6", "--json"]).json();
    assert_eq!((&why["decision"], &why["reason"]["by"]), (&json!("stopped"), &json!("circuit")));
    assert_eq!((&why["reason"]["rule"], &why["reason"]["count"]), (&json!("same_call"), &json!(5)));
    let text = home.fusebox(&["explain", "toolu_6"]);
    assert!(text.code == 0 && text.stdout.contains("same call"), "{text:?}");
    let unknown = home.fusebox(&["explain", "toolu_none"]);
    assert!(unknown.code == 2 && unknown.stderr.contains("no known session"), "{unknown:?}");
}

#[test]
fn it_stays_open_in_a_store_of_the_version_before() {
    let home = Home::new();
    trip(&home);
    let before = home.status(S)["circuit"].clone();
    assert_eq!(before["state"], "open");
    let db = rusqlite::Connection::open(home.path("state/state.db")).unwrap();
    // The format of version 3: no ids, calls in order.
    db.execute_batch(
        "CREATE TABLE old (session, name, standing, calls, PRIMARY KEY (session, name)) WITHOUT ROWID;
         INSERT INTO old SELECT session, name, standing, CAST(substr(calls, 2) AS BLOB) FROM standings;
         DROP TABLE standings; ALTER TABLE old RENAME TO standings;
         DROP TABLE reservations; ALTER TABLE sessions DROP COLUMN chain; ALTER TABLE sessions DROP COLUMN team;
         ALTER TABLE messages DROP COLUMN nano_usd; ALTER TABLE messages DROP COLUMN nano_usd_estimated;
         ALTER TABLE messages DROP COLUMN rates; ALTER TABLE client_totals DROP COLUMN nano_usd;
         PRAGMA user_version=3;",
    )
    .unwrap();
    drop(db);
    assert_eq!(home.status(S)["circuit"], before);
    let [denied, ..] = respond(&home, 99, "another", "x");
    assert!(is_denied(&denied), "{denied:?}");
    let db = rusqlite::Connection::open(home.path("state/state.db")).unwrap();
    let (version, calls): (u32, Vec<u8>) = db
        .query_row(
            "SELECT user_version, calls FROM pragma_user_version, standings WHERE name = 'circuit '",
            (),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert_eq!((version, calls.len() % 24, calls.len() > 24), (9, 1, true));
    assert_eq!(home.journal(), "");
}
