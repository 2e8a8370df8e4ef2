//! Many callers at once never pass a limit, even if some are killed.

use std::process::Stdio;

use super::{World, on_both_stores};

/// Callers at once.
const CALLERS: usize = 64;

/// Reserves with many processes near the limit, kills some of them in between, and checks that what was granted and what
/// is counted fit the limit.
fn round(world: &World, number: usize) {
    let platform = format!("edge-{number}");
    let start = |caller: usize| {
        let mut command = world.home.command("fusebox");
        command.args(["quota", "reserve", "--platform", &platform, "--key", &format!("caller-{caller}")]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut running: Vec<_> = (0..CALLERS).map(|caller| (caller, start(caller))).collect();
    // Others than last time, at other moments.
    for (caller, child) in &mut running {
        if (*caller + number).is_multiple_of(5) {
            child.kill().unwrap();
        }
    }
    let mut granted = 0;
    let mut killed = Vec::new();
    for (caller, child) in running {
        let output = child.wait_with_output().unwrap();
        match output.status.code() {
            Some(0) => granted += 1,
            Some(3) => {}
            None => killed.push(caller),
            Some(other) => panic!("{other}: {}", String::from_utf8_lossy(&output.stderr)),
        }
    }
    let held = |world: &World| world.budget(&platform)["reserved"].as_u64().unwrap();
    let before = held(world);
    assert!(before <= LIMIT, "round {number}: {before} reserved");
    // A killed caller may have been granted, but nobody was granted what is not counted.
    assert!(
        granted <= before && before <= granted + killed.len() as u64,
        "round {number}: {granted} granted, {before}"
    );
    for caller in killed {
        let again = start(caller).wait_with_output().unwrap();
        assert!(matches!(again.status.code(), Some(0 | 3)), "{again:?}");
    }
    assert_eq!(held(world), LIMIT, "round {number}: there were callers enough");
}

const LIMIT: u64 = 40;

fn rounds(world: &World, count: usize) {
    world.home.configure(&format!(
        "[[budget]]\nname = \"edge\"\nscope = \"platform\"\nmatch = \"edge-*\"\nunit = \"requests\"\nlimit = {LIMIT}\nwindow = \"day\"\ntimezone = \"UTC\"\n"
    ));
    for number in 0..count {
        round(world, number);
    }
}

on_both_stores!(callers_at_once_never_pass_the_limit);

/// Many rounds in `tests/long faults` only.
fn callers_at_once_never_pass_the_limit(world: &World) {
    let is_long = std::env::var_os("FUSEBOX_TEST_SEEDS").is_some();
    rounds(world, if is_long { 20 } else { 1 });
}
