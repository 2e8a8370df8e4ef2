//! Nothing is lost or counted twice: hooks killed at every system call, sixteen at once, deleted caches and stores.

use serde_json::json;

use crate::harness::{Home, message};
use crate::killed::{self, At, Killed};

/// Kills a hook at its `n`-th stop at a system call. Returns whether it was killed, and its output.
fn run_killed_at(home: &Home, program: &str, input: &[u8], n: usize) -> (bool, String) {
    let at = At { stops: n, instructions: 0 };
    let Killed { killed, stdout, .. } = killed::run_killed_at(home.command(program), input, at);
    (killed, stdout)
}

/// Calls `kill_at(n)` for n = 0, 1, 2 … until the hook ends before it is killed. Returns how often it was killed.
fn at_every_step(mut kill_at: impl FnMut(usize) -> bool) -> usize {
    (0..5_000).find(|n| !kill_at(*n)).expect("the hook never comes to its end")
}

#[test]
fn a_first_hook_killed_at_every_step_loses_nothing() {
    let steps = at_every_step(|n| {
        let home = Home::new();
        home.append(&home.transcript("s"), &[message(1, 100, 10), message(2, 200, 20)]);
        let payload = home.payload("PostToolUse", "s", json!({"tool_use_id": "toolu_2"})).to_string();
        let (killed, _) = run_killed_at(&home, "post-tool-use", payload.as_bytes(), n);
        let after = home.hook("PostToolUse", "s", json!({"tool_use_id": "toolu_2"}));
        assert!(after.is_silent(), "killed at {n}: {after:?}");
        let status = home.status("s");
        assert_eq!(status["tokens"]["input"], 300, "killed at {n}");
        assert_eq!(status["tokens"]["output"], 30, "killed at {n}");
        assert_eq!(status["requests"], 2, "killed at {n}");
        assert_eq!(home.totals(), [300, 30, 2], "killed at {n}");
        assert_eq!(home.journal(), "", "killed at {n}");
        killed
    });
    assert!(steps > 50, "only {steps} steps: was the hook traced at all?");
}

#[test]
fn later_hooks_killed_at_every_step_lose_and_repeat_nothing() {
    // 100 tokens per message; three thresholds of four are crossed after the kills.
    let home = Home::new()
        .var("FUSEBOX_BUDGET_SESSION_LIMIT", "100000")
        .var("FUSEBOX_BUDGET_SESSION_ON_LIMIT", "warn");
    let mut messages = 0;
    let mut said = String::new();
    home.append(&home.transcript("s"), &[message(0, 60, 40)]);
    home.hook("PostToolUse", "s", json!({}));
    let steps = at_every_step(|n| {
        messages = n + 1;
        home.append(&home.transcript("s"), &[message(messages, 60, 40)]);
        let payload = home.payload("PostToolUse", "s", json!({})).to_string();
        let (killed, output) = run_killed_at(&home, "post-tool-use", payload.as_bytes(), n);
        said += &output;
        // A hook that is not killed follows each time: only those that get that far empty the write-ahead log, and a
        // longer log means more steps.
        said += &home.hook("PostToolUse", "s", json!({})).stdout;
        killed
    });
    assert!(steps > 40, "only {steps} steps");
    assert!(steps < 799, "{steps} steps: the limit is passed too early");
    for last in [800, 900, 1000] {
        let lines: Vec<_> = (messages + 1..=last).map(|n| message(n, 60, 40)).collect();
        messages = last;
        home.append(&home.transcript("s"), &lines);
        said += &home.hook("PostToolUse", "s", json!({})).stdout;
    }
    let status = home.status("s");
    assert_eq!(status["tokens"]["input"], 60 * (messages as u64 + 1));
    assert_eq!(status["tokens"]["output"], 40 * (messages as u64 + 1));
    assert_eq!(status["requests"], messages + 1);
    assert_eq!(status["budgets"][0]["used"], 100 * (messages + 1));
    let messages = messages as i64 + 1;
    assert_eq!(home.totals(), [60 * messages, 40 * messages, messages]);
    // An alert is shown at least once, whenever hooks are killed; without kills, exactly once (tested elsewhere).
    for share in ["80.", "90.", "100."] {
        assert!(said.contains(&format!("session budget is {share}")), "{said}");
    }
    let shown = home.fusebox(&["budget", "show", "session", "--session", "s", "--json"]).json();
    assert_eq!(shown["alerts"].as_array().unwrap().len(), 4, "each threshold is stored once");
    assert_eq!(home.journal(), "");
}

#[test]
fn pre_tool_use_killed_at_every_step_of_a_denial_still_denies() {
    let steps = at_every_step(|n| {
        let home = Home::new().var("FUSEBOX_BUDGET_SESSION_LIMIT", "100");
        home.append(&home.transcript("s"), &[message(1, 100, 10)]);
        let payload = home.payload("PreToolUse", "s", json!({"tool_use_id": "toolu_1"})).to_string();
        let (killed, _) = run_killed_at(&home, "pre-tool-use", payload.as_bytes(), n);
        let after = home.hook("PreToolUse", "s", json!({"tool_use_id": "toolu_1"})).json();
        assert_eq!(after["hookSpecificOutput"]["permissionDecision"], "deny", "killed at {n}");
        assert_eq!(after["continue"], serde_json::Value::Null, "a killed hook takes no allowance away");
        killed
    });
    assert!(steps > 50, "only {steps} steps");
}

#[test]
fn sixteen_hooks_at_once_count_each_message_once() {
    let home = Home::new()
        .var("FUSEBOX_BUDGET_SESSION_LIMIT", "16000")
        .var("FUSEBOX_BUDGET_SESSION_ON_LIMIT", "warn");
    let said: String = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..16)
            .map(|worker| {
                let home = &home;
                scope.spawn(move || {
                    let mut said = String::new();
                    for round in 0..10 {
                        // All write to the same transcript, as with parallel subagents.
                        home.append(&home.transcript("s"), &[message(worker * 10 + round, 60, 40)]);
                        let ran =
                            home.hook("PostToolUse", "s", json!({"tool_use_id": format!("toolu_{round}")}));
                        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
                        said += &ran.stdout;
                    }
                    said
                })
            })
            .collect();
        workers.into_iter().map(|w| w.join().unwrap()).collect()
    });
    let status = home.status("s");
    assert_eq!(status["tokens"]["input"], 60 * 160);
    assert_eq!(status["tokens"]["output"], 40 * 160);
    assert_eq!((&status["requests"], &status["tool_calls"]), (&json!(160), &json!(160)));
    assert_eq!(status["budgets"][0]["used"], 16_000);
    assert_eq!(home.totals(), [60 * 160, 40 * 160, 160]);
    let shown = home.fusebox(&["budget", "show", "session", "--session", "s", "--json"]).json();
    assert_eq!(shown["alerts"].as_array().unwrap().len(), 4);
    // Each is shown once; if one step passes two thresholds, only one is.
    let lines = said.matches("\"systemMessage\"").count();
    assert!((1..=4).contains(&lines), "{said}");
    assert_eq!(home.journal(), "");
}

#[test]
fn a_lost_cache_and_a_lost_store_are_read_again() {
    let home = Home::new();
    home.append(&home.transcript("s"), &[message(1, 100, 10)]);
    assert!(home.hook("PostToolUse", "s", json!({})).is_silent());
    std::fs::remove_dir_all(home.path("cache")).unwrap();
    home.append(&home.transcript("s"), &[message(2, 100, 10)]);
    assert!(home.hook("PostToolUse", "s", json!({})).is_silent());
    assert_eq!(home.status("s")["tokens"]["input"], 200);

    std::fs::remove_dir_all(home.path("state")).unwrap();
    home.append(&home.transcript("s"), &[message(3, 100, 10)]);
    assert!(home.hook("PostToolUse", "s", json!({})).is_silent());
    assert_eq!(home.status("s")["tokens"]["input"], 300);
    assert_eq!(home.totals(), [300, 30, 3], "a new store is filled again");
    assert_eq!(home.journal(), "");
}

#[test]
fn a_cache_whose_time_zone_this_machine_does_not_know_keeps_the_rest() {
    let home = Home::new().var("FUSEBOX_BUDGET_SESSION_LIMIT", "50");
    home.append(&home.transcript("s"), &[message(1, 100, 10)]);
    home.hook("PostToolUse", "s", json!({}));
    home.hook("PostToolBatch", "s", json!({"tool_calls": []}));
    let file = home.path("cache/guardrails-s.json");
    let before = std::fs::read_to_string(&file).unwrap();
    let unknown = before.replace("lifetime@UTC", "day@Nowhere/City");
    assert_ne!(unknown, before);
    std::fs::write(&file, unknown).unwrap();

    home.append(&home.transcript("s"), &[message(2, 100, 10)]);
    let denied = home.hook("PreToolUse", "s", json!({"tool_use_id": "toolu_2"})).json();
    assert_eq!(denied["hookSpecificOutput"]["permissionDecision"], "deny", "{denied}");
    let cache = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let (before, after) = (cache(&before), cache(&std::fs::read_to_string(&file).unwrap()));
    let position =
        |cache: &serde_json::Value| cache["positions"].as_object().unwrap().values().next().unwrap().clone();
    assert_eq!(position(&after)["starts"], position(&before)["starts"], "read on, not anew: {after}");
    assert_eq!(
        after["ladder"][""]["left"], before["ladder"][""]["left"],
        "the wrap-up is not given twice: {after}"
    );
    assert_eq!(home.status("s")["requests"], 2);
}

#[test]
fn a_corrupt_store_is_set_aside_and_rebuilt_from_the_transcripts() {
    let home = Home::new();
    home.configure("[[budget]]\nname = \"daily\"\nscope = \"user\"\nwindow = \"month\"\nlimit = 1000000\n");
    for session in ["s", "t"] {
        home.append(&home.transcript(session), &[message(1, 100, 10), message(2, 100, 10)]);
    }
    // The same messages in both sessions, which count once for the user; and one more only in `t`.
    home.append(&home.transcript("t"), &[message(3, 1000, 10)]);
    for session in ["s", "t"] {
        assert!(home.hook("PostToolUse", session, json!({})).is_silent());
    }
    for file in ["state.db-wal", "state.db-shm"] {
        let _ = std::fs::remove_file(home.path("state").join(file));
    }
    std::fs::write(home.path("state/state.db"), vec![b'x'; 8192]).unwrap();

    home.append(&home.transcript("s"), &[message(4, 7, 0)]);
    let told = home.hook("PostToolUse", "s", json!({})).json();
    let warning = told["systemMessage"].as_str().unwrap();
    assert!(warning.contains("was corrupt") && warning.contains("state.db.corrupt-"), "{warning}");
    let kept: Vec<_> = std::fs::read_dir(home.path("state"))
        .unwrap()
        .filter_map(|e| e.unwrap().file_name().into_string().ok())
        .filter(|name| name.contains("corrupt"))
        .collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(std::fs::read(home.path("state").join(&kept[0])).unwrap(), vec![b'x'; 8192]);

    let status = home.status("s");
    assert_eq!(status["tokens"]["input"], 207);
    let (_, all) = (0, home.fusebox(&["status", "--all", "--json"]).json());
    let t =
        all.as_array().unwrap().iter().find(|s| s["session"] == "t").expect("the other session is back too");
    assert_eq!(t["tokens"]["input"], 1200);
    assert_eq!(home.totals(), [1207, 30, 4]);
}

#[test]
fn a_state_folder_that_cannot_be_used_counts_locally_and_stays_silent() {
    let home = Home::new().var("FUSEBOX_BUDGET_SESSION_LIMIT", "1000");
    // A folder below a file: nobody can create it, not even root.
    std::fs::write(home.path("state"), b"in the way").unwrap();
    home.append(&home.transcript("s"), &[message(1, 400, 10)]);
    assert!(home.hook("PostToolUse", "s", json!({})).is_silent());
    assert!(home.hook("PreToolUse", "s", json!({"tool_use_id": "toolu_1"})).is_silent());
    home.append(&home.transcript("s"), &[message(2, 700, 10)]);
    let denied = home.hook("PreToolUse", "s", json!({"tool_use_id": "toolu_2"})).json();
    assert_eq!(denied["hookSpecificOutput"]["permissionDecision"], "deny");
    let ran = home.fusebox(&["status"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("state") && ran.stderr.contains("FUSEBOX_STATE_DIR"), "{}", ran.stderr);

    // Once the folder is usable, everything is counted once.
    std::fs::remove_file(home.path("state")).unwrap();
    home.wake_store("s");
    home.hook("PostToolUse", "s", json!({}));
    assert_eq!(home.status("s")["tokens"]["input"], 1100);
}

/// The result of a query for one number.
fn number(home: &Home, sql: &str) -> i64 {
    let store = rusqlite::Connection::open(home.path("state/state.db")).unwrap();
    store.query_row(sql, (), |row| row.get(0)).unwrap()
}

#[test]
fn sessions_that_never_said_they_ended_are_read_to_their_ends_each_in_its_turn() {
    let home = Home::new();
    for n in 0..12 {
        let session = format!("killed-{n}");
        home.append(&home.transcript(&session), &[message(n, 10, 1)]);
        assert!(home.hook("PostToolUse", &session, json!({})).is_silent());
        home.append(&home.transcript(&session), &[message(100 + n, 10, 1)]);
    }
    // Half of them have a client that is not running; the others have none, and were last seen long ago.
    let store = rusqlite::Connection::open(home.path("state/state.db")).unwrap();
    store
        .execute_batch(
            "UPDATE sessions SET client_pid = 4194305, client_started = 1 WHERE id % 2 = 0; \
             UPDATE sessions SET last_seen = 1 WHERE id % 2 = 1",
        )
        .unwrap();
    drop(store);
    let seen = number(&home, "SELECT SUM(last_seen) FROM sessions");
    for _ in 0..4 {
        home.hook("SessionStart", "new", json!({"source": "startup"}));
    }
    assert_eq!(number(&home, "SELECT COUNT(*) FROM messages"), 24);
    let killed = "FROM sessions WHERE session LIKE 'killed-%'";
    assert_eq!(number(&home, &format!("SELECT SUM(complete) {killed}")), 12);
    assert_eq!(number(&home, &format!("SELECT SUM(last_seen) {killed}")), seen, "reading on wakes nobody");
    let live = home.fusebox(&["status", "--json"]).json();
    let live: Vec<_> = live.as_array().unwrap().iter().map(|s| s["session"].clone()).collect();
    assert_eq!(live, ["new"]);

    // A session that continues after all is read again.
    home.append(&home.transcript("killed-1"), &[message(200, 10, 1)]);
    home.hook("PostToolUse", "killed-1", json!({}));
    assert_eq!(number(&home, "SELECT complete FROM sessions WHERE session = 'killed-1'"), 0);
}

#[test]
fn a_store_is_rebuilding_until_everything_is_recorded() {
    let home = Home::new();
    let long = |n: usize| {
        let mut line = message(n, 10, 1);
        line["padding"] = "x".repeat(1_000_000).into();
        line
    };
    let mut messages = 0;
    for file in [home.transcript("long"), home.agent_transcript("long", "a1")] {
        for _ in 0..6 {
            messages += 1;
            home.append(&file, &[long(messages)]);
        }
    }
    std::fs::create_dir_all(home.path("state")).unwrap();
    std::fs::write(home.path("state/state.db"), vec![b'x'; 8192]).unwrap();
    let is_rebuilding = "SELECT EXISTS (SELECT 1 FROM meta WHERE name = 'rebuilding')";
    let filled = (0..50).any(|_| {
        home.hook("SessionStart", "s", json!({"source": "startup"}));
        number(&home, is_rebuilding) == 0
    });
    assert!(filled, "hooks alone come to its end");
    assert_eq!(number(&home, "SELECT COUNT(*) FROM messages"), messages as i64);
}

/// The payload of a finished response, whose only call has the same outcome as the previous ones.
fn again(home: &Home, id: usize) -> String {
    let call = json!({"tool_name": "Bash", "tool_input": {"command": "make"}, "tool_use_id": format!("toolu_{id}"), "tool_response": "no"});
    home.payload("PostToolBatch", "s", json!({"tool_calls": [call]})).to_string()
}

/// Only every so many steps: each takes a dozen processes, and the store's steps are tested one by one above.
const STRIDE: usize = 31;

#[test]
fn a_hook_killed_on_its_way_to_a_trip_counts_the_call_once_and_trips() {
    let steps = at_every_step(|n| {
        let n = n * STRIDE;
        let home = Home::new();
        home.append(&home.transcript("s"), &(1..=5).map(|id| message(id, 1, 1)).collect::<Vec<_>>());
        for id in 1..=4 {
            home.run("post-tool-use", again(&home, id).as_bytes());
        }
        let (killed, before) = run_killed_at(&home, "post-tool-use", again(&home, 5).as_bytes(), n);
        // The client continues: nobody reports the same response again, only the next one.
        let after = home.run("post-tool-use", again(&home, 5).as_bytes()).stdout;
        let circuit = home.status("s")["circuit"].clone();
        assert_eq!((&circuit["state"], &circuit["iterations"]), (&json!("open"), &json!(5)), "killed at {n}");
        let call = json!({"tool_name": "Bash", "tool_input": {"command": "ls"}, "tool_use_id": "toolu_6"});
        let denied = home.hook("PreToolUse", "s", call).stdout;
        assert!(denied.contains("circuit breaker is open"), "killed at {n}: {denied}");
        let told = format!("{before}{after}{denied}");
        assert!(told.contains("circuit breaker is open"), "killed at {n}: {told}");
        let shown = home.fusebox(&["circuit", "show", "--session", "s", "--json"]).json();
        let opened = |event: &&serde_json::Value| event["event"] == "CIRCUIT_OPENED";
        assert_eq!(shown["events"].as_array().unwrap().iter().filter(opened).count(), 1, "killed at {n}");
        assert_eq!(home.journal(), "", "killed at {n}");
        killed
    });
    assert!(steps > 3, "only {steps} steps");
}

#[test]
fn a_hook_killed_on_its_way_to_a_slot_takes_one_at_most() {
    let steps = at_every_step(|n| {
        let n = n * STRIDE;
        let home = Home::new()
            .var("FUSEBOX_THROTTLE_HARD_LIMIT_TOKENS", "1000")
            .var("FUSEBOX_THROTTLE_MAX_CONCURRENCY", "1");
        let call = json!({"tool_name": "Agent", "tool_input": {"prompt": "x"}, "tool_use_id": "toolu_1"});
        let payload = home.payload("PreToolUse", "s", call.clone()).to_string();
        let (killed, _) = run_killed_at(&home, "pre-tool-use", payload.as_bytes(), n);
        // A killed hook blocks nothing: the call runs, is not requested again, and frees its slot.
        assert!(home.hook("PreToolUse", "s", call.clone()).is_silent(), "killed at {n}");
        let throttle = home.status("s")["throttle"].clone();
        assert_eq!((&throttle["live"], &throttle["total"]), (&json!(1), &json!(1)), "killed at {n}");
        home.hook("PostToolUse", "s", call);
        assert_eq!(home.status("s")["throttle"]["live"], 0, "killed at {n}");
        killed
    });
    assert!(steps > 3, "only {steps} steps");
}
