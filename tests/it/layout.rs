//! `hooks/layout.txt` puts what each hook runs side by side. It goes by the names of functions, and those that were renamed
//! since are left where they are: then hooks are slower, and nothing else is wrong.

use std::process::Command;

use wildmatch::WildMatch;

use crate::harness::program_path;

const LIST: &str = include_str!("../../hooks/layout.txt");

/// In the order of the list's digits.
const HOOKS: [&str; 4] = ["pre-tool-use", "post-tool-use", "prompt-submit", "session-event"];

/// Most of the functions of Fusebox that are listed for a hook are in the part of it that comes first.
#[test]
fn what_a_hook_runs_is_put_side_by_side() {
    if env!("HOOKS_ARE_LAID_OUT") != "true" {
        eprintln!(
            "SKIPPED: these hooks were built without a layout: with RUSTFLAGS or a linker of their own"
        );
        return;
    }
    for (nr, hook) in HOOKS.iter().enumerate() {
        let Some(placed) = before_all_others(program_path(hook)) else {
            eprintln!("SKIPPED: {hook} has no names: build it without strip");
            continue;
        };
        let lines =
            LIST.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '));
        let own = lines.filter(|(stores, name)| stores.as_bytes()[nr] != b'0' && name.contains("7fusebox"));
        let own: Vec<WildMatch> = own.map(|(_, name)| WildMatch::new(name)).collect();
        assert!(own.len() > 50, "{hook}: {} functions", own.len());
        let there = own.iter().filter(|listed| placed.iter().any(|name| listed.matches(name))).count();
        assert!(
            there * 4 > own.len() * 3,
            "{hook}: {there} of {} listed functions are there; make the list anew, \
             for the target of these tests: benches/layout/main.rs says how",
            own.len()
        );
    }
}

/// Fusebox' own functions that come before where a program begins: that is the first of all the others. `None`: names are
/// not to be had.
fn before_all_others(hook: &str) -> Option<Vec<String>> {
    let out = Command::new("nm").args(["--defined-only", hook]).output().unwrap();
    assert!(out.status.success(), "{hook}: {}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8(out.stdout).unwrap();
    let symbols =
        || text.lines().filter_map(|line| Some((line.split_once(' ')?.0, line.rsplit_once(' ')?.1)));
    let (start, _) = symbols().find(|(_, name)| *name == "_start")?;
    let first = symbols().filter(|(at, name)| *at < start && name.contains("7fusebox"));
    Some(first.map(|(_, name)| name.to_owned()).collect())
}
