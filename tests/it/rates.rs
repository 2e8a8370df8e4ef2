//! Budgets over short periods, and budgets of each member of a team: with the hooks, on both stores.

use serde_json::{Value, json};

use crate::harness::{Home, Ran, message};
use crate::redis::Server;

const HOUR: i64 = 3_600_000;
const MINUTE: i64 = 60_000;

/// Runs a test on a home with each kind of store, with a clock that it can move.
fn on_both_stores(test: impl Fn(&Home)) {
    let with_clock = |home: Home| {
        let clock = home.path("clock").display().to_string();
        home.var("FUSEBOX_TEST_CLOCK", &clock)
    };
    test(&with_clock(Home::new()));
    let server = Server::start();
    test(&with_clock(Home::new().var("FUSEBOX_STORE_REDIS_URL", &server.url())));
}

/// Sets the clock of hooks: a minute after the start of this hour, or of one of the next ones. The time then.
fn set_clock(home: &Home, hours: i64) -> i64 {
    let now = fusebox::platform::clock().0;
    // Today's first hour, so that no test runs over the end of a period.
    let at = now.div_euclid(24 * HOUR) * 24 * HOUR + hours * HOUR + MINUTE;
    std::fs::write(home.path("clock"), (at - now).to_string()).unwrap();
    at
}

/// A response at this time, and the hook after its call.
fn respond(home: &Home, session: &str, n: usize, tokens: u64, at: i64) -> Ran {
    let mut line = message(n, tokens, 0);
    line["timestamp"] = json!(chrono::DateTime::from_timestamp_millis(at).unwrap().to_rfc3339());
    home.append(&home.transcript(session), &[line]);
    home.hook("PostToolUse", session, json!({"tool_use_id": format!("toolu_{n}")}))
}

fn ask(home: &Home, session: &str) -> Ran {
    home.hook("PreToolUse", session, json!({"tool_use_id": "toolu_next"}))
}

fn is_denied(ran: &Ran) -> bool {
    !ran.stdout.is_empty() && ran.json()["hookSpecificOutput"]["permissionDecision"] == "deny"
}

fn budget(home: &Home, session: &str, name: &str) -> Value {
    let status = home.status(session);
    status["budgets"].as_array().unwrap().iter().find(|b| b["name"] == name).unwrap_or(&Value::Null).clone()
}

#[test]
fn a_rate_pauses_until_its_period_is_over() {
    if !cfg!(feature = "test-clock") {
        return;
    }
    on_both_stores(|home| {
        home.configure("[[rate]]\nname = \"burst\"\nlimit = 1_000\nminutes = 60\n");
        let first = set_clock(home, 1);
        let end = fusebox::domain::time::Timestamp(first - MINUTE + HOUR).to_rfc3339();
        assert!(respond(home, "s", 1, 600, first).is_silent(), "no threshold below the limit");
        assert!(!is_denied(&ask(home, "s")));
        let over = respond(home, "s", 2, 600, first);
        let resets = format!("It resets at {end}. To continue before that");
        assert!(over.stdout.contains(&resets), "{over:?}");
        let denied = ask(home, "s");
        assert!(is_denied(&denied), "{denied:?}");
        assert!(denied.stdout.contains("budget burst reached: 1,200 / 1,000 tokens"), "{denied:?}");
        assert!(denied.stdout.contains(&resets), "{denied:?}");
        let prompt = home.hook("UserPromptSubmit", "s", json!({"prompt": "go on"})).stdout;
        assert!(prompt.contains(&end), "{prompt}");
        let shown = budget(home, "s", "burst");
        let (used, window) = (&shown["used"], &shown["window"]);
        assert_eq!((used, window, &shown["resets_at"]), (&json!(1200), &json!("1h"), &json!(end)));

        let second = set_clock(home, 2);
        assert!(!is_denied(&ask(home, "s")), "the next period");
        respond(home, "s", 3, 400, second);
        assert!(!is_denied(&ask(home, "s")));
        assert_eq!(budget(home, "s", "burst")["used"], 400);
        assert_eq!(home.journal(), "");
    });
}

#[test]
fn the_reset_is_named_in_the_zone_of_the_budget() {
    on_both_stores(|home| {
        let text = "[[budget]]\nname = \"daily\"\nscope = \"user\"\nwindow = \"day\"\ntimezone = \"Asia/Kathmandu\"\nlimit = 100\n\
                    wrap_up = 0\n";
        home.configure(text);
        respond(home, "s", 1, 500, fusebox::platform::clock().0);
        let denied = ask(home, "s");
        assert!(is_denied(&denied), "{denied:?}");
        let reason =
            denied.json()["hookSpecificOutput"]["permissionDecisionReason"].as_str().unwrap().to_owned();
        assert!(reason.contains("T00:00:00+05:45. To continue before that"), "{reason}");
        let prompt = home.hook("UserPromptSubmit", "s", json!({"prompt": "x"})).json();
        assert!(prompt["reason"].as_str().unwrap().contains("T00:00:00+05:45"), "{prompt}");
    });
}

#[test]
fn only_warnings_name_the_reset_too() {
    on_both_stores(|home| {
        home.configure("[[budget]]\nname = \"w\"\nscope = \"user\"\nwindow = \"week\"\nlimit = 100\non_limit = \"warn\"\n");
        let said = respond(home, "s", 1, 500, fusebox::platform::clock().0).json();
        let said = said["systemMessage"].as_str().unwrap();
        assert!(
            said.contains("It is over its limit, and resets at ") && said.ends_with("T00:00:00Z."),
            "{said}"
        );
        let prompt = home.hook("UserPromptSubmit", "s", json!({"prompt": "x"})).stdout;
        assert!(prompt.contains("paused, resets at "), "{prompt}");
    });
}

/// A budget of each member of a team.
const EACH: &str = "[store]\nteam = \"core\"\n[[budget]]\nname = \"each\"\nscope = \"team\"\nper = \"user\"\nwindow = \"month\"\n\
                    limit = 1000\nthresholds = [1.0]\nwrap_up = 0\n";

#[test]
fn each_member_of_a_team_has_a_limit_of_their_own() {
    let server = Server::start();
    let member = |user: &str| {
        let home = Home::new().var("FUSEBOX_STORE_REDIS_URL", &server.url()).var("FUSEBOX_USER", user);
        home.configure(EACH);
        home
    };
    let [ann, bob, again] = ["ann", "bob", "ann"].map(member);
    let now = fusebox::platform::clock().0;
    let used = |home: &Home| {
        let shown = home.fusebox(&["budget", "show", "each", "--json"]).json()["budget"].clone();
        (shown["value"].as_str().unwrap().to_owned(), shown["used"].as_u64().unwrap())
    };
    respond(&ann, "a", 1, 700, now);
    respond(&bob, "b", 2, 700, now);
    assert!(!is_denied(&ask(&ann, "a")) && !is_denied(&ask(&bob, "b")), "1,400 in the team");
    // The same person on another machine.
    respond(&again, "c", 3, 400, now);
    let denied = ask(&again, "c");
    assert!(is_denied(&denied) && denied.stdout.contains("(member core/ann)"), "{denied:?}");
    respond(&ann, "a", 4, 1, now);
    assert!(is_denied(&ask(&ann, "a")));
    respond(&bob, "b", 5, 1, now);
    assert!(!is_denied(&ask(&bob, "b")));
    assert_eq!([used(&ann), used(&bob)], [("core/ann".into(), 1101), ("core/bob".into(), 701)]);
    let extend = ["budget", "extend", "each", "--tokens", "500", "--reason", "a test"];
    assert_eq!(ann.fusebox(&extend).code, 0);
    assert!(!is_denied(&ask(&ann, "a")));
    respond(&bob, "b", 6, 300, now);
    assert!(is_denied(&ask(&bob, "b")), "extended for ann only");
}

#[test]
fn a_member_is_counted_in_the_embedded_store_and_others_are_not() {
    let home = Home::new().var("FUSEBOX_USER", "ann");
    home.configure(&format!("{EACH}match = \"core/b*\"\n"));
    let now = fusebox::platform::clock().0;
    respond(&home, "s", 1, 5_000, now);
    assert!(!is_denied(&ask(&home, "s")), "the budget is for others");
    home.configure(EACH);
    respond(&home, "s", 2, 1, now);
    assert!(is_denied(&ask(&home, "s")));
    assert_eq!(budget(&home, "s", "each")["value"], "core/ann");
    home.configure(&EACH.replace("[store]\nteam = \"core\"\n", ""));
    let check = home.fusebox(&["config", "check"]);
    assert!(check.code == 0 && check.stdout.contains("budget.each.scope: counts nothing without store.team"));
}
