//! `fusebox ledger purge`.

use serde_json::{Value, json};

use super::rows;
use crate::accounting::test_store::Sum;
use crate::accounting::written::{boundary, response, total};
use crate::harness::{Home, message, run};

/// A message of a day and a project.
fn of(n: usize, date: &str, project: &str) -> Value {
    let mut line = message(n, 100, 10);
    line["timestamp"] = json!(format!("{date}T10:00:00.000Z"));
    line["cwd"] = json!(project);
    line
}

fn purge(home: &Home, arguments: &[&str]) -> Value {
    let ran = home.fusebox(&[&["ledger", "purge", "--yes", "--json"], arguments].concat());
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    rows::assert_summed(home);
    ran.json()
}

#[test]
fn what_was_purged_does_not_come_back() {
    let home = Home::new();
    let lines = [of(1, "2026-01-01", "/a"), of(2, "2026-02-01", "/a"), of(3, "2026-02-01", "/b")];
    home.append(&home.transcript("s"), &lines);
    let record =
        ["cost", "record", "--task", "t", "--platform", "p", "--model", "m", "--input", "1", "--output", "1"];
    assert_eq!(home.fusebox(&record).code, 0);
    // It imports first: nothing was imported yet.
    assert_eq!(purge(&home, &["--before", "2026-01-15"])["tasks"], 1);
    assert_eq!(rows::counts(&home).len(), 3);
    assert_eq!(purge(&home, &["--project", "/a"])["tasks"], 1);
    assert_eq!(purge(&home, &["--project", "/b", "--before", "2026-01-15"])["tasks"], 0);
    let left = rows::all_columns(&home);
    assert_eq!(left.len(), 2, "{left:?}");
    // The file is read again from its start, and another copy of it as well; the message grows.
    let mut grown = of(2, "2026-02-01", "/a");
    (grown["uuid"], grown["message"]["usage"]["output_tokens"]) = (json!("grown"), json!(5000));
    std::fs::remove_file(home.transcript("s")).unwrap();
    home.append(&home.transcript("s"), &lines);
    home.append(&home.transcript("copy"), &lines);
    home.append(&home.transcript("copy"), &[grown]);
    rows::import(&home);
    assert_eq!(rows::all_columns(&home), left);
    assert_eq!(purge(&home, &["--before", "2026-03-01"])["tasks"], 1);
    // No name of a project is left.
    let bytes = std::fs::read(rows::ledger(&home)).unwrap();
    let folder = home.path("claude/projects").to_string_lossy().into_owned();
    assert!(!bytes.windows(folder.len()).any(|window| window == folder.as_bytes()));
    let text = format!("{:?}", rows::all_columns(&home));
    assert!(!text.contains("/a") && !text.contains("/b"), "{text}");
}

#[test]
fn a_client_total_that_covers_purged_messages_adds_nothing() {
    const SUM: Sum = Sum::tokens(100, 50, 0, 0, 1000);
    let lines = [
        response("a", 1, SUM),
        boundary("c", 2, 4000),
        response("b", 3, SUM),
        total(7, Sum::tokens(300, 150, 0, 0, 9000)),
    ];
    let later = [response("d", 10, SUM), total(7, Sum::tokens(400, 200, 0, 0, 10_000))];
    let whole = Home::new();
    whole.append(&whole.transcript("s"), &lines);
    whole.append(&whole.transcript("s"), &later);
    rows::import(&whole);
    let home = Home::new();
    home.append(&home.transcript("s"), &lines);
    assert_eq!(purge(&home, &["--before", "2026-11-22T10:00:02Z"])["tasks"], 1);
    home.append(&home.transcript("s"), &later);
    rows::import(&home);
    let (all, left) = (rows::counts(&whole), rows::counts(&home));
    assert_eq!(left.len() + 1, all.len());
    for (key, counts) in left {
        assert_eq!(all[&key], counts);
    }
}

#[test]
fn it_is_for_people_and_asks() {
    let home = Home::new();
    home.append(&home.transcript("s"), &[of(1, "2026-01-01", "/a")]);
    rows::import(&home);
    let all: &[&str] = &["ledger", "purge", "--before", "2027-01-01"];
    let agents = run(home.command("fusebox").args(all).arg("--yes").env("CLAUDECODE", "1"), b"");
    assert!(agents.code == 2 && agents.stderr.contains("does not run inside an agent's shell"), "{agents:?}");
    let unasked = run(home.command("fusebox").args(all), b"y\n");
    assert!(unasked.code == 2 && unasked.stderr.contains("--yes"), "{unasked:?}");
    for (arguments, words) in [
        (&["ledger", "purge", "--yes"][..], "--before"),
        (&["ledger", "purge", "--yes", "--before", "soon"], "use a date such as"),
        (&["ledger", "purge", "--yes", "--project", "/nowhere"], "projects: /a. Nothing was removed"),
    ] {
        let ran = home.fusebox(arguments);
        assert!(ran.code == 2 && ran.stderr.contains(words), "{arguments:?}: {ran:?}");
    }
    assert_eq!(rows::counts(&home).len(), 1);
}

#[test]
fn the_last_folder_of_a_project_is_enough() {
    let home = Home::new();
    let lines = [of(1, "2026-01-01", "/src/a"), of(2, "2026-01-01", "/old/b"), of(3, "2026-01-01", "/src/b")];
    home.append(&home.transcript("s"), &lines);
    assert_eq!(purge(&home, &["--project", "a/"])["project"], "/src/a");
    let several = home.fusebox(&["ledger", "purge", "--yes", "--project", "b"]);
    let says = "fusebox: the ledger has several projects b; projects: /old/b, /src/b. Nothing was removed\n";
    assert_eq!((several.code, several.stderr.as_str()), (2, says));
    assert_eq!(purge(&home, &["--project", "/old/b/"])["tasks"], 1);
}
