//! A shared store that fails in every possible way: hooks count locally, back off, and everything counts once when it
//! returns.

use std::time::Duration;

use redis::Value;
use serde_json::json;

use super::{home_at, respond, used};
use crate::harness::{Home, Ran};
use crate::redis::{Manner, Options, Proxy, Server};

/// One budget of a thousand tokens, with no alert before its limit.
const THOUSAND: &str =
    "prompt_line = \"never\"\n[[budget]]\nname = \"session\"\nlimit = 1_000\nthresholds = [1.0]\n";

fn ask(home: &Home) -> Ran {
    home.hook("PreToolUse", "s", json!({"tool_name": "Bash", "tool_input": {"command": "ls"}}))
}

/// The number of lines in the journal.
fn noted(home: &Home) -> usize {
    home.journal().lines().count()
}

/// A server behind a proxy, and a home that uses it.
struct Stage {
    server: Server,
    proxy: Proxy,
    home: Home,
}

impl Stage {
    fn of(options: Options, timeout: &str, url: impl Fn(&Proxy) -> String) -> Self {
        let server = options.start();
        let proxy = Proxy::to(&server);
        let home = home_at(&url(&proxy)).var("FUSEBOX_STORE_REDIS_TIMEOUT_MS", timeout);
        home.configure(THOUSAND);
        Self { server, proxy, home }
    }

    /// From a store that works to one that fails (`spoil`), and back (`fix`); the journal says `problem`.
    fn goes_through(self, problem: &str, spoil: impl Fn(&Server, &Proxy), fix: impl Fn(&Server, &Proxy)) {
        let Self { server, proxy, home } = &self;
        assert!(respond(home, "s", 1..=3).is_silent());
        assert_eq!(home.journal(), "", "{problem}");
        spoil(server, proxy);
        home.hurry(true);
        // Counted locally while it cannot be recorded.
        assert!(respond(home, "s", 4..=5).is_silent(), "{problem}");
        let journal = home.journal();
        assert!(noted(home) == 1 && journal.contains(problem), "{problem}: {journal}");
        proxy.take();
        assert!(ask(home).is_silent(), "{problem}: 500 of 1,000 tokens");
        assert!(respond(home, "s", 6..=9).is_silent(), "{problem}");
        assert!(home.hook("UserPromptSubmit", "s", json!({"prompt": "go on"})).is_silent(), "{problem}");
        let over = respond(home, "s", 10..=11);
        assert_eq!(over.code, 0, "{over:?}");
        let denied = ask(home);
        assert!(denied.code == 0 && denied.stdout.contains("1,100 / 1,000"), "{problem}: {denied:?}");
        assert_eq!(proxy.take().connections, 0, "{problem}: nobody asks for a while");
        assert_eq!(noted(home), 1, "{problem}: {}", home.journal());
        fix(server, proxy);
        home.hurry(false);
        home.wake_store("s");
        respond(home, "s", 12..=12);
        assert_eq!(used(home, "s", "session").0, 1200, "{problem}");
        // No trace remains, in the counters' inputs either.
        let resynced = home.fusebox(&["resync", "--json"]).json();
        assert_eq!((&resynced["requests_added"], &resynced["budgets"]), (&json!(0), &json!([])), "{problem}");
        assert!(ask(home).stdout.contains("1,200 / 1,000"), "{problem}: it holds");
    }
}

/// A timeout that a healthy server keeps on a busy machine.
const LONG: &str = "1000";

fn plain(timeout: &str) -> Stage {
    Stage::of(Options::default(), timeout, Proxy::url)
}

fn pass(_: &Server, proxy: &Proxy) {
    proxy.behave(Manner::Pass);
}

#[test]
fn out_of_reach() {
    let stage = plain(LONG);
    stage.goes_through(
        "cannot be reached: it closed the connection",
        |_, p| p.behave(Manner::CutRequests),
        pass,
    );
}

/// The request was recorded, but the reply was lost.
#[test]
fn cut_off_before_the_answer() {
    let stage = plain(LONG);
    stage.goes_through(
        "cannot be reached: it closed the connection",
        |_, p| p.behave(Manner::CutReplies),
        pass,
    );
}

#[test]
fn slow() {
    let stage = plain("400");
    let pause = Duration::from_millis(900);
    stage.goes_through("no answer in time", |_, p| p.behave(Manner::Delay(pause)), pass);
}

/// Each reply is in time, but all together take longer than a hook may.
#[test]
fn slow_at_each_step() {
    let Stage { server: _server, proxy, home } = plain(LONG);
    respond(&home, "s", 1..=3);
    proxy.behave(Manner::Delay(Duration::from_millis(150)));
    home.hurry(true);
    assert!(home.hook("SessionStart", "s", json!({"source": "resume"})).is_silent());
    let journal = home.journal();
    assert!(noted(&home) == 1 && journal.contains("the store answers too slowly"), "{journal}");
    proxy.take();
    respond(&home, "s", 4..=4);
    assert_eq!(proxy.take().connections, 0);
    proxy.behave(Manner::Pass);
    home.hurry(false);
    home.wake_store("s");
    assert_eq!(used(&home, "s", "session").0, 400);
}

#[test]
fn hanging() {
    let stage = plain("400");
    stage.goes_through("no answer in time", |server, _| server.stop(), |server, _| server.cont());
}

#[test]
fn garbage() {
    let stage = plain(LONG);
    let answer = Manner::Answer(b"HTTP/1.1 400 Bad Request\r\n\r\n".into());
    stage.goes_through("is not the Redis that was expected", move |_, p| p.behave(answer.clone()), pass);
}

#[test]
fn an_answer_to_another_question() {
    let stage = plain(LONG);
    let answer = Manner::Answer(b"+OK\r\n".into());
    stage.goes_through("Fusebox does not understand", move |_, p| p.behave(answer.clone()), pass);
}

#[test]
fn full() {
    let stage = plain(LONG);
    let limit = |bytes: &'static str| {
        move |server: &Server, _: &Proxy| drop(server.command(&["CONFIG", "SET", "maxmemory", bytes]))
    };
    stage.goes_through("is full", limit("1"), limit("0"));
}

#[test]
fn read_only() {
    let stage = plain(LONG);
    stage.goes_through(
        "is a read-only replica",
        |server, _| drop(server.command(&["REPLICAOF", "127.0.0.1", "1"])),
        |server, _| drop(server.command(&["REPLICAOF", "NO", "ONE"])),
    );
}

#[test]
fn another_password() {
    let users = "user default on nopass ~* &* +@all\nuser hooks on >right ~* &* +@all\n";
    let as_user = |proxy: &Proxy| proxy.url().replace("//", "//hooks@");
    let server = Options::default().acl(users).start();
    let proxy = Proxy::to(&server);
    let home = home_at(&as_user(&proxy));
    let file = home.path("password");
    std::fs::write(&file, "right\n").unwrap();
    let home = home.var("FUSEBOX_STORE_REDIS_PASSWORD_FILE", file.to_str().unwrap());
    home.configure(THOUSAND);
    let set = |rule: &'static str| {
        move |server: &Server, _: &Proxy| {
            assert_eq!(server.text(&["ACL", "SETUSER", "hooks", "resetpass", rule]), "OK");
        }
    };
    Stage { server, proxy, home }.goes_through("refuses the login", set(">changed"), set(">right"));
}

/// With data of another type at each key in turn, a step is done completely or not at all.
#[test]
fn a_key_of_another_type() {
    let Stage { server, proxy: _proxy, home } = plain(LONG);
    home.fusebox(&["init"]);
    // Counters that are not displayed count as well.
    let types =
        "[[budget]]\nname = \"types\"\nscope = \"agent_type\"\nlimit = 1_000_000\nwindow = \"month\"\n";
    let all = format!("{THOUSAND}{types}");
    home.configure(&all);
    home.hook("SessionStart", "s", json!({"source": "startup"}));
    // Past the limit, so that there are alerts as well.
    respond(&home, "s", 1..=11);
    home.configure(THOUSAND);
    let keys: Vec<String> = server.text(&["KEYS", "*"]).lines().map(str::to_owned).collect();
    assert!(keys.len() > 20, "{keys:?}");
    let (mut failed, mut n) = (0, 11);
    for key in &keys {
        // Claims expire, and empty lists disappear.
        let Value::BulkString(kept) = server.command(&["DUMP", key]) else { continue };
        n += 1;
        let is_text = server.text(&["TYPE", key]) == "string";
        server.command(&["DEL", key]);
        server.command(&[if is_text { "LPUSH" } else { "SET" }, key, "other"]);
        let before = noted(&home);
        // Denied or not, the store and the session's local count agree.
        let ran = respond(&home, "s", n..=n);
        assert!(ran.code == 0 && ran.stderr.is_empty(), "{key}: {ran:?}");
        let journal = home.journal();
        let said: Vec<&str> = journal.lines().skip(before).collect();
        assert!(
            said.iter().all(|line| line.contains("holds other data under a key of Fusebox")),
            "{key}: {said:?}"
        );
        assert!(said.len() <= 1, "{key}: {said:?}");
        server.restore(key, &kept);
        if !said.is_empty() {
            failed += 1;
            home.wake_store("s");
        }
        home.hook("PostToolUse", "s", json!({}));
        let tokens = n as u64 * 100;
        assert_eq!(used(&home, "s", "session").0, tokens, "{key}");
    }
    home.configure(&all);
    home.hook("PostToolUse", "s", json!({}));
    let tokens = n as u64 * 100;
    assert_eq!((used(&home, "s", "session").0, used(&home, "s", "types").0), (tokens, tokens));
    assert!(failed > 5, "{failed} of {} keys are looked at", keys.len());
    let found = home.fusebox(&["resync", "--json"]).json();
    assert_eq!((&found["requests_added"], &found["budgets"]), (&json!(0), &json!([])), "{found}");
}

#[test]
fn asked_again_after_a_while() {
    let Stage { server: _server, proxy, home } = plain(LONG);
    let clock = home.path("clock");
    let home = home.var("FUSEBOX_TEST_CLOCK", &clock.to_string_lossy());
    respond(&home, "s", 1..=3);
    proxy.behave(Manner::CutRequests);
    for (after_ms, asks) in [(0, true), (4_000, false), (60_000, cfg!(feature = "test-clock"))] {
        std::fs::write(&clock, after_ms.to_string()).unwrap();
        proxy.take();
        respond(&home, "s", 4..=4);
        assert_eq!(proxy.take().connections > 0, asks, "after {after_ms} ms");
    }
}

#[test]
fn as_the_budget_says() {
    for (how, denied) in [("local", false), ("allow", false), ("deny", true)] {
        let Stage { server: _server, proxy, home } = plain(LONG);
        home.configure(&THOUSAND.replace("limit", &format!("store_down = \"{how}\"\nlimit")));
        respond(&home, "s", 1..=3);
        proxy.behave(Manner::CutRequests);
        respond(&home, "s", 4..=4);
        assert_eq!(!ask(&home).is_silent(), denied, "{how}, below the limit");
        respond(&home, "s", 5..=11);
        assert_eq!(ask(&home).is_silent(), how == "allow", "{how}, past the limit");
        proxy.behave(Manner::Pass);
        home.wake_store("s");
        assert!(ask(&home).stdout.contains("1,100 / 1,000"), "{how}: it is back");
    }
}
