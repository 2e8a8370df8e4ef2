//! What is reserved, recorded and released.

use serde_json::json;

use super::{World, on_both_stores};

on_both_stores!(
    a_reservation_holds_until_it_is_recorded_or_released,
    what_has_no_room_is_refused,
    a_key_is_one_request_for_good,
    a_use_without_a_reservation_counts_at_once,
    less_equal_and_more_may_be_recorded,
    tokens_and_dollars_count,
    what_has_ended_cannot_end_otherwise,
    a_person_resets_a_platform,
    a_chain_has_its_own_limit,
    passed_thresholds_are_told_once,
    a_platform_says_what_to_do_with_more_than_reserved,
);

fn a_reservation_holds_until_it_is_recorded_or_released(world: &World) {
    let first = world.done("quota reserve --platform gemini");
    assert!(first.len() == 24 && first.chars().all(|c| c.is_ascii_hexdigit()), "{first}");
    let second = world.done("quota reserve --platform gemini --amount 4");
    assert_eq!(world.gemini(), [0, 5]);
    assert_eq!(world.budget("gemini")["available"], 5);
    world.done(&format!("quota record --id {first}"));
    assert_eq!(world.gemini(), [1, 4]);
    world.done(&format!("quota release --id {second}"));
    assert_eq!(world.gemini(), [1, 0]);
    // Both may be repeated.
    world.done(&format!("quota record --id {first}"));
    world.done(&format!("quota release --id {second}"));
    assert_eq!(world.gemini(), [1, 0]);
}

fn what_has_no_room_is_refused(world: &World) {
    world.done("quota record --platform gemini --amount 3");
    world.done("quota reserve --platform gemini --amount 4");
    let refused =
        world.fails("quota reserve --platform gemini --amount 4", 3, "budget day (platform gemini)");
    assert_eq!(refused.stdout, "", "nothing that looks like an id");
    for says in [
        "no room for 4 requests",
        "3 used and 4 reserved of 10 requests",
        "It resets at",
        "T00:00:00Z (in 12 h",
    ] {
        assert!(refused.stderr.contains(says), "{says}: {refused:?}");
    }
    let refused = world.fusebox("quota reserve --platform gemini --amount 4 --json").json();
    assert_eq!(refused["refused"]["asked"], 4);
    assert_eq!(refused["refused"]["reserved"], 4);
    assert_eq!(world.gemini(), [3, 4], "nothing was reserved");
    world.done("quota reserve --platform gemini --amount 3");
    world.fails("quota reserve --platform gemini", 3, "no room for 1 request:");
    // A person makes room.
    world.done("budget extend day --value gemini --requests 5 --reason x");
    world.done("quota reserve --platform gemini --amount 5");
}

fn a_key_is_one_request_for_good(world: &World) {
    let reserve = |key: &str, amount: u32| {
        let amount = amount.to_string();
        world.home.fusebox(&["quota", "reserve", "--platform", "gemini", "--key", key, "--amount", &amount])
    };
    for key in ["a", " a", "a b", "ключ-🔑", "'; DROP TABLE x; --", "{}:*?[", "%s\\n"] {
        let first = reserve(key, 1);
        assert_eq!((first.code, first.stderr.as_str()), (0, ""), "{key}");
        let again = reserve(key, 1);
        assert_eq!((again.code, &again.stdout), (0, &first.stdout), "{key}");
        assert!(again.stderr.contains("holds 1 request"), "{again:?}");
        let other = reserve(key, 2);
        assert!(other.code == 2 && other.stderr.contains("another amount"), "{other:?}");
    }
    assert_eq!(world.gemini(), [0, 7], "each key once");
    world.done("quota record --platform gemini --key a");
    // Whoever called the platform again would not be counted.
    let again = reserve("a", 1);
    assert!(again.code == 2 && again.stderr.contains("was recorded: 1 request"), "{again:?}");
    assert_eq!(again.stdout, "");
    // A job that failed releases, and tries again under the same key.
    world.done("quota release --platform gemini --key %s\\n");
    assert_eq!(world.gemini(), [1, 5]);
    let again = reserve("%s\\n", 2);
    assert_eq!((again.code, again.stderr.as_str()), (0, ""), "{again:?}");
    assert_eq!(world.gemini(), [1, 7]);
    world.done("quota release --platform gemini --key %s\\n");
    // Another platform's keys are others.
    world.done("quota reserve --platform codex --key a");
    assert_eq!(world.gemini(), [1, 5]);
}

fn a_use_without_a_reservation_counts_at_once(world: &World) {
    world.done("quota record --platform gemini");
    world.done("quota record --platform gemini --amount 3");
    assert_eq!(world.gemini(), [4, 0]);
    // A key makes it one record.
    for _ in 0..3 {
        world.done("quota record --platform gemini --key k --amount 2");
    }
    assert_eq!(world.gemini(), [6, 0]);
    world.fails("quota record --platform gemini --key k --amount 3", 2, "was recorded: 2 requests");
    // It has been used, so it counts past the limit, too.
    world.done("quota record --platform gemini --amount 9");
    assert_eq!(world.gemini(), [15, 0]);
    assert_eq!(world.budget("gemini")["available"], 0);
    assert_eq!(world.budget("gemini")["percent_used"], 150.0);
}

fn less_equal_and_more_may_be_recorded(world: &World) {
    for (used, sum) in [(0, 0), (1, 1), (2, 3), (5, 8)] {
        let id = world.done("quota reserve --platform gemini --amount 2");
        world.done(&format!("quota record --id {id} --amount {used}"));
        assert_eq!(world.gemini(), [sum, 0], "{used}");
    }
}

fn tokens_and_dollars_count(world: &World) {
    let id = world.done("quota reserve --platform codex --tokens 600");
    world.fails("quota reserve --platform codex --tokens 401", 3, "no room for 401 tokens");
    let json = world.fusebox(&format!("quota record --id {id} --input 300 --output 50 --json")).json();
    assert_eq!(json["reservation"]["used"], json!({"requests": 1, "tokens": 350, "usd": 0.0}));
    assert_eq!(json["reservation"]["state"], "used");
    assert_eq!(json["budgets"][0]["used"], 350);
    assert_eq!(json["budgets"][0]["reserved"], 0);

    let id = world.done("quota reserve --platform search --usd 0.60");
    world.fails("quota reserve --platform search --usd 0.41", 3, "no room for $0.41");
    world.done(&format!("quota record --id {id} --usd 0.125"));
    assert_eq!(world.budget("search")["used"], 0.125);
    // Priced like `fusebox cost record`: 1,000 at $2.50 and 100 at $10 a million.
    world.done("quota record --platform search --input 1000 --output 100 --model gpt-4o");
    assert_eq!(world.budget("search")["used"], 0.1285);
    // What is not named stays as reserved.
    let id = world.done("quota reserve --platform search --amount 3 --usd 0.5");
    let json = world.fusebox(&format!("quota record --id {id} --tokens 7 --json")).json();
    assert_eq!(json["reservation"]["used"], json!({"requests": 3, "tokens": 7, "usd": 0.5}));
}

fn what_has_ended_cannot_end_otherwise(world: &World) {
    let used = world.done("quota reserve --platform gemini");
    world.done(&format!("quota record --id {used}"));
    world.fails(&format!("quota release --id {used}"), 2, "was recorded: 1 request");
    world.fails(&format!("quota record --id {used} --amount 2"), 2, "was recorded: 1 request");
    let released = world.done("quota reserve --platform gemini");
    world.done(&format!("quota release --id {released}"));
    world.fails(&format!("quota record --id {released}"), 2, "was released");
    for line in ["record --id nosuch", "release --id nosuch", "release --platform gemini --key nosuch"] {
        world.fails(&format!("quota {line}"), 2, "there is no reservation");
    }
    assert_eq!(world.gemini(), [1, 0]);
}

fn a_person_resets_a_platform(world: &World) {
    world.done("quota record --platform gemini --amount 4");
    let old = world.done("quota reserve --platform gemini --amount 5");
    world.fails("quota reset --platform gemini --reason x", 2, "add --yes");
    world.fails("quota reset --platform nosuch --reason x --yes", 2, "no platform named nosuch");
    assert_eq!(world.gemini(), [4, 5], "nothing was reset");
    world.pass(1_000);
    let said = world.done("quota reset --platform gemini --reason x --yes");
    assert!(said.contains("day (platform gemini)") && said.contains("4 / 10"), "{said}");
    assert_eq!(world.gemini(), [0, 0], "what was reserved before no longer counts either");
    world.pass(1_000);
    world.done("quota reserve --platform gemini --amount 10");
    world.done(&format!("quota record --id {old}"));
    assert_eq!(world.gemini(), [0, 10], "it counts when it was reserved");
    let agent = crate::harness::run(
        world.home.command("fusebox").env("CLAUDECODE", "1").args([
            "quota",
            "reset",
            "--platform",
            "gemini",
            "--reason",
            "x",
            "--yes",
        ]),
        b"",
    );
    assert!(agent.code == 2 && agent.stderr.contains("inside an agent's shell"), "{agent:?}");
    assert_eq!(world.gemini(), [0, 10]);
}

fn a_chain_has_its_own_limit(world: &World) {
    let budget = "\n[[budget]]\nname = \"chain\"\nscope = \"chain\"\nwindow = \"month\"\nunit = \"requests\"\nlimit = 2\n";
    world.home.configure(&format!("{}{budget}", super::BUDGETS));
    let reserve = |chain: &str| {
        let mut command = world.home.command("fusebox");
        command.env("FUSEBOX_CHAIN", chain).args(["quota", "reserve", "--platform", "gemini"]);
        crate::harness::run(&mut command, b"")
    };
    assert_eq!([reserve("one").code, reserve("one").code, reserve("two").code], [0, 0, 0]);
    let refused = reserve("one");
    assert!(refused.code == 3 && refused.stderr.contains("budget chain (chain one)"), "{refused:?}");
    world.fails("quota reserve --platform gemini --chain one", 3, "budget chain (chain one)");
    world.done("quota reserve --platform gemini");
    assert_eq!(world.gemini(), [0, 4]);
}

fn a_platform_says_what_to_do_with_more_than_reserved(world: &World) {
    let platform = "\n[[platform]]\nname = \"gemini\"\non_excess = \"refuse\"\n";
    world.home.configure(&format!("{}{platform}", super::BUDGETS));
    let id = world.done("quota reserve --platform gemini --amount 2");
    world.done("quota record --platform gemini --amount 7");
    world.fails(&format!("quota record --id {id} --amount 4"), 3, "no room");
    assert_eq!(world.gemini(), [7, 2], "nothing was recorded, and it is still reserved");
    world.fails("quota record --platform gemini --amount 2", 3, "no room");
    world.done(&format!("quota record --id {id} --amount 3"));
    assert_eq!(world.gemini(), [10, 0]);
}

fn passed_thresholds_are_told_once(world: &World) {
    let told = world.home.path("told");
    let command = format!("[alerts]\ncommand = [\"sh\", \"-c\", \"cat >> {}\"]\n", told.display());
    world.home.configure(&format!("{command}{}", super::BUDGETS));
    let said = |line: &str| {
        let ran = world.fusebox(line);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.stderr
    };
    assert_eq!(said("quota record --platform gemini --amount 4"), "");
    // Two at once: the higher one.
    let first = said("quota record --platform gemini --amount 4");
    assert!(first.contains("80.00% used: 8 of 10 requests") && first.lines().count() == 1, "{first}");
    assert_eq!(said("run --platform codex --tokens 5 -- true"), "");
    let second = said("run --platform gemini -- true");
    assert!(second.contains("90.00% used"), "{second}");
    assert_eq!(said("quota record --platform gemini"), "");
    // The person's program runs by itself.
    let thresholds = || -> Vec<f64> {
        let lines = std::fs::read_to_string(&told).unwrap_or_default();
        let whole = lines.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let mut all: Vec<f64> = whole.filter_map(|alert| alert["threshold"].as_f64()).collect();
        all.sort_by(f64::total_cmp);
        all
    };
    while thresholds().len() < 3 {
        std::thread::yield_now();
    }
    assert_eq!(thresholds(), [0.5, 0.8, 0.9]);
}
