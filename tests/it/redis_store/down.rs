//! `status` and `budget` while the store is unreachable: they show what this machine last knew, and say so.

use serde_json::{Value, json};

use super::{home_at, now, respond};
use crate::harness::{Home, Ran, message};
use crate::redis::{Manner, Options, Proxy, Server};

/// A session budget and a user budget.
const BUDGETS: &str = "[[budget]]\nname = \"session\"\nlimit = 1_000\nthresholds = [1.0]\nwrap_up = 0\n\n\
                       [[budget]]\nname = \"all\"\nscope = \"user\"\nlimit = 1_000_000\nwindow = \"day\"\n";

/// A server that can go away, and a home with two sessions that it knows: of 300 and 200 tokens.
struct Stage {
    _server: Server,
    proxy: Proxy,
    home: Home,
}

impl Stage {
    fn new() -> Self {
        let server = Server::start();
        let proxy = Proxy::to(&server);
        let home = home_at(&proxy.url());
        home.configure(BUDGETS);
        for (session, messages) in [("s", 1..=3), ("t", 21..=22)] {
            home.hook("SessionStart", session, json!({"source": "startup"}));
            respond(&home, session, messages);
        }
        Self { _server: server, proxy, home }
    }

    fn go_away(&self) {
        self.proxy.behave(Manner::CutRequests);
    }

    /// A command's output as JSON. Checks that standard error says that it is not current.
    fn remembered(&self, words: &[&str]) -> Value {
        let ran = self.home.fusebox(words);
        assert_eq!(ran.code, 0, "{ran:?}");
        says_so(&ran);
        ran.json()
    }
}

fn says_so(ran: &Ran) {
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(lines.len(), 4, "{ran:?}");
    assert!(lines[0].starts_with("fusebox: Redis at 127.0.0.1:"), "{ran:?}");
    assert!(lines[0].contains("cannot be reached: it closed the connection"), "{ran:?}");
    assert!(lines[1].starts_with("fusebox: showing what this machine last knew ("), "{ran:?}");
    assert!(lines[1..].iter().all(|line| line.chars().count() <= 80), "{ran:?}");
}

/// A message dated now, of 100 tokens.
fn of_now(n: usize) -> Value {
    let mut line = message(n, 90, 10);
    line["timestamp"] = now().into();
    line
}

fn used(budgets: &Value, name: &str) -> u64 {
    let found = budgets.as_array().unwrap().iter().find(|budget| budget["name"] == name);
    found.unwrap_or_else(|| panic!("{budgets}"))["used"].as_u64().unwrap()
}

#[test]
fn a_session_by_what_was_last_known_and_read_since() {
    let stage = Stage::new();
    let before = stage.home.status("s");
    assert_eq!((&before["store"]["reachable"], &before["store"]["as_of"]), (&json!(true), &Value::Null));
    stage.go_away();
    respond(&stage.home, "s", 4..=5);
    // No hook has seen this message.
    stage.home.append(&stage.home.transcript("t"), &[of_now(23)]);
    let caches = || {
        ["s", "t"].map(|id| std::fs::read(stage.home.path(&format!("cache/guardrails-{id}.json"))).unwrap())
    };
    let untouched = caches();
    let status = stage.remembered(&["status", "--session", "s", "--json"]);
    assert_eq!(
        status.as_object().unwrap().keys().collect::<Vec<_>>(),
        before.as_object().unwrap().keys().collect::<Vec<_>>()
    );
    assert_eq!((used(&status["budgets"], "session"), used(&status["budgets"], "all")), (500, 800));
    assert_eq!((&status["tokens"]["input"], &status["tokens"]["cache_read"]), (&json!(450), &json!(50)));
    assert_eq!((&status["requests"], &status["tool_calls"]), (&json!(5), &json!(5)));
    assert_eq!(
        (&status["circuit"]["state"], &status["circuit"]["iterations"]),
        (&json!("closed"), &Value::Null)
    );
    let store = &status["store"];
    assert_eq!((&store["kind"], &store["epoch"]), (&json!("redis"), &before["store"]["epoch"]));
    assert_eq!(store["reachable"], false);
    assert!(
        store["error"].as_str().unwrap().contains("cannot be reached") && store["as_of"].is_string(),
        "{store}"
    );
    assert_eq!(caches(), untouched, "hooks go on as if nobody had looked");
    let shown = stage.home.fusebox(&["status", "--session", "s"]);
    says_so(&shown);
    let said = &shown.stdout;
    assert!(said.starts_with("Session s") && said.contains("\n  numbers: from the store at 20"), "{said}");
    assert!(said.contains("circuit breaker: closed\n") && said.contains("5 requests"), "{said}");
    stage.proxy.behave(Manner::Pass);
    let again = stage.home.fusebox(&["status", "--session", "s", "--json"]);
    assert_eq!((again.stderr.as_str(), &again.json()["store"]["reachable"]), ("", &json!(true)));
    assert_eq!(used(&again.json()["budgets"], "all"), 800);
}

#[test]
fn every_session_and_every_budget() {
    let stage = Stage::new();
    stage.go_away();
    respond(&stage.home, "s", 4..=5);
    stage.home.hook("SessionStart", "u", json!({"source": "startup"}));
    respond(&stage.home, "u", 31..=31);
    let all = stage.remembered(&["status", "--all", "--json"]);
    let ids: Vec<&str> =
        all.as_array().unwrap().iter().map(|status| status["session"].as_str().unwrap()).collect();
    assert!(ids.len() == 3 && ["s", "t", "u"].iter().all(|id| ids.contains(id)), "{ids:?}");
    assert!(all.as_array().unwrap().iter().all(|status| used(&status["budgets"], "all") == 800), "{all}");
    // A session that the store never knew.
    let new = all.as_array().unwrap().iter().find(|status| status["session"] == "u").unwrap();
    assert_eq!((&new["store"]["as_of"], used(&new["budgets"], "session")), (&Value::Null, 100));
    let listed = stage.remembered(&["budget", "list", "--all", "--json"]);
    let of =
        |budget: &Value| (budget["value"].as_str().unwrap().to_owned(), budget["used"].as_u64().unwrap());
    let mut sums: Vec<(String, u64)> = listed.as_array().unwrap().iter().map(of).collect();
    sums.sort();
    assert_eq!(
        sums,
        [("s", 500), ("t", 200), ("tester", 800), ("u", 100)].map(|(id, used)| (id.to_owned(), used))
    );
    assert!(
        listed.as_array().unwrap().iter().all(|budget| budget["store"]["reachable"] == false),
        "{listed}"
    );
    let one = stage.remembered(&["budget", "show", "all", "--json"]);
    assert_eq!((&one["budget"]["used"], &one["store"]["reachable"]), (&json!(800), &json!(false)));
    assert_eq!((&one["alerts"], &one["operations"]), (&Value::Null, &Value::Null), "not known, and not none");
    let shown = stage.home.fusebox(&["budget", "show", "session", "--session", "s"]);
    says_so(&shown);
    assert!(
        shown.stdout.contains("500 / 1,000") && shown.stdout.contains("not available while"),
        "{shown:?}"
    );
    stage.proxy.behave(Manner::Pass);
    let listed = stage.home.fusebox(&["budget", "list", "--json"]).json();
    assert!(listed[0].get("store").is_none(), "{listed}");
}

#[test]
fn a_session_that_was_stopped_meanwhile() {
    let stage = Stage::new();
    stage.go_away();
    let check = |session: &str| stage.home.fusebox(&["status", "--session", session, "--json", "--check"]);
    respond(&stage.home, "s", 4..=4);
    assert_eq!(check("s").code, 0);
    respond(&stage.home, "s", 5..=11);
    stage.home.hook("PreToolUse", "s", json!({"tool_name": "Bash", "tool_input": {"command": "ls"}}));
    stage.home.hook("Stop", "s", json!({"last_assistant_message": ""}));
    let stopped = check("s");
    assert_eq!((stopped.code, &stopped.json()["stopped"]), (3, &json!(true)), "{stopped:?}");
    says_so(&stopped);
    assert_eq!(check("t").code, 0);
    assert!(stage.home.fusebox(&["status", "--session", "s"]).stdout.starts_with("Session s  stopped\n"));
}

#[test]
fn what_is_not_known() {
    let stage = Stage::new();
    stage.go_away();
    for words in [&["status", "--session", "zz"][..], &["budget", "show", "session", "--session", "zz"]] {
        let ran = stage.home.fusebox(words);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
        assert!(
            ran.stderr.contains("no session zz in this machine's caches, and the store is unreachable"),
            "{ran:?}"
        );
    }
    std::fs::remove_dir_all(stage.home.path("cache")).unwrap();
    for words in
        [&["status"][..], &["status", "--json", "--check"], &["budget", "list"], &["budget", "show", "all"]]
    {
        let ran = stage.home.fusebox(words);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
        assert!(ran.stderr.lines().count() == 1 && ran.stderr.contains("cannot be reached"), "{ran:?}");
    }
}

#[test]
fn nothing_is_decided() {
    let stage = Stage::new();
    stage.go_away();
    let why = ["--reason", "a test"];
    for words in [
        &["budget", "extend", "session", "--session", "s", "--tokens", "5", "--reason", "a test"][..],
        &[&["budget", "reset", "session", "--session", "s"][..], &why].concat(),
        &[&["budget", "delete", "all"][..], &why].concat(),
        &[&["circuit", "ack", "--session", "s"][..], &why].concat(),
        &[&["circuit", "reset", "--session", "s"][..], &why].concat(),
        &["alerts", "ack", "--all"],
        &["resync"],
    ] {
        let ran = stage.home.fusebox(words);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{words:?}: {ran:?}");
        assert!(ran.stderr.starts_with("fusebox: nothing was changed: Redis at "), "{words:?}: {ran:?}");
    }
}

/// What a fork copies from its parent counts once, whether or not the store already has it.
#[test]
fn a_fork_brings_what_is_new() {
    let stage = Stage::new();
    stage.go_away();
    respond(&stage.home, "s", 4..=5);
    let lines = std::fs::read_to_string(stage.home.transcript("s")).unwrap();
    let copied: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    stage.home.append(&stage.home.transcript("f"), &copied);
    stage.home.hook("SessionStart", "f", json!({"source": "fork"}));
    respond(&stage.home, "f", 41..=41);
    let status = stage.remembered(&["status", "--session", "f", "--json"]);
    assert_eq!((used(&status["budgets"], "session"), used(&status["budgets"], "all")), (600, 800));
    stage.proxy.behave(Manner::Pass);
    stage.home.wake_store("f");
    let status = stage.home.status("f");
    assert_eq!((used(&status["budgets"], "session"), used(&status["budgets"], "all")), (600, 800));
}

#[test]
fn a_window_that_is_over_starts_afresh() {
    if !cfg!(feature = "test-clock") {
        return;
    }
    let Stage { _server, proxy, home } = Stage::new();
    let clock = home.path("clock");
    let home = home.var("FUSEBOX_TEST_CLOCK", &clock.to_string_lossy());
    proxy.behave(Manner::CutRequests);
    let shown = || home.fusebox(&["status", "--session", "s", "--json"]).json()["budgets"].clone();
    assert_eq!(used(&shown(), "all"), 500);
    std::fs::write(&clock, (24 * 3600 * 1000).to_string()).unwrap();
    assert_eq!((used(&shown(), "session"), used(&shown(), "all")), (300, 0));
}

/// If it accepts connections but does not answer, only one timeout passes, however many sessions there are.
#[test]
fn it_is_waited_for_once() {
    let Stage { _server, proxy, home } = Stage::new();
    let home = home.var("FUSEBOX_STORE_REDIS_TIMEOUT_MS", "300");
    home.hurry(true);
    for words in [&["status", "--all"][..], &["budget", "list", "--all"], &["budget", "show", "all"]] {
        // Unreachable from the start, or after it reported that it lost nothing.
        for manner in [Manner::Hang, Manner::Leave(1), Manner::Leave(3), Manner::Leave(6)] {
            proxy.behave(manner.clone());
            proxy.take();
            let ran = home.fusebox(words);
            assert_eq!(ran.code, 0, "{manner:?}: {ran:?}");
            assert!(ran.stderr.contains("what this machine last knew"), "{manner:?}: {ran:?}");
            if matches!(manner, Manner::Hang) {
                assert_eq!(proxy.take().connections, 1, "{words:?}");
            }
        }
    }
}

#[test]
fn no_password_is_shown() {
    let server = Options::default().password("secret").start();
    let home = home_at(&server.url().replace(":secret@", ""));
    let file = home.path("password");
    std::fs::write(&file, "secret").unwrap();
    let home = home.var("FUSEBOX_STORE_REDIS_PASSWORD_FILE", file.to_str().unwrap());
    home.configure(BUDGETS);
    respond(&home, "s", 1..=3);
    drop(server);
    let ran = home.fusebox(&["status", "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("cannot be reached"), "{ran:?}");
    assert!(!ran.stderr.contains("secret") && !ran.stdout.contains("secret"), "{ran:?}");
}

/// A budget's `store_down` is shown with its state.
#[test]
fn a_budget_that_does_otherwise_without_the_store() {
    let stage = Stage::new();
    let all = "name = \"all\"\nstore_down = \"allow\"";
    let session = "name = \"session\"\nstore_down = \"deny\"";
    stage.home.configure(&BUDGETS.replace("name = \"all\"", all).replace("name = \"session\"", session));
    respond(&stage.home, "s", 4..=4);
    stage.go_away();
    respond(&stage.home, "s", 5..=5);
    let ran = stage.home.fusebox(&["status", "--session", "s"]);
    assert!(ran.stdout.contains("session denies every call while the store is unreachable"), "{ran:?}");
    assert!(
        ran.stdout.contains("all is not enforced while the store is unreachable")
            && ran.stdout.contains("500"),
        "{ran:?}"
    );
}

#[test]
fn the_embedded_store_has_nobody_else_to_ask() {
    let home = Home::new();
    home.configure(BUDGETS);
    respond(&home, "s", 1..=3);
    std::fs::remove_dir_all(home.path("state")).unwrap();
    std::fs::write(home.path("state"), "").unwrap();
    let ran = home.fusebox(&["status", "--session", "s"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
}
