//! Costs: the reports of the ledger, which the server keeps current.

use serde_json::json;

use super::{Serve, spend};
use crate::harness::Home;

const ONE: &str = "session-one";

fn home() -> Home {
    let home = Home::new().var("TZ", "UTC");
    spend(&home, ONE, 1, 100);
    spend(&home, "session-two", 2, 1000);
    home
}

#[test]
fn costs_are_those_of_the_command() {
    let home = home();
    assert_eq!(home.fusebox(&["import"]).code, 0);
    let serve = Serve::start(&home, &["--import-every", "0"]);
    for (by, kind) in [
        ("day", "daily"),
        ("week", "weekly"),
        ("month", "monthly"),
        ("session", "session"),
        ("model", "model"),
        ("project", "project"),
        ("branch", "branch"),
        ("agent", "agent"),
        ("platform", "platform"),
        ("chain", "chain"),
        ("task", "task"),
    ] {
        let said = home.fusebox(&["report", kind, "--json", "--no-import"]).json();
        let costs = serve.get(&format!("/api/costs?group_by={by}")).json();
        assert_eq!((&costs["rows"], &costs["totals"]), (&said["rows"], &said["totals"]), "{by}");
        assert_eq!(costs["total"], said["rows"].as_array().unwrap().len(), "{by}");
    }
    let said = home.fusebox(&["report", "--json", "--no-import"]).json();
    assert_eq!(serve.get("/api/costs/summary").json(), said);
    let first = serve.get("/api/costs?group_by=session&limit=1&sort=tokens&order=asc");
    assert_eq!((&first.json()["rows"][0]["key"], &first.json()["total"]), (&json!(ONE), &json!(2)));
    assert!(first.header("link").contains("rel=\"next\""), "{first:?}");
    assert_eq!(first.json()["totals"]["requests"], 2, "of all pages");
    let of = |query: &str| serve.get(&format!("/api/costs?{query}")).json()["total"].as_u64().unwrap();
    assert_eq!((of("model=claude-test*"), of("model=other"), of("project=nothing")), (1, 0, 0));
    assert_eq!(
        (of("since=2026-11-22&until=2026-11-22"), of("since=2026-11-23"), of("until=2026-11-21")),
        (1, 0, 0)
    );
    // 10:00 UTC is the next day in the far east.
    let east = serve.get("/api/costs?timezone=Pacific/Kiritimati").json();
    assert_eq!(east["rows"][0]["key"], "2026-11-23", "{east}");
    serve.get("/api/costs?timezone=Mars/Base").is_problem(422, "Mars/Base");
    serve.get("/api/costs?since=2026-11-23&until=2026-11-22").is_problem(422, "swap them");
    serve.get("/api/costs?since=2026-1-1").is_problem(400, "YYYY-MM-DD");
    serve.get("/api/costs?group_by=hour").is_problem(400, "`month`");
    serve.get(&format!("/api/costs?model={}", "x".repeat(201))).is_problem(400, "at most 200");
}

#[test]
fn the_server_imports_what_is_new() {
    let home = home();
    let serve = Serve::start(&home, &["--import-every", "1"]);
    let of = |requests: u64| move |answer: &super::Answer| answer.json()["totals"]["requests"] == requests;
    serve.wait_for("/api/costs", of(2));
    spend(&home, ONE, 3, 10);
    serve.wait_for("/api/costs", of(3));
}

#[test]
fn nothing_is_imported_where_nothing_is_or_nothing_can_be_read() {
    let home = Home::new();
    let serve = Serve::start(&home, &["--import-every", "1"]);
    assert_eq!(serve.get("/api/costs").json()["total"], 0);
    // The ledger's folder cannot be used: said once, and the server goes on.
    spend(&home, ONE, 1, 100);
    std::fs::create_dir_all(home.path("state/ledger.db")).unwrap();
    let log = || std::fs::read_to_string(home.path("serve.log")).unwrap();
    let began = std::time::Instant::now();
    while !log().contains("the ledger is not kept current") {
        assert!(began.elapsed() < super::PATIENCE, "{}", log());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    serve.wait_for("/api/costs", |answer| answer.status == 503).is_problem(503, "ledger");
    std::fs::remove_dir(home.path("state/ledger.db")).unwrap();
    serve.wait_for("/api/costs", |answer| answer.status == 200 && answer.json()["total"] == 1);
    assert_eq!(log().matches("the ledger is not kept current").count(), 1, "{}", log());
}

#[test]
fn many_clients_ask_for_one_report_at_once() {
    let home = home();
    assert_eq!(home.fusebox(&["import"]).code, 0);
    let serve = Serve::start(&home, &["--import-every", "0"]);
    let wanted = home.fusebox(&["report", "model", "--json", "--no-import"]).json()["totals"].clone();
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..20)
            .map(|_| scope.spawn(|| serve.get("/api/costs?group_by=model").json()["totals"].clone()))
            .collect();
        for one in asked {
            assert_eq!(one.join().unwrap(), wanted);
        }
    });
}
