//! `fusebox alerts` from outside: what is listed, and the effects of acknowledging.

use serde_json::{Value, json};

use crate::harness::{Home, Ran, message};

/// A home with sessions `s-one` and `s-two`, each with a budget of 1,000 tokens.
fn home() -> Home {
    let home = Home::new();
    home.configure("[[budget]]\nname = \"session\"\nlimit = 1000\n");
    home
}

/// Uses `tokens` more in `session`, in message `n`.
fn spend(home: &Home, session: &str, n: usize, tokens: u64) -> Ran {
    home.append(&home.transcript(session), &[message(n, tokens, 0)]);
    home.hook("PostToolUse", session, json!({}))
}

fn list(home: &Home, arguments: &[&str]) -> Vec<Value> {
    let ran = home.fusebox(&[&["alerts", "list", "--json"], arguments].concat());
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    ran.json().as_array().unwrap().clone()
}

fn ids(alerts: &[Value]) -> Vec<i64> {
    alerts.iter().map(|alert| alert["id"].as_i64().unwrap()).collect()
}

fn ack(home: &Home, arguments: &[&str]) -> Value {
    let ran = home.fusebox(&[&["alerts", "ack", "--json"], arguments].concat());
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    ran.json()
}

fn refused(ran: &Ran, says: &str) {
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
    assert!(ran.stderr.contains(says), "{says}: {ran:?}");
}

#[test]
fn what_is_not_acknowledged_is_listed_newest_first() {
    let home = home();
    assert_eq!(home.fusebox(&["alerts", "list"]).stdout.lines().count(), 1, "one line: there is none");
    spend(&home, "s-one", 1, 550);
    spend(&home, "s-one", 2, 300);
    spend(&home, "s-two", 3, 950);
    let all = list(&home, &[]);
    let passed: Vec<(&str, f64)> =
        all.iter().map(|a| (a["value"].as_str().unwrap(), a["threshold"].as_f64().unwrap())).collect();
    assert_eq!(passed, [("s-two", 0.9), ("s-two", 0.8), ("s-two", 0.5), ("s-one", 0.8), ("s-one", 0.5)]);
    let alert = &all[3];
    assert_eq!(
        (&alert["used"], &alert["limit"], &alert["unit"]),
        (&json!(850), &json!(1000), &json!("tokens"))
    );
    assert_eq!((&alert["level"], &alert["mode"]), (&json!("warning"), &json!("enforce")));
    assert_eq!((&alert["window_start"], &alert["acknowledged"]), (&Value::Null, &Value::Null));
    let at = alert["at"].as_str().unwrap();
    assert!(chrono::DateTime::parse_from_rfc3339(at).is_ok() && at.ends_with('Z'), "{at}");

    assert_eq!(ids(&list(&home, &["--session", "s-o"])), ids(&all[3..]), "the beginning of an id does");
    assert_eq!(ids(&list(&home, &["--level", "critical"])), ids(&all[..1]));
    assert_eq!(ids(&list(&home, &["--budget", "session", "--level", "info"])), [ids(&all)[2], ids(&all)[4]]);

    let table = home.fusebox(&["alerts", "list"]).stdout;
    let columns: Vec<&str> = table.lines().nth(4).unwrap().split_whitespace().collect();
    assert_eq!(columns[2..], ["warning", "session", "s-one", "80%", "850", "1,000", "tokens"], "{table}");

    let some = home.fusebox(&["alerts", "list", "--limit", "2"]);
    assert_eq!(some.stdout.lines().count(), 3, "a heading and two: {some:?}");
    assert!(some.stderr.contains("newest 2 of 5"), "{some:?}");
    assert_eq!(list(&home, &["--limit", "0"]).len(), 5);
}

#[test]
fn what_a_hook_did_not_see_is_listed_too() {
    let home = home();
    spend(&home, "s", 1, 100);
    home.append(&home.transcript("s"), &[message(2, 600, 0)]);
    assert_eq!(list(&home, &[]).len(), 1, "the transcript is read to its end first");
}

#[test]
fn an_acknowledged_alert_says_by_whom_and_is_not_raised_again() {
    let home = home();
    spend(&home, "s", 1, 550);
    let id = ids(&list(&home, &[]))[0];
    let acked = ack(&home, &[&id.to_string(), "--reason", " known "]);
    assert_eq!(acked, json!({"acknowledged": [id], "already": []}));
    assert!(list(&home, &[]).is_empty(), "it is not listed any more");
    let shown = &list(&home, &["--all"])[0]["acknowledged"];
    assert_eq!((&shown["by"], &shown["reason"]), (&json!("tester"), &json!("known")));
    assert!(shown["at"].as_str().unwrap().ends_with('Z'));

    let again = ack(&home, &[&id.to_string(), "--reason", "another"]);
    assert_eq!(again, json!({"acknowledged": [], "already": [id]}), "the second time changes nothing");
    assert_eq!(&list(&home, &["--all"])[0]["acknowledged"], shown);

    assert!(spend(&home, "s", 2, 10).is_silent(), "once for each threshold, as before");
    assert_eq!(list(&home, &["--all"]).len(), 1);
    assert!(!spend(&home, "s", 3, 250).is_silent(), "the next threshold is another alert");
    assert_eq!(list(&home, &[]).len(), 1);

    let budget = home.fusebox(&["budget", "show", "session", "--session", "s"]).stdout;
    assert!(budget.contains("passed 50% of 1,000 (550 used), acknowledged by tester"), "{budget}");
    assert!(budget.contains("passed 80% of 1,000 (810 used), not acknowledged"), "{budget}");
    let budget = home.fusebox(&["budget", "show", "session", "--session", "s", "--json"]).json();
    assert_eq!(budget["alerts"][1]["acknowledged"]["by"], "tester", "{budget}");
    assert_eq!(budget["alerts"][0]["acknowledged"], Value::Null);
}

#[test]
fn after_a_reset_a_threshold_is_raised_anew() {
    let home = home();
    spend(&home, "s", 1, 550);
    ack(&home, &["--all"]);
    let reset = ["budget", "reset", "session", "--session", "s", "--reason", "new task"];
    assert_eq!(home.fusebox(&reset).code, 0);
    let mut line = message(2, 600, 0);
    line["timestamp"] = json!("2099-01-01T00:00:00.000Z");
    home.append(&home.transcript("s"), &[line]);
    assert!(!home.hook("PostToolUse", "s", json!({})).is_silent());
    assert_eq!((list(&home, &[]).len(), list(&home, &["--all"]).len()), (1, 2));
}

#[test]
fn many_are_acknowledged_at_once() {
    let home = home();
    spend(&home, "s-one", 1, 850);
    spend(&home, "s-two", 2, 950);
    let all = ids(&list(&home, &[]));
    let count = |done: &Value| done["acknowledged"].as_array().unwrap().len();
    assert_eq!(count(&ack(&home, &["--before", "2020-01-01"])), 0, "none is so old");
    assert_eq!(count(&ack(&home, &["--session", "s-two", "--level", "info"])), 1, "both must be true");
    assert_eq!(count(&ack(&home, &["--budget", "session", "--level", "warning"])), 2);
    assert_eq!(count(&ack(&home, &["--before", "2099-01-01T00:00:00+02:00", "--session", "s-one"])), 1);
    assert_eq!(ids(&list(&home, &[])), all[..1]);
    let said = home.fusebox(&["alerts", "ack", "--all"]);
    assert_eq!((said.code, said.stdout.as_str()), (0, "Acknowledged: 1 alert.\n"));
    let said = home.fusebox(&["alerts", "ack", "--all"]);
    assert_eq!((said.code, said.stdout.as_str()), (0, "There is nothing to acknowledge.\n"));
    let said = home.fusebox(&["alerts", "ack", &all[0].to_string(), &all[1].to_string()]);
    assert_eq!((said.code, said.stdout.as_str()), (0, "Already acknowledged: 2 alerts.\n"));
}

#[test]
fn what_cannot_be_meant_is_refused_and_changes_nothing() {
    let home = home();
    spend(&home, "s", 1, 550);
    let ack = |arguments: &[&str]| home.fusebox(&[&["alerts", "ack"], arguments].concat());
    let id = ids(&list(&home, &[]))[0].to_string();
    refused(&ack(&[]), "--all");
    refused(&ack(&[&id, "77"]), "no alert 77");
    refused(&ack(&["--budget", "sesion"]), "budgets: session");
    refused(&ack(&["--session", "x"]), "unknown session x");
    refused(&ack(&["--before", "yesterday"]), "2026-11-01");
    refused(&ack(&["--level", "loud"]), "critical");
    refused(&ack(&["--all", &id]), "cannot be used with");
    refused(&home.fusebox(&["alerts", "list", "--budget", "sesion"]), "budgets: session");
    assert_eq!(list(&home, &[]).len(), 1);

    let home = home.var("CLAUDECODE", "1");
    refused(&home.fusebox(&["alerts", "ack", "--all"]), "does not run inside an agent's shell");
    assert_eq!(list(&home, &[]).len(), 1, "an agent may look");
}

#[test]
fn two_who_acknowledge_at_once_do_it_once() {
    let home = home();
    spend(&home, "s", 1, 950);
    let counts: Vec<usize> = std::thread::scope(|scope| {
        let run = || ack(&home, &["--all"])["acknowledged"].as_array().unwrap().len();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(counts.iter().sum::<usize>(), 3, "{counts:?}");
}

/// Restores a store of version 1 in this home.
fn version_1(home: &Home) {
    let sql = include_str!("../fixtures/stores/version-1.sql");
    let sql = sql.replace("@CLAUDE@", home.path("claude").to_str().unwrap());
    std::fs::create_dir_all(home.path("state")).unwrap();
    let db = rusqlite::Connection::open(home.path("state/state.db")).unwrap();
    db.execute_batch(&sql).unwrap();
    let messages = [message(1, 550, 0), message(2, 300, 0), message(3, 200, 0)];
    home.append(&home.transcript("s"), &messages);
}

fn version(home: &Home) -> u32 {
    let db = rusqlite::Connection::open(home.path("state/state.db")).unwrap();
    db.query_row("PRAGMA user_version", (), |row| row.get(0)).unwrap()
}

#[test]
fn a_store_of_the_version_before_loses_nothing() {
    let home = home();
    version_1(&home);
    assert_eq!(version(&home), 1);
    let budget = home.status("s")["budgets"][0].clone();
    assert_eq!(
        (&budget["used"], &budget["limit"], &budget["extension"]),
        (&json!(1050), &json!(1100), &json!(100))
    );
    assert_eq!(version(&home), 9);
    let alerts = list(&home, &[]);
    let passed: Vec<f64> = alerts.iter().map(|a| a["threshold"].as_f64().unwrap()).collect();
    // The messages are read again, under the extended limit: 0.5 of that was not stored before.
    assert_eq!(passed, [0.5, 0.9, 0.8, 0.8, 0.5], "all, and none twice");
    assert_eq!(ack(&home, &["--all"])["acknowledged"].as_array().unwrap().len(), 5);
    assert!(
        !home.path("state").read_dir().unwrap().any(|e| e
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains("corrupt"))
    );
}

#[test]
fn a_hook_may_be_the_first_to_meet_the_version_before() {
    let home = home();
    version_1(&home);
    let ran = home.hook("PostToolUse", "s", json!({}));
    assert!(ran.stdout.contains("1,050 of 1,100 tokens"), "{ran:?}");
    assert_eq!((version(&home), home.journal()), (9, String::new()));
    assert_eq!(home.status("s")["budgets"][0]["used"], 1050);
}

#[test]
fn many_hooks_at_once_meet_the_version_before() {
    let home = home();
    version_1(&home);
    std::thread::scope(|scope| {
        let hook = || assert_eq!(home.hook("PostToolUse", "s", json!({})).code, 0);
        (0..12).for_each(|_| _ = scope.spawn(hook));
    });
    assert_eq!(version(&home), 9);
    assert_eq!((&home.status("s")["budgets"][0]["used"], list(&home, &[]).len()), (&json!(1050), 5));
    let journal = home.journal();
    assert!(!journal.contains("duplicate column") && !journal.contains("corrupt"), "{journal}");
}
