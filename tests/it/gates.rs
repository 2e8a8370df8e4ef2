//! Every event at which a session could spend again is a gate. Responses are counted, not events: it does not matter
//! which of a response's events come, or how often.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use fusebox::app::transcript_reader::{Positions, position_of};
use fusebox::domain::escalation::{Calls, Escalation, Hold, HoldCause, MAIN_AGENT, Restriction};
use fusebox::domain::message::MessageKey;
use fusebox::domain::time::Timestamp;
use fusebox::transcript::cursor::Position;
use serde_json::{Value, json};

use crate::guarded::{guarded, hooks, journal};
use crate::harness::{Home, Ran, message, run};
use crate::random::Random;
use crate::redis::Server;
use crate::rig::{Api, Script, Turn, Usage, Version, client_tests};

fn denies(ran: &Ran) -> bool {
    !ran.stdout.is_empty() && ran.json()["hookSpecificOutput"]["permissionDecision"] == "deny"
}

fn ends(ran: &Ran) -> bool {
    !ran.stdout.is_empty() && ran.json()["continue"] == false
}

fn session(limit: u64, rest: &str) -> String {
    format!("[[budget]]\nname = \"session\"\nlimit = {limit}\n{rest}\n")
}

/// The lines of response `n`, with `calls` calls: one for each.
fn response(n: usize, calls: usize, tokens: u64) -> Vec<Value> {
    let line = |call: usize| {
        let mut line = message(n, tokens, 0);
        line["uuid"] = json!(format!("uuid-{n}-{call}"));
        line["message"]["content"][0]["id"] = json!(format!("toolu_{n}_{call}"));
        line
    };
    (0..calls).map(line).collect()
}

fn call(n: usize, call: usize) -> Value {
    json!({"tool_name": "Bash", "tool_input": {"command": format!("step {n} {call}")},
        "tool_use_id": format!("toolu_{n}_{call}"), "tool_response": {"stdout": format!("did {n} {call}")}})
}

/// The number of the response whose `events` end the turn. Each response has two parallel calls of 400 tokens.
fn ends_at(home: &Home, events: &[&str]) -> usize {
    home.hook("SessionStart", "s", json!({"source": "startup"}));
    home.hook("UserPromptSubmit", "s", json!({"prompt": "go"}));
    for n in 1..20 {
        home.append(&home.transcript("s"), &response(n, 2, 400));
        for event in events {
            let ended = match *event {
                "PostToolBatch" => {
                    ends(&home.hook(event, "s", json!({"tool_calls": [call(n, 0), call(n, 1)]})))
                }
                event => (0..2).any(|c| ends(&home.hook(event, "s", call(n, c)))),
            };
            if ended {
                return n;
            }
        }
    }
    20
}

#[test]
fn any_one_event_meters_and_ends_the_turn_at_last() {
    for (wrap_up, on_limit) in [(1, "pause"), (3, "pause"), (1, "stop")] {
        for events in
            [&["PreToolUse"][..], &["PostToolUse"], &["PostToolBatch"], &["PreToolUse", "PostToolBatch"]]
        {
            let home = Home::new();
            home.configure(&session(1500, &format!("wrap_up = {wrap_up}\non_limit = \"{on_limit}\"")));
            let end = ends_at(&home, events);
            let further = if on_limit == "stop" { 1 } else { wrap_up + 1 };
            // The fourth response crosses the limit.
            assert!((4..=4 + further).contains(&end), "{events:?}, {wrap_up}, {on_limit}: {end}");
        }
    }
}

#[test]
fn before_a_call_the_cache_is_enough_while_other_hooks_record() {
    let home = Home::new();
    let cache = home.path("cache/guardrails-s.json");
    home.hook("SessionStart", "s", json!({"source": "startup"}));
    home.append(&home.transcript("s"), &response(1, 1, 10));
    home.hook("PostToolBatch", "s", json!({"tool_calls": [call(1, 0)]}));
    let before = std::fs::read(&cache).unwrap();
    // The lines of the last response came late, and those of the present one are there.
    home.append(&home.transcript("s"), &[response(2, 3, 10), response(3, 2, 10)].concat());
    assert!(home.hook("PreToolUse", "s", call(3, 1)).is_silent());
    assert!(std::fs::read(&cache).unwrap() == before, "the store was asked");
    home.append(&home.transcript("s"), &response(4, 1, 10));
    assert!(home.hook("PreToolUse", "s", call(4, 0)).is_silent());
    assert!(std::fs::read(&cache).unwrap() != before, "two responses that no hook recorded");
    assert_eq!(home.status("s")["budgets"][0]["used"], 40);
}

#[test]
fn before_a_call_of_a_subagent_the_cache_is_enough_too() {
    let home = Home::new();
    let cache = home.path("cache/guardrails-s.json");
    let caller = |n: usize| {
        let mut fields = call(n, 1);
        fields["agent_id"] = json!("a1");
        fields["agent_type"] = json!("Explore");
        fields
    };
    // Each response has two lines: its thinking and its call.
    let lines = |n: usize| {
        let mut lines = response(n, 2, 10);
        lines[0]["message"]["content"] = json!([{"type": "thinking", "thinking": "hm"}]);
        lines[1]["parentUuid"] = lines[0]["uuid"].clone();
        lines.iter_mut().for_each(|line| line["agentId"] = json!("a1"));
        lines
    };
    home.hook("SessionStart", "s", json!({"source": "startup"}));
    home.append(&home.transcript("s"), &response(9, 1, 10));
    let file = home.agent_transcript("s", "a1");
    home.append(&file, &lines(1));
    home.hook(
        "PostToolBatch",
        "s",
        json!({"agent_id": "a1", "agent_type": "Explore", "tool_calls": [call(1, 1)]}),
    );
    let before = std::fs::read(&cache).unwrap();
    let result = json!({"type": "user", "message": {"content": [{"type": "tool_result", "tool_use_id": "toolu_2_1",
        "content": "x".repeat(100_000)}]}});
    home.append(&file, &[lines(2), vec![result], lines(3)].concat());
    // What the main agent does meanwhile is recorded by its own hooks.
    home.append(&home.transcript("s"), &[response(10, 1, 10), response(11, 1, 10)].concat());
    assert!(home.hook("PreToolUse", "s", caller(3)).is_silent());
    assert!(std::fs::read(&cache).unwrap() == before, "the store was asked");
    home.append(&file, &lines(4));
    assert!(home.hook("PreToolUse", "s", caller(4)).is_silent());
    assert!(std::fs::read(&cache).unwrap() != before, "two responses that no hook recorded");
}

/// What the hooks of a session decide, with each called `times` times at once.
fn decisions(config: &str, times: usize, input: impl Fn(usize) -> Value) -> Vec<(bool, bool)> {
    let home = Home::new();
    home.configure(config);
    let fire = |event: &str, fields: Value| -> (bool, bool) {
        let said: Vec<Ran> = std::thread::scope(|scope| {
            let calls: Vec<_> =
                (0..times).map(|_| scope.spawn(|| home.hook(event, "s", fields.clone()))).collect();
            calls.into_iter().map(|call| call.join().unwrap()).collect()
        });
        (said.iter().any(denies), said.iter().any(ends))
    };
    let mut decided = Vec::new();
    for n in 0..14 {
        let call = |result: &str| {
            let mut call = input(n);
            call["tool_use_id"] = json!(format!("toolu_{n}"));
            call["tool_response"] = json!(result);
            call
        };
        let before = fire("PreToolUse", call(""));
        home.append(&home.transcript("s"), &[message(n, 300, 0)]);
        let result = match before.0 {
            true => "Fusebox: denied",
            false => {
                decided.push(fire("PostToolUse", call("same")));
                "same"
            }
        };
        let after = fire("PostToolBatch", json!({"tool_calls": [call(result)]}));
        decided.extend([before, after]);
        if before.1 || after.1 {
            break;
        }
    }
    decided
}

#[test]
fn hooks_that_are_registered_twice_decide_as_if_once() {
    let step = |n: usize| json!({"tool_name": "Bash", "tool_input": {"command": format!("step {n}")}});
    let same = |_: usize| json!({"tool_name": "Grep", "tool_input": {"pattern": "needle"}});
    let agent = |n: usize| json!({"tool_name": "Agent", "tool_input": {"prompt": format!("part {n}")}});
    let throttle = "[throttle]\nhard_limit_tokens = 100000\nmax_concurrency = 1\n";
    type Input<'a> = &'a dyn Fn(usize) -> Value;
    let cases: [(&str, String, Input); 6] = [
        ("one wrap-up", session(700, "wrap_up = 1"), &step),
        ("two", session(700, "wrap_up = 2"), &step),
        ("four", session(700, "wrap_up = 4"), &step),
        ("stop", session(700, "on_limit = \"stop\""), &step),
        ("a loop", session(1_000_000, "[breaker]\nwrap_up = 2"), &same),
        ("subagents", throttle.to_owned(), &agent),
    ];
    for (name, config, input) in cases {
        let once = decisions(&config, 1, input);
        assert_eq!(decisions(&config, 2, input), once, "{name}");
        assert_eq!(once.last().unwrap().1, name != "subagents", "{name}: {once:?}");
    }
}

#[test]
fn the_end_of_a_turn_is_final_past_a_limit() {
    let home = Home::new();
    home.configure(&session(1000, ""));
    let stop = |fields: Value| home.hook("Stop", "s", fields);
    let in_agent = |kind: &str| json!({"agent_id": "a1", "agent_type": kind, "stop_hook_active": false, "last_assistant_message": ""});
    home.append(&home.transcript("s"), &response(1, 1, 900));
    assert!(!ends(&stop(json!({"last_assistant_message": ""}))), "below the limit");
    home.append(&home.transcript("s"), &response(2, 1, 900));
    for fields in [json!({"last_assistant_message": ""}), json!({"stop_hook_active": true})] {
        let said = stop(fields).json();
        assert_eq!((&said["continue"], &said["decision"]), (&json!(false), &Value::Null), "{said}");
        assert!(said["stopReason"].as_str().unwrap().contains("session budget reached"), "{said}");
    }
    // The work was complete: nothing was cut short.
    assert_eq!(home.fusebox(&["status", "--session", "s", "--check"]).code, 0);
    assert!(ends(&home.hook("SubagentStop", "s", in_agent("Explore"))));
    assert!(!ends(&home.hook("SubagentStop", "s", in_agent(""))), "the client's own agent, for a compaction");
}

#[test]
fn the_end_of_a_turn_is_final_for_a_loop_but_not_for_a_shadow() {
    let looping = |home: &Home| {
        for n in 0..5 {
            let call = json!({"tool_name": "Grep", "tool_input": {"pattern": "x"}, "tool_use_id": format!("t{n}"),
                "tool_response": "none"});
            home.hook("PostToolUse", "s", call);
        }
        home.hook("Stop", "s", json!({"last_assistant_message": ""}))
    };
    assert!(ends(&looping(&Home::new())));
    let shadow = Home::new();
    shadow.configure(&format!("{}[breaker]\nmode = \"shadow\"\n", session(10, "mode = \"shadow\"")));
    shadow.append(&shadow.transcript("s"), &response(1, 1, 900));
    assert!(!ends(&looping(&shadow)));
}

#[test]
fn no_compaction_past_a_limit() {
    let home = Home::new();
    home.configure(&session(1000, "wrap_up = 2"));
    let compact = |trigger: &str| home.hook("PreCompact", "s", json!({"trigger": trigger}));
    home.append(&home.transcript("s"), &response(1, 1, 400));
    assert!(compact("manual").is_silent());
    // Read by this hook.
    home.append(&home.transcript("s"), &response(2, 1, 700));
    for trigger in ["auto", "manual"] {
        let said = compact(trigger).json();
        assert_eq!((&said["decision"], &said["continue"]), (&json!("block"), &Value::Null), "{said}");
        assert!(said["reason"].as_str().unwrap().contains("fusebox budget extend session"), "{said}");
    }
    // That used up no response.
    assert!(!ends(&home.hook("PreToolUse", "s", call(3, 0))));
    let extend = ["budget", "extend", "session", "--session", "s", "--tokens", "500", "--reason", "r"];
    assert_eq!(home.fusebox(&extend).code, 0);
    assert!(compact("manual").is_silent());
}

/// The first prompt of `fork`, in a client with these arguments. Its file does not exist yet.
fn first_prompt(home: &Home, fork: &str, arguments: &[&str]) -> Ran {
    let client = home.path("client");
    std::fs::write(&client, format!("#!/bin/sh\n\"{}\"\nexit 0\n", env!("CARGO_BIN_EXE_prompt-submit")))
        .unwrap();
    std::fs::set_permissions(&client, std::fs::Permissions::from_mode(0o755)).unwrap();
    let payload = home.payload("UserPromptSubmit", fork, json!({"prompt": "go on"}));
    run(home.furnish(Command::new(client)).args(arguments), payload.to_string().as_bytes())
}

fn forks_answer_for_their_origin(home: &Home) {
    home.configure(&format!("prompt_line = \"never\"\n{}", session(1000, "")));
    home.append(&home.transcript("fine"), &response(1, 1, 400));
    home.hook("Stop", "fine", json!({"last_assistant_message": ""}));
    home.append(&home.transcript("origin"), &response(2, 1, 1400));
    home.hook("Stop", "origin", json!({"last_assistant_message": ""}));
    let blocks = |ran: &Ran| !ran.stdout.is_empty() && ran.json()["decision"] == "block";
    let file = home.transcript("origin").display().to_string();
    for (arguments, blocked) in [
        (&["--resume", "origin", "--fork-session"][..], true),
        (&["--fork-session", "-r", "origin"], true),
        (&["--fork-session", "--resume=origin", "-p"], true),
        (&["--resume", &file, "--fork-session"], true),
        (&["-c", "--fork-session"], true),
        (&["--resume", "fine", "--fork-session"], false),
        (&["--resume", "unknown", "--fork-session"], false),
        (&["--resume", "origin"], false),
        (&["--fork-session"], false),
    ] {
        assert_eq!(blocks(&first_prompt(home, "fork", arguments)), blocked, "{arguments:?}");
    }
    // After the blocked prompt, the client writes the copy of the history.
    assert!(blocks(&first_prompt(home, "blocked", &["--resume", "origin", "--fork-session"])));
    home.append(&home.transcript("blocked"), &response(2, 1, 1400));
    assert_eq!(home.fusebox(&["status", "--session", "blocked", "--check"]).code, 3);
    // The fork of an extended session has that session's limit.
    let extend = ["budget", "extend", "session", "--session", "origin", "--tokens", "700", "--reason", "r"];
    assert_eq!(home.fusebox(&extend).code, 0);
    home.hook("SessionStart", "new", json!({"source": "fork"}));
    for _ in 0..2 {
        assert!(!blocks(&first_prompt(home, "new", &["--resume", "origin", "--fork-session"])));
    }
    home.append(&home.transcript("new"), &response(2, 1, 1400));
    assert!(!ends(&home.hook("Stop", "new", json!({"last_assistant_message": ""}))));
    let budget = &home.status("new")["budgets"][0];
    assert_eq!((&budget["used"], &budget["limit"]), (&json!(1400), &json!(1700)), "{budget}");
    assert_eq!(home.journal(), "");
}

/// `/clear` in a client that was started as a fork begins another session, in a process with the same arguments.
#[test]
fn a_cleared_session_is_no_fork() {
    let home = Home::new();
    home.configure(&format!("prompt_line = \"never\"\n{}", session(1000, "")));
    home.append(&home.transcript("origin"), &response(1, 1, 1400));
    home.hook("Stop", "origin", json!({"last_assistant_message": ""}));
    let arguments = ["--resume", "origin", "--fork-session"];
    let is_blocked = |session: &str| !first_prompt(&home, session, &arguments).is_silent();
    // 2.1.197 calls a fork `resume`. A later compaction says nothing about the beginning.
    let begun = [("fork", true), ("resume", true), ("clear", false), ("startup", false), ("compact", true)];
    for (source, blocked) in begun {
        home.hook("SessionStart", source, json!({"source": source}));
        assert_eq!(is_blocked(source), blocked, "{source}");
        home.hook("SessionStart", source, json!({"source": "compact"}));
        assert_eq!(is_blocked(source), blocked, "{source}, compacted");
    }
    assert!(is_blocked("unknown"), "no hook was told");
    // Only what is known to be a fork gets the extension of its origin.
    let extend = ["budget", "extend", "session", "--session", "origin", "--tokens", "700", "--reason", "r"];
    assert_eq!(home.fusebox(&extend).code, 0);
    for (session, limit) in [("fork", 1700), ("resume", 1700), ("clear", 1000), ("unknown", 1000)] {
        assert!(!is_blocked(session), "{session}");
        assert_eq!(home.status(session)["budgets"][0]["limit"], limit, "{session}");
    }
}

fn a_fork_without_a_file_goes_on_once_a_person_says_so(home: &Home) {
    home.configure(&format!("prompt_line = \"never\"\n{}", session(1000, "")));
    let use_up = |n: usize, tokens: u64| {
        home.append(&home.transcript("origin"), &response(n, 1, tokens));
        home.hook("Stop", "origin", json!({"last_assistant_message": ""}));
    };
    let decide = |what: &str, session: &str, more: &[&str]| {
        let done = home
            .fusebox(&[&["budget", what, "session", "--session", session, "--reason", "r"], more].concat());
        assert_eq!(done.code, 0, "{done:?}");
    };
    let is_blocked =
        |session: &str| !first_prompt(home, session, &["--resume", "origin", "--fork-session"]).is_silent();
    use_up(1, 1400);
    for fork in ["extended", "reset", "other"] {
        home.hook("SessionStart", fork, json!({"source": "fork"}));
        assert!(is_blocked(fork));
    }
    decide("extend", "extended", &["--tokens", "100"]);
    decide("reset", "reset", &[]);
    for _ in 0..2 {
        assert!(!is_blocked("extended") && !is_blocked("reset") && is_blocked("other"));
    }
    // The origin's extension, which Fusebox passed on, is no decision about the fork.
    decide("extend", "origin", &["--tokens", "700"]);
    assert!(!is_blocked("other"));
    use_up(2, 700);
    assert!(is_blocked("other") && !is_blocked("extended"));
}

#[test]
fn a_fork_that_never_gets_a_file_can_be_extended() {
    a_fork_without_a_file_goes_on_once_a_person_says_so(&Home::new());
}

#[test]
fn a_fork_that_never_gets_a_file_can_be_extended_in_a_shared_store() {
    let server = Server::start();
    a_fork_without_a_file_goes_on_once_a_person_says_so(
        &Home::new().var("FUSEBOX_STORE_REDIS_URL", &server.url()),
    );
}

#[test]
fn the_first_prompt_of_a_fork_is_held_by_what_holds_its_origin() {
    forks_answer_for_their_origin(&Home::new());
}

#[test]
fn forks_answer_for_their_origin_in_a_shared_store() {
    let server = Server::start();
    forks_answer_for_their_origin(&Home::new().var("FUSEBOX_STORE_REDIS_URL", &server.url()));
}

/// An agent past its limit, and what the hooks see of it.
struct Runaway {
    escalation: Escalation,
    held: [Hold; 1],
    file: Position,
    now: Timestamp,
}

impl Runaway {
    fn new(wrap_up: u32) -> Self {
        let held = [Hold { cause: HoldCause::Breaker { epoch: 1 }, wrap_up, stops_at_once: false }];
        Self { escalation: Escalation::default(), held, file: Position::default(), now: Timestamp(1) }
    }

    fn write(&mut self, n: usize, calls: &[u32]) {
        for call in calls {
            self.file.note_response(MessageKey::from_parts(&["message", &n.to_string()]));
            self.file.note_tools([u64::from(*call)]);
        }
    }

    fn event(&mut self, kind: u64, calls: &[u32]) -> Option<Restriction> {
        let calls = Calls { at: self.now, ..self.file.calls(calls) };
        match kind {
            0 => self.escalation.on_call(MAIN_AGENT, &self.held, &calls),
            1 => self.escalation.on_call_end(MAIN_AGENT, &self.held, &calls),
            _ => self.escalation.on_batch(MAIN_AGENT, &self.held, &calls),
        }
    }
}

#[test]
fn responses_are_counted_whatever_events_come_and_however_often() {
    for seed in 0..3000 {
        let mut random = Random::new(seed);
        let wrap_up = random.below(4) as u32;
        let (mut once, mut doubled) = (Runaway::new(wrap_up), Runaway::new(wrap_up));
        let mut next_call = 0;
        // Response 0 crosses the limit; its hooks may not see that.
        let mut n = usize::from(random.chance(50));
        let first = n;
        loop {
            let calls: Vec<u32> = (0..=random.below(3)).map(|i| 1000 * next_call + i as u32).collect();
            next_call += 1;
            // Its line is there in time, or not.
            let late = random.chance(50);
            if !late {
                once.write(n, &calls);
                doubled.write(n, &calls);
            }
            // At least one of its events comes, in the order of the client.
            let mut events: Vec<(u64, Vec<u32>)> = calls.iter().map(|call| (0, vec![*call])).collect();
            events.extend(calls.iter().map(|call| (1, vec![*call])));
            events.push((2, calls.clone()));
            let sure = random.below(events.len());
            let mut place = 0;
            events.retain(|_| {
                place += 1;
                place - 1 == sure || random.chance(40)
            });
            let mut stopped = false;
            for (kind, calls) in &events {
                let said = once.event(*kind, calls);
                for _ in 0..2 {
                    assert_eq!(doubled.event(*kind, calls), said, "seed {seed}");
                }
                stopped |= said == Some(Restriction::Stop);
            }
            if late {
                once.write(n, &calls);
                doubled.write(n, &calls);
            }
            if stopped {
                break;
            }
            n += 1;
            assert!(n <= wrap_up as usize + 1, "seed {seed}: response {n} of at most {wrap_up} + 1");
        }
        // Nobody is stopped before the wrap-up that it was promised.
        assert!(n >= first + (wrap_up as usize).saturating_sub(1), "seed {seed}: stopped at {n}");
    }
}

#[test]
fn a_constant_id_does_not_hide_responses() {
    let mut agent = Runaway::new(1);
    let mut responses = 0;
    for n in 0..10 {
        responses += 1;
        agent.write(n, &[7]);
        agent.event(0, &[7]);
        if agent.event(2, &[7]) == Some(Restriction::Stop) {
            break;
        }
    }
    assert_eq!(responses, 2, "the crossing one, and one to wrap up");
}

#[test]
fn repeated_ids_without_a_transcript_do_not_hide_responses() {
    for seed in 0..1000 {
        let mut random = Random::new(seed);
        let (wrap_up, ids) = (random.below(4) as u32, 1 + random.below(3) as u32);
        let gates = [&[0][..], &[2], &[0, 2], &[0, 1, 2]][random.below(4)];
        let mut agent = Runaway::new(wrap_up);
        let mut responses = 0;
        let mut stopped = false;
        while !stopped {
            responses += 1;
            assert!(responses <= wrap_up + 1, "seed {seed}: {gates:?}, {ids} ids, wrap_up {wrap_up}");
            // Each has the same calls. If both gates see them, it does not matter how fast the responses come.
            let quick = gates.len() > 1 && random.chance(50);
            agent.now = agent.now.plus_millis(if quick { 300 } else { 2_500 });
            for gate in gates {
                let calls: Vec<Vec<u32>> = match gate {
                    2 => vec![(0..ids).collect()],
                    _ => (0..ids).map(|id| vec![id]).collect(),
                };
                for calls in calls {
                    let said = agent.event(*gate, &calls);
                    assert_eq!(agent.event(*gate, &calls), said, "seed {seed}: a duplicate");
                    stopped |= said == Some(Restriction::Stop);
                }
            }
        }
        assert!(responses >= wrap_up, "seed {seed}: {gates:?}: stopped at {responses}");
    }
}

#[test]
fn an_agent_without_lines_whose_calls_have_one_id_is_stopped() {
    for gates in [&["PostToolBatch"][..], &["PreToolUse"], &["PreToolUse", "PostToolBatch"]] {
        let home = Home::new();
        let clock = home.path("clock");
        let home = home.var("FUSEBOX_TEST_CLOCK", &clock.display().to_string());
        home.configure(&session(1000, "wrap_up = 2"));
        home.append(&home.transcript("s"), &response(0, 1, 1400));
        home.hook("SessionStart", "s", json!({"source": "startup"}));
        let mut responses = 0;
        let mut stopped = false;
        while !stopped {
            responses += 1;
            assert!(responses <= 3, "{gates:?}");
            std::fs::write(&clock, (responses * 5_000).to_string()).unwrap();
            for gate in gates {
                let same = call(7, 7);
                let fields = if *gate == "PreToolUse" { same } else { json!({"tool_calls": [same]}) };
                stopped |= ends(&home.hook(gate, "s", fields));
            }
        }
        assert_eq!(responses, 3, "{gates:?}");
    }
}

#[test]
fn lines_that_come_late_do_not_count_a_repeated_id_twice() {
    for late in [1, 2, 3] {
        let mut agent = Runaway::new(4);
        let mut responses = 0;
        loop {
            responses += 1;
            agent.now = agent.now.plus_millis(5_000);
            let mut stopped = agent.event(0, &[7]) == Some(Restriction::Stop);
            agent.write(responses, &[7]);
            stopped |= responses % late == 0 && agent.event(2, &[7]) == Some(Restriction::Stop);
            if stopped {
                break;
            }
            assert!(responses < 9);
        }
        assert!((5..=6).contains(&responses), "batches of every {late}. response: {responses}");
    }
}

#[test]
fn a_response_of_many_calls_takes_little_room() {
    let mut agent = Runaway::new(1000);
    for n in 0..20 {
        let calls: Vec<u32> = (n * 10_000..(n + 1) * 10_000).collect();
        agent.now = agent.now.plus_millis(5_000);
        assert_eq!(agent.event(1, &calls), None);
        assert_eq!(agent.event(2, &calls), None);
        let stored = serde_json::to_string(&agent.escalation).unwrap();
        assert!(stored.len() < 2_000, "{}", stored.len());
    }
}

/// A main file that the session has left, which is first in the order of paths.
#[test]
fn the_file_with_the_last_response_tells_how_far_an_agent_is() {
    let at = |at: i64, said: u32| {
        let mut position = Position { last_message_at: Some(Timestamp(at)), ..Position::default() };
        position.said.times = said;
        Box::new(position)
    };
    let agents = Box::new(Position { agent: Some("a".into()), ..*at(900, 3) });
    let positions: Positions =
        [("a/old.jsonl", at(100, 1)), ("b/new.jsonl", at(200, 2)), ("c/agent.jsonl", agents)]
            .map(|(path, position)| (path.into(), position))
            .into();
    assert_eq!(position_of(&positions, None).map(|position| position.said.times), Some(2));
    assert_eq!(position_of(&positions, Some(&"a".into())).map(|position| position.said.times), Some(3));
}

const LIMIT: u64 = 100_000;

/// What each response uses: the fourth crosses the limit.
fn large() -> Usage {
    Usage::new(28_000, 1_000)
}

fn stop_hooks_of_others_do_not_keep_it_going(version: Version) {
    for (on_limit, most) in [("stop", 5), ("pause", 6)] {
        let api =
            Api::start(Script::new().main(Turn::text("still at it @N@").usage(large())).loop_last_main());
        let mut settings = hooks(version);
        let other =
            json!({"type": "command", "command": "echo '{\"decision\":\"block\",\"reason\":\"go on\"}'"});
        settings["hooks"]["Stop"].as_array_mut().unwrap().push(json!({"hooks": [other]}));
        let client = guarded(version, &api, LIMIT)
            .settings(&settings)
            .env("CLAUDE_CODE_STOP_HOOK_BLOCK_CAP", "60")
            .env("FUSEBOX_BUDGET_SESSION_ON_LIMIT", on_limit);
        client.prompt("go on").args(["--max-turns", "15"]).run().ok();
        assert!((4..=most).contains(&api.count("main")), "{on_limit}: {}", api.count("main"));
        assert_eq!(journal(&client), "");
    }
}

fn a_stopped_session_is_neither_compacted_nor_forked(version: Version) {
    let api = Api::start(
        Script::new().main(Turn::text("on @N@").and_bash("echo @N@").usage(large())).loop_last_main(),
    );
    let client = guarded(version, &api, LIMIT);
    let run = client.prompt("loop").run().ok();
    let spent = api.count("main");
    assert!((4..=6).contains(&spent), "{spent}");
    let compact = client.prompt("/compact").resume(&run.session).run();
    assert!(compact.text().contains("session budget reached"), "{compact:?}");
    for _ in 0..2 {
        let fork = client.prompt("again").resume(&run.session).args(["--fork-session"]).run();
        assert!(fork.text().contains("session budget reached"), "{fork:?}");
    }
    assert_eq!((api.count("main"), api.count("compact")), (spent, 0));
    assert_eq!(journal(&client), "");
}

client_tests!(live: stop_hooks_of_others_do_not_keep_it_going, a_stopped_session_is_neither_compacted_nor_forked);
