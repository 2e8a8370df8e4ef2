//! Decisions about many at once: each by itself.

use serde_json::{Value, json};

use super::{Serve, busy_session, on_both_stores, spend};

const ONE: &str = "session-one";

fn ids(serve: &Serve, list: &str, of: &str, name: &str) -> Vec<Value> {
    serve.get(&format!("/api/{list}")).json()[of]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one[name].clone())
        .collect()
}

#[test]
fn many_budgets_are_extended_and_reset_each_by_itself() {
    on_both_stores(|home| {
        busy_session(home, ONE);
        spend(home, "session-two", 700, 1900);
        let serve = Serve::start(home, &[]);
        let all = ids(&serve, "budget?all=true", "budgets", "budget_id");
        assert_eq!(all.len(), 2);
        let name = |budget: &Value| budget["value"].as_str().unwrap().to_owned();
        let body = json!({"budget_ids": [all[0], all[1], all[0], "nothing"], "additional_tokens": 600, "reason": "x"});
        let key = [("Idempotency-Key", "bulk-1")];
        let first = serve.post_with("/api/budget/extend", &body, &key);
        let done = first.json();
        assert_eq!((&done["total"], done["budgets"].as_array().unwrap().len()), (&json!(2), 2), "{done}");
        assert!(done["budgets"].as_array().unwrap().iter().all(|budget| budget["limit"] == 1600), "{done}");
        assert_eq!(done["refused"][0]["budget_id"], "nothing", "{done}");
        assert_eq!(done["refused"][0]["problem"]["status"], 404, "{done}");
        let again = serve.post_with("/api/budget/extend", &body, &key);
        assert_eq!((again.json(), again.header("idempotency-replayed")), (done.clone(), "true"));
        // A server that was restarted knows it from the store.
        drop(serve);
        let serve = Serve::start(home, &[]);
        let again = serve.post_with("/api/budget/extend", &body, &key).json();
        assert_eq!(again["budgets"], done["budgets"], "{again}");

        // One is refused, the other one is not.
        let one = all[0].as_str().unwrap();
        serve.post(&format!("/api/budget/{one}/extend"), &json!({"additional_tokens": 300, "reason": "x"}));
        let body = json!({"budget_ids": all, "additional_tokens": 200, "reason": "x"});
        let done = serve.post("/api/budget/extend", &body).json();
        assert_eq!((&done["total"], &done["refused"][0]["budget_id"]), (&json!(1), &all[0]), "{done}");
        assert_eq!(done["refused"][0]["problem"]["status"], 409, "{done}");

        let done = serve.post("/api/budget/reset", &json!({"budget_ids": all, "reason": "new week"})).json();
        let mut reset: Vec<String> = done["budgets"].as_array().unwrap().iter().map(name).collect();
        reset.sort();
        assert_eq!(reset, [ONE, "session-two"], "{done}");
        assert!(done["budgets"].as_array().unwrap().iter().all(|budget| budget["used"] == 0), "{done}");

        for wrong in [
            json!({"budget_ids": [], "additional_tokens": 1, "reason": "x"}),
            json!({"budget_ids": vec!["a"; 101], "additional_tokens": 1, "reason": "x"}),
        ] {
            serve.post("/api/budget/extend", &wrong).is_problem(400, "1 to 100 ids");
        }
    });
}

#[test]
fn many_breakers_are_acknowledged_and_reset_each_by_itself() {
    on_both_stores(|home| {
        busy_session(home, ONE);
        let serve = Serve::start(home, &[]);
        let all = ids(&serve, "circuit", "circuits", "circuit_id");
        let body = json!({"circuit_ids": [all[0], "nothing"], "reason": "fixed"});
        let done = serve.post("/api/circuit/acknowledge", &body).json();
        assert_eq!(
            (&done["total"], &done["circuits"][0]["state"]),
            (&json!(1), &json!("half_open")),
            "{done}"
        );
        assert_eq!(done["refused"][0]["problem"]["status"], 404, "{done}");
        let done = serve.post("/api/circuit/acknowledge", &body).json();
        assert_eq!(
            (&done["total"], &done["refused"][0]["circuit_id"]),
            (&json!(0), &json!("nothing")),
            "{done}"
        );
        assert_eq!(done["refused"][1]["problem"]["status"], 409, "{done}");
        let done = serve.post("/api/circuit/reset", &body).json();
        assert_eq!((&done["total"], &done["circuits"][0]["state"]), (&json!(1), &json!("closed")), "{done}");
        assert_eq!(home.status(ONE)["circuit"]["state"], "closed");
    });
}
