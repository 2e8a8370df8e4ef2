//! `fusebox wait`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use super::{HOUR_MS, World, on_both_stores};

on_both_stores!(
    nothing_to_wait_for_is_no_wait,
    it_ends_with_the_window,
    a_person_ends_it,
    a_release_ends_it,
    it_gives_up_after_the_timeout,
    everything_includes_the_users_budget,
);

/// A waiting `fusebox`, after its first line.
fn start(world: &World, options: &str) -> (Child, String) {
    let mut command = world.home.command("fusebox");
    command.args(["wait", "--until-reset"]).args(options.split(' ').filter(|word| !word.is_empty()));
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    (child, line)
}

fn nothing_to_wait_for_is_no_wait(world: &World) {
    world.done("quota record --platform gemini --amount 9");
    for options in ["", " --platform gemini", " --budget day", " --platform search", " --timeout 1"] {
        let ran = world.fusebox(&format!("wait --until-reset{options}"));
        assert!(ran.is_silent(), "{options}: {ran:?}");
    }
    let json = world.fusebox("wait --until-reset --json").json();
    assert_eq!(json, serde_json::json!({"free": true, "waited_seconds": 0, "budgets": []}));
}

fn it_ends_with_the_window(world: &World) {
    world.done("quota record --platform gemini --amount 10");
    for options in ["--platform gemini", "--budget day", ""] {
        let (mut child, line) = start(world, options);
        let says = ["waiting: budget day (platform gemini)", "10 / 10 requests", "00:00 (in 12 h"];
        assert!(says.iter().all(|part| line.contains(part)), "{options}: {line}");
        assert!(child.try_wait().unwrap().is_none(), "{options}");
        world.pass(13 * HOUR_MS);
        assert_eq!(child.wait().unwrap().code(), Some(0), "{options}");
        world.pass(-13 * HOUR_MS);
    }
}

fn a_person_ends_it(world: &World) {
    world.done("quota record --platform gemini --amount 10");
    let (mut child, _) = start(world, "--platform gemini");
    world.done("budget extend day --value gemini --requests 1 --reason x");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    world.done("quota record --platform gemini");
    let (mut child, _) = start(world, "--budget day");
    world.pass(1_000);
    world.done("quota reset --platform gemini --reason x --yes");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

fn a_release_ends_it(world: &World) {
    let id = world.done("quota reserve --platform gemini --amount 10 --ttl 11h");
    let (mut child, line) = start(world, "--platform gemini");
    assert!(line.contains("10 reserved"), "{line}");
    world.done(&format!("quota release --id {id}"));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

fn it_gives_up_after_the_timeout(world: &World) {
    world.done("quota record --platform gemini --amount 10");
    let (child, _) = start(world, "--platform gemini --timeout 2h --json");
    world.pass(2 * HOUR_MS);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("still held back after 2 h"), "{output:?}");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["free"], &json["budgets"][0]["name"]), (&false.into(), &"day".into()));
}

fn everything_includes_the_users_budget(world: &World) {
    let budget =
        "[[budget]]\nname = \"daily\"\nscope = \"user\"\nwindow = \"day\"\ntimezone = \"UTC\"\nlimit = 10\n";
    world.home.configure(budget);
    let mut line = crate::harness::message(1, 50, 0);
    let at = |world: &World| {
        let moved: i64 = std::fs::read_to_string(world.home.path("clock")).unwrap().parse().unwrap();
        chrono::DateTime::from_timestamp_millis(fusebox::platform::clock().0 + moved).unwrap().to_rfc3339()
    };
    line["timestamp"] = at(world).into();
    world.home.append(&world.home.transcript("s"), &[line]);
    world.home.hook("PostToolUse", "s", serde_json::json!({}));
    let (mut child, line) = start(world, "");
    assert!(line.contains("budget daily (user tester)"), "{line}");
    world.pass(13 * HOUR_MS);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_budget_of_nothing_here_is_refused() {
    let world = World::embedded();
    world.fails("wait --until-reset --budget session", 2, "counts by session, and there is none here");
}
