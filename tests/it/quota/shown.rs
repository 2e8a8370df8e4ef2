//! What `quota status` and `quota summary` show.

use std::collections::BTreeSet;

use serde_json::json;

use super::{World, on_both_stores};

on_both_stores!(the_summary_has_these_keys, the_status_says_what_is_used_reserved_and_left);

fn the_summary_has_these_keys(world: &World) {
    world.done("quota record --platform gemini --amount 8");
    world.done("quota reserve --platform gemini");
    let json = world.fusebox("quota summary --json").json();
    let gemini = json["gemini"].as_object().unwrap();
    let keys: BTreeSet<&str> = gemini.keys().map(String::as_str).collect();
    let expected =
        "alerts_triggered available budget limit percent_used remaining reserved resets_at unit used";
    assert_eq!(keys, BTreeSet::from_iter(expected.split(' ')));
    assert_eq!((&gemini["budget"], &gemini["available"]), (&json!("day"), &json!(1)));
    assert_eq!((&gemini["used"], &gemini["limit"], &gemini["remaining"]), (&json!(8), &json!(10), &json!(2)));
    assert_eq!((&gemini["percent_used"], &gemini["reserved"]), (&json!(80.0), &json!(1)));
    assert_eq!((&gemini["alerts_triggered"], &gemini["unit"]), (&json!([50.0, 80.0]), &json!("requests")));
    assert!(gemini["resets_at"].as_str().unwrap().ends_with("T00:00:00Z"), "{gemini:?}");
    assert_eq!(json["search"]["used"], 0.0);
    assert!(json.get("codex").is_none(), "only a pattern names it, and it has no calls");

    // Of several budgets, the fullest.
    let other = "\n[[budget]]\nname = \"other\"\nscope = \"platform\"\nmatch = \"g*\"\nwindow = \"month\"\nunit = \"requests\"\nlimit = 9\n";
    world.home.configure(&format!("{}{other}", super::BUDGETS));
    assert_eq!(world.fusebox("quota summary --json").json()["gemini"]["limit"], 9);
    let text = world.done("quota summary");
    let line = text.lines().find(|line| line.starts_with("gemini")).unwrap();
    assert!(["88.89%", "8", "9", "requests"].iter().all(|part| line.contains(part)), "{text}");
}

fn the_status_says_what_is_used_reserved_and_left(world: &World) {
    world.done("quota record --platform gemini --amount 6");
    let id = world.done("quota reserve --platform gemini --amount 2 --key build-42 --ttl 30m");
    let text = world.done("quota status --platform gemini");
    assert!(!text.contains('\u{1b}'), "no colours in a pipe: {text}");
    for part in [
        "gemini\n",
        "day",
        "████",
        "60.00%",
        "6 / 10 requests",
        "reserved 2",
        "available 2",
        "passed 50%",
        "00:00 (in 1",
        "1 open reservation",
        &id,
        "2 requests",
        "expires in 29 min",
        "key build-42",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let json = world.fusebox("quota status --json").json();
    let gemini = json.as_array().unwrap().iter().find(|one| one["platform"] == "gemini").unwrap();
    assert_eq!(gemini["budgets"][0]["available"], 2);
    assert_eq!(gemini["reservations"][0]["id"], id.as_str());
    assert_eq!(gemini["reservations"][0]["key"], "build-42");
    assert_eq!(gemini["reservations"][0]["counts"], true);
    world.pass(1_000);
    world.done("quota reset --platform gemini --reason x --yes");
    let text = world.done("quota status --platform gemini");
    assert!(text.contains("reserved 0") && text.contains("from before, no longer counts"), "{text}");
    let id = world.done("quota reserve --platform search --usd 0.25");
    let search = world.fusebox("quota status --platform search --json").json();
    let one = &search[0]["reservations"][0];
    assert_eq!((&one["id"], &one["key"], &one["usd"]), (&json!(id), &json!(null), &json!(0.25)));
}

#[test]
fn without_platforms_it_says_how_to_get_one() {
    let world = World::embedded();
    world.home.configure("");
    for line in ["quota status", "quota summary"] {
        assert!(world.done(line).contains("scope = \"platform\""), "{line}");
    }
    assert_eq!(world.done("quota summary --json"), "{}");
}
