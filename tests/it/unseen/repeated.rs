//! Ids that repeat while no file grows: these responses are not charged, and `doctor` and `status` say so.

use serde_json::{Value, json};

use super::standing::at_second;
use super::{assert_exact, batch, calls, counted, line, on_both_stores, told};
use crate::harness::Home;

/// How many responses the status says are not charged. `doctor`, the status line and the text of `status` agree.
#[track_caller]
fn uncharged(home: &Home) -> u64 {
    let status = home.status("s");
    let known = status["uncharged_responses"].as_u64().unwrap();
    let estimated = status["unseen_responses"].as_u64().unwrap();
    let is_incomplete = known + estimated > 0;
    assert_eq!(status["incomplete"], is_incomplete, "{status}");
    let text = home.fusebox(&["status", "--session", "s"]).stdout;
    assert_eq!(text.contains("with repeated tool call ids"), known > 0, "{text}");
    let findings = home.fusebox(&["doctor", "--json"]).json()["findings"].take();
    let findings = findings.as_array().unwrap().iter();
    let said = findings.filter(|finding| finding["found"].as_str().unwrap().contains("are not charged"));
    assert_eq!(said.count() as u64, known.min(1));
    let line = home.run("status-line", json!({"session_id": "s"}).to_string().as_bytes()).stdout;
    assert_eq!(line.contains("count incomplete"), is_incomplete, "{line}");
    known
}

/// The hook after all calls of response `n`, at these seconds, called by two registrations each time.
fn batches(home: &Home, n: usize, seconds: impl IntoIterator<Item = u64>) {
    for second in seconds {
        at_second(home, second);
        assert!(batch(home, "s", n).is_silent());
        assert!(batch(home, "s", n).is_silent());
    }
}

/// A line with other calls, and the ids of `calls(1)`.
fn line_with_its_ids(n: usize) -> Value {
    let (mut other, first) = (line(n), line(1));
    for at in 0..2 {
        other["message"]["content"][at]["id"] = first["message"]["content"][at]["id"].clone();
    }
    other
}

fn ids_that_repeat_on_a_standing_file_are_noticed(home: &Home) {
    let file = home.transcript("s");
    home.append(&file, &[line(1)]);
    batches(home, 1, [0]);
    assert_eq!(uncharged(home), 0);
    // Its line may be on its way.
    batches(home, 1, [10]);
    assert_eq!(uncharged(home), 0);
    batches(home, 1, [20, 30, 40]);
    assert_eq!(counted(home, "s")[0], 1000, "what is charged stays the same");
    assert_eq!(uncharged(home), 3);

    let doctor = home.fusebox(&["doctor"]);
    let text = doctor.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    let said =
        format!("1 session incomplete: at least 3 responses of session s ({}) are not", file.display());
    assert!(text.contains(&said) && text.contains("have it give each call one of its own"), "{text}");
    let report = home.fusebox(&["doctor", "--json"]).json();
    let finding = report["findings"].as_array().unwrap().iter();
    let finding = finding.clone().find(|finding| finding["found"].as_str().unwrap().contains(&said)).unwrap();
    assert_eq!((&finding["check"], &finding["severity"]), (&json!("sessions"), &json!("warning")));
    assert!(finding["fix"].as_str().unwrap().starts_with("start the client without"), "{finding}");

    // The file moves on without them.
    home.append(&file, &[line_with_its_ids(2)]);
    batches(home, 1, [50]);
    assert_eq!(uncharged(home), 3);
    assert_eq!(home.journal(), "");
}

fn ids_that_repeat_without_a_file_are_noticed(home: &Home) {
    for round in 0..3 {
        for n in 1..=3 {
            at_second(home, 30 * round + 10 * n);
            batch(home, "s", n as usize);
        }
    }
    // Each of the ids is charged once.
    assert_eq!(home.status("s")["unseen_responses"], 3);
    assert_eq!(uncharged(home), 5);
}

fn what_the_file_shows_later_is_not_missing(home: &Home) {
    let file = home.transcript("s");
    home.append(&file, &[line(1)]);
    batches(home, 1, [0, 10, 20, 30]);
    assert_eq!(uncharged(home), 2);
    home.append(&file, &[2, 3, 4].map(line_with_its_ids));
    // At once, and after the next response.
    assert_eq!(uncharged(home), 0);
    home.append(&file, &[line_with_its_ids(5)]);
    batches(home, 1, [40]);
    assert_eq!(uncharged(home), 0);
    assert_eq!(counted(home, "s")[..2], [5000, 5]);
}

fn ids_that_repeat_on_a_growing_file_are_nothing_to_notice(home: &Home) {
    let file = home.transcript("s");
    for n in 1..=6 {
        at_second(home, 10 * n as u64);
        let written = [line_with_its_ids(n)];
        // The line is there before the hook in every other response.
        if n % 2 == 1 {
            home.append(&file, &written);
        }
        // The breaker may see a loop.
        assert_eq!(told(&batch(home, "s", 1)), 0);
        if n % 2 == 0 {
            home.append(&file, &written);
        }
    }
    assert_eq!(uncharged(home), 0);
    // Any line is a sign that the client writes.
    for n in 7..=10 {
        at_second(home, 10 * n);
        home.append(&file, &[json!({"type": "system", "n": n})]);
        batch(home, "s", 1);
    }
    assert_eq!(uncharged(home), 0);
    assert_exact(home, "s", 6, 12);
}

/// On a busy machine, the second of two hooks for an event may run late.
fn a_late_hook_is_nothing_to_notice(home: &Home) {
    for n in 1..=5 {
        for second in [0, 3, 4] {
            at_second(home, 10 * n as u64 + second);
            batch(home, "s", n);
        }
    }
    assert_eq!(home.status("s")["unseen_responses"], 5);
    assert_eq!(uncharged(home), 0);
}

fn hooks_that_run_at_once_are_one_response(home: &Home) {
    home.append(&home.transcript("s"), &[line(1)]);
    for response in 0..4 {
        at_second(home, 10 * response);
        let payload = home.payload("PostToolBatch", "s", calls(1)).to_string();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| home.run("post-tool-use", payload.as_bytes()));
            }
        });
    }
    assert_eq!(uncharged(home), 2);
}

fn a_resumed_session_is_nothing_to_notice(home: &Home) {
    let file = home.transcript("s");
    for run in 0..4 {
        let source = if run == 0 { "startup" } else { "resume" };
        at_second(home, 100 * run);
        home.hook("SessionStart", "s", json!({"source": source}));
        home.append(&file, &[json!({"type": "user", "message": {"role": "user", "content": "go on"}})]);
        home.hook("UserPromptSubmit", "s", json!({"prompt": "go on", "prompt_id": run.to_string()}));
        // The provider numbers the calls of each run.
        home.append(&file, &[line_with_its_ids(run as usize + 1)]);
        batches(home, 1, [100 * run + 10]);
        home.hook("SessionEnd", "s", json!({"reason": "other"}));
    }
    assert_eq!(uncharged(home), 0);
    assert_exact(home, "s", 4, 8);
}

on_both_stores!(
    ids_that_repeat_on_a_standing_file_are_noticed,
    ids_that_repeat_without_a_file_are_noticed,
    what_the_file_shows_later_is_not_missing,
    ids_that_repeat_on_a_growing_file_are_nothing_to_notice,
    a_late_hook_is_nothing_to_notice,
    hooks_that_run_at_once_are_one_response,
    a_resumed_session_is_nothing_to_notice,
);
