//! While a store is unreachable, the session's hooks count locally: each reads what is new, and everything counts once.

use serde_json::{Value, json};

use super::{home_at, now, respond, used};
use crate::harness::{Home, message};
use crate::redis::{Manner, Options, Proxy, Server};

const BUDGETS: &str = "prompt_line = \"always\"\n[[budget]]\nname = \"session\"\nlimit = 1_000_000\n\
                       [[budget]]\nname = \"models\"\nscope = \"model\"\nlimit = 1_000_000\nwindow = \"month\"\n\
                       thresholds = [0.00001]\n";

/// A server that can go away, and a session with 300 tokens that it knows.
struct Stage {
    server: Server,
    proxy: Proxy,
    home: Home,
}

impl Stage {
    fn new() -> Self {
        let server = Options::default().start();
        let proxy = Proxy::to(&server);
        let home = home_at(&proxy.url());
        home.configure(BUDGETS);
        respond(&home, "s", 1..=3);
        Self { server, proxy, home }
    }

    fn go_away(&self) {
        self.proxy.behave(Manner::CutRequests);
        self.home.hook("PostToolUse", "s", json!({}));
    }

    /// The server returns; then its count must match the session.
    fn come_back(&self, tokens: u64) {
        self.proxy.behave(Manner::Pass);
        self.home.wake_store("s");
        self.home.hook("PostToolUse", "s", json!({}));
        assert_eq!(used(&self.home, "s", "session").0, tokens);
    }

    /// What a prompt shows for the budget with this label.
    fn said(&self, label: &str) -> String {
        let ran = self.home.hook("UserPromptSubmit", "s", json!({"prompt": "go on"}));
        let context = ran.json()["hookSpecificOutput"]["additionalContext"].as_str().unwrap().to_owned();
        let line = context.lines().find_map(|line| line.strip_prefix(label)).map(str::to_owned);
        let share = line.unwrap_or_else(|| panic!("{label} {context}"));
        share.split(" / ").next().unwrap().trim_start_matches(": ").to_owned()
    }

    fn append(&self, lines: &[Value]) {
        self.home.append(&self.home.transcript("s"), lines);
    }

    /// The session's local count for the budget `session`.
    fn counted(&self) -> u64 {
        let cache = self.cache();
        let states = cache["counted"]["states"].as_array().unwrap();
        states.iter().find(|state| state["budget"]["name"] == "session").unwrap()["used"].as_u64().unwrap()
    }

    /// Appends a subagent's message to its own file.
    fn append_of(&self, agent: &str, n: usize) {
        self.home.append(&self.home.agent_transcript("s", agent), &[of_agent(n, agent)]);
    }

    fn cache(&self) -> Value {
        let cache = std::fs::read(self.home.path("cache").join("guardrails-s.json")).unwrap();
        serde_json::from_slice(&cache).unwrap()
    }
}

/// A message dated now, of 100 tokens.
fn of_now(n: usize) -> Value {
    let mut line = message(n, 90, 10);
    line["timestamp"] = now().into();
    line
}

/// A message of a subagent.
fn of_agent(n: usize, agent: &str) -> Value {
    let mut line = of_now(n);
    (line["isSidechain"], line["agentId"]) = (json!(true), json!(agent));
    line
}

#[test]
fn each_hook_reads_what_is_new_however_long_it_takes() {
    let stage = Stage::new();
    stage.go_away();
    let size = || stage.cache().to_string().len();
    respond(&stage.home, "s", 4..=40);
    let acknowledged = stage.cache()["positions"].clone();
    let short = size();
    for n in 41..=120 {
        respond(&stage.home, "s", n..=n);
    }
    assert_eq!(stage.said("Session budget"), "12,000");
    assert_eq!(stage.cache()["positions"], acknowledged, "the store gets all of it");
    // No list of messages, which would have grown by eighty.
    assert!(size() < short + 2_000, "{short} bytes after 40 messages, {} after 120", size());
    stage.come_back(12_000);
    assert_eq!(stage.cache()["counted"], Value::Null);
}

#[test]
fn a_message_that_goes_on_over_several_hooks() {
    let stage = Stage::new();
    stage.go_away();
    for output in [10, 10, 500, 700] {
        let mut line = of_now(4);
        line["message"]["usage"]["output_tokens"] = json!(output);
        stage.append(&[line]);
        stage.home.hook("PostToolUse", "s", json!({}));
    }
    assert_eq!(stage.said("Session budget"), "1,090", "its largest reading, once");
    respond(&stage.home, "s", 5..=9);
    assert_eq!(stage.said("Session budget"), "1,590");
    stage.come_back(1590);
}

#[test]
fn another_model_comes_in_between() {
    let stage = Stage::new();
    stage.go_away();
    respond(&stage.home, "s", 4..=10);
    let mut other = of_now(11);
    other["message"]["model"] = json!("claude-other");
    stage.append(&[other]);
    assert_eq!(stage.said("Budget models (model claude-other)"), "100");
    assert_eq!(stage.said("Session budget"), "1,100", "counted anew, and not twice");
    respond(&stage.home, "s", 12..=14);
    assert_eq!(stage.said("Session budget"), "1,400");
    assert_eq!(stage.said("Budget models (model claude-other)"), "100");
    stage.come_back(1400);
}

#[test]
fn another_configuration_comes_in_between() {
    let stage = Stage::new();
    stage.go_away();
    respond(&stage.home, "s", 4..=10);
    stage.home.configure(&format!("{BUDGETS}[[budget]]\nname = \"more\"\nlimit = 2_000\n"));
    respond(&stage.home, "s", 11..=11);
    assert_eq!(stage.said("Session budget"), "1,100");
    // The store's answer did not say how much was used before.
    assert_eq!(stage.said("Session budget more"), "800");
    stage.come_back(1100);
}

#[test]
fn what_is_configured_in_between_holds() {
    let stage = Stage::new();
    let ask = || stage.home.hook("PreToolUse", "s", json!({"tool_name": "Bash", "tool_input": {}}));
    let limit = |limit: &str| stage.home.configure(&BUDGETS.replace("limit = 1_000_000", limit));
    limit("store_down = \"deny\"\nlimit = 2_000_000");
    stage.home.hook("PostToolUse", "s", json!({}));
    stage.go_away();
    respond(&stage.home, "s", 4..=4);
    assert!(!ask().is_silent(), "as it was configured before");
    limit("store_down = \"allow\"\nlimit = 2_000_000");
    respond(&stage.home, "s", 5..=5);
    assert!(ask().is_silent(), "from the next hook on");
    limit("limit = 500");
    respond(&stage.home, "s", 6..=6);
    assert!(ask().stdout.contains("600 / 500"), "{:?}", ask());
    // In another unit, earlier usage is unknown.
    limit("unit = \"requests\"\nlimit = 1_000_000");
    respond(&stage.home, "s", 7..=7);
    assert_eq!(stage.said("Session budget"), "4");
}

#[test]
fn agents_at_the_same_time_count_together_and_once() {
    let stage = Stage::new();
    stage.go_away();
    let home = &stage.home;
    for round in 0..4 {
        for (at, agent) in ["a1", "a2"].into_iter().enumerate() {
            stage.append_of(agent, 4 + round * 2 + at);
        }
        // Each reads its own file; neither loses the other's counts.
        std::thread::scope(|scope| {
            for agent in ["a1", "a2"].into_iter().cycle().take(8) {
                let call =
                    move || home.hook("PostToolUse", "s", json!({"agent_id": agent, "agent_type": "t"}));
                scope.spawn(call);
            }
        });
        assert_eq!(stage.counted(), 500 + round as u64 * 200);
    }
    stage.append(&[of_now(12)]);
    assert_eq!(stage.said("Session budget"), "1,200");
    stage.come_back(1200);
}

/// Older clients also write a subagent's lines to its parent's file.
#[test]
fn lines_of_subagents_in_two_files_count_once() {
    let stage = Stage::new();
    stage.go_away();
    for round in 0..3 {
        // Interleaved, and each repeated later.
        let lines: Vec<Value> = (1..=5).map(|a| of_agent(10 * a + round, &format!("a{a}"))).collect();
        stage.append(&lines);
        for (agent, line) in (1..).zip(&lines) {
            let own = stage.home.agent_transcript("s", &format!("a{agent}"));
            stage.home.append(&own, std::slice::from_ref(line));
        }
        stage.append(&lines);
        stage.home.hook("UserPromptSubmit", "s", json!({"prompt": "go on"}));
    }
    assert_eq!(stage.said("Session budget"), "1,800");
    stage.come_back(1800);
}

/// The store knows the message's first line, and was unreachable at the next one.
#[test]
fn a_message_that_began_before() {
    let stage = Stage::new();
    stage.go_away();
    stage.append(&[of_now(3)]);
    respond(&stage.home, "s", 4..=4);
    assert_eq!(stage.said("Session budget"), "400");
    stage.come_back(400);
}

#[test]
fn a_file_that_is_written_anew() {
    let stage = Stage::new();
    for n in 20..=28 {
        stage.append_of("a1", n);
    }
    stage.home.hook("PostToolUse", "s", json!({"agent_id": "a1", "agent_type": "t"}));
    stage.go_away();
    respond(&stage.home, "s", 4..=6);
    let file = stage.home.transcript("s");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, text).unwrap();
    respond(&stage.home, "s", 7..=7);
    assert_eq!(stage.said("Session budget"), "1,600", "what the store knew is in it once");
    respond(&stage.home, "s", 8..=8);
    assert_eq!(stage.said("Session budget"), "1,700");
    stage.come_back(1700);
}

/// The store was emptied, reports it, and disappears after each of its answers.
#[test]
fn a_store_that_lost_everything_and_is_gone() {
    for answers in 0..12 {
        let stage = Stage::new();
        stage.server.command(&["FLUSHALL"]);
        stage.proxy.behave(Manner::Leave(answers));
        respond(&stage.home, "s", 4..=4);
        stage.proxy.behave(Manner::CutRequests);
        respond(&stage.home, "s", 5..=6);
        assert_eq!(
            stage.said("Session budget"),
            "600",
            "after {answers}: not on top of what the old one had"
        );
        stage.come_back(600);
    }
}
