//! Budgets in percent of a subscription's windows, on both stores. The client's status line is not run here: the file that
//! it leaves is written as [`fusebox::store::plan_file`] writes it.

use serde_json::{Value, json};

use crate::harness::{Home, Ran, message};
use crate::redis::{Proxy, Server};

const HOUR: i64 = 3_600_000;

const PLAN: &str = "[[budget]]\nname = \"plan\"\nscope = \"user\"\nunit = \"percent\"\nwindow = \"plan_5h\"\nlimit = 90\nwrap_up = 0\n";

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

/// The end of a window that has this long to go.
fn ends_in(ms: i64) -> i64 {
    (fusebox::platform::clock().0 + ms) / 1000 * 1000
}

/// What the file says of a window: `used` in hundredths of a percent.
fn window(used: u64, resets_at: i64) -> Value {
    let reading = json!({"used": used, "resets_at": resets_at, "at": resets_at - HOUR});
    json!({"reading": reading, "samples": []})
}

/// The client says how much of the five hours is used.
fn say(home: &Home, used: u64, resets_at: i64) {
    write(home, &json!({"plan_5h": window(used, resets_at)}).to_string());
}

fn write(home: &Home, text: &str) {
    std::fs::create_dir_all(home.path("state")).unwrap();
    std::fs::write(home.path("state/plan.json"), text).unwrap();
}

/// A response with a call, and the hook after the call.
fn work(home: &Home, session: &str, n: usize) -> Ran {
    home.append(&home.transcript(session), &[message(n, 10, 10)]);
    home.hook("PostToolUse", session, json!({}))
}

fn call(home: &Home) -> Ran {
    home.hook("PreToolUse", "s", json!({"tool_use_id": "toolu_9", "tool_name": "Bash", "tool_input": {}}))
}

fn is_denied(ran: &Ran) -> bool {
    ran.stdout.contains("\"permissionDecision\":\"deny\"")
}

fn decide(home: &Home, arguments: &[&str]) -> Ran {
    home.fusebox(&[&["budget"], arguments, &["--reason", "r", "--json"]].concat())
}

/// The budget among those that `status` lists with numbers.
fn shown(home: &Home) -> Option<Value> {
    let status = home.status("s");
    status["budgets"].as_array().unwrap().iter().find(|budget| budget["name"] == "plan").cloned()
}

#[test]
fn the_written_file_is_what_the_program_writes() {
    use fusebox::domain::plan::{PlanReading, PlanWindow};
    use fusebox::domain::time::Timestamp;
    use fusebox::store::plan_file::{FILE, Plan};
    let folder = tempfile::tempdir().unwrap();
    let reading = PlanReading { used: 8_750, resets_at: Timestamp(5 * HOUR), at: Timestamp(4 * HOUR) };
    Plan::default().note(folder.path(), &[(PlanWindow::FiveHours, reading)]).unwrap();
    let written: Value = serde_json::from_slice(&std::fs::read(folder.path().join(FILE)).unwrap()).unwrap();
    assert_eq!(written, json!({"plan_5h": window(8_750, 5 * HOUR)}));
}

#[test]
fn it_holds_until_a_person_extends_it_or_the_window_ends() {
    on_both_stores(|home| {
        let clock = home.path("clock");
        let moved = |ms: i64| std::fs::write(&clock, ms.to_string()).unwrap();
        home.configure(PLAN);
        let end = ends_in(HOUR);
        say(home, 8_999, end);
        work(home, "s", 1);
        assert!(!is_denied(&call(home)));
        say(home, 9_100, end);
        let denied = call(home);
        assert!(is_denied(&denied), "{denied:?}");
        assert!(denied.stdout.contains("budget plan (user tester) reached: 91.00% / 90.00%."), "{denied:?}");
        assert!(denied.stdout.contains("It resets at "), "{denied:?}");
        assert!(denied.stdout.contains("--value 'tester' --percent N --reason"), "{denied:?}");
        let prompted = home.hook("UserPromptSubmit", "s", json!({"prompt": "work"}));
        assert!(prompted.stdout.contains("reached: 91.00% / 90.00%"), "{prompted:?}");

        let wrong = decide(home, &["extend", "plan", "--tokens", "5"]);
        assert!(wrong.code == 2 && wrong.stderr.contains("counts percent: use --percent N"), "{wrong:?}");
        for amount in ["2.005", "-1", "five", "$5"] {
            assert_eq!(decide(home, &["extend", "plan", "--percent", amount]).code, 2, "{amount}");
        }
        let extended = decide(home, &["extend", "plan", "--percent", "2.5"]).json();
        assert_eq!(
            [&extended["operation"]["amount"], &extended["before"]["limit"], &extended["after"]["limit"]],
            [&json!(2.5), &json!(90.0), &json!(92.5)],
            "{extended}"
        );
        assert!(!is_denied(&call(home)));
        say(home, 9_250, end);
        assert!(is_denied(&call(home)));

        if cfg!(feature = "test-clock") {
            // The next window has the configured limit.
            moved(2 * HOUR);
            assert!(!is_denied(&call(home)), "nothing is known");
            say(home, 9_100, end + 5 * HOUR);
            assert!(is_denied(&call(home)));
            moved(0);
        }
    });
}

#[test]
fn a_new_reading_counts_while_the_cache_is_fresh() {
    on_both_stores(|home| {
        home.configure(PLAN);
        work(home, "s", 1);
        assert!(call(home).is_silent(), "nothing is known");
        // The first reading: the cached answer of the store has no such budget.
        let end = ends_in(HOUR);
        say(home, 9_000, end);
        assert!(is_denied(&call(home)));
        decide(home, &["extend", "plan", "--percent", "5"]).json();
        assert!(!is_denied(&call(home)));
        assert!(!is_denied(&call(home)));
        say(home, 9_500, end);
        assert!(is_denied(&call(home)));
    });
}

/// A store then has no counter to read.
#[test]
fn it_holds_without_any_other_budget() {
    on_both_stores(|home| {
        home.configure(&format!("[[budget]]\nname = \"session\"\nenabled = false\n{PLAN}"));
        let end = ends_in(HOUR);
        say(home, 8_100, end);
        assert!(work(home, "s", 1).stdout.contains("budget plan: 81.00% used"));
        assert!(call(home).is_silent());
        say(home, 9_000, end);
        assert!(work(home, "s", 2).stdout.contains("It is over its limit."));
        assert!(is_denied(&call(home)));
        assert_eq!(home.status("s")["budgets"].as_array().unwrap().len(), 1);
        assert_eq!(home.journal(), "");
    });
}

#[test]
fn a_reading_below_the_limit_asks_no_store() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let home = Home::new().var("FUSEBOX_STORE_REDIS_URL", &proxy.url());
    home.configure(PLAN);
    let end = ends_in(HOUR);
    work(&home, "s", 1);
    proxy.take();
    for used in [1_000, 4_600, 8_999] {
        say(&home, used, end);
        assert!(call(&home).is_silent());
        assert_eq!(proxy.take().connections, 0, "{used}");
    }
    // The thresholds are told with the next response, in one more request. After that, there is nothing to tell.
    let told = work(&home, "s", 2);
    assert!(told.stdout.contains("budget plan: 89.99% used, the limit is 90.00%"), "{told:?}");
    proxy.take();
    assert!(work(&home, "s", 3).is_silent());
    let seen = proxy.take();
    assert_eq!((seen.connections, seen.requests.len()), (1, 1));
}

#[test]
fn without_its_store_the_limit_holds() {
    let mut server = Server::start();
    let home = Home::new().var("FUSEBOX_STORE_REDIS_URL", &server.url());
    for store_down in ["local", "allow", "deny"] {
        home.configure(&format!("{PLAN}store_down = \"{store_down}\"\n"));
        let end = ends_in(HOUR);
        say(&home, 100, end);
        work(&home, "s", 1);
        server.kill();
        work(&home, "s", 2);
        assert_eq!(is_denied(&call(&home)), store_down == "deny", "{store_down}");
        say(&home, 9_000, end);
        assert!(is_denied(&call(&home)), "{store_down}");
        assert_eq!(shown(&home).unwrap()["used"], 90.0, "{store_down}");
        server.restart();
        home.wake_store("s");
    }
}

#[test]
fn a_window_that_is_over_is_unknown() {
    if !cfg!(feature = "test-clock") {
        return;
    }
    on_both_stores(|home| {
        let clock = home.path("clock");
        home.configure(PLAN);
        say(home, 9_900, ends_in(HOUR));
        work(home, "s", 1);
        assert!(is_denied(&call(home)));
        std::fs::write(&clock, (2 * HOUR).to_string()).unwrap();
        assert!(call(home).is_silent());
        let status = home.status("s");
        assert_eq!(status["plan"], json!({"five_hour": null, "seven_day": null}));
        assert_eq!(shown(home), None, "never as 0");
        let unknown = &status["unknown_budgets"][0];
        assert_eq!((&unknown["name"], &unknown["status"]), (&json!("plan"), &json!("unknown")), "{unknown}");
        assert!(unknown["reason"].as_str().unwrap().contains("last spoke of ended at 20"), "{unknown}");
        std::fs::write(&clock, "0").unwrap();
    });
}

#[test]
fn what_is_unknown_is_said() {
    on_both_stores(|home| {
        home.configure(PLAN);
        work(home, "s", 1);
        assert!(home.hook("UserPromptSubmit", "s", json!({"prompt": "work"})).stdout.find("plan").is_none());
        let says = "plan (user tester): unknown, so it allows everything: the client has not said anything about this window yet. \
                    Fusebox's status line, which `fusebox init` sets, learns it from the client";
        let commands = [
            &["status", "--session", "s"][..],
            &["budget", "list"],
            &["budget", "show", "plan"],
            &["doctor"],
        ];
        for command in commands {
            let ran = home.fusebox(command);
            let text = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(text.contains(says), "{ran:?}");
        }
        let listed = home.fusebox(&["budget", "list", "--all", "--json"]).json();
        let listed =
            listed.as_array().unwrap().iter().find(|budget| budget["name"] == "plan").unwrap().clone();
        assert_eq!(
            ["status", "unit", "window", "value"].map(|key| &listed[key]),
            ["unknown", "percent", "plan_5h", "tester"],
            "{listed}"
        );
        assert_eq!((&listed["limit"], &listed["used"]), (&json!(90.0), &Value::Null), "{listed}");
        let shown = home.fusebox(&["budget", "show", "plan", "--json"]).json();
        assert_eq!((&shown["budget"], &shown["unknown"]["status"]), (&Value::Null, &json!("unknown")));
        // A decision would apply to no window.
        for decision in [&["extend", "plan", "--percent", "5"][..], &["delete", "plan"], &["reset", "plan"]] {
            let refused = decide(home, decision);
            assert!(refused.code == 2 && refused.stderr.contains("unknown"), "{refused:?}");
        }
    });
}

#[test]
fn an_alert_is_raised_once_per_threshold_and_window() {
    on_both_stores(|home| {
        home.configure(PLAN);
        // The next window begins soon: by the clock of another computer, it did already.
        let end = ends_in(HOUR / 3);
        say(home, 4_499, end);
        assert!(work(home, "s", 1).is_silent());
        say(home, 4_500, end);
        let told = work(home, "s", 2).json()["systemMessage"].as_str().unwrap().to_owned();
        assert!(told.starts_with("Fusebox: budget plan: 45.00% used, the limit is 90.00%"), "{told}");
        assert!(work(home, "s", 3).is_silent());
        say(home, 4_600, end);
        assert!(work(home, "s", 4).is_silent());
        assert!(work(home, "other", 5).is_silent(), "told in another session");
        say(home, 9_000, end);
        let told = work(home, "other", 6).json()["systemMessage"].as_str().unwrap().to_owned();
        assert!(told.contains("90.00% used, the limit is 90.00%. It is over its limit."), "{told}");
        assert!(told.contains("--percent N"), "{told}");
        let alerts = home.fusebox(&["alerts", "list", "--json"]).json();
        let told: Vec<_> =
            alerts.as_array().unwrap().iter().rev().map(|a| (&a["threshold"], &a["used"])).collect();
        let used = json!(90.0);
        assert_eq!(
            told,
            [(&json!(0.5), &json!(45.0)), (&json!(0.8), &used), (&json!(0.9), &used), (&json!(1.0), &used)]
        );
        // Another window.
        say(home, 5_000, end + 5 * HOUR);
        let told = work(home, "s", 7).json()["systemMessage"].as_str().unwrap().to_owned();
        assert!(told.contains("50.00% used"), "{told}");
    });
}

#[test]
fn pace_and_forecast() {
    on_both_stores(|home| {
        home.configure(&format!("{PLAN}on_limit = \"warn\"\n"));
        work(home, "s", 1);
        // After three hours: 30% more take an hour and a half, half an hour before the end.
        say(home, 6_000, ends_in(2 * HOUR));
        let ahead = "at this pace the limit is reached in 1 h ";
        let status = home.fusebox(&["status", "--session", "s"]).stdout;
        let status = status.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(status.contains("60.00%") && status.contains(ahead), "{status}");
        assert!(status.contains("% per hour: ") && status.contains(" before the reset"), "{status}");
        let line = home.hook("UserPromptSubmit", "s", json!({"prompt": "work"})).stdout;
        assert!(line.contains("Budget plan (user tester): 60.00% / 90.00%, resets in "), "{line}");
        assert!(line.contains(ahead), "{line}");
        let shown = shown(home).unwrap();
        assert_eq!(
            ["used", "limit", "remaining", "unit", "window", "status"].map(|key| shown[key].clone()),
            [json!(60.0), json!(90.0), json!(30.0), json!("percent"), json!("plan_5h"), json!("warning")],
            "{shown}"
        );
        let pace = shown["forecast"]["pace_per_hour"].as_f64().unwrap();
        assert!((19.0..20.01).contains(&pace), "{shown}");
        assert!(shown["forecast"]["limit_reached_at"].as_str() < shown["resets_at"].as_str(), "{shown}");
        // In all, 40% are left, and take until the end: no forecast is better than a doubtful one.
        let plan = home.status("s")["plan"].clone();
        assert_eq!((&plan["five_hour"]["used_percentage"], &plan["seven_day"]), (&json!(60.0), &Value::Null));
        for key in ["resets_at", "at", "pace_per_hour", "limit_reached_at"] {
            assert!(plan["five_hour"].as_object().unwrap().contains_key(key), "{plan}");
        }
        let details = home.fusebox(&["budget", "show", "plan"]).stdout;
        assert!(details.contains("60.00% / 90.00%") && details.contains("% per hour"), "{details}");
        // So slow that the window ends first.
        say(home, 1_000, ends_in(2 * HOUR));
        let status = home.fusebox(&["status", "--session", "s"]).stdout;
        let status = status.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(status.contains("the limit is not reached before the reset"), "{status}");
    });
}

#[test]
fn both_windows_have_their_budgets() {
    let home = Home::new();
    home.configure(&format!("{PLAN}{}", PLAN.replace("plan", "week").replace("week_5h", "plan_week")));
    let write = |five, week| {
        let (five, week) = (window(five, ends_in(HOUR)), window(week, ends_in(100 * HOUR)));
        write(&home, &json!({"plan_5h": five, "plan_week": week}).to_string());
    };
    work(&home, "s", 1);
    write(100, 8_999);
    assert!(!is_denied(&call(&home)));
    write(100, 9_000);
    let denied = call(&home);
    assert!(denied.stdout.contains("budget week (user tester) reached: 90.00% / 90.00%"), "{denied:?}");
}

#[test]
fn what_a_person_may_decide() {
    let home = Home::new();
    home.configure(&format!("{PLAN}hard_limit = 95\n"));
    let end = ends_in(HOUR);
    say(&home, 9_200, end);
    work(&home, "s", 1);
    let refused = decide(&home, &["reset", "plan"]);
    assert!(refused.code == 2 && refused.stderr.contains("budget plan cannot be reset"), "{refused:?}");
    let refused = decide(&home, &["extend", "plan", "--percent", "6"]);
    assert!(refused.stderr.contains("at most 5.00% (its hard limit is 95.00%)"), "{refused:?}");
    let refused = decide(&home, &["extend", "plan", "--value", "bob", "--percent", "1"]);
    assert!(refused.code == 2 && refused.stderr.contains("another user's account"), "{refused:?}");
    let extended = home.fusebox(&["budget", "extend", "plan", "--percent", "1", "--reason", "r"]);
    assert!(extended.stderr.contains("Extend it by at least 1.01%."), "{extended:?}");
    // A hook that is not certain of a person says which command to run.
    let prompt = json!({"prompt": "fusebox: extend plan 5% because x", "prompt_id": "p"});
    let answer = home.hook("UserPromptSubmit", "s", prompt).stdout;
    assert!(answer.contains("--percent 5.00 --reason"), "{answer}");
    say(&home, 9_500, end);
    let denied = call(&home);
    assert!(denied.stdout.contains("a person raises hard_limit in the configuration"), "{denied:?}");
    // For this window only.
    assert_eq!(decide(&home, &["delete", "plan"]).code, 0);
    assert!(!is_denied(&call(&home)));
    assert_eq!(decide(&home, &["reset", "plan"]).code, 0);
    assert!(is_denied(&call(&home)));
    let explained = home.fusebox(&["explain", "toolu_9"]).stdout;
    assert!(explained.contains("budget plan was exhausted: 95.00% / 90.00%"), "{explained}");
}

#[test]
fn it_is_the_account_of_one_user() {
    let server = Server::start();
    let of = |user: &str| Home::new().var("USER", user).var("FUSEBOX_STORE_REDIS_URL", &server.url());
    let (ann, bob) = (of("ann"), of("bob"));
    for (home, session, used) in [(&ann, "a", 9_500), (&bob, "b", 100)] {
        home.configure(PLAN);
        say(home, used, ends_in(HOUR));
        home.append(&home.transcript(session), &[message(1, 10, 10)]);
        home.hook("PostToolUse", session, json!({}));
    }
    let values = |home: &Home| {
        let listed = home.fusebox(&["budget", "list", "--all", "--json"]).json();
        let of_plan = listed.as_array().unwrap().iter().filter(|budget| budget["name"] == "plan");
        of_plan.map(|budget| (budget["value"].clone(), budget["used"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(values(&ann), [(json!("ann"), json!(95.0))]);
    assert_eq!(values(&bob), [(json!("bob"), json!(1.0))]);
    let status = ann.status("b");
    let names: Vec<_> = status["budgets"].as_array().unwrap().iter().map(|b| &b["name"]).collect();
    assert_eq!(names, ["session"], "{status}");
}

#[test]
fn a_bad_file_says_nothing() {
    let home = Home::new();
    home.configure(PLAN);
    let end = ends_in(HOUR);
    let huge = format!("{{\"plan_5h\": {}, \"more\": \"{}\"}}", window(9_900, end), "x".repeat(70_000));
    let bad = [
        "".to_owned(),
        "[]".to_owned(),
        "{\"plan_5h\": ".to_owned(),
        "\u{0}\u{1}".to_owned(),
        huge,
        // Of a later version.
        json!({"version": 2, "plan_5h": [{"used": 9_900, "resets_at": end}]}).to_string(),
        json!({"plan_5h": {"reading": {"used": -5, "resets_at": end, "at": 0}, "samples": []}}).to_string(),
        json!({"plan_5h": {"reading": {"used": 99.5, "resets_at": end, "at": 0}, "samples": []}}).to_string(),
        json!({"plan_5h": window(u64::MAX, end)}).to_string(),
        json!({"plan_5h": window(9_900, i64::MAX)}).to_string(),
        json!({"plan_5h": window(9_900, -1)}).to_string(),
        json!({"plan_5h": window(9_900, end + 24 * HOUR)}).to_string(),
        "{}".to_owned(),
    ];
    for (n, text) in bad.iter().enumerate() {
        write(&home, text);
        assert!(work(&home, "s", n).is_silent(), "{text}");
        assert!(call(&home).is_silent(), "{text}");
        let status = home.status("s");
        assert_eq!(status["unknown_budgets"][0]["name"], "plan", "{text}");
        assert_eq!(status["plan"]["five_hour"], Value::Null, "{text}");
    }
    std::fs::remove_file(home.path("state/plan.json")).unwrap();
    std::fs::create_dir(home.path("state/plan.json")).unwrap();
    assert!(call(&home).is_silent());
    assert_eq!(home.journal(), "");
}

#[test]
fn budgets_that_make_no_sense_are_refused() {
    for (toml, says) in [
        (
            "unit = \"percent\"\n",
            "budget.b.unit: \"percent\" needs window = \"plan_5h\" or window = \"plan_week\"",
        ),
        ("window = \"plan_5h\"\n", "budget.b.window: \"plan_5h\" needs unit = \"percent\""),
        (
            "unit = \"percent\"\nwindow = \"plan_week\"\n",
            "budget.b.scope: must be \"user\" with unit = \"percent\"",
        ),
        (
            "unit = \"percent\"\nwindow = \"plan_week\"\nscope = \"user\"\nmatch = \"ann\"\n",
            "budget.b.match: must be \"*\" with unit = \"percent\"",
        ),
        (
            "anchor = \"plan\"\n",
            "budget.b.anchor: is not a key: for the windows of a subscription, write window = \"plan_5h\"",
        ),
    ] {
        let home = Home::new();
        home.configure(&format!("[[budget]]\nname = \"b\"\nlimit = 90\n{toml}"));
        let ran = home.fusebox(&["config", "check"]);
        assert!(ran.code == 2 && ran.stdout.contains(says), "{says}: {ran:?}");
    }
    for (limit, is_allowed) in
        [("100", true), ("92.5", true), ("0.01", true), ("100.5", false), ("92.505", false)]
    {
        let home = Home::new();
        home.configure(&PLAN.replace("limit = 90", &format!("limit = {limit}")));
        let ran = home.fusebox(&["config", "check"]);
        assert_eq!(ran.code == 0, is_allowed, "{ran:?}");
        let says = "budget.plan.limit: must be at most 100 percent, with at most two decimals";
        assert_eq!(ran.stdout.contains(says), !is_allowed, "{ran:?}");
    }
}
