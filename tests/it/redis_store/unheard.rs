//! A session that no hook could report to the store, from its start to its end: it is known as soon as the store
//! answers again.

use serde_json::{Value, json};

use super::{home_at, respond, used};
use crate::harness::{Home, message};
use crate::redis::{Manner, Proxy, Server};

/// A session budget and a user budget.
const BUDGETS: &str = "[[budget]]\nname = \"session\"\nlimit = 100_000\n\n[[budget]]\nname = \"all\"\nscope = \"user\"\nlimit = 1_000_000\nwindow = \"month\"\n";

/// A server that can go away, and a home with a session of 300 tokens that it knows.
struct Stage {
    server: Server,
    proxy: Proxy,
    home: Home,
}

impl Stage {
    fn new() -> Self {
        let server = Server::start();
        let proxy = Proxy::to(&server);
        let home = home_at(&proxy.url());
        home.configure(BUDGETS);
        start(&home, "s");
        respond(&home, "s", 1..=3);
        Self { server, proxy, home }
    }

    fn go_away(&self) {
        self.proxy.behave(Manner::CutRequests);
    }

    fn come_back(&self) {
        self.proxy.behave(Manner::Pass);
    }

    /// The store's messages of a session.
    fn recorded(&self, session: &str) -> String {
        self.server.text(&["ZCARD", &format!("fusebox:{{acme}}:d:messages:{session}")])
    }

    /// Checks the total, and that nothing is missing.
    fn is_exact(&self, s: u64, all: u64) {
        assert_eq!((used(&self.home, "s", "session").0, used(&self.home, "s", "all").0), (s, all));
        let found = self.home.fusebox(&["resync", "--json"]).json();
        assert_eq!((&found["requests_added"], &found["budgets"]), (&json!(0), &json!([])), "{found}");
    }
}

fn start(home: &Home, session: &str) {
    let ran = home.hook("SessionStart", session, json!({"source": "startup"}));
    assert!(ran.is_silent(), "{ran:?}");
}

/// Runs a session from start to end, with messages of 100 tokens.
fn live_through(home: &Home, session: &str, messages: std::ops::RangeInclusive<usize>) {
    start(home, session);
    assert!(respond(home, session, messages).is_silent());
    assert!(home.hook("SessionEnd", session, json!({"reason": "other"})).is_silent());
}

/// The marks of caches with unreported data.
fn marks(home: &Home) -> Vec<String> {
    let files = home.path("cache").read_dir().unwrap();
    let names = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".owes")).collect()
}

/// A session as `status --all` lists it.
fn listed(home: &Home, session: &str) -> Option<Value> {
    let all = home.fusebox(&["status", "--all", "--json"]).json();
    all.as_array().unwrap().iter().find(|status| status["session"] == session).cloned()
}

#[test]
fn another_sessions_start_tells_of_it() {
    let stage = Stage::new();
    stage.go_away();
    live_through(&stage.home, "t", 21..=24);
    assert_eq!(marks(&stage.home), ["guardrails-t.owes"]);
    stage.come_back();
    assert_eq!(stage.recorded("t"), "0");
    start(&stage.home, "new");
    assert_eq!(stage.recorded("t"), "4");
    let ended = stage.server.text(&["HGET", "fusebox:{acme}:d:live:t", "ended"]);
    assert!(ended.parse::<i64>().is_ok(), "that it has ended is known, too: {ended}");
    assert_eq!(marks(&stage.home), [""; 0]);
    stage.is_exact(300, 700);
}

#[test]
fn a_command_tells_of_it() {
    let stage = Stage::new();
    stage.go_away();
    live_through(&stage.home, "t", 21..=24);
    stage.come_back();
    let found = listed(&stage.home, "t").expect("it is listed");
    assert_eq!((&found["requests"], &found["budgets"][0]["used"]), (&json!(4), &json!(400)));
    let said = stage.home.fusebox(&["status", "--session", "t"]).stdout;
    assert!(said.starts_with("Session t  ended\n"), "{said}");
    stage.is_exact(300, 700);
    // The same, without a list of sessions.
    stage.go_away();
    live_through(&stage.home, "u", 31..=32);
    stage.come_back();
    let budget = stage.home.fusebox(&["budget", "show", "all", "--json"]).json();
    assert_eq!(budget["budget"]["used"], 900, "{budget}");
    assert_eq!(marks(&stage.home), [""; 0]);
}

#[test]
fn resync_tells_of_it() {
    let stage = Stage::new();
    stage.go_away();
    live_through(&stage.home, "t", 21..=24);
    stage.come_back();
    let found = stage.home.fusebox(&["resync", "--json"]).json();
    assert_eq!(found["requests_added"], 4, "{found}");
    assert_eq!(marks(&stage.home), [""; 0]);
    stage.is_exact(300, 700);
}

/// The session was completely known, and continued while the store was unreachable.
#[test]
fn resumed_for_as_long() {
    let stage = Stage::new();
    live_through(&stage.home, "t", 21..=22);
    let settle = || stage.home.fusebox(&["status", "--all"]);
    let complete = || stage.server.text(&["HEXISTS", "fusebox:{acme}:d:live:t", "complete"]) == "1";
    let since = std::time::Instant::now();
    while !complete() {
        assert!(since.elapsed() < crate::redis::PATIENCE);
        settle();
    }
    stage.go_away();
    live_through(&stage.home, "t", 23..=25);
    stage.come_back();
    start(&stage.home, "new");
    assert_eq!(stage.recorded("t"), "5");
    stage.is_exact(300, 800);
}

/// The store only knows its start.
#[test]
fn only_its_start_was_heard() {
    let stage = Stage::new();
    start(&stage.home, "t");
    stage.go_away();
    respond(&stage.home, "t", 21..=24);
    stage.home.hook("SessionEnd", "t", json!({"reason": "other"}));
    stage.come_back();
    start(&stage.home, "new");
    assert_eq!((stage.recorded("t").as_str(), marks(&stage.home)), ("4", vec![]));
    stage.is_exact(300, 700);
}

/// It ended here, and continued where the store was reachable: it is live.
#[test]
fn it_went_on_elsewhere() {
    let stage = Stage::new();
    stage.go_away();
    live_through(&stage.home, "t", 21..=22);
    stage.come_back();
    let elsewhere = home_at(&stage.proxy.url());
    elsewhere.configure(BUDGETS);
    start(&elsewhere, "t");
    respond(&elsewhere, "t", 23..=23);
    start(&stage.home, "new");
    assert_eq!((stage.recorded("t").as_str(), marks(&stage.home)), ("3", vec![]));
    assert_eq!(stage.server.text(&["HEXISTS", "fusebox:{acme}:d:live:t", "ended"]), "0");
    stage.is_exact(300, 600);
}

/// A session start reports some of them, the next one the rest.
#[test]
fn a_start_does_not_take_long_however_many_there_are() {
    let stage = Stage::new();
    stage.go_away();
    for n in 0..10 {
        live_through(&stage.home, &format!("t{n}"), n + 20..=n + 20);
    }
    stage.come_back();
    start(&stage.home, "new");
    let left = marks(&stage.home).len();
    assert!(left >= 2, "eight at most: {left} of 10 are left");
    for round in 0.. {
        if marks(&stage.home).is_empty() {
            break;
        }
        assert!(round < 20, "{:?}", marks(&stage.home));
        start(&stage.home, &format!("newer{round}"));
    }
    stage.is_exact(300, 1300);
}

/// It had its own variables: it is charged as at that time, by the dates of its messages.
#[test]
fn it_is_charged_as_its_hooks_saw_it() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let of =
        |home: Home| home.var("FUSEBOX_STORE_REDIS_URL", &proxy.url()).var("FUSEBOX_STORE_TENANT", "acme");
    let home = of(Home::new()).var("FUSEBOX_STORE_TEAM", "core").var("FUSEBOX_TASK_TYPE", "migration");
    let home = home.var("FUSEBOX_TASK_TYPE_MIGRATION", "1_000_000");
    let budget = |scope: &str| {
        format!("[[budget]]\nname = \"{scope}\"\nscope = \"{scope}\"\nlimit = 1_000_000\nwindow = \"day\"\n")
    };
    home.configure(&["user", "team", "task_type", "model", "agent_type"].map(budget).concat());
    proxy.behave(Manner::CutRequests);
    start(&home, "t");
    // A message of another day does not count today.
    home.append(&home.transcript("t"), &[message(1, 5000, 0)]);
    respond(&home, "t", 2..=3);
    home.hook("SessionEnd", "t", json!({"reason": "other"}));
    proxy.behave(Manner::Pass);
    let mut later = home.command("fusebox");
    later.env_remove("FUSEBOX_STORE_TEAM").env_remove("FUSEBOX_TASK_TYPE");
    let listed = crate::harness::run(later.args(["budget", "list", "--all", "--json"]), b"").json();
    let shown: Vec<(&str, &str, u64)> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|b| (b["name"].as_str().unwrap(), b["value"].as_str().unwrap(), b["used"].as_u64().unwrap()))
        .filter(|(name, ..)| !["session", "task"].contains(name))
        .collect();
    let expected = [
        ("user", "tester", 200),
        ("team", "core", 200),
        ("task_type", "migration", 200),
        ("model", "claude-test-1", 200),
        ("agent_type", "main", 200),
    ];
    assert_eq!(shown, expected);
}

#[test]
fn with_the_embedded_store() {
    let home = Home::new();
    home.configure(BUDGETS);
    start(&home, "s");
    respond(&home, "s", 1..=3);
    std::fs::rename(home.path("state"), home.path("elsewhere")).unwrap();
    // A file instead of the folder.
    std::fs::write(home.path("state"), "").unwrap();
    live_through(&home, "t", 21..=24);
    live_through(&home, "u", 31..=32);
    std::fs::remove_file(home.path("state")).unwrap();
    std::fs::rename(home.path("elsewhere"), home.path("state")).unwrap();
    assert_eq!(marks(&home).len(), 2);
    start(&home, "new");
    assert_eq!(marks(&home), [""; 0]);
    assert_eq!((used(&home, "t", "session").0, used(&home, "u", "session").0), (400, 200));
    assert_eq!(used(&home, "s", "all").0, 900);
}
