//! The stamp changes with every relevant file and variable, and with nothing else.

use std::fs::{File, FileTimes};

use super::{Case, MANAGED, PROJECT, USER};
use crate::config::Stamp;

const SETTINGS: [&str; 2] = ["~/work/.claude/settings.json", "~/work/.claude/settings.local.json"];

#[test]
fn it_is_that_of_the_load_while_nothing_changes() {
    let case = Case::user("enabled = true\n").project("").managed("").var("FUSEBOX_PROMPT_LINE", "never");
    assert_eq!(case.load().stamp, case.stamp());
    let before = case.stamp();
    case.write("~/work/other.toml", "x");
    let case = case.var("PATH", "/bin");
    assert_eq!(case.stamp(), before);
    assert_ne!(before, Stamp::NEVER);
}

#[test]
fn it_changes_when_a_file_comes_changes_or_goes() {
    let case = Case::new();
    for file in [USER, PROJECT, MANAGED, SETTINGS[0], SETTINGS[1]] {
        let absent = case.stamp();
        case.write(file, "a = 1");
        let first = case.stamp();
        case.write(file, "a = 11");
        let longer = case.stamp();
        let handle = File::options().write(true).open(case.path(file)).unwrap();
        let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1);
        handle.set_times(FileTimes::new().set_modified(old)).unwrap();
        let touched = case.stamp();
        std::fs::remove_file(case.path(file)).unwrap();
        assert_eq!(case.stamp(), absent, "{file}");
        let all = [absent, first, longer, touched];
        for (i, stamp) in all.iter().enumerate() {
            assert!(!all[i + 1..].contains(stamp), "{file}: {all:?}");
        }
    }
}

#[test]
fn it_changes_with_the_variables() {
    let mut stamps = vec![Case::new().stamp()];
    let case = Case::new();
    stamps.push(case.stamp());
    let case = case.var("FUSEBOX_TASK", "a");
    stamps.push(case.stamp());
    let case = case.var("FUSEBOX_TASK", "b");
    stamps.push(case.stamp());
    let case = case.var("XDG_CONFIG_HOME", "/nowhere");
    stamps.push(case.stamp());
    for (i, stamp) in stamps.iter().enumerate() {
        assert!(!stamps[i + 1..].contains(stamp), "{stamps:?}");
    }
}

#[test]
fn it_changes_with_the_file_that_a_variable_names() {
    let case = Case::new().with("~/own.toml", "").var("FUSEBOX_CONFIG", "own.toml");
    let before = case.stamp();
    case.write("~/own.toml", "enabled = false");
    assert_ne!(case.stamp(), before);
    assert_ne!(case.load().stamp, before);
}

#[test]
fn it_can_be_kept() {
    let stamp = Case::new().stamp();
    let kept = serde_json::to_string(&stamp).unwrap();
    assert_eq!(serde_json::from_str::<Stamp>(&kept).unwrap(), stamp);
}
