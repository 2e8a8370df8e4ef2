//! What is new is read, whatever happened to the files and to the import.

use std::fs;

use serde_json::json;

use super::rows;
use crate::harness::{Home, message};
use crate::killed::{At, run_killed_at};
use crate::random::Random;

#[test]
fn files_that_grow_at_any_place_end_in_the_same_records() {
    for (number, scenario) in rows::scenarios().iter().enumerate() {
        let whole = Home::new();
        rows::copy(&whole, scenario);
        rows::import(&whole);
        let expected = rows::all_columns(&whole);
        assert!(!expected.is_empty());
        let mut random = Random::new(number as u64);
        let home = Home::new();
        let files = rows::files(scenario);
        for step in 1..=4 {
            for file in &files {
                let bytes = fs::read(scenario.join(file)).unwrap();
                let to = home.path("claude/projects/-p").join(file);
                let there = fs::metadata(&to).map_or(0, |meta| meta.len() as usize);
                let length = if step == 4 || file.extension().unwrap() == "json" {
                    bytes.len()
                } else {
                    there + random.below(bytes.len() - there + 1)
                };
                if length > there {
                    fs::create_dir_all(to.parent().unwrap()).unwrap();
                    // Appended, as the client does.
                    let mut open = fs::OpenOptions::new().create(true).append(true).open(&to).unwrap();
                    std::io::Write::write_all(&mut open, &bytes[there..length]).unwrap();
                }
            }
            rows::import(&home);
        }
        let found = rows::all_columns(&home);
        // Which of two sessions was made first differs between the two homes.
        let without = |rows: Vec<Vec<(String, String)>>| -> Vec<Vec<(String, String)>> {
            let keep =
                |(name, _): &(String, String)| !matches!(name.as_str(), "session" | "project" | "branch");
            rows.into_iter().map(|row| row.into_iter().filter(keep).collect()).collect()
        };
        assert_eq!(without(found), without(expected), "{}", scenario.display());
    }
}

mod crashes {
    //! Takes long: `tests/run --quick` leaves it out.

    use super::*;

    #[test]
    fn an_import_killed_at_every_step_loses_and_repeats_nothing() {
        let expected = {
            let home = Home::new();
            write(&home);
            rows::import(&home);
            rows::all_columns(&home)
        };
        assert_eq!(expected.len(), 4);
        let mut killed = 0;
        for stops in (0..).step_by(3) {
            let home = Home::new();
            write(&home);
            let mut command = home.command("fusebox");
            command.arg("import");
            let done = run_killed_at(command, b"", At { stops, instructions: 0 });
            rows::import(&home);
            assert_eq!(rows::all_columns(&home), expected, "killed at {stops}");
            rows::assert_sound(&home);
            if !done.killed {
                break;
            }
            killed += 1;
        }
        assert!(killed > 30, "only {killed} steps");
    }
}

fn write(home: &Home) {
    home.append(&home.transcript("s"), &[message(1, 100, 10), message(2, 200, 20)]);
    home.append(&home.agent_transcript("s", "a1"), &[message(3, 300, 30)]);
    home.append(&home.transcript("t"), &[message(1, 100, 10), message(4, 400, 40)]);
}

#[test]
fn a_second_import_reads_nothing_and_changes_nothing() {
    let home = Home::new();
    write(&home);
    // Older than the clock's resolution.
    let clock = home.path("clock");
    fs::write(&clock, "60000").unwrap();
    let home = home.var("FUSEBOX_TEST_CLOCK", clock.to_str().unwrap());
    let first = rows::import(&home).json();
    assert_eq!(
        (&first["files"], &first["sessions"], &first["added"]),
        (&json!(3), &json!(2), &json!(4)),
        "{first}"
    );
    let before = rows::all_columns(&home);
    let second = rows::import(&home).json();
    let read = ["files_read", "bytes_read", "added", "changed"].map(|name| second[name].clone());
    assert_eq!(read, [json!(0), json!(0), json!(0), json!(0)], "{second}");
    assert_eq!(second["records"], 4);
    assert_eq!(rows::all_columns(&home), before);
    home.append(&home.transcript("s"), &[message(5, 500, 50)]);
    let third = rows::import(&home).json();
    assert_eq!((&third["added"], &third["records"]), (&json!(1), &json!(5)), "{third}");
}

/// A file that changed just before it was read is looked into again, but only what it has grown by is new.
#[test]
fn only_files_that_grew_have_something_new() {
    let home = Home::new();
    write(&home);
    assert_eq!(rows::import(&home).json()["files_read"], 3);
    let again = rows::import(&home).json();
    assert_eq!((&again["files_read"], &again["bytes_read"]), (&json!(0), &json!(0)), "{again}");
    home.append(&home.transcript("s"), &[message(5, 500, 50)]);
    let text = home.fusebox(&["import"]).stdout;
    assert!(text.starts_with("2 sessions with 3 files, 1 with something new.\n"), "{text}");
}

#[test]
fn what_the_client_deletes_or_rewrites_is_kept() {
    let home = Home::new();
    write(&home);
    rows::import(&home);
    let before = rows::all_columns(&home);
    fs::remove_dir_all(home.path("claude/projects/-p/s")).unwrap();
    fs::remove_file(home.transcript("s")).unwrap();
    rows::import(&home);
    assert_eq!(rows::all_columns(&home), before);
    // Replaced by something shorter, then by something longer in the same file.
    fs::write(home.transcript("t"), format!("{}\n", message(6, 600, 60))).unwrap();
    rows::import(&home);
    assert_eq!(rows::counts(&home).len(), 5);
    let lines: Vec<String> = (7..20).map(|n| message(n, 1, 1).to_string() + "\n").collect();
    fs::write(home.transcript("t"), lines.concat()).unwrap();
    rows::import(&home);
    assert_eq!(rows::counts(&home).len(), 18);
    // The same history from elsewhere changes nothing.
    let folder = home.path("claude/projects/-elsewhere");
    fs::create_dir_all(&folder).unwrap();
    fs::copy(home.transcript("t"), folder.join("t.jsonl")).unwrap();
    rows::import(&home);
    assert_eq!(rows::counts(&home).len(), 18);
}

#[test]
fn a_later_line_of_a_message_makes_its_record_grow() {
    let home = Home::new();
    let mut first = message(1, 100, 3);
    first["message"]["stop_reason"] = json!(null);
    home.append(&home.transcript("s"), &[first]);
    rows::import(&home);
    assert_eq!(rows::sum(rows::counts(&home).values())[1], 4, "estimated from what is visible");
    let mut last = message(1, 100, 50);
    (last["uuid"], last["parentUuid"]) = (json!("last"), json!("uuid-1"));
    last["message"]["content"][0]["id"] = json!("toolu_other");
    home.append(&home.transcript("s"), &[last]);
    let ran = rows::import(&home).json();
    assert_eq!((&ran["added"], &ran["changed"]), (&json!(0), &json!(1)), "{ran}");
    let counts = rows::counts(&home);
    assert_eq!(counts.len(), 1);
    assert_eq!(rows::sum(counts.values()), [100, 50, 0, 0, 10, 1, 2]);
}

#[test]
fn imports_at_the_same_time_lose_and_repeat_nothing() {
    let home = Home::new();
    write(&home);
    let start = || home.command("fusebox").arg("import").stdout(std::process::Stdio::null()).spawn().unwrap();
    let mut running: Vec<_> = (0..4).map(|_| start()).collect();
    for child in &mut running {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(rows::sum(rows::counts(&home).values())[..2], [1000, 100]);
}
