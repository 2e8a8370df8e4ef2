//! Providers that give many calls the same `tool_use` id, a few ids in turn, or none: the circuit breaker sees each
//! call, and counts it once, however many hooks report it.

use serde_json::{Value, json};

use crate::harness::{Home, message};

const S: &str = "s";

/// A session whose responses make calls with ids from a provider.
struct Provider {
    home: Home,
    responses: usize,
    /// How often each hook is registered.
    registered: usize,
    /// Whether lines come only after the hooks of single calls.
    is_late: bool,
}

impl Provider {
    fn new() -> Self {
        let home = Home::new();
        home.append(&home.transcript(S), &[]);
        Self { home, responses: 0, registered: 1, is_late: false }
    }

    /// A response with these calls: id, command and result. Returns whether one of them was denied.
    fn respond(&mut self, calls: &[(&str, &str, &str)]) -> bool {
        self.responses += 1;
        let lines = calls.iter().map(|(id, command, _)| {
            let mut line = message(self.responses, 10, 1);
            line["uuid"] = json!(format!("{} {command}", self.responses));
            line["message"]["content"][0]["id"] = json!(id);
            line["message"]["content"][0]["input"] = json!({"command": command});
            line
        });
        let lines: Vec<Value> = lines.collect();
        let hooks = |event: &str, fields: &Value| -> bool {
            let run = |_| self.home.hook(event, S, fields.clone());
            (0..self.registered).map(run).filter(|ran| ran.stdout.contains("\"deny\"")).count() > 0
        };
        if !self.is_late {
            self.home.append(&self.home.transcript(S), &lines);
        }
        let mut over = Vec::new();
        for (id, command, result) in calls {
            let mut call =
                json!({"tool_name": "Bash", "tool_input": {"command": command}, "tool_use_id": id});
            if hooks("PreToolUse", &call) {
                return true;
            }
            call["tool_response"] = json!({"stdout": result, "stderr": ""});
            hooks("PostToolUse", &call);
            call["tool_response"] = json!(result);
            over.push(call);
        }
        if self.is_late {
            self.home.append(&self.home.transcript(S), &lines);
        }
        hooks("PostToolBatch", &json!({"tool_calls": over}));
        false
    }

    fn circuit(&self) -> Value {
        self.home.status(S)["circuit"].clone()
    }
}

#[test]
fn a_loop_is_seen_whatever_its_ids_are() {
    let ids: [&dyn Fn(usize) -> String; 4] =
        [&|_| "call".into(), &|_| String::new(), &|n| format!("call_{}", n % 2), &|n| format!("{}", n % 7)];
    for (n, id) in ids.into_iter().enumerate() {
        for (registered, is_late) in [(1, false), (2, false), (1, true)] {
            let mut provider = Provider { registered, is_late, ..Provider::new() };
            let denied = (0..9).position(|n| provider.respond(&[(&id(n), "cargo check", "error[E0425]")]));
            assert_eq!(denied, Some(5), "ids {n}, {registered} times, late: {is_late}");
            assert_eq!(provider.circuit()["iterations"], 5);
        }
    }
}

#[test]
fn calls_that_differ_are_counted_once_each_and_no_loop() {
    for (registered, is_late) in [(1, false), (2, false), (1, true)] {
        let mut provider = Provider { registered, is_late, ..Provider::new() };
        for n in 1..=12 {
            let (command, result) = (format!("cat part-{n}"), format!("the content of part {n}"));
            assert!(!provider.respond(&[("0", &command, &result)]));
            assert_eq!(provider.circuit()["iterations"], n, "{registered} times, late: {is_late}");
        }
        assert_eq!(provider.circuit()["state"], "closed");
    }
}

#[test]
fn parallel_calls_with_one_id_are_one_response() {
    let mut provider = Provider::new();
    for n in 1..=4 {
        let result = format!("{n} of many");
        let calls = [("", "ls a", "x"), ("", "ls b", "y"), ("", "git log", &*result), ("", "ls a", "x")];
        assert!(!provider.respond(&calls));
        assert_eq!(provider.circuit()["iterations"], 4 * n);
    }
    assert_eq!(provider.circuit()["state"], "closed");
}

#[test]
fn the_probe_of_a_half_open_breaker_is_known_by_an_id_that_repeats() {
    for (command, result, state) in [("git diff", "fixed", "closed"), ("make", "no rule", "open")] {
        let mut provider = Provider::new();
        assert_eq!((0..9).position(|_| provider.respond(&[("c", "make", "no rule")])), Some(5));
        assert_eq!(provider.home.fusebox(&["circuit", "ack", "--session", S, "--reason", "x"]).code, 0);
        assert_eq!(provider.circuit()["state"], "half_open");
        assert!(!provider.respond(&[("c", command, result)]), "one call may run");
        assert_eq!(provider.circuit()["state"], state);
    }
}

#[test]
fn a_program_of_the_plain_protocol_may_give_empty_ids() {
    let home = Home::new();
    let call = |n: usize, command: &str| {
        let payload = json!({"tool": "Bash", "arguments": {"command": command}, "sessionId": S, "id": "", "n": n,
            "response": {"output": "same", "usage": {"input_tokens": 10, "output_tokens": 1}}});
        (
            home.run("pre-tool-use", payload.to_string().as_bytes()),
            home.run("post-tool-use", payload.to_string().as_bytes()),
        )
    };
    let denied = (0..9).position(|n| call(n, "make").0.code == 2);
    assert_eq!(denied, Some(5));
    assert_eq!(home.status(S)["tokens"]["input"], 60, "each payload is charged");
}

#[test]
fn the_plain_protocol_tells_calls_with_one_id_apart_by_their_input() {
    let home = Home::new();
    for n in 0..8 {
        let payload = json!({"tool": "Bash", "arguments": {"command": format!("step {n}")}, "sessionId": S, "id": "c",
            "response": {"output": "done"}});
        for _ in 0..2 {
            assert!(home.run("post-tool-use", payload.to_string().as_bytes()).is_silent());
        }
    }
    assert_eq!(home.status(S)["circuit"]["iterations"], 8);
}
