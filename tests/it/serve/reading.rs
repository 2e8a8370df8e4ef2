//! Sessions, the history, health.

use fusebox::app::open_store::StoreLocation;
use fusebox::domain::message::{Message, MessageKey, UsageSource};
use fusebox::domain::usage::Usage;
use fusebox::prices::Prices;
use fusebox::store::{Batch, Session};
use fusebox::transcript::Fact;
use serde_json::{Value, json};

use super::{Serve, busy_session, on_both_stores, spend};
use crate::harness::Home;
use crate::redis::Server;

const ONE: &str = "session-one";

#[test]
fn a_session_is_shown_with_everything_about_it() {
    on_both_stores(|home| {
        busy_session(home, ONE);
        let call = json!({"tool_name": "Bash", "tool_input": {"command": "make"}, "tool_use_id": "toolu_9"});
        home.hook("PreToolUse", ONE, call);
        let serve = Serve::start(home, &[]);
        let list = serve.get("/api/session").json();
        assert_eq!(list["total"], 1, "{list}");
        let session = &list["sessions"][0];
        assert_eq!((&session["session_id"], &session["active"]), (&json!(ONE), &json!(true)), "{session}");
        assert_eq!((&session["fresh_tokens"], &session["tokens"]), (&json!(550), &json!(560)), "{session}");
        assert_eq!((&session["requests"], &session["user"]), (&json!(5), &json!("tester")), "{session}");
        assert!(session["usd"].as_f64().unwrap() > 0.0, "{session}");

        let shown = serve.get(&format!("/api/session/{ONE}")).json();
        for (name, value) in session.as_object().unwrap() {
            assert_eq!(shown[name], *value, "{name}");
        }
        let by_class = &shown["tokens_by_class"];
        assert_eq!((&by_class["input"], &by_class["cache_read"]), (&json!(550), &json!(10)), "{shown}");
        assert_eq!(shown["budgets"], serve.get("/api/budget").json()["budgets"]);
        assert_eq!(shown["agents"], serve.get("/api/circuit").json()["circuits"]);
        let denied = &shown["denied"][0];
        assert_eq!((&shown["denied_total"], &denied["by"]), (&json!(1), &json!("circuit")), "{shown}");
        assert!(denied["reason"].as_str().unwrap().contains("the circuit breaker was open"), "{denied}");
        assert_eq!((&denied["tool"], &denied["agent_id"]), (&json!("Bash"), &json!("main")), "{denied}");

        // What is kept of a session is dropped once it changes.
        spend(home, ONE, 900, 100);
        serve.wait_for(&format!("/api/session/{ONE}"), |answer| {
            answer.json()["tokens_by_class"]["input"] == 650
        });
        serve.get("/api/session/nobody").is_problem(404, "nobody");
        assert_eq!(serve.get("/api/session?user=nobody").json()["total"], 0);
        home.hook("SessionEnd", ONE, json!({"reason": "exit"}));
        serve.wait_for("/api/session", |answer| answer.json()["total"] == 0);
        let ended = serve.get("/api/session?all=true").json();
        assert_eq!((&ended["total"], &ended["sessions"][0]["active"]), (&json!(1), &json!(false)), "{ended}");
    });
}

#[test]
fn the_history_is_that_of_the_command_newest_first() {
    on_both_stores(|home| {
        busy_session(home, ONE);
        let call = json!({"tool_name": "Bash", "tool_input": {"command": "make"}, "tool_use_id": "toolu_9"});
        home.hook("PreToolUse", ONE, call);
        let serve = Serve::start(home, &[]);
        let id = serve.get("/api/budget").json()["budgets"][0]["budget_id"].as_str().unwrap().to_owned();
        serve.post(&format!("/api/budget/{id}/extend"), &json!({"additional_tokens": 5, "reason": "more"}));
        let history = serve.get("/api/history").json();
        let mut said = home.fusebox(&["history", "--last", "0", "--json"]).json();
        let mut shown: Vec<Value> = history["history"].as_array().unwrap().clone();
        let order = |one: &Value| one.to_string();
        let count = said.as_array().unwrap().len();
        // JavaScript would round the hash of a denied call's id.
        let denied = said.as_array_mut().unwrap().iter_mut().filter(|one| one["event"] == "CALL_DENIED");
        let denied: Vec<_> = denied.map(|one| one["call"] = json!(one["call"].to_string())).collect();
        assert_eq!(denied.len(), 1);
        assert!(shown.windows(2).all(|pair| pair[0]["at"].as_str() >= pair[1]["at"].as_str()), "{history}");
        said.as_array_mut().unwrap().sort_by_key(order);
        shown.sort_by_key(order);
        assert_eq!((Value::from(shown), &history["total"]), (said, &json!(count)));

        let of = |query: &str| serve.get(&format!("/api/history?{query}")).json()["total"].as_u64().unwrap();
        assert_eq!(of("event=BUDGET_DECIDED"), 1);
        assert_eq!(of("event=BUDGET_DECIDED&session=session-one"), 1);
        assert_eq!(of("event=CIRCUIT_OPENED"), 1);
        assert_eq!(of("event=CALL_DENIED&session=session-one"), 1);
        assert_eq!(of("session=nobody"), 0);
        assert_eq!(of("since=2199-01-01T00:00:00Z"), 0);
        assert_eq!(of("until=2199-01-01T00:00:00%2B02:00"), count as u64);
        for at in 0..count {
            let page = serve.get(&format!("/api/history?limit=1&offset={at}")).json();
            assert_eq!((&page["history"][0], &page["total"]), (&history["history"][at], &json!(count)));
        }
        assert_eq!(serve.get("/api/history?offset=1000").json(), json!({"history": [], "total": count}));
        let first = serve.get("/api/history?limit=1&session=session-one");
        assert_eq!(first.json()["history"].as_array().unwrap().len(), 1);
        assert_eq!(
            first.header("link"),
            "</api/history?session=session-one&limit=1&offset=1>; rel=\"next\"",
            "{first:?}"
        );
        let wrong = serve.get("/api/history?event=foo");
        wrong.is_problem(400, "BUDGET_ALERT");
        serve.get("/api/history?since=yesterday").is_problem(400, "2026-11-30T12:00:00Z");
    });
}

#[test]
fn a_server_without_a_store_is_ready_and_empty() {
    let home = Home::new();
    let serve = Serve::start(&home, &[]);
    assert_eq!(serve.get("/api/health").json()["status"], "ok");
    let ready = serve.get("/api/ready").json();
    assert_eq!((&ready["status"], &ready["store"]), (&json!("ready"), &json!(null)));
    for list in ["budget", "circuit", "session", "history", "costs", "budget/alerts"] {
        assert_eq!(serve.get(&format!("/api/{list}")).json()["total"], 0, "{list}");
    }
    assert!(!home.path("state/guardrails.db").exists() && !home.path("state/ledger.db").exists());
}

#[test]
fn a_server_whose_store_is_down_is_healthy_and_not_ready() {
    let server = Server::start();
    let home = Home::new().var("FUSEBOX_STORE_REDIS_URL", &server.url());
    busy_session(&home, ONE);
    let serve = Serve::start(&home, &[]);
    assert_eq!(serve.get("/api/ready").json()["store"], "redis");
    drop(server);
    let down = serve.wait_for("/api/ready", |answer| answer.status == 503);
    assert_eq!((down.header("retry-after"), down.header("content-type")), ("5", "application/problem+json"));
    assert_eq!(serve.get("/api/health").status, 200);
}

/// Records a response of a session in the store, as its hook would.
fn record(home: &Home, session: &Session, n: u64, tokens: u64) {
    let env = home.env();
    let config = fusebox::config::load(&env, None).config;
    let mut store = StoreLocation::new(&config).open(&env, None).unwrap().0;
    store.connect().unwrap();
    let key = MessageKey::from_parts(&["message", &session.id, &n.to_string()]);
    let recorded = Usage { input: tokens, ..Usage::default() };
    let message = Message { recorded, stopped: true, ..Message::new(key, UsageSource::Response, env.now) };
    let batch = Batch {
        session,
        facts: &[Fact::Message(message)],
        budgets: &[],
        alert: false,
        claim: false,
        seen: env.now,
        observation: None,
        now: env.now,
        prices: &Prices::default(),
    };
    store.apply(&batch).unwrap();
}

#[test]
fn a_session_that_has_ended_goes_on_counting_for_those_that_it_started() {
    on_both_stores(|home| {
        home.configure("[[budget]]\nname = \"session\"\nlimit = 1000\n");
        spend(home, "outer", 1, 100);
        assert!(home.hook("SessionEnd", "outer", json!({"reason": "other"})).is_silent());
        let parent = Some("outer".to_owned());
        let inner = Session { id: "inner".into(), user: "tester".into(), parent, ..Session::default() };
        let serve = Serve::start(home, &[]);
        for (n, used) in [(1, 150), (2, 200)] {
            record(home, &inner, n, 50);
            let path = "/api/budget?all=true&value=outer";
            serve.wait_for(path, |answer| answer.json()["budgets"][0]["used"] == used);
        }
    });
}

#[test]
fn quotas_are_those_of_the_command() {
    on_both_stores(|home| {
        home.configure(
            "[[budget]]\nname = \"gemini-day\"\nscope = \"platform\"\nmatch = \"gemini\"\nunit = \"requests\"\nlimit = 10\nwindow = \"month\"\nthresholds = [0.5]\n",
        );
        for command in [&["record", "--amount", "6"][..], &["reserve", "--amount", "3"]] {
            let ran = home.fusebox(&[&["quota"], command, &["--platform", "gemini"]].concat());
            assert_eq!(ran.code, 0, "{ran:?}");
        }
        let serve = Serve::start(home, &[]);
        let shown = serve.get("/api/quota").json();
        let quota = &shown["quotas"][0];
        let is = ["platform", "name", "unit", "status"].map(|name| quota[name].as_str().unwrap());
        assert_eq!(
            (is, &shown["total"]),
            (["gemini", "gemini-day", "requests", "warning"], &json!(1)),
            "{shown}"
        );
        let numbers = ["used", "reserved", "available", "limit", "open_reservations"];
        assert_eq!(numbers.map(|name| quota[name].as_u64().unwrap()), [6, 3, 1, 10, 1], "{shown}");
        assert_eq!(quota["alerts_triggered"], json!([50.0]));
        let id = quota["budget_id"].as_str().unwrap();
        assert_eq!(serve.get(&format!("/api/budget/{id}")).json()["used"], 6);
        assert_eq!(serve.get("/api/quota?platform=other").json()["total"], 0);
        serve.get("/api/quota?plattform=x").is_problem(400, "plattform");
    });
}
