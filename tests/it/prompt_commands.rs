//! Prompts that Fusebox answers itself: what a person can do with them, and that nobody else can.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::harness::{Home, Ran, message};
use crate::terminal::{prompt_from, prompt_of, starter, terminal};

const EXTEND: &str = "fusebox: extend session 50k because the migration needs it";

/// A home with a session `s` that used 1,100 of 1,000 tokens.
fn over() -> Home {
    let home =
        Home::new().var("FUSEBOX_BUDGET_SESSION_LIMIT", "1000").var("CLAUDE_CODE_SESSION_ATTENDED", "1");
    home.append(&home.transcript("s"), &[message(1, 1000, 100)]);
    home
}

fn payload(home: &Home, prompt: &str, fields: Value) -> Value {
    let mut all = json!({"prompt": prompt, "prompt_id": "p-1", "permission_mode": "default"});
    all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    home.payload("UserPromptSubmit", "s", all)
}

/// A person's prompt at a terminal.
fn person(home: &Home, prompt: &str) -> Ran {
    prompt_from(home, &payload(home, prompt, json!({})), None)
}

/// The answer to a prompt that is not sent to the model.
fn reply(ran: &Ran) -> String {
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    let answer = ran.json();
    assert_eq!(answer["decision"], "block", "{answer}");
    assert_eq!(
        answer["hookSpecificOutput"]["additionalContext"],
        Value::Null,
        "nothing for a model: {answer}"
    );
    answer["reason"].as_str().unwrap().to_owned()
}

fn budget(home: &Home, name: &str) -> Value {
    let status = home.status("s");
    let budgets = status["budgets"].as_array().unwrap();
    budgets.iter().find(|b| b["name"] == name).unwrap_or_else(|| panic!("{status}")).clone()
}

fn decisions(home: &Home, name: &str) -> Vec<Value> {
    let shown = home.fusebox(&["budget", "show", name, "--session", "s", "--json"]);
    shown.json()["operations"].as_array().unwrap().clone()
}

#[test]
fn a_budget_in_dollars_is_extended_by_dollars() {
    let home = over().var("FUSEBOX_BUDGET_SESSION_UNIT", "usd").var("FUSEBOX_BUDGET_SESSION_LIMIT", "0.005");
    let said = reply(&person(&home, "fusebox: extend 200k because it is nearly done"));
    assert!(said.contains("budget session counts dollars: use --usd N"), "{said}");
    let said = reply(&person(&home, "fusebox: extend $0.25 because it is nearly done"));
    assert!(said.contains("extended by $0.25"), "{said}");
    let again = payload(&home, "fusebox: extend 1 dollars because of the rest", json!({"prompt_id": "p-2"}));
    let said = reply(&prompt_from(&home, &again, None));
    assert!(said.contains("extended by $1.00"), "{said}");
    assert_eq!(budget(&home, "session")["limit"], 1.255);
}

#[test]
fn a_person_extends_by_a_prompt_and_goes_on() {
    let home = over();
    let blocked = person(&home, "work on");
    assert!(reply(&blocked).contains("fusebox: extend session N because …"), "{blocked:?}");

    let said = reply(&person(&home, EXTEND));
    assert!(said.contains("extended by 50,000: 1,100 / 51,000 tokens (2.16%)"), "{said}");
    assert!(said.contains("can continue"), "{said}");
    assert_eq!(budget(&home, "session")["limit"], 51_000);
    let [decision] = &decisions(&home, "session")[..] else { panic!("one decision") };
    assert_eq!(decision["reason"], "the migration needs it");
    assert_eq!(decision["actor"], "tester");
    assert_eq!(decision["amount"], 50_000);

    let answer = person(&home, "work on").json();
    assert_eq!(answer["decision"], Value::Null, "{answer}");
    assert_eq!(home.journal(), "");
}

#[test]
fn the_same_words_count_once_for_a_while() {
    let home = over();
    let clock = home.path("clock");
    let home = home.var("FUSEBOX_TEST_CLOCK", &clock.to_string_lossy());
    assert!(reply(&person(&home, EXTEND)).contains("1,100 / 51,000"));
    let sent = |id: &str, prompt: &str| {
        reply(&prompt_from(&home, &payload(&home, prompt, json!({"prompt_id": id})), None))
    };
    // The client called its hook again; the person pressed Enter again on the text still in the box.
    for id in ["p-1", "p-2"] {
        let said = sent(id, EXTEND);
        assert!(said.contains("already done") && said.contains("1,100 / 51,000"), "{said}");
    }
    // They typed on after it.
    for (id, more) in [("p-3", " badly"), ("p-4", " go on"), ("p-5", "next, the tests")] {
        let said = sent(id, &format!("{EXTEND}{more}"));
        assert!(said.contains("already done") && said.contains("Ctrl+U"), "{said}");
    }
    assert_eq!(decisions(&home, "session").len(), 1);
    // Other amounts and other reasons are other decisions.
    assert!(sent("p-6", &EXTEND.replace("50k", "60k")).contains("1,100 / 111,000"));
    assert!(sent("p-7", &EXTEND.replace("the migration", "a migration")).contains("1,100 / 161,000"));
    if !cfg!(feature = "test-clock") {
        return;
    }
    // Much later, the same words are another decision; the same prompt never is.
    std::fs::write(&clock, "600000").unwrap();
    let said = sent("p-1", EXTEND);
    assert!(said.contains("already done") && said.contains("1,100 / 161,000"), "{said}");
    assert!(sent("p-8", EXTEND).contains("1,100 / 211,000"));
    assert_eq!(decisions(&home, "session").len(), 4);
}

#[test]
fn a_session_that_used_it_up_gets_the_same_again() {
    let home = over();
    let clock = home.path("clock");
    let home = home.var("FUSEBOX_TEST_CLOCK", &clock.to_string_lossy());
    let command = "fusebox: extend 500 because the list is long";
    let sent =
        |id: &str| reply(&prompt_from(&home, &payload(&home, command, json!({"prompt_id": id})), None));
    assert!(sent("p-1").contains("1,100 / 1,500"));
    home.append(&home.transcript("s"), &[message(2, 400, 100)]);
    assert!(sent("p-2").contains("already done"), "still the same second");
    if !cfg!(feature = "test-clock") {
        return;
    }
    std::fs::write(&clock, "90000").unwrap();
    assert!(sent("p-3").contains("1,600 / 2,000"));
}

#[test]
fn a_command_without_a_name_counts_once_though_nothing_blocks_the_session_any_more() {
    let home = over();
    home.configure(
        "[[budget]]\nname = \"session\"\nlimit = 5000\n[[budget]]\nname = \"mine\"\nscope = \"user\"\nlimit = 900\n",
    );
    let home = home.var("FUSEBOX_BUDGET_SESSION_LIMIT", "5000");
    let sent = |id: &str, prompt: &str| {
        reply(&prompt_from(&home, &payload(&home, prompt, json!({"prompt_id": id})), None))
    };
    let command = "fusebox: extend 2k because it is a big one";
    assert!(sent("p-1", command).contains("budget mine extended by 2,000: 1,100 / 2,900"));
    let said = sent("p-2", &format!("{command} carry on"));
    assert!(said.contains("already done"), "{said}");
    assert_eq!(budget(&home, "session")["limit"], 5000);
    assert!(sent("p-3", "fusebox: extend session 2k because it is a big one").contains("1,100 / 7,000"));
}

#[test]
fn an_answered_command_that_is_still_in_the_box_is_not_sent() {
    let home = over();
    assert!(reply(&person(&home, EXTEND)).contains("extended by"));
    let asked = |prompt: &str| prompt_from(&home, &payload(&home, prompt, json!({"prompt_id": "p-9"})), None);
    // The client's own prompts change nothing about it.
    assert_eq!(asked("<task-notification>a1</task-notification>").json()["decision"], Value::Null);
    for prompt in
        [format!("now the tests{EXTEND}"), format!("ä {EXTEND} "), format!("{EXTEND}\nnow the tests")]
    {
        let said = reply(&asked(&prompt));
        assert!(said.contains("still contains") && said.contains("Ctrl+U"), "{prompt}: {said}");
    }
    assert_eq!(decisions(&home, "session").len(), 1);
    // Only those words, and until another prompt was sent.
    assert_eq!(asked(&format!("now {}", &EXTEND[..EXTEND.len() - 1])).json()["decision"], Value::Null);
    assert_eq!(asked(&format!("now {EXTEND}")).json()["decision"], Value::Null);
    assert!(reply(&person(&home, "fusebox: status")).contains("51,000"));
    assert_eq!(asked(&format!("go on{EXTEND}")).json()["decision"], Value::Null, "it is not the last one");
    assert!(reply(&person(&home, "fusebox: status")).contains("51,000"));
    assert!(reply(&asked("go onfusebox: status")).contains("still contains"));
}

#[test]
fn a_reset_begins_anew() {
    let home = over();
    let said = reply(&person(&home, "fusebox: reset because it is another task"));
    assert!(said.contains("budget session reset: 0 / 1,000 tokens"), "{said}");
    assert_eq!(budget(&home, "session")["used"], 0);
}

#[test]
fn the_budget_that_holds_the_session_is_meant_where_none_is_named() {
    let home = over();
    home.configure(
        "[[budget]]\nname = \"few\"\nunit = \"requests\"\nlimit = 1\n\
         [[budget]]\nname = \"mine\"\nscope = \"user\"\nlimit = 5000\n",
    );
    // Both are over; `session` is further past its limit than `few`, which was just reached.
    let said = reply(&person(&home, "fusebox: extend 200 because x"));
    assert!(said.contains("budget session extended by 200: 1,100 / 1,200"), "{said}");
    assert!(
        said.contains("Budget few still blocks the agent. Extend it by at least 1 more requests"),
        "{said}"
    );
    let next = |prompt: &str, id: &str| {
        reply(&prompt_from(&home, &payload(&home, prompt, json!({"prompt_id": id})), None))
    };
    assert!(
        next("fusebox: extend 2 requests because x", "p-2")
            .contains("budget few extended by 2: 1 / 3 requests")
    );
    // Nothing holds it back now: the session's own budget. Any other one by name.
    assert!(
        next("fusebox: extend 100 because x", "p-3")
            .contains("budget session extended by 100: 1,100 / 1,300")
    );
    assert!(
        next("fusebox: extend mine 1k because x", "p-4")
            .contains("budget mine extended by 1,000: 1,100 / 6,000")
    );
    assert_eq!(home.journal(), "");
}

#[test]
fn what_cannot_be_is_refused_with_its_reason() {
    let home = over().var("FUSEBOX_BUDGET_SESSION_HARD_LIMIT", "1200");
    for (prompt, said) in [
        ("fusebox: extend session 50k because x", "at most 200 (its hard limit is 1200)"),
        ("fusebox: extend nightly 50k because x", "no budget named nightly; budgets: session"),
        ("fusebox: extend session 5 requests because x", "counts tokens"),
        ("fusebox: extend session 0 because x", "greater than 0"),
        ("fusebox: extend session 50k", "a reason is required"),
        ("fusebox: extend session lots because x", "needs an amount"),
        ("fusebox: stop", "unknown command \"stop\""),
    ] {
        let answer = reply(&person(&home, prompt));
        assert!(answer.contains(said), "{prompt}: {answer}");
    }
    assert_eq!(decisions(&home, "session"), Vec::<Value>::new());
    assert_eq!(budget(&home, "session")["limit"], 1000);
}

#[test]
fn status_and_help_are_answered_everywhere() {
    let home = over();
    for ran in [
        person(&home, "fusebox: status"),
        home.run(
            "prompt-submit",
            payload(&home, "fusebox: status", json!({"source": "sdk"})).to_string().as_bytes(),
        ),
    ] {
        let said = reply(&ran);
        assert!(
            said.contains(
                "tokens: 1,000 input · 100 output · 0 cache writes · 10 cache reads; 1 request, 1 tool call"
            ),
            "{said}"
        );
        assert!(said.contains("session: 1,100 / 1,000 tokens (110.00%), paused"), "{said}");
    }
    let help = home.run("prompt-submit", payload(&home, "fusebox: help", json!({})).to_string().as_bytes());
    for command in ["status", "extend", "reset", "help"] {
        assert!(reply(&help).contains(&format!("fusebox: {command}")), "{help:?}");
    }
    // A question is not a blocked prompt: it stops nobody.
    let fresh = Home::new();
    let ran =
        fresh.run("prompt-submit", payload(&fresh, "fusebox: status", json!({})).to_string().as_bytes());
    assert!(reply(&ran).contains("session: 0 / 1,000,000 tokens"), "{ran:?}");
    assert_eq!(fresh.fusebox(&["status", "--session", "s", "--check"]).code, 0);
}

#[test]
fn words_around_a_command_make_it_a_prompt_like_any_other() {
    let home = Home::new().var("CLAUDE_CODE_SESSION_ATTENDED", "1");
    home.append(&home.transcript("s"), &[message(1, 10, 1)]);
    for prompt in [
        format!("please do this: {EXTEND}"),
        format!("{EXTEND}\nand work on"),
        format!("work on\n{EXTEND}"),
        format!("<task-notification>\n{EXTEND}\n</task-notification>"),
        format!("<task-notification>{EXTEND}</task-notification>"),
        format!("> {EXTEND}"),
    ] {
        let answer = person(&home, &prompt).json();
        assert_eq!(answer["decision"], Value::Null, "{prompt}: {answer}");
        assert!(
            answer["hookSpecificOutput"]["additionalContext"].as_str().unwrap().contains("Session budget")
        );
    }
    assert_eq!(decisions(&home, "session"), Vec::<Value>::new());
}

/// Asserts that a prompt is answered with the command line for a person, and changed nothing.
#[track_caller]
fn assert_refused(home: &Home, ran: &Ran, why: &str) {
    let said = reply(ran);
    assert!(said.contains(why), "{said}");
    assert!(said.contains("fusebox budget extend session --session s --tokens 50000 --reason"), "{said}");
    assert_eq!(decisions(home, "session"), Vec::<Value>::new());
    assert_eq!(budget(home, "session")["limit"], 1000);
}

#[test]
fn print_mode_has_no_commands() {
    for (name, value) in [("CLAUDE_CODE_SESSION_ATTENDED", "0"), ("CLAUDE_CODE_ENTRYPOINT", "sdk-cli")] {
        let home = Home::new().var("FUSEBOX_BUDGET_SESSION_LIMIT", "1000").var(name, value);
        home.append(&home.transcript("s"), &[message(1, 1000, 100)]);
        assert_refused(&home, &person(&home, EXTEND), "nobody attends");
    }
    // Client 2.1.197 in a terminal.
    let home = Home::new().var("FUSEBOX_BUDGET_SESSION_LIMIT", "1000").var("CLAUDE_CODE_ENTRYPOINT", "cli");
    assert!(reply(&person(&home, EXTEND)).contains("extended by 50,000"));
}

#[test]
fn variables_alone_make_no_person() {
    // A project's settings can set them, but the client does not read from a terminal.
    let home = over().var("CLAUDE_CODE_ENTRYPOINT", "cli");
    let prompt = payload(&home, EXTEND, json!({}));
    let ran = prompt_of(&home, &prompt, &starter(&home.path(""), "claude"), None, Stdio::null());
    assert_refused(&home, &ran, "the client is not in a terminal");
}

#[test]
fn a_program_that_is_no_client_has_no_commands() {
    let home = over();
    let (_terminal, line) = terminal();
    let ran = prompt_of(
        &home,
        &payload(&home, EXTEND, json!({})),
        &starter(&home.path(""), "other"),
        None,
        line.into(),
    );
    assert_refused(&home, &ran, "the client is not in a terminal");
}

#[test]
fn without_a_transcript_nothing_is_known_of_the_words() {
    let home = over();
    person(&home, "work");
    let ran = prompt_from(&home, &payload(&home, EXTEND, json!({"transcript_path": ""})), None);
    assert_refused(&home, &ran, "cannot be searched");
    // Nor if there is something else in its place.
    std::fs::create_dir_all(home.transcript("s").with_extension("").join("subagents/agent-a1.jsonl"))
        .unwrap();
    assert_refused(&home, &person(&home, EXTEND), "cannot be searched");
}

#[test]
fn a_client_inside_a_client_has_no_commands() {
    let home = over();
    let claude = starter(&home.path(""), "claude");
    let ran = prompt_from(&home, &payload(&home, EXTEND, json!({})), Some(&claude));
    assert_refused(&home, &ran, "inside another");
    // Under another name it is no client: the test detects the difference.
    let other = starter(&home.path(""), "other");
    let ran = prompt_from(&home, &payload(&home, EXTEND, json!({})), Some(&other));
    assert!(reply(&ran).contains("extended by"), "{ran:?}");

    // Started from an agent's shell, however indirectly.
    let home = over().var("CLAUDECODE", "1");
    assert_refused(&home, &person(&home, EXTEND), "inside another");
}

/// Asserts that prompts give nothing, because programs can type in the client's terminal, and that a person is told how
/// to do it.
#[track_caller]
fn assert_typable(home: &Home, outer: Option<&std::path::Path>, named: &str) {
    let ask = |prompt: &str| prompt_from(home, &payload(home, prompt, json!({})), outer);
    let ran = ask("fusebox: extend session 50k because it's worth it");
    assert_refused(home, &ran, &format!("programs can type into this session's terminal ({named})"));
    let said = reply(&ran);
    let pasted = r"--tokens 50000 --reason 'it'\''s worth it'";
    assert!(said.contains("paste this into another terminal") && said.ends_with(pasted), "{said}");
    let said = reply(&ask("fusebox: reset because it is new"));
    assert!(said.contains("fusebox budget reset session --session s --reason 'it is new'"), "{said}");
    let said = reply(&ask("fusebox: ack because ok"));
    assert!(said.contains("fusebox circuit ack --session s --reason ok"), "{said}");
    // It is not suggested, and reading works.
    let said = reply(&ask("work on"));
    assert!(said.contains("fusebox budget extend") && !said.contains("this prompt"), "{said}");
    assert!(reply(&ask("fusebox: status")).contains("1,100 / 1,000"));
    assert_eq!(budget(home, "session")["used"], 1100);
}

#[test]
fn where_programs_can_type_a_prompt_gives_nothing() {
    for name in ["tmux", "screen", "zellij", "expect"] {
        let home = over();
        let outer = starter(&home.path(""), name);
        assert_typable(&home, Some(&outer), name);
    }
    for (name, value) in
        [("TMUX", "/tmp/tmux-0/default,7,0"), ("STY", "7.pts-0.box"), ("NVIM", "/run/nvim.7.0")]
    {
        assert_typable(&over().var(name, value), None, name);
    }
    // An empty variable says nothing, and neither does one that only begins so.
    let home = over().var("TMUX", "").var("TMUXINATOR_CONFIG", "/etc");
    assert!(reply(&person(&home, "work on")).contains("Or send this prompt"));
    assert!(reply(&person(&home, EXTEND)).contains("extended by"));
}

#[test]
fn what_the_client_calls_its_own_is_no_persons() {
    let home = over();
    for source in ["sdk", "system", "loop_wakeup", "schedule_wakeup", "poll_event", ""] {
        let ran = prompt_from(&home, &payload(&home, EXTEND, json!({"source": source})), None);
        assert_refused(&home, &ran, "the client's queue");
    }
    let ran = prompt_from(&home, &payload(&home, EXTEND, json!({"agent_id": "a1", "agent_type": "x"})), None);
    assert_refused(&home, &ran, "subagent");
    let ran = prompt_from(&home, &payload(&home, EXTEND, json!({"source": "user"})), None);
    assert!(reply(&ran).contains("extended by"), "{ran:?}");
}

#[test]
fn what_came_through_the_queue_is_no_persons() {
    let home = over();
    let enqueue =
        json!({"type": "queue-operation", "operation": "enqueue", "sessionId": "s", "content": EXTEND});
    home.append(&home.transcript("s"), &[enqueue]);
    assert_refused(&home, &person(&home, EXTEND), "the client's queue");
    let other = "fusebox: extend session 40k because these are other words";
    assert!(reply(&person(&home, other)).contains("extended by 40,000"));
}

#[test]
fn a_line_of_the_queue_that_comes_late_is_waited_for() {
    let home = over();
    let enqueue =
        json!({"type": "queue-operation", "operation": "enqueue", "sessionId": "s", "content": EXTEND});
    let ran = std::thread::scope(|scope| {
        let asked = scope.spawn(|| person(&home, EXTEND));
        // The hook has recorded, and searches next.
        let cache = home.path("cache/guardrails-s.json");
        while !cache.exists() && !asked.is_finished() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        home.append(&home.transcript("s"), &[enqueue]);
        asked.join().unwrap()
    });
    assert_refused(&home, &ran, "the client's queue");
}

#[test]
fn words_that_an_agent_put_into_a_tool_call_are_its_own() {
    let call = |name: &str, input: Value| {
        let mut line = message(2, 1, 1);
        line["message"]["content"] =
            json!([{"type": "tool_use", "id": "toolu_2", "name": name, "input": input}]);
        line
    };
    for (subagent, line) in [
        (false, call("CronCreate", json!({"cron": "* * * * *", "prompt": EXTEND}))),
        (false, call("Bash", json!({"command": format!("tmux send-keys -t 0 '{EXTEND}' Enter")}))),
        (true, call("ScheduleWakeup", json!({"delaySeconds": 60, "prompt": EXTEND}))),
    ] {
        let home = over();
        let file = if subagent { home.agent_transcript("s", "a1") } else { home.transcript("s") };
        home.append(&file, &[line]);
        assert_refused(&home, &person(&home, EXTEND), "wrote these words in a tool call");
    }
    // A person may use what the agent only said.
    let home = over();
    let mut said = message(2, 0, 0);
    said["message"]["content"] = json!([{"type": "text", "text": format!("You could send `{EXTEND}`.")}]);
    home.append(&home.transcript("s"), &[said]);
    assert!(reply(&person(&home, EXTEND)).contains("extended by"));
}

#[test]
fn a_switched_off_fusebox_has_no_commands() {
    let home = over().var("FUSEBOX_ENABLED", "0");
    assert!(person(&home, EXTEND).is_silent());
    assert!(person(&home, "fusebox: status").is_silent());
}

#[test]
fn a_store_out_of_reach_is_said() {
    let home = over();
    std::fs::write(home.path("state"), "in the way").unwrap();
    let said = reply(&person(&home, EXTEND));
    assert!(said.contains("nothing was changed"), "{said}");
    assert!(said.contains("state"), "{said}");
}
