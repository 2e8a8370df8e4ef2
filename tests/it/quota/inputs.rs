//! Wrong use: exit code 2, and nothing is changed.

use super::World;

#[test]
fn amounts_that_are_none_are_refused() {
    let world = World::embedded();
    for options in [
        "--amount 0",
        "--amount -1",
        "--amount 1.5",
        "--amount x",
        "--amount 99999999999999999999999",
        "--amount 18446744073709551615",
        "--amount 1099511627777",
        "--tokens 0",
        "--tokens -5",
        "--tokens 1e9",
        "--usd 0",
        "--usd -1",
        "--usd NaN",
        "--usd inf",
        "--usd 1,5",
        "--usd 1000000",
        "--usd 99999999999999",
        "--ttl 0",
        "--ttl -5",
        "--ttl 32d",
        "--ttl soon",
        "--key=",
        "--chain=",
        "--nonsense",
    ] {
        let ran = world.fusebox(&format!("quota reserve --platform gemini {options}"));
        assert!(ran.code == 2 && ran.stdout.is_empty() && !ran.stderr.is_empty(), "{options}: {ran:?}");
        let ran = world.fusebox(&format!(
            "run --platform gemini {options} -- touch {}",
            world.home.path("ran").display()
        ));
        assert!(ran.code == 2 && ran.stdout.is_empty(), "{options}: {ran:?}");
    }
    assert!(!world.home.path("ran").exists());
    let key = "k".repeat(257);
    world.fails(&format!("quota reserve --platform gemini --key {key}"), 2, "256");
    let tab = world.home.fusebox(&["quota", "reserve", "--platform", "gemini", "--key", "a\tb"]);
    assert_eq!(tab.code, 2, "{tab:?}");
    assert_eq!(world.gemini(), [0, 0]);
    // The largest amount does not overflow a budget.
    world.fails("quota reserve --platform gemini --amount 1099511627776", 3, "no room");
    world.done("quota record --platform gemini --amount 1099511627776");
    world.fails("quota reserve --platform gemini", 3, "no room");
}

#[test]
fn options_that_do_not_fit_together_are_refused() {
    let world = World::embedded();
    for line in [
        "quota reserve",
        "quota record",
        "quota record --id a --platform gemini",
        "quota record --key a",
        "quota record --platform gemini --tokens 5 --input 5",
        "quota record --platform gemini --usd 1 --model gpt-4o",
        "quota record --platform gemini --model gpt-4o",
        "quota record --platform gemini --model gpt-4o --input 5",
        "quota record --id=",
        "quota release",
        "quota release --platform gemini",
        "quota reset --platform gemini",
        "quota reset --platform gemini --yes --reason=",
        "quota nonsense",
        "run --platform gemini",
        "run --platform gemini true",
        "run -- true",
        "run --platform gemini --if-store-down maybe -- true",
        "wait",
        "wait --until-reset --budget nosuch",
        "wait --until-reset --budget day --platform gemini",
        "wait --until-reset --timeout 0",
    ] {
        let ran = world.fusebox(line);
        assert!(ran.code == 2 && !ran.stderr.is_empty(), "{line}: {ran:?}");
    }
    assert_eq!(world.gemini(), [0, 0]);
}

#[test]
fn a_platform_that_nothing_counts_is_refused() {
    let world = World::embedded();
    for line in [
        "quota reserve --platform gemni",
        "quota record --platform gemni",
        "quota status --platform gemni",
        "run --platform gemni -- true",
        "wait --until-reset --platform gemni",
    ] {
        world.fails(line, 2, "no platform named gemni; platforms: codex*, gemini, search");
    }
    // A pattern makes all its names known.
    world.done("quota reserve --platform codex-2");
    world.home.configure("");
    world.fails("quota reserve --platform gemini", 2, "none is configured: add a [[budget]]");
    assert!(world.done("quota status").contains("codex-2"), "what is reserved is shown all the same");
}
