//! What a session used before the installation: only what its files held when Fusebox first saw it.

use std::fs;

use fusebox::store::{Query, Recover};
use serde_json::{Value, json};

use super::hooks::Home;
use super::test_store::{NOW, Sum, open};
use super::written::response;

const TEN: Sum = Sum::tokens(10, 5, 0, 0, 0);

/// A response with a date of its own choice, the first one of the last century.
fn old(id: &str) -> Value {
    let mut line = response(id, 1, TEN);
    line["timestamp"] = json!("1999-01-01T00:00:00.000Z");
    line
}

/// A home where Fusebox was installed at [`NOW`].
fn installed() -> Home {
    let home = Home::new();
    install(&home);
    home
}

fn install(home: &Home) {
    fs::create_dir_all(home.path("state")).expect("a folder");
    open(&home.path("state")).note_installation(NOW).expect("noted");
}

fn history(home: &mut Home) -> (u64, u64) {
    let state = home.record().states.swap_remove(0);
    (state.used, state.history)
}

#[test]
fn what_a_resumed_session_held_is_history_and_what_is_appended_is_not() {
    let mut home = installed();
    home.append_lines(&[old("a"), old("b")]);
    assert_eq!(history(&mut home), (30, 30));
    home.append_lines(&[old("c")]);
    assert_eq!(history(&mut home), (45, 30), "a date that somebody chose");
    // Copies of what was held are the same messages, in another file as well.
    home.append_lines(&[old("a")]);
    assert_eq!(history(&mut home), (45, 30));
    let agent = home.path("s/subagents");
    fs::create_dir_all(&agent).expect("a folder");
    fs::write(agent.join("agent-late.jsonl"), format!("{}\n", old("d"))).expect("a file");
    assert_eq!(history(&mut home), (60, 30), "a file that came later");
    // Whatever is lost, it is read from the start again.
    fs::remove_dir_all(home.path("cache")).expect("the cache was there");
    assert_eq!(history(&mut home), (60, 30), "the cache");
    home.append_lines(&[old("e")]);
    assert_eq!(history(&mut home), (75, 30));
}

#[test]
fn what_was_appended_is_no_history_for_a_hook_that_knows_neither_cache_nor_store() {
    let mut home = installed();
    home.append_lines(&[old("a")]);
    assert_eq!(history(&mut home), (15, 15));
    let (state, away) = (home.path("state"), home.path("away"));
    fs::remove_dir_all(home.path("cache")).expect("the cache was there");
    fs::rename(&state, &away).expect("the store was there");
    fs::write(&state, "no folder").expect("a file");
    home.append_lines(&[old("b")]);
    assert!(!home.record().is_stored());
    fs::remove_file(&state).expect("the file");
    fs::rename(&away, &state).expect("the store");
    home.end_back_off();
    assert_eq!(history(&mut home), (30, 15));
}

#[test]
fn files_of_subagents_that_were_there_are_history_too() {
    let mut home = installed();
    home.append_lines(&[old("a")]);
    let agents = home.path("s/subagents");
    fs::create_dir_all(&agents).expect("a folder");
    fs::write(agents.join("agent-a1.jsonl"), format!("{}\n", old("b"))).expect("a file");
    assert_eq!(history(&mut home), (30, 30));
}

#[test]
fn a_lost_store_learns_the_same_again() {
    let mut home = installed();
    home.append_lines(&[old("a")]);
    assert_eq!(history(&mut home), (15, 15));
    home.append_lines(&[old("b")]);
    assert_eq!(history(&mut home), (30, 15));
    fs::remove_dir_all(home.path("state")).expect("the store was there");
    install(&home);
    home.append_lines(&[old("c")]);
    assert_eq!(history(&mut home), (45, 15));
}

#[test]
fn a_new_session_has_none() {
    let mut home = installed();
    assert_eq!(history(&mut home), (0, 0), "no file yet");
    let mut now = response("a", 1, TEN);
    now["timestamp"] = NOW.plus_millis(5).to_rfc3339().into();
    home.append_lines(&[now]);
    assert_eq!(history(&mut home), (15, 0));
    home.append_lines(&[old("b"), old("c")]);
    assert_eq!(history(&mut home), (45, 0));
    // The client's total, after a line that claims to be old.
    home.append_lines(&[super::written::total(1, Sum::tokens(130, 15, 0, 0, 0))]);
    assert_eq!(history(&mut home), (145, 0));
    fs::remove_dir_all(home.path("cache")).expect("the cache was there");
    assert_eq!(history(&mut home), (145, 0));
    assert!(open(&home.path("state")).session_total("s").expect("an answer").is_some());
}

#[test]
fn the_rest_of_an_old_total_is_history_with_the_lines() {
    let mut home = installed();
    home.append_lines(&[old("a"), super::written::total(1, Sum::tokens(40, 5, 0, 0, 0))]);
    assert_eq!(history(&mut home), (45, 45));
}
