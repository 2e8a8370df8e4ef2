//! A server decides only if it is logged in to Redis as the operator.

use serde_json::json;

use super::Shared;
use crate::serve::{Serve, busy_session};

const ONE: &str = "session-one";

/// What a server answers to an extension, a decision about a breaker, and an acknowledgement.
fn decide(serve: &Serve) -> [crate::serve::Answer; 3] {
    let first = |path: &str, list: &str, id: &str| {
        serve.get(path).json()[list][0][id].as_str().unwrap_or_default().to_owned()
    };
    let budget = first("/api/budget", "budgets", "budget_id");
    let circuit = first("/api/circuit", "circuits", "circuit_id");
    let alert = first("/api/budget/alerts", "alerts", "alert_id");
    [
        (format!("/api/budget/{budget}/extend"), json!({"additional_tokens": 5, "reason": "x"})),
        (format!("/api/circuit/{circuit}/reset"), json!({"reason": "x"})),
        (format!("/api/budget/alerts/{alert}/acknowledge"), json!({"reason": "x"})),
    ]
    .map(|(path, body)| serve.post(&path, &body))
}

#[test]
fn a_server_of_the_hooks_user_refuses_and_says_how_to_start_it() {
    let shared = Shared::start();
    busy_session(&shared.home, ONE);
    let serve = Serve::start(&shared.home, &[]);
    let [extended, _, acknowledged] = decide(&serve);
    for refused in [extended, acknowledged] {
        refused.is_problem(403, "start it as the operator");
        assert_eq!(refused.header("retry-after"), "", "waiting does not help: {refused:?}");
    }
    assert_eq!(serve.get("/api/budget").json()["budgets"][0]["limit"], 1000);
}

#[test]
fn a_server_of_the_operator_decides() {
    let shared = Shared::start();
    busy_session(&shared.home, ONE);
    let mut home = shared.home;
    for (name, value) in &shared.operator {
        home = home.var(name, value);
    }
    let serve = Serve::start(&home, &[]);
    for done in decide(&serve) {
        assert_eq!(done.status, 200, "{done:?}");
    }
    assert_eq!(serve.get("/api/budget").json()["budgets"][0]["limit"], 1005);
}
