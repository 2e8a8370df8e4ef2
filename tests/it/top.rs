//! `fusebox top`, driven by keys in a real terminal. Tests that need tmux are named `live_…`.

pub mod tmux;

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::tmux::Tmux;
use crate::harness::{Home, message, program_path};
use crate::redis::{Manner, Proxy, Server};

const ONE: &str = "session-one";
const TWO: &str = "session-two";

/// A home with two live sessions and a budget of 1,000 tokens for each. The first has used 550, has an alert, and its
/// circuit breaker is open.
fn home() -> Home {
    let home = Home::new();
    home.configure("[[budget]]\nname = \"session\"\nlimit = 1000\nhard_limit = 2000\n");
    spend(&home, TWO, 9, 120);
    spend(&home, ONE, 1, 550);
    for n in 1..=5 {
        respond(&home, ONE, n);
    }
    assert_eq!(home.status(ONE)["circuit"]["state"], "open");
    home
}

/// Uses `tokens` more.
fn spend(home: &Home, session: &str, n: usize, tokens: u64) {
    home.append(&home.transcript(session), &[message(n, tokens, 0)]);
    home.hook("PostToolUse", session, json!({}));
}

/// One response with the same call as ever.
fn respond(home: &Home, session: &str, n: usize) {
    let mut call =
        json!({"tool_name": "Bash", "tool_input": {"command": "make"}, "tool_use_id": format!("toolu_{n}")});
    home.hook("PreToolUse", session, call.clone());
    call["tool_response"] = json!({"stdout": "same", "stderr": "", "interrupted": false});
    home.hook("PostToolUse", session, call.clone());
    call["tool_response"] = json!("same");
    home.hook("PostToolBatch", session, json!({"tool_calls": [call]}));
}

/// The budget of the first session, and the decisions about it.
fn budget(home: &Home) -> (Value, Vec<Value>) {
    let shown = home.fusebox(&["budget", "show", "session", "--session", ONE, "--json"]).json();
    (shown["budget"].clone(), shown["operations"].as_array().unwrap().clone())
}

/// A script that runs `fusebox top` and then says its exit code, with the terminal's settings before and after.
fn script(arguments: &str) -> String {
    let top = format!("{} top {arguments}", program_path("fusebox"));
    format!(
        "echo former text; stty -a > before; sh -c 'echo $$ > pid; exec {top}'; echo \"code $?\"; stty -a > after; \
         echo settled"
    )
}

/// The terminal is as it was: its text, its settings, its cursor.
#[track_caller]
fn is_restored(home: &Home, tmux: &Tmux, code: i32) {
    let screen = tmux.wait("settled");
    assert!(screen.starts_with("former text\n") && screen.contains(&format!("code {code}\n")), "{screen}");
    assert!(!screen.contains("BUDGETS"), "{screen}");
    let [before, after] =
        ["before", "after"].map(|file| std::fs::read_to_string(home.path("project").join(file)).unwrap());
    assert!(before.contains(" echo ") && before.contains(" icanon "), "{before}");
    assert_eq!(before, after);
    assert_eq!(tmux.modes(), (false, true), "the usual screen, with a cursor");
}

#[test]
fn live_keys_extend_reset_and_acknowledge() {
    let home = home();
    let tmux = Tmux::start(&home, (120, 40), &script(""));
    let screen = tmux.wait("ALERTS AND EVENTS");
    for text in ["2 running", "1 alert", "session-", "550 of 1,000 tokens", "breaker open", "passed 50%"] {
        assert!(screen.contains(text), "{text}:\n{screen}");
    }
    let rows: Vec<&str> = screen.lines().filter(|line| line.trim_start().starts_with("session-")).collect();
    assert_eq!(rows.len(), 2, "{screen}");
    assert!(rows[0].contains("breaker") && rows[0].contains("55%") && rows[1].contains("12%"), "{screen}");

    // The last to act is first, and selected.
    assert!(screen.contains("── session-one ─"), "{screen}");
    tmux.keys(&["Down"]);
    tmux.wait("── session-two ─");
    tmux.keys(&["k"]);
    tmux.wait("── session-one ─");

    // Extend: a wrong amount, no reason, a corrected one.
    tmux.keys(&["e"]);
    tmux.wait("Tokens to add");
    tmux.write("many");
    tmux.keys(&["Enter"]);
    tmux.wait("use a whole number");
    tmux.keys(&["BSpace", "BSpace", "BSpace", "BSpace"]);
    tmux.write("500");
    tmux.wait(": 500");
    tmux.keys(&["Enter"]);
    tmux.wait("Reason:");
    tmux.keys(&["Enter"]);
    tmux.wait("a reason is required");
    tmux.paste("more\nwork");
    tmux.wait("Reason: more work");
    tmux.keys(&["BSpace", "x", "Enter"]);
    tmux.wait("session: 550 / 1,000 tokens (55.00%) → 550 / 1,500 tokens (36.67%).");
    tmux.wait("550 of 1,500 tokens");
    tmux.wait("extended by 500 by tester: more worx");
    let (budget_now, operations) = budget(&home);
    assert_eq!((&budget_now["limit"], operations.len()), (&json!(1500), 1), "{operations:?}");
    let decided = ["kind", "amount", "reason", "actor"].map(|name| operations[0][name].clone());
    assert_eq!(decided, [json!("extend"), json!(500), json!("more worx"), json!("tester")]);

    // The hard limit holds, as for the command.
    tmux.keys(&["e"]);
    tmux.wait("Tokens to add");
    tmux.write("5k");
    tmux.keys(&["Enter"]);
    tmux.wait("Reason:");
    tmux.write("too much");
    tmux.keys(&["Enter"]);
    tmux.wait("can be extended by at most 500 (its hard limit is 2000)");

    // Escape changes nothing.
    tmux.keys(&["e"]);
    tmux.wait("Tokens to add");
    tmux.write("100");
    tmux.keys(&["Enter"]);
    tmux.wait("Reason:");
    tmux.write("never mind");
    tmux.keys(&["Escape"]);
    tmux.wait("Nothing was changed.");
    assert_eq!(budget(&home).1.len(), 1);

    // Reset: the budget, or the breaker.
    tmux.keys(&["r"]);
    tmux.wait("circuit breaker of the main agent");
    tmux.keys(&["1"]);
    tmux.wait("Reason:");
    tmux.write("new task");
    tmux.keys(&["Enter"]);
    tmux.wait("0 of 1,000 tokens");
    let (budget_now, operations) = budget(&home);
    assert_eq!((&budget_now["used"], &operations[1]["reason"]), (&json!(0), &json!("new task")));

    // Acknowledge: first the breaker, then the alert.
    tmux.keys(&["a"]);
    tmux.wait("1 alert of this session's budgets");
    tmux.keys(&["Enter"]);
    tmux.wait("Reason:");
    tmux.write("try again");
    tmux.keys(&["Enter"]);
    tmux.wait("The circuit breaker of the main agent is half-open: the next call is a test.");
    tmux.wait("acknowledged by tester: try again");
    assert_eq!(home.status(ONE)["circuit"]["state"], "half_open");
    tmux.keys(&["a"]);
    tmux.wait("1 alert of this session's budgets");
    tmux.wait("Reason:");
    tmux.write("seen");
    tmux.keys(&["Enter"]);
    tmux.wait("1 alert was acknowledged.");
    let listed = home.fusebox(&["alerts", "list", "--all", "--json"]).json();
    assert_eq!(listed[0]["acknowledged"]["reason"], "seen", "{listed}");
    tmux.wait_until("no alert", |screen| !screen.contains("· 1 alert"));
    tmux.keys(&["a"]);
    tmux.wait("Nothing to acknowledge");

    // Close the breaker, in its own pane.
    tmux.keys(&["Tab", "Tab", "r"]);
    tmux.wait("Circuit breaker of the main agent");
    tmux.write("done");
    tmux.keys(&["Enter"]);
    tmux.wait("The circuit breaker of the main agent is closed.");
    assert_eq!(home.status(ONE)["circuit"]["state"], "closed");

    // What hooks record appears by itself.
    spend(&home, TWO, 10, 300);
    tmux.wait_until("the other session's use", |screen| screen.contains("42%"));
    tmux.keys(&["q"]);
    is_restored(&home, &tmux, 0);
}

#[test]
#[cfg_attr(not(feature = "test-clock"), ignore = "needs the feature test-clock")]
fn live_the_terminal_is_given_back_however_it_ends() {
    let home = home().var("FUSEBOX_TEST_PANIC", "top");
    // A key, or a signal with its exit code.
    for (end, code) in
        [("q", 0), ("Escape", 0), ("C-c", 0), ("TERM", 143), ("INT", 130), ("HUP", 129), ("C-l", 101)]
    {
        let tmux = Tmux::start(&home, (80, 24), &script(""));
        tmux.wait("ALERTS AND EVENTS");
        assert!(tmux.modes().0, "an alternate screen");
        if code > 128 {
            let pid = std::fs::read_to_string(home.path("project/pid")).unwrap();
            assert!(Command::new("kill").args(["-s", end, pid.trim()]).status().unwrap().success());
        } else {
            tmux.keys(&[end]);
        }
        is_restored(&home, &tmux, code);
        assert_eq!(tmux.screen().contains("a test asked for a panic"), end == "C-l", "{end}");
    }
}

#[test]
fn live_it_ends_with_its_terminal() {
    let home = home();
    // Without a controlling terminal, no signal says that it is gone.
    for start in ["exec", "exec setsid --wait"] {
        let top = program_path("fusebox");
        let script = format!("{start} sh -c 'echo $$ > pid; exec {top} top'");
        let tmux = Tmux::start(&home, (80, 24), &script);
        tmux.wait("ALERTS AND EVENTS");
        drop(tmux);
        let pid = std::fs::read_to_string(home.path("project/pid")).unwrap();
        let end = Instant::now() + Duration::from_mins(1);
        loop {
            let asked = Command::new("ps").args(["-o", "stat=", "-p", pid.trim()]).output().unwrap();
            let state = String::from_utf8(asked.stdout).unwrap();
            // Perhaps nobody has waited for it yet.
            if state.is_empty() || state.starts_with('Z') {
                break;
            }
            assert!(Instant::now() < end, "{start}: {state}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn live_every_size_of_the_screen_works() {
    let home = home();
    let tmux = Tmux::start(&home, (120, 40), &script(""));
    tmux.wait("ALERTS AND EVENTS");
    tmux.resize(80, 24);
    let screen =
        tmux.wait_until("80 columns", |screen| screen.contains("show ended") && !screen.contains("BREAKER"));
    assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
    tmux.resize(20, 5);
    tmux.wait("20x5");
    tmux.resize(100, 30);
    tmux.wait("ALERTS AND EVENTS");
    tmux.keys(&["?"]);
    tmux.wait("draw the screen again");
    // The settings contain the size.
    tmux.resize(120, 40);
    tmux.wait("BREAKER");
    tmux.keys(&["x", "q"]);
    is_restored(&home, &tmux, 0);
}

#[test]
fn live_colours_respect_no_color() {
    let home = home();
    for (var, coloured) in [("", true), ("NO_COLOR=1", false)] {
        let tmux = Tmux::start(&home, (80, 24), &format!("{var} {} top", program_path("fusebox")));
        tmux.wait("ALERTS AND EVENTS");
        let shown = tmux.coloured();
        let has_colour =
            ["\u{1b}[31m", "\u{1b}[32m", "\u{1b}[33m", "\u{1b}[36m"].iter().any(|code| shown.contains(code));
        assert_eq!(has_colour || shown.contains("\u{1b}[38"), coloured, "{shown}");
    }
}

#[test]
fn live_without_a_store_it_waits_for_one_and_creates_none() {
    let home = Home::new();
    let tmux = Tmux::start(&home, (80, 24), &script("--interval 1"));
    tmux.wait("Nothing has been recorded on this machine yet.");
    assert!(!home.path("state").join("state.db").exists());
    spend(&home, ONE, 1, 10);
    tmux.wait("── session-one ─");
    home.fusebox(&["budget", "list"]);
    tmux.keys(&["q"]);
    is_restored(&home, &tmux, 0);
}

#[test]
fn live_a_store_that_does_not_answer_leaves_the_last_data() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let home = Home::new().var("FUSEBOX_STORE_REDIS_URL", &proxy.url());
    spend(&home, ONE, 1, 100);
    let tmux = Tmux::start(&home, (80, 24), &script("--interval 1"));
    let screen = tmux.wait("── session-one ─");
    assert!(screen.contains("100 of 1,000,000 tokens") && !screen.contains("today"), "{screen}");
    proxy.behave(Manner::CutRequests);
    let screen = tmux.wait("trying again.");
    assert!(screen.contains("cannot be reached") && screen.contains("Shown is the data of"), "{screen}");
    assert!(screen.contains("── session-one ─"), "{screen}");
    // A decision says why it cannot be made.
    tmux.keys(&["e"]);
    tmux.wait("Tokens to add");
    tmux.write("5");
    tmux.keys(&["Enter"]);
    tmux.wait("Reason:");
    tmux.write("more");
    tmux.keys(&["Enter"]);
    tmux.wait("nothing was changed: Redis at 127.0.0.1");
    // What the caches say is there from the start.
    let second = Tmux::start(&home, (80, 24), &script(""));
    second.wait("trying again.");
    second.wait("100 of 1,000,000 tokens");
    second.keys(&["q"]);
    second.wait("settled");
    proxy.behave(Manner::Pass);
    tmux.wait_until("an answer", |screen| !screen.contains("trying again."));
    tmux.keys(&["q"]);
    is_restored(&home, &tmux, 0);
}

#[test]
fn without_a_terminal_it_names_another_way() {
    let home = Home::new();
    let ran = home.fusebox(&["top"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
    assert!(
        ran.stderr.contains("`fusebox status --watch`") && ran.stderr.contains("`fusebox status --json`"),
        "{ran:?}"
    );
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    assert!(!home.path("state").exists(), "nothing was created");
}
