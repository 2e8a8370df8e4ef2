//! Escalation in complex cases: several budgets at once, other folders, other models, subagents.

use serde_json::{Value, json};

use crate::harness::{Home, Ran, message};

/// Message `n` by `model`, dated now.
fn by(model: &str, n: usize, tokens: u64) -> Value {
    let mut line = message(n, tokens, 0);
    let now = chrono::DateTime::from_timestamp_millis(fusebox::platform::clock().0).unwrap();
    line["timestamp"] = json!(now.to_rfc3339());
    line["message"]["model"] = json!(model);
    line
}

fn batch(home: &Home, n: usize) -> Ran {
    home.hook("PostToolBatch", "s", json!({"tool_calls": [{"tool_use_id": format!("toolu_{n}")}]}))
}

fn pre(home: &Home, n: usize) -> Ran {
    home.hook("PreToolUse", "s", json!({"tool_use_id": format!("toolu_{n}")}))
}

fn is_denied(ran: &Ran) -> bool {
    !ran.stdout.is_empty() && ran.json()["hookSpecificOutput"]["permissionDecision"] == "deny"
}

fn is_stop(ran: &Ran) -> bool {
    !ran.stdout.is_empty() && ran.json()["continue"] == false
}

#[test]
fn two_budgets_past_their_limits_do_not_refill_each_others_allowance() {
    let home = Home::new();
    home.configure(
        "[[budget]]\nname = \"session\"\nlimit = 1000\n[[budget]]\nname = \"few\"\nunit = \"requests\"\nlimit = 10\n",
    );
    for n in 1..=10 {
        home.append(&home.transcript("s"), &[message(n, 100, 0)]);
        home.hook("PostToolUse", "s", json!({}));
    }
    // The two budgets alternate in being further past their limits.
    let mut allowed = 0;
    for n in 11..=20 {
        home.append(&home.transcript("s"), &[message(n, if n % 2 == 0 { 300 } else { 1 }, 0)]);
        assert!(is_denied(&pre(&home, n)));
        if is_stop(&batch(&home, n)) {
            break;
        }
        allowed += 1;
    }
    assert_eq!(allowed, 1, "one wrap-up, whatever budget leads");
    assert!(is_stop(&pre(&home, 20)), "and stopped it stays");
}

#[test]
fn whoever_is_told_to_close_its_work_counts_as_stopped() {
    let home = Home::new().var("FUSEBOX_BUDGET_SESSION_LIMIT", "1000");
    home.append(&home.transcript("s"), &[message(1, 10, 0)]);
    batch(&home, 1);
    // An unexpected response: no call is denied; the agent is told at the batch, and obeys.
    home.append(&home.transcript("s"), &[message(2, 5000, 0)]);
    assert!(batch(&home, 2).stdout.contains("Finish your work without calling tools"));
    home.hook("Stop", "s", json!({"last_assistant_message": ""}));
    assert_eq!(home.fusebox(&["status", "--session", "s", "--check"]).code, 3);
}

#[test]
fn a_prompt_that_is_not_answered_counts_as_stopped() {
    let home = Home::new();
    home.configure("[[budget]]\nname = \"daily\"\nscope = \"user\"\nwindow = \"month\"\nlimit = 100\n");
    home.append(&home.transcript("other"), &[by("m", 1, 500)]);
    home.hook("PostToolUse", "other", json!({}));
    home.hook("SessionStart", "s", json!({"source": "startup"}));
    let prompt = home.hook("UserPromptSubmit", "s", json!({"prompt": "work"})).json();
    assert_eq!(prompt["decision"], "block");
    assert_eq!(home.fusebox(&["status", "--session", "s", "--check"]).code, 3, "a build must not turn green");
}

#[test]
fn status_knows_the_limits_that_the_hooks_had() {
    // As in README's recipe: the limit is in the client's environment, not in that of `fusebox status`.
    let home = Home::new();
    home.append(&home.transcript("s"), &[message(1, 5000, 0)]);
    let limited = |event: &str, fields: Value| {
        let mut command = home.command(crate::harness::hook_of(event));
        command.env("FUSEBOX_BUDGET_SESSION_LIMIT", "1000");
        crate::harness::run(&mut command, home.payload(event, "s", fields).to_string().as_bytes())
    };
    let call = |id: &str| json!({"tool_use_id": id, "tool_calls": [{"tool_use_id": id}]});
    assert!(is_denied(&limited("PreToolUse", call("toolu_1"))));
    limited("PostToolBatch", call("toolu_1"));
    assert!(is_stop(&limited("PostToolBatch", call("toolu_2"))));
    let ran = home.fusebox(&["status", "--session", "s", "--check", "--json"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert_eq!(ran.json()["budgets"][0]["limit"], 1000);
    // A decision also uses that limit.
    let ran = home.fusebox(&[
        "budget",
        "extend",
        "session",
        "--session",
        "s",
        "--tokens",
        "5000",
        "--reason",
        "r",
        "--json",
    ]);
    assert_eq!(ran.json()["after"]["limit"], 6000);
}

#[test]
fn another_project_is_judged_by_its_own_configuration() {
    let home = Home::new();
    let projects = ["a", "b"].map(|name| home.path(name));
    projects.iter().for_each(|p| std::fs::create_dir_all(p.join(".claude")).unwrap());
    std::fs::write(
        projects[0].join(".claude/fusebox.toml"),
        "[[budget]]\nname = \"session\"\nlimit = 1000\n",
    )
    .unwrap();
    let hook = |project: &std::path::Path, event: &str, session: &str| {
        let mut command = home.command(crate::harness::hook_of(event));
        command.env("CLAUDE_PROJECT_DIR", project);
        crate::harness::run(&mut command, home.payload(event, session, json!({})).to_string().as_bytes())
    };
    home.append(&home.transcript("in-b"), &[message(1, 100, 0)]);
    hook(&projects[1], "PostToolUse", "in-b");
    home.append(&home.transcript("in-b"), &[message(2, 5000, 0)]);
    // A session of the strict project continues in the other one.
    hook(&projects[0], "SessionStart", "in-a");
    assert!(
        hook(&projects[1], "PostToolUse", "in-b").is_silent(),
        "5,100 of 1,000,000 is nothing to speak of"
    );
    assert_eq!(home.status("in-b")["budgets"][0]["limit"], 1_000_000);
}

#[test]
fn another_model_is_not_held_back_by_the_old_ones_budget() {
    let home = Home::new();
    home.configure("[[budget]]\nname = \"big\"\nscope = \"model\"\nmatch = \"claude-big*\"\nwindow = \"month\"\nlimit = 100\n");
    home.append(&home.transcript("s"), &[by("claude-big-1", 1, 500)]);
    home.hook("PostToolUse", "s", json!({}));
    let prompt = |home: &Home| home.hook("UserPromptSubmit", "s", json!({"prompt": "x"})).json();
    let blocked = prompt(&home);
    assert_eq!(blocked["decision"], "block");
    assert!(blocked["reason"].as_str().unwrap().contains("another model"), "{blocked}");
    home.hook("PostModelSwitch", "s", json!({"from_model": "claude-big-1", "to_model": "claude-small-1"}));
    assert_eq!(prompt(&home)["decision"], Value::Null);
    home.hook("SessionStart", "s", json!({"source": "resume", "model": "claude-big-1"}));
    assert_eq!(prompt(&home)["decision"], "block");
}

#[test]
fn every_model_of_a_batch_is_watched() {
    let home = Home::new();
    home.configure("[[budget]]\nname = \"each\"\nscope = \"model\"\nwindow = \"month\"\nlimit = 1000\n");
    home.append(&home.transcript("s"), &[by("claude-big-1", 1, 2000), by("claude-small-1", 2, 5)]);
    let said = home.hook("PostToolUse", "s", json!({})).json();
    assert!(said["systemMessage"].as_str().unwrap().contains("200.00%"), "{said}");
}

#[test]
fn a_subagent_of_an_exhausted_type_is_not_started() {
    let home = Home::new();
    home.configure("[[budget]]\nname = \"explorers\"\nscope = \"agent_type\"\nmatch = \"Explore\"\nwindow = \"month\"\nlimit = 100\n");
    home.append(&home.transcript("s"), &[by("m", 1, 5)]);
    home.append(&home.agent_transcript("s", "a1"), &[by("m", 2, 5000)]);
    std::fs::write(
        home.agent_transcript("s", "a1").with_extension("meta.json"),
        r#"{"agentType":"Explore"}"#,
    )
    .unwrap();
    batch(&home, 1);
    let start = |kind: &str| {
        let input = json!({"tool_use_id": "t", "tool_name": "Agent", "tool_input": {"subagent_type": kind, "prompt": "x"}});
        home.hook("PreToolUse", "s", input)
    };
    let denied = start("Explore");
    assert!(is_denied(&denied) && !is_stop(&denied), "{denied:?}");
    assert!(denied.stdout.contains("not started"), "{denied:?}");
    assert!(!is_denied(&start("Plan")));
    for _ in 0..3 {
        assert!(!is_stop(&batch(&home, 1)), "the agent that asked is not held back");
    }
}

#[test]
fn an_agent_that_nobody_can_remember_is_stopped_at_once() {
    let home = Home::new().var("FUSEBOX_BUDGET_SESSION_LIMIT", "100");
    home.append(&home.transcript("s"), &[message(1, 500, 0)]);
    std::fs::create_dir(home.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(home.path("elsewhere"), home.path("cache")).unwrap();
    assert!(is_stop(&pre(&home, 1)), "the guard never becomes the loop");
    assert!(is_stop(&batch(&home, 1)));
}

#[test]
fn two_budgets_that_cross_at_once_are_both_told() {
    let home = Home::new();
    home.configure(
        "[[budget]]\nname = \"session\"\nlimit = 1000\n[[budget]]\nname = \"few\"\nunit = \"requests\"\nlimit = 1\n\
         on_limit = \"warn\"\n",
    );
    home.append(&home.transcript("s"), &[message(1, 600, 0)]);
    let said = home.hook("PostToolUse", "s", json!({})).json();
    let said = said["systemMessage"].as_str().unwrap();
    assert!(
        said.contains("session budget is 60.00% used") && said.contains("budget few is 100.00% used"),
        "{said}"
    );
    assert!(home.hook("PostToolUse", "s", json!({})).is_silent());
}
