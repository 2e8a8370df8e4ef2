//! `hooks/layout.txt` puts what hooks run side by side. It goes by the names of functions, and those that were renamed since
//! are left where they are: then hooks are slower, and nothing else is wrong.

use std::process::Command;

use wildmatch::WildMatch;

const LIST: &str = include_str!("../../hooks/layout.txt");

const HOOKS: [&str; 4] = [
    env!("CARGO_BIN_EXE_pre-tool-use"),
    env!("CARGO_BIN_EXE_post-tool-use"),
    env!("CARGO_BIN_EXE_prompt-submit"),
    env!("CARGO_BIN_EXE_session-event"),
];

/// Most of the listed functions that are Fusebox' own are in the part that comes first.
#[test]
fn what_hooks_run_is_put_side_by_side() {
    let placed: Vec<String> = HOOKS.iter().flat_map(|hook| before_all_others(hook)).collect();
    let listed = LIST.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '));
    let own: Vec<WildMatch> =
        listed.filter(|(_, name)| name.contains("7fusebox")).map(|(_, name)| WildMatch::new(name)).collect();
    assert!(own.len() > 300, "{} functions", own.len());
    let there = own.iter().filter(|listed| placed.iter().any(|name| listed.matches(name))).count();
    assert!(
        there * 4 > own.len() * 3,
        "{there} of {} listed functions are there: make the list anew, by cargo bench --bench layout",
        own.len()
    );
}

/// Fusebox' own functions that come before where a program begins: that is the first of all the others.
fn before_all_others(hook: &str) -> Vec<String> {
    let out = Command::new("nm").args(["--defined-only", hook]).output().unwrap();
    assert!(out.status.success(), "{hook}: {}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    let symbols: Vec<(&str, &str)> =
        text.lines().filter_map(|line| Some((line.split_once(' ')?.0, line.rsplit_once(' ')?.1))).collect();
    let start = symbols.iter().find(|(_, name)| *name == "_start").expect("every program begins somewhere").0;
    let first = symbols.iter().filter(|(at, name)| *at < start && name.contains("7fusebox"));
    first.map(|(_, name)| (*name).to_owned()).collect()
}
