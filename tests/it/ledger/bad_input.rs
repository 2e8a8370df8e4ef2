//! What cannot be read or written: one line says what, where, and what to do, and nothing else is lost.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use super::rows;
use crate::faults::namespace::{Disk, with_mounts};
use crate::harness::{Home, Ran, message};
use crate::rig::this_test;

fn refused(ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{ran:?}");
    assert_eq!(ran.stderr.trim_end().lines().count(), 1, "{ran:?}");
    for word in words {
        assert!(ran.stderr.contains(word), "{word}: {ran:?}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_everything_else_is_imported() {
    let home = Home::new();
    home.append(&home.transcript("s"), &[message(1, 100, 10)]);
    // A link to itself: nobody can read it, not even root.
    let bad = home.transcript("bad");
    symlink(&bad, &bad).unwrap();
    let ran = home.fusebox(&["import", "--json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains(bad.to_str().unwrap()) && ran.stderr.lines().count() == 1, "{ran:?}");
    assert_eq!(ran.json()["unreadable"].as_array().unwrap().len(), 1);
    assert_eq!(rows::counts(&home).len(), 1);
    fs::remove_file(&bad).unwrap();
    home.append(&bad, &[message(2, 1, 1)]);
    rows::import(&home);
    assert_eq!(rows::counts(&home).len(), 2);
}

#[test]
fn a_folder_that_is_none_is_refused() {
    let home = Home::new();
    let missing = home.path("missing");
    let ran = home.fusebox(&["import", missing.to_str().unwrap()]);
    refused(&ran, 2, &[missing.to_str().unwrap(), "is not a folder"]);
    // A misspelt variable must not look as if there was no history.
    let mut command = home.command("fusebox");
    command.arg("import").env("CLAUDE_CONFIG_DIR", &missing);
    let ran = crate::harness::run(&mut command, b"");
    assert!(ran.code == 1 && ran.stderr.contains(missing.to_str().unwrap()), "{ran:?}");
}

#[test]
fn damaged_lines_and_absurd_counts_break_nothing() {
    let home = Home::new();
    home.append(&home.transcript("s"), &[message(1, 100, 10)]);
    let mut text = fs::read_to_string(home.transcript("s")).unwrap();
    text += "{\"type\":\"assistant\",\"message\":{\"usage\":{\"input_to\n\0\0\0not json\n";
    text += &format!("{}\n", message(2, 200, 20));
    let mut absurd = message(3, 0, 0);
    absurd["message"]["usage"]["output_tokens"] = json!(1e300);
    absurd["message"]["usage"]["input_tokens"] = json!(-5);
    absurd["timestamp"] = json!("9999-99-99T99:99:99Z");
    text += &format!("{absurd}\n");
    text += &message(4, 4, 4).to_string();
    fs::write(home.transcript("s"), text).unwrap();
    rows::import(&home);
    let sum = rows::sum(rows::counts(&home).values());
    assert_eq!((sum[0], sum[1], sum[5]), (300, 30 + (1 << 40), 3), "the last line is not finished");
    home.append(&home.transcript("s"), &[json!({})]);
    rows::import(&home);
}

#[test]
fn a_damaged_ledger_is_kept_and_a_new_one_is_made() {
    let home = Home::new();
    home.append(&home.transcript("s"), &[message(1, 100, 10)]);
    rows::import(&home);
    for (number, damage) in [(2, b"no database".to_vec()), (3, damaged_inside(&home))] {
        home.append(&home.transcript("s"), &[message(number, 100, 10)]);
        fs::write(rows::ledger(&home), &damage).unwrap();
        for side in ["ledger.db-wal", "ledger.db-shm"] {
            let _ = fs::remove_file(home.path("state").join(side));
        }
        let ran = home.fusebox(&["import", "--json"]);
        assert_eq!((ran.code, ran.stderr.lines().count()), (0, 1), "{ran:?}");
        let aside = ran.json()["set_aside"].as_str().unwrap().to_owned();
        assert!(aside.contains("ledger.db.corrupt-") && ran.stderr.contains(&aside), "{ran:?}");
        assert_eq!(fs::read(&aside).unwrap(), damage);
        assert_eq!(rows::counts(&home).len(), number);
    }
}

/// The ledger with its table of records overwritten.
fn damaged_inside(home: &Home) -> Vec<u8> {
    let db = rusqlite::Connection::open(rows::ledger(home)).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).unwrap();
    let page: usize = db
        .query_row("SELECT rootpage FROM sqlite_master WHERE name = 'cost_records'", (), |r| {
            r.get::<_, i64>(0)
        })
        .unwrap()
        .try_into()
        .unwrap();
    let size: usize =
        db.query_row("PRAGMA page_size", (), |r| r.get::<_, i64>(0)).unwrap().try_into().unwrap();
    drop(db);
    let mut bytes = fs::read(rows::ledger(home)).unwrap();
    bytes[(page - 1) * size..page * size].fill(0xFF);
    bytes
}

#[test]
fn the_ledger_of_a_later_version_is_left_alone() {
    let home = Home::new();
    home.append(&home.transcript("s"), &[message(1, 100, 10)]);
    rows::import(&home);
    let db = rusqlite::Connection::open(rows::ledger(&home)).unwrap();
    db.execute_batch("PRAGMA user_version=99").unwrap();
    drop(db);
    refused(&home.fusebox(&["import"]), 1, &["ledger.db", "a later version"]);
    assert_eq!(rows::counts(&home).len(), 1);
}

#[test]
fn a_full_disk_loses_and_repeats_nothing() {
    with_mounts(this_test!(), || {
        let home = Home::new();
        let disk = Disk::mount(&home.path("state"));
        home.append(&home.transcript("s"), &[message(1, 100, 10)]);
        rows::import(&home);
        let lines: Vec<_> = (2..400).map(|n| message(n, 100, 10)).collect();
        home.append(&home.transcript("s"), &lines);
        for but in [0, 4096, 50_000] {
            disk.fill(but);
            let ran = home.fusebox(&["import"]);
            refused(&ran, 1, &["ledger.db", "disk has space"]);
            disk.free();
        }
        let sum = rows::sum(rows::counts(&home).values());
        assert_eq!(sum[0], 100, "nothing of the second part");
        rows::import(&home);
        let sum = rows::sum(rows::counts(&home).values());
        assert_eq!((sum[0], sum[1], sum[5]), (39_900, 3990, 399));
    });
}
