//! Windows, expiry and alerts, with a clock that the tests move.

use serde_json::Value;

use super::{HOUR_MS, World, on_both_stores};

on_both_stores!(
    a_day_starts_at_midnight_in_utc,
    what_expires_is_released,
    a_platform_says_when_its_reservations_expire,
    what_is_recorded_late_counts,
    each_threshold_is_raised_once,
);

fn a_day_starts_at_midnight_in_utc(world: &World) {
    world.done("quota record --platform gemini --amount 8");
    let late = world.done("quota reserve --platform gemini --amount 2 --ttl 20h");
    world.fails("quota reserve --platform gemini", 3, "no room");
    world.pass(11 * HOUR_MS);
    assert_eq!(world.gemini(), [8, 2], "it is persistent, and the day is not over");
    world.pass(2 * HOUR_MS);
    assert_eq!(world.gemini(), [0, 0]);
    let json = world.fusebox("quota summary --json").json();
    assert_eq!(json["gemini"]["alerts_triggered"], serde_json::json!([]));
    world.done("quota reserve --platform gemini --amount 10");
    world.done(&format!("quota record --id {late}"));
    assert_eq!(world.gemini(), [0, 10], "a call belongs to the day in which it was reserved");
}

fn what_expires_is_released(world: &World) {
    let id = world.done("quota reserve --platform gemini --amount 9 --ttl 90");
    world.fails("quota reserve --platform gemini --amount 2", 3, "9 reserved");
    world.pass(91_000);
    let again = world.fusebox("quota reserve --platform gemini --amount 2 --key b");
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(world.gemini(), [0, 2]);
    world.done(&format!("quota release --id {id}"));
    // The same key after it expired reserves anew, and needs room.
    world.pass(2 * HOUR_MS);
    world.done("quota reserve --platform gemini --amount 9");
    world.fails("quota reserve --platform gemini --amount 2 --key b", 3, "no room");
    world.done("quota reserve --platform gemini --amount 1 --key b");
    assert_eq!(world.gemini(), [0, 10]);
}

fn a_platform_says_when_its_reservations_expire(world: &World) {
    let platform = "\n[[platform]]\nname = \"gemini\"\nttl = 600\n";
    world.home.configure(&format!("{}{platform}", super::BUDGETS));
    world.done("quota reserve --platform gemini --amount 2");
    world.done("quota reserve --platform gemini --amount 3 --ttl 2h");
    world.done("quota reserve --platform codex --amount 1");
    world.pass(9 * 60_000);
    assert_eq!(world.gemini(), [0, 5]);
    world.pass(60_000);
    assert_eq!(world.gemini(), [0, 3], "the option comes first");
    let codex = |world: &World| {
        world.fusebox("quota status --platform codex --json").json()[0]["reservations"].clone()
    };
    assert_eq!(codex(world).as_array().unwrap().len(), 1, "elsewhere, an hour");
    world.pass(50 * 60_000);
    assert_eq!(codex(world), serde_json::json!([]));
}

fn what_is_recorded_late_counts(world: &World) {
    let id = world.done("quota reserve --platform gemini --amount 2 --ttl 60");
    world.pass(61_000);
    assert_eq!(world.gemini(), [0, 0]);
    world.done(&format!("quota record --id {id} --amount 3"));
    assert_eq!(world.gemini(), [3, 0]);
}

fn each_threshold_is_raised_once(world: &World) {
    let raised = || {
        let all = world.fusebox("alerts list --json").json();
        let of = |alert: &Value| (alert["threshold"].as_f64().unwrap() * 100.0).round() as u64;
        let mut all: Vec<u64> = all.as_array().unwrap().iter().map(of).collect();
        all.sort_unstable();
        all
    };
    let mut reserved = Vec::new();
    for _ in 0..10 {
        reserved.push(world.done("quota reserve --platform gemini"));
    }
    assert_eq!(raised(), [0; 0], "what is reserved is not used");
    for (at, id) in reserved.iter().enumerate() {
        world.done(&format!("quota record --id {id}"));
        let expected: &[u64] = match at + 1 {
            ..5 => &[],
            5..8 => &[50],
            8 => &[50, 80],
            _ => &[50, 80, 90],
        };
        assert_eq!(raised(), expected, "after {}", at + 1);
    }
    world.done("quota record --platform gemini --amount 5");
    assert_eq!(raised(), [50, 80, 90]);
    let json = world.fusebox("quota summary --json").json();
    assert_eq!(json["gemini"]["alerts_triggered"], serde_json::json!([50.0, 80.0, 90.0]));
    // The next day has its own, and a jump passes all of them.
    world.pass(13 * HOUR_MS);
    world.done("quota record --platform gemini --amount 9");
    assert_eq!(raised(), [50, 50, 80, 80, 90, 90]);
}

/// The clock of the shared store decides about windows and expiry.
#[test]
fn machines_with_wrong_clocks_agree() {
    let world = World::shared();
    let on_machine = |hours: i64, line: &str| {
        let mut command = world.home.command("fusebox");
        command.args(line.split(' ')).env("FUSEBOX_TEST_SKEW", (hours * HOUR_MS).to_string());
        crate::harness::run(&mut command, b"")
    };
    // By their own clocks, it is yesterday, today and tomorrow.
    let machines = [-13, 0, 13];
    for hours in machines {
        let ran = on_machine(hours, "quota reserve --platform gemini --amount 3 --ttl 2h");
        assert_eq!(ran.code, 0, "{hours}: {ran:?}");
    }
    for hours in machines {
        let ran = on_machine(hours, "quota reserve --platform gemini --amount 2");
        assert_eq!(ran.code, 3, "{hours}: {ran:?}");
        let shown = on_machine(hours, "quota status --platform gemini --json").json();
        let day = &shown[0]["budgets"][0];
        assert_eq!((&day["used"], &day["reserved"]), (&0.into(), &9.into()), "{hours}: {shown}");
    }
    world.pass(2 * HOUR_MS);
    for hours in machines {
        let ran = on_machine(hours, "quota reserve --platform gemini --amount 3 --key again");
        assert_eq!(ran.code, 0, "{hours}: expired for all: {ran:?}");
    }
    assert_eq!(world.gemini(), [0, 3]);
    // So does a reset, on whichever machine.
    for hours in machines {
        let line = "budget reset day --value gemini --reason test";
        let ran = on_machine(hours, line);
        assert_eq!(ran.code, 0, "{hours}: {ran:?}");
        assert_eq!(world.gemini(), [0, 0], "{hours}");
        assert_eq!(on_machine(hours, "quota reserve --platform gemini --amount 10").code, 0, "{hours}");
        assert_eq!(world.gemini(), [0, 10], "{hours}");
    }
}
