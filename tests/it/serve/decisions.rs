//! What operators decide: extend, reset, acknowledge.

use serde_json::json;

use super::{Serve, busy_session, on_both_stores, spend, spend_now};

const ONE: &str = "session-one";

#[test]
fn a_budget_is_listed_extended_and_reset() {
    on_both_stores(|home| {
        busy_session(home, ONE);
        let serve = Serve::start(home, &[]);
        let list = serve.get("/api/budget").json();
        assert_eq!(list["total"], 1, "{list}");
        let budget = &list["budgets"][0];
        let shown = |name: &str| budget[name].clone();
        assert_eq!((shown("name"), shown("scope")), (json!("session"), json!("session")), "{budget}");
        assert_eq!((shown("value"), shown("agent_id")), (json!(ONE), json!(ONE)), "{budget}");
        assert_eq!((shown("used"), shown("tokens_used")), (json!(550), json!(550)), "{budget}");
        assert_eq!((shown("limit"), shown("max_tokens")), (json!(1000), json!(1000)), "{budget}");
        assert_eq!((shown("hard_limit"), shown("remaining")), (json!(2000), json!(450)), "{budget}");
        assert_eq!((shown("utilization"), shown("status")), (json!(0.55), json!("warning")), "{budget}");
        let path = format!("/api/budget/{}", budget["budget_id"].as_str().unwrap());
        assert_eq!(serve.get(&path).json(), *budget);

        let extend = |body| serve.post(&format!("{path}/extend"), &body);
        let extended = extend(json!({"additional_tokens": 500, "reason": "nearly done"}));
        assert_eq!(extended.status, 200, "{extended:?}");
        assert_eq!((&extended.json()["limit"], &extended.json()["extension"]), (&json!(1500), &json!(500)));
        assert_eq!(serve.get(&path).json(), extended.json(), "the next answer knows it");
        extend(json!({"additional_tokens": 501, "reason": "more"})).is_problem(409, "at most 500");
        extend(json!({"additional_tokens": 0, "reason": "more"})).is_problem(400, "greater than 0");
        extend(json!({"additional_tokens": -5, "reason": "more"})).is_problem(400, "additional_tokens");
        extend(json!({"additional_tokens": 5, "reason": " "})).is_problem(400, "reason");
        extend(json!({"additional_tokens": 5})).is_problem(400, "reason");
        extend(json!({"reason": "more"})).is_problem(400, "an amount");
        extend(json!({"additional_tokens": 5, "additional_usd": 5, "reason": "x"}))
            .is_problem(400, "more than one");
        extend(json!({"aditional_tokens": 5, "reason": "x"})).is_problem(400, "aditional_tokens");
        extend(json!({"additional_usd": 5.0, "reason": "more"})).is_problem(422, "tokens");

        let reset = serve.post(&format!("{path}/reset"), &json!({"reason": "new task"})).json();
        assert_eq!((&reset["used"], &reset["limit"]), (&json!(0), &json!(1000)), "{reset}");
        // The hooks see it, too.
        spend_now(home, ONE, 900, 100);
        let status = home.status(ONE);
        assert_eq!(status["budgets"][0]["used"], 100, "{status}");
        let operations = home.fusebox(&["budget", "show", "session", "--session", ONE, "--json"]).json();
        let said: Vec<_> =
            operations["operations"].as_array().unwrap().iter().map(|o| &o["reason"]).collect();
        assert_eq!(said, ["nearly done", "new task"], "{operations}");
        serve
            .post("/api/budget/none/extend", &json!({"additional_tokens": 5, "reason": "x"}))
            .is_problem(404, "none");
    });
}

#[test]
fn each_decision_is_logged_without_its_reason() {
    on_both_stores(|home| {
        busy_session(home, ONE);
        let serve = Serve::start(home, &["--log-format", "json"]);
        let first = |path: &str, list: &str, id: &str| {
            serve.get(path).json()[list][0][id].as_str().unwrap().to_owned()
        };
        let budget = first("/api/budget", "budgets", "budget_id");
        let circuit = first("/api/circuit", "circuits", "circuit_id");
        let alert = first("/api/budget/alerts", "alerts", "alert_id");
        let extension = json!({"additional_tokens": 500, "reason": "secret"});
        for (path, body) in [
            (format!("/api/budget/{budget}/extend"), &extension),
            // Refused.
            (format!("/api/budget/{budget}/extend"), &json!({"additional_tokens": 5000, "reason": "secret"})),
            (format!("/api/budget/{budget}/reset"), &json!({"reason": "secret"})),
            (format!("/api/circuit/{circuit}/acknowledge"), &json!({"reason": "secret"})),
            (format!("/api/circuit/{circuit}/reset"), &json!({"reason": "secret"})),
            (format!("/api/budget/alerts/{alert}/acknowledge"), &json!({"reason": "secret"})),
            (format!("/api/budget/alerts/{alert}/acknowledge"), &json!({"reason": "secret"})),
        ] {
            serve.post(&path, body);
        }
        for _ in 0..2 {
            serve.post_with(
                &format!("/api/budget/{budget}/extend"),
                &extension,
                &[("Idempotency-Key", "once")],
            );
        }
        let log = std::fs::read_to_string(home.path("serve.log")).unwrap();
        assert!(!log.contains("secret"), "{log}");
        let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
        let lines: Vec<serde_json::Value> =
            lines.filter(|line: &serde_json::Value| line["actor"] == "operator").collect();
        let said = |line: &serde_json::Value| {
            let about = ["message", "decision", "budget", "value", "amount", "session", "agent"];
            let about = about.iter().filter_map(|name| line[*name].as_str());
            about.collect::<Vec<_>>().join(" ")
        };
        let extended = "budget decided extend session session-one 500 tokens";
        assert_eq!(
            lines.iter().map(said).collect::<Vec<_>>(),
            [
                extended,
                "budget decided reset session session-one",
                "circuit breaker decided acknowledge session-one main",
                "circuit breaker decided reset session-one main",
                "alert acknowledged",
                extended,
            ],
            "{log}"
        );
        assert!(lines.iter().all(|line| line["level"] == "INFO"), "{log}");
        assert_eq!(lines[4]["alert"].to_string(), alert);
    });
}

#[test]
fn a_repeated_request_takes_effect_once() {
    on_both_stores(|home| {
        busy_session(home, ONE);
        let serve = Serve::start(home, &[]);
        let id = serve.get("/api/budget").json()["budgets"][0]["budget_id"].as_str().unwrap().to_owned();
        let path = format!("/api/budget/{id}/extend");
        let (body, key) = (json!({"additional_tokens": 100, "reason": "x"}), [("Idempotency-Key", "k-1")]);
        let first = serve.post_with(&path, &body, &key);
        let again = serve.post_with(&path, &body, &key);
        assert_eq!((first.status, again.status), (200, 200));
        assert_eq!(first.json()["limit"], 1100);
        assert_eq!(again.json(), first.json());
        assert_eq!(
            (first.header("idempotency-replayed"), again.header("idempotency-replayed")),
            ("", "true")
        );
        let other = json!({"additional_tokens": 200, "reason": "x"});
        serve.post_with(&path, &other, &key).is_problem(422, "another request");
        // A server that was restarted, or another one, knows it from the store.
        drop(serve);
        let serve = Serve::start(home, &[]);
        let repeated = serve.post_with(&path, &body, &key);
        assert_eq!(repeated.json()["limit"], 1100, "{repeated:?}");
        let new = serve.post_with(&path, &body, &[]);
        assert_eq!(new.json()["limit"], 1200, "{new:?}");
    });
}

#[test]
fn a_breaker_is_acknowledged_and_reset() {
    on_both_stores(|home| {
        busy_session(home, ONE);
        let serve = Serve::start(home, &[]);
        let list = serve.get("/api/circuit?state=open").json();
        assert_eq!(list["total"], 1, "{list}");
        let circuit = &list["circuits"][0];
        assert_eq!((&circuit["session"], &circuit["agent_id"]), (&json!(ONE), &json!("main")), "{circuit}");
        assert_eq!((&circuit["iterations"], &circuit["duplicates"]), (&json!(5), &json!(5)), "{circuit}");
        assert!(circuit["trip_reason"].as_str().unwrap().contains("5 times in a row"), "{circuit}");
        let path = format!("/api/circuit/{}", circuit["circuit_id"].as_str().unwrap());
        serve.post(&format!("{path}/acknowledge"), &json!({"reason": ""})).is_problem(400, "reason");
        let acknowledged = serve.post(&format!("{path}/acknowledge"), &json!({"reason": "fixed"})).json();
        assert_eq!(acknowledged["state"], "half_open", "{acknowledged}");
        serve.post(&format!("{path}/acknowledge"), &json!({"reason": "again"})).is_problem(409, "no open");
        let reset = serve.post(&format!("{path}/reset"), &json!({"reason": "anew"})).json();
        assert_eq!((&reset["state"], &reset["trip_reason"]), (&json!("closed"), &json!(null)), "{reset}");
        assert_eq!(home.status(ONE)["circuit"]["state"], "closed");
    });
}

#[test]
fn alerts_are_acknowledged_one_by_one_and_all_at_once() {
    on_both_stores(|home| {
        busy_session(home, ONE);
        let serve = Serve::start(home, &[]);
        spend(home, ONE, 900, 300);
        let wanted = "/api/budget/alerts?acknowledged=false";
        let list = serve.wait_for(wanted, |answer| answer.json()["total"] == 2).json();
        let alert = &list["alerts"][0];
        assert_eq!((&alert["threshold"], &alert["level"]), (&json!(0.8), &json!("warning")), "{alert}");
        assert_eq!(alert["message"], "session passed 80% of 1,000 tokens (850 tokens used)", "{alert}");
        let path = format!("/api/budget/alerts/{}/acknowledge", alert["alert_id"].as_str().unwrap());
        let one = serve.post(&path, &json!({"reason": "known"})).json();
        assert_eq!(
            (&one["acknowledged"], &one["acknowledged_by"]),
            (&json!(true), &json!("operator")),
            "{one}"
        );
        assert_eq!(serve.get(wanted).json()["total"], 1);
        let many = serve.post("/api/budget/alerts/acknowledge", &json!({})).json();
        assert_eq!(many["total"], 1, "{many}");
        assert_eq!(serve.get(wanted).json()["total"], 0);
        assert_eq!(serve.get("/api/budget/alerts").json()["total"], 2);
        serve.post("/api/budget/alerts/77/acknowledge", &json!({})).is_problem(404, "77");
    });
}
