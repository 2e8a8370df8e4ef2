//! `[[rate]]`: a budget over short periods.

use serde_json::json;

use super::{Case, MANAGED, PROJECT, USER};
use crate::config::Source;
use crate::domain::budget::{Mode, OnLimit, Scope, TokenClasses, Unit};
use crate::domain::window::Period;

const BURST: &str = "[[rate]]\nname = \"burst\"\nlimit = 200_000\nminutes = 10\n";

#[test]
fn it_becomes_a_budget() {
    let loaded = Case::user(BURST).good();
    assert_eq!(loaded.names(), ["session", "burst"]);
    let burst = loaded.budget("burst");
    assert_eq!((burst.scope, burst.matches.as_str(), burst.unit), (Scope::Session, "*", Unit::Tokens));
    assert_eq!((burst.limit, burst.hard_limit, burst.count), (200_000, None, TokenClasses::FRESH));
    assert_eq!(burst.window.to_string(), "10m@UTC");
    assert_eq!(
        (burst.on_limit, burst.mode, &burst.thresholds[..]),
        (OnLimit::Pause, Mode::Enforce, &[1.0][..])
    );
    assert_eq!(loaded.value("rate.burst.minutes"), (json!(10), Source::User(USER.into())));
    assert_eq!(loaded.value("rate.burst.thresholds"), (json!([1.0]), Source::Default));

    let text = "[[rate]]\nname = \"r\"\nscope = \"team\"\nper = \"user\"\nmatch = \"core/*\"\nunit = \"usd\"\nlimit = 2.50\n\
                minutes = 300\nthresholds = [0.5]\non_limit = \"stop\"\nmode = \"shadow\"\n";
    let loaded = Case::user(text).var("FUSEBOX_STORE_TEAM", "core").good();
    let rate = loaded.budget("r");
    assert_eq!((rate.scope, rate.matches.as_str(), rate.unit), (Scope::Member, "core/*", Unit::Usd));
    assert_eq!((rate.limit, rate.window.period), (2_500_000_000, Period::FIVE_HOURS));
    assert_eq!((rate.on_limit, rate.mode, &rate.thresholds[..]), (OnLimit::Stop, Mode::Shadow, &[0.5][..]));
}

#[test]
fn bad_values() {
    let minutes = "must be a whole number from 1 to 1440";
    let cases = [
        ("minutes = 0", format!("minutes: {minutes} (found 0)")),
        ("minutes = 1441", format!("minutes: {minutes} (found 1441)")),
        ("minutes = 1.5", format!("minutes: {minutes} (found 1.5)")),
    ];
    for (line, message) in cases {
        let refusals = Case::user(&format!("[[rate]]\nname = \"r\"\nlimit = 5\n{line}\n")).refusals();
        assert_eq!(refusals, [format!("{USER}:4: rate.r.{message}")], "{line}");
    }
    let cases = [
        ("unit = \"tool_calls\"", "unit: must be one of tokens, requests, usd (found \"tool_calls\")"),
        ("limit = 1.5", "limit: must be a whole number, because the unit is not usd or percent (found 1.5)"),
        (
            "window = \"day\"",
            "window: unknown key; allowed: name, enabled, scope, per, match, unit, limit, minutes, thresholds, on_limit, mode",
        ),
    ];
    for (line, message) in cases {
        let other = if line.starts_with("limit") { "" } else { "limit = 5\n" };
        let refusals =
            Case::user(&format!("[[rate]]\nname = \"r\"\nminutes = 5\n{line}\n{other}")).refusals();
        assert_eq!(refusals, [format!("{USER}:4: rate.r.{message}")], "{line}");
    }
    let refusals = Case::user("[[rate]]\nname = \"r\"\n").refusals();
    let missing = [
        format!(
            "{USER}:2: rate.r.limit: is required for a new rate: must be a whole number from 0 to 9007199254740991"
        ),
        format!("{USER}:2: rate.r.minutes: is required for a new rate: {minutes}"),
    ];
    assert_eq!(refusals, missing);
}

#[test]
fn a_name_is_that_of_one_budget_or_one_rate() {
    let budget = "[[budget]]\nname = \"burst\"\nlimit = 5\n";
    let of_rate =
        |line| [format!("{USER}:{line}: rate.name: must not be the name of a budget (found \"burst\")")];
    assert_eq!(Case::user(&format!("{budget}{BURST}")).refusals(), of_rate(5));
    assert_eq!(Case::user(BURST).managed(budget).refusals(), of_rate(2));
    let session = BURST.replace("burst", "session");
    assert_eq!(Case::user(&session).refusals().len(), 1);
    let case = Case::user(BURST).project(budget);
    let message = format!("{PROJECT}:2: budget.name: must not be the name of a rate (found \"burst\")");
    assert_eq!(case.refusals(), [message]);
    assert_eq!(case.load().config, Case::user(BURST).good().config);
}

#[test]
fn layers() {
    let set = |line: &str| Case::user(BURST).project(&format!("[[rate]]\nname = \"burst\"\n{line}\n"));
    let tight = set("limit = 100\nthresholds = [0.5, 1]\non_limit = \"stop\"").good();
    let burst = tight.budget("burst");
    assert_eq!((burst.limit, &burst.thresholds[..], burst.on_limit), (100, &[0.5, 1.0][..], OnLimit::Stop));
    assert_eq!(tight.value("rate.burst.limit").1, Source::Project(PROJECT.into()));
    let allowed = "cannot be set by the project, which may only add rates, and tighten existing ones (limit, thresholds, \
                   on_limit, mode), [breaker] and [throttle]";
    for (line, message) in [
        (
            "limit = 300_000",
            "limit: may only be lowered by the project, from 200000 (found 300000)".to_owned(),
        ),
        ("minutes = 1", format!("minutes: {allowed}")),
        ("enabled = false", format!("enabled: {allowed}")),
    ] {
        assert_eq!(set(line).refusals(), [format!("{PROJECT}:3: rate.burst.{message}")]);
        assert_eq!(set(line).load().config, Case::user(BURST).good().config);
    }
    let new = Case::new().project(BURST).var("FUSEBOX_RATE_BURST_LIMIT", "7").good();
    assert_eq!(new.budget("burst").limit, 7);

    let off = Case::user(&format!("{BURST}enabled = false\n")).good();
    assert_eq!((off.names(), off.value("rate.burst.enabled").0), (vec!["session"], json!(false)));

    let user = "[[rate]]\nname = \"burst\"\nlimit = 900_000\non_limit = \"stop\"\nmode = \"shadow\"\n";
    let bound = Case::user(user).managed(BURST).good();
    let burst = bound.budget("burst");
    assert_eq!((burst.limit, burst.on_limit, burst.mode), (200_000, OnLimit::Stop, Mode::Enforce));
    assert_eq!(bound.value("rate.burst.limit").1, Source::Managed(MANAGED.into()));
    let other = Case::user(&format!("{user}minutes = 1440\n")).managed(BURST).good();
    assert_eq!(other.budget("burst"), Case::new().managed(BURST).good().budget("burst"));
}
