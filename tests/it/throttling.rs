//! Throttling from outside: slots for subagents, one at a time when tokens run low, depth and total.

use serde_json::{Value, json};

use crate::harness::{Home, Ran, message};

const S: &str = "s";

fn home(limit: &str) -> Home {
    Home::new().var("FUSEBOX_THROTTLE_HARD_LIMIT_TOKENS", limit).var("FUSEBOX_THROTTLE_MAX_CONCURRENCY", "2")
}

/// A call that requests a subagent, by the agent in `from`.
fn ask(home: &Home, id: &str, from: Value) -> Ran {
    let mut call = json!({"tool_name": "Agent", "tool_use_id": id, "tool_input": {"prompt": id, "subagent_type": "Explore"}});
    call.as_object_mut().unwrap().extend(from.as_object().unwrap().clone());
    home.hook("PreToolUse", S, call)
}

fn is_denied(ran: &Ran) -> bool {
    !ran.stdout.is_empty() && ran.json()["hookSpecificOutput"]["permissionDecision"] == "deny"
}

fn over(home: &Home, event: &str, id: &str, response: Value) -> Ran {
    home.hook(event, S, json!({"tool_name": "Agent", "tool_use_id": id, "tool_input": {"prompt": id}, "tool_response": response}))
}

fn throttle(home: &Home) -> Value {
    home.status(S)["throttle"].clone()
}

#[test]
fn slots_are_taken_and_given_back_whichever_way_it_ends() {
    let home = home("1000000");
    let none = json!({});
    assert!(ask(&home, "t1", none.clone()).is_silent() && ask(&home, "t2", none.clone()).is_silent());
    assert!(ask(&home, "t2", none.clone()).is_silent(), "asked again, it holds its slot");
    let third = ask(&home, "t3", none.clone());
    assert!(is_denied(&third) && third.stdout.contains("(2 of 2)"), "{third:?}");
    assert_eq!(throttle(&home), json!({"live": 2, "max": 2, "throttled": false, "total": 2}));
    // Completed; failed; never run.
    over(&home, "PostToolUse", "t1", json!({"status": "completed", "content": []}));
    assert!(ask(&home, "t3", none.clone()).is_silent());
    over(&home, "PostToolUseFailure", "t2", Value::Null);
    over(&home, "PostToolUseFailure", "t2", Value::Null);
    assert!(ask(&home, "t4", none.clone()).is_silent());
    let batch = json!({"tool_calls": [{"tool_name": "Agent", "tool_use_id": "t3", "tool_response": "x"},
        {"tool_name": "Agent", "tool_use_id": "t4", "tool_response": "x"}]});
    home.hook("PostToolBatch", S, batch);
    assert_eq!(throttle(&home)["live"], 0);
    let why = home.fusebox(&["explain", "t3", "--json"]).json();
    assert_eq!(
        (&why["decision"], &why["reason"]["by"], &why["reason"]["concurrency"]["live"]),
        (&json!("denied"), &json!("throttle"), &json!(2))
    );
}

#[test]
fn a_background_agent_holds_its_slot_until_it_stops() {
    let home = home("1000000");
    assert!(ask(&home, "t1", json!({})).is_silent());
    over(&home, "PostToolUse", "t1", json!({"status": "async_launched", "agentId": "a1"}));
    home.hook(
        "PostToolBatch",
        S,
        json!({"tool_calls": [{"tool_name": "Agent", "tool_use_id": "t1", "tool_response": "x"}]}),
    );
    assert_eq!(throttle(&home)["live"], 1);
    for _ in 0..2 {
        home.hook("SubagentStop", S, json!({"agent_id": "a1", "agent_type": "Explore"}));
        assert_eq!(throttle(&home)["live"], 0);
    }
    // Resumed, it takes a slot again.
    home.hook("PostToolUse", S, json!({"agent_id": "a1", "tool_name": "Read", "tool_use_id": "r1", "tool_input": {}, "tool_response": "x"}));
    assert_eq!(throttle(&home)["live"], 1);
}

#[test]
fn from_ninety_percent_on_one_at_a_time_and_back_below() {
    let home = home("1000");
    home.append(&home.transcript(S), &[message(1, 850, 49)]);
    assert!(home.hook("PostToolUse", S, json!({})).is_silent());
    home.append(&home.transcript(S), &[message(2, 1, 0)]);
    let said = home.hook("PostToolUse", S, json!({}));
    assert!(said.stdout.contains("one at a time") && said.stdout.contains("90.00%"), "{said:?}");
    assert!(home.hook("PostToolUse", S, json!({})).is_silent(), "said once");
    assert!(ask(&home, "t1", json!({})).is_silent());
    let denied = ask(&home, "t2", json!({}));
    assert!(
        is_denied(&denied) && denied.stdout.contains("only one subagent may run at a time"),
        "{denied:?}"
    );
    assert_eq!(throttle(&home), json!({"live": 1, "max": 1, "throttled": true, "total": 1}));

    // With a higher limit, usage is below 90 % again.
    let raised = home.var("FUSEBOX_THROTTLE_HARD_LIMIT_TOKENS", "10000");
    let said = raised.hook("PostToolUse", S, json!({}));
    assert!(
        said.stdout.contains("up to 2 subagents may run at once again") && said.stdout.contains("9.00%"),
        "{said:?}"
    );
    assert!(ask(&raised, "t2", json!({})).is_silent());
}

#[test]
fn the_alert_command_hears_of_it() {
    let home = home("100").var("FUSEBOX_BREAKER_ENABLED", "false");
    let (told, fifo) = (home.path("told"), home.path("fifo"));
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let script = format!("cat > {}; echo > {}", told.display(), fifo.display());
    home.configure(&format!(
        "[alerts]\ncommand = [\"sh\", \"-c\", {script:?}]\n[[budget]]\nname = \"session\"\nenabled = false\n"
    ));
    home.append(&home.transcript(S), &[message(1, 95, 0)]);
    home.hook("PostToolUse", S, json!({}));
    // Waits until the command has written.
    std::fs::read(&fifo).unwrap();
    let event: Value = serde_json::from_str(&std::fs::read_to_string(&told).unwrap()).unwrap();
    assert_eq!(event["event"], "CONCURRENCY_THROTTLED");
    assert_eq!((&event["from"], &event["to"], &event["usage_percent"]), (&json!(2), &json!(1), &json!(95.0)));
}

#[test]
fn depth_and_total_are_bounded() {
    let home = home("1000000").var("FUSEBOX_THROTTLE_MAX_DEPTH", "2").var("FUSEBOX_THROTTLE_MAX_TOTAL", "3");
    let meta = |agent: &str, depth: u32| {
        let file = home.agent_transcript(S, agent).with_extension("meta.json");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, json!({"agentType": "Explore", "spawnDepth": depth}).to_string()).unwrap();
    };
    meta("a1", 1);
    meta("a2", 2);
    assert!(ask(&home, "t1", json!({"agent_id": "a1"})).is_silent());
    let deep = ask(&home, "t2", json!({"agent_id": "a2"}));
    assert!(is_denied(&deep) && deep.stdout.contains("nested at most 2 deep"), "{deep:?}");
    for id in ["t3", "t4"] {
        over(&home, "PostToolUse", "t1", Value::Null);
        assert!(ask(&home, id, json!({})).is_silent());
        over(&home, "PostToolUse", id, Value::Null);
    }
    let many = ask(&home, "t5", json!({}));
    assert!(
        is_denied(&many) && many.stdout.contains("has started as many subagents as it may (3)"),
        "{many:?}"
    );
}

#[test]
fn without_the_limit_nothing_is_throttled_and_asking_for_it_is_an_error() {
    let home = Home::new();
    for n in 0..20 {
        assert!(ask(&home, &format!("t{n}"), json!({})).is_silent());
    }
    assert_eq!(throttle(&home), Value::Null);
    let asking = Home::new().var("FUSEBOX_THROTTLE_MAX_CONCURRENCY", "2");
    let refused = asking.fusebox(&["status"]);
    assert!(refused.code == 2 && refused.stderr.contains("needs throttle.hard_limit_tokens"), "{refused:?}");
}

#[test]
fn twelve_that_ask_at_once_never_exceed_the_cap() {
    let home = home("1000000");
    let denied = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for n in 0..12 {
            let (home, denied) = (&home, &denied);
            scope.spawn(move || {
                if is_denied(&ask(home, &format!("t{n}"), json!({}))) {
                    denied.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(denied.into_inner(), 10);
    assert_eq!(throttle(&home)["live"], 2);
}

#[test]
fn what_a_hook_could_not_tell_is_told_when_the_session_is_resumed() {
    let home = home("1000");
    home.append(&home.transcript(S), &[message(1, 950, 0)]);
    // A hook before a call reports no events.
    assert!(ask(&home, "t1", json!({})).is_silent());
    let told = home.hook("SessionStart", S, json!({"source": "resume"}));
    assert!(told.stdout.contains("one at a time"), "{told:?}");
    assert!(
        !home.hook("SessionStart", S, json!({"source": "resume"})).stdout.contains("one at a time"),
        "once"
    );
}

/// A teammate: `Agent` with a name. Its hooks say its name as its type.
fn spawn(home: &Home, name: &str) -> Ran {
    let (agent, id) = (format!("a{name}-00ff"), format!("call-{name}"));
    let input = json!({"name": name, "prompt": "x", "subagent_type": "Explore"});
    let ran =
        home.hook("PreToolUse", S, json!({"tool_name": "Agent", "tool_use_id": id, "tool_input": input}));
    if is_denied(&ran) {
        return ran;
    }
    let note = json!({"agentType": name, "name": name, "spawnDepth": 0, "spawnedAgentType": "Explore"});
    let file = home.agent_transcript(S, &agent);
    home.append(&file.with_extension("meta.json"), &[note]);
    let told = json!({"status": "teammate_spawned", "agentId": agent, "agent_type": "Explore", "name": name});
    over(home, "PostToolUse", &id, told.clone());
    let call = json!({"tool_name": "Agent", "tool_use_id": id, "tool_response": told.to_string()});
    home.hook("PostToolBatch", S, json!({"tool_calls": [call]}));
    ran
}

/// A tool call of an agent.
fn work(home: &Home, agent: &str, name: &str, event: &str) -> Ran {
    let call = json!({"agent_id": agent, "agent_type": name, "tool_name": "Read", "tool_use_id": agent, "tool_input": {},
        "tool_response": "x"});
    home.hook(event, S, call)
}

#[test]
fn a_teammate_holds_its_slot_while_its_turn_lasts_and_takes_it_again_when_it_is_woken() {
    let home = home("1000000");
    assert!(spawn(&home, "ann").is_silent() && spawn(&home, "ben").is_silent());
    assert_eq!(throttle(&home)["live"], 2);
    assert!(is_denied(&spawn(&home, "cid")));
    // Doubled events, and its own, change nothing.
    over(&home, "PostToolUse", "call-ann", json!({"status": "teammate_spawned", "agentId": "aann-00ff"}));
    for event in ["PreToolUse", "PostToolUse", "PostToolUse"] {
        assert!(work(&home, "aann-00ff", "ann", event).is_silent());
    }
    assert_eq!(throttle(&home), json!({"live": 2, "max": 2, "throttled": false, "total": 2}));
    for _ in 0..2 {
        home.hook("SubagentStop", S, json!({"agent_id": "aann-00ff", "agent_type": "ann"}));
    }
    assert_eq!(throttle(&home)["live"], 1, "it waits for a message");
    assert!(spawn(&home, "cid").is_silent());
    // Woken, it is at work beyond the maximum, and nobody else may start until there is room again.
    work(&home, "aann-00ff", "ann", "PostToolUse");
    assert_eq!(throttle(&home)["live"], 3);
    assert!(is_denied(&spawn(&home, "dot")));
    home.hook("SubagentStop", S, json!({"agent_id": "aben-00ff", "agent_type": "ben"}));
    assert!(is_denied(&spawn(&home, "dot")), "two are at work");
    home.hook("SubagentStop", S, json!({"agent_id": "acid-00ff", "agent_type": "cid"}));
    assert!(spawn(&home, "dot").is_silent());
}

#[test]
fn an_agent_that_no_call_started_takes_a_slot_when_it_is_seen_at_work() {
    let home = home("1000000");
    let folder = home.agent_transcript(S, "x").parent().unwrap().join("workflows/w1");
    for agent in ["0a1", "0a2", "0a3"] {
        home.append(
            &folder.join(format!("agent-{agent}.meta.json")),
            &[json!({"agentType": "workflow-subagent"})],
        );
        home.append(&folder.join(format!("agent-{agent}.jsonl")), &[message(agent.len(), 5, 1)]);
    }
    // A call whose agent is not known yet is not the workflow's.
    assert!(ask(&home, "t1", json!({})).is_silent());
    work(&home, "0a1", "workflow-subagent", "PostToolUse");
    assert_eq!(throttle(&home)["live"], 2);
    assert!(is_denied(&ask(&home, "t2", json!({}))));
    for agent in ["0a1", "0a2", "0a3"] {
        work(&home, agent, "workflow-subagent", "PostToolUse");
        home.hook(
            "PostToolBatch",
            S,
            json!({"agent_id": agent, "agent_type": "workflow-subagent", "tool_calls": []}),
        );
    }
    assert_eq!(throttle(&home)["live"], 4, "they are not stopped");
    assert!(is_denied(&ask(&home, "t2", json!({}))));
    over(&home, "PostToolUse", "t1", json!({"status": "completed"}));
    for agent in ["0a1", "0a2"] {
        home.hook("SubagentStop", S, json!({"agent_id": agent, "agent_type": "workflow-subagent"}));
    }
    assert!(ask(&home, "t2", json!({})).is_silent());
}

#[test]
fn a_teammate_counts_and_is_held_as_the_type_that_it_was_spawned_as() {
    let home = home("1000000");
    home.configure(
        "[[budget]]\nname = \"explorers\"\nscope = \"agent_type\"\nmatch = \"Explore\"\nlimit = 100\non_limit = \"stop\"\n",
    );
    assert!(spawn(&home, "ann").is_silent());
    let file = home.agent_transcript(S, "aann-00ff");
    home.append(&file, &[message(1, 120, 1)]);
    let ran = work(&home, "aann-00ff", "ann", "PostToolUse");
    assert_eq!(ran.json()["continue"], false, "{ran:?}");
    assert!(is_denied(&work(&home, "aann-00ff", "ann", "PreToolUse")));
    let list = home.fusebox(&["budget", "list", "--all", "--json"]).json();
    let of_types: Vec<&Value> =
        list.as_array().unwrap().iter().filter(|b| b["name"] == "explorers").collect();
    assert_eq!(
        (of_types.len(), &of_types[0]["value"], &of_types[0]["used"]),
        (1, &json!("Explore"), &json!(121))
    );
    // The main agent may go on, but start no other of this type.
    assert!(
        home.hook("PreToolUse", S, json!({"tool_name": "Read", "tool_use_id": "m", "tool_input": {}}))
            .is_silent()
    );
    assert!(is_denied(&spawn(&home, "ben")));
}

#[test]
fn a_teammates_own_subagents_are_one_deeper() {
    let home = home("1000000").var("FUSEBOX_THROTTLE_MAX_DEPTH", "1");
    assert!(spawn(&home, "ann").is_silent());
    let deep = ask(&home, "t9", json!({"agent_id": "aann-00ff", "agent_type": "ann"}));
    assert!(is_denied(&deep) && deep.stdout.contains("nested at most 1 deep"), "{deep:?}");
}
