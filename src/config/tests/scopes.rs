//! Scopes, and the units and windows that go with them.

use super::{Case, USER};
use crate::domain::budget::{Scope, Unit};

fn budget(lines: &str) -> Case {
    Case::user(&format!("[[budget]]\nname = \"b\"\nlimit = 5\n{lines}")).var("FUSEBOX_STORE_TEAM", "core")
}

fn refused(lines: &str) -> Vec<String> {
    let refusals = budget(lines).refusals();
    assert_eq!(budget(lines).load().names(), ["session"], "{lines}");
    refusals
}

#[test]
fn each_member_of_a_team() {
    let loaded = budget("scope = \"team\"\nper = \"user\"\nmatch = \"core/a*\"\n").good();
    assert_eq!((loaded.budget("b").scope, loaded.budget("b").matches.as_str()), (Scope::Member, "core/a*"));
    assert_eq!(loaded.value("budget.b.scope").0, "team");
    assert_eq!(loaded.value("budget.b.per").0, "user");
    assert_eq!(budget("scope = \"team\"\n").good().budget("b").scope, Scope::Team);

    let needs = "per: needs scope = \"team\": it counts each member of a team separately";
    for scope in ["", "scope = \"user\"\n", "scope = \"chain\"\n"] {
        let line = 4 + scope.lines().count();
        assert_eq!(
            refused(&format!("{scope}per = \"user\"\n")),
            [format!("{USER}:{line}: budget.b.{needs}")]
        );
    }
    let message = "per: must be one of user (found \"session\")";
    assert_eq!(refused("scope = \"team\"\nper = \"session\"\n"), [format!("{USER}:5: budget.b.{message}")]);
    let message = "scope: \"member\" is written in another way: scope = \"team\" with per = \"user\" counts each member of a \
                   team separately";
    assert_eq!(refused("scope = \"member\"\n"), [format!("{USER}:4: budget.b.{message}")]);
    // It defines what is counted, so that the project may not change it.
    let user = "[[budget]]\nname = \"b\"\nlimit = 5\nscope = \"team\"\n";
    let project = Case::user(user).project("[[budget]]\nname = \"b\"\nper = \"user\"\nlimit = 1\n");
    assert_eq!(project.refusals().len(), 1);
    assert_eq!(project.load().config, Case::user(user).good().config);
}

#[test]
fn without_a_team_it_counts_nothing() {
    let text = "[[budget]]\nname = \"b\"\nlimit = 5\nscope = \"team\"\nper = \"user\"\n[[rate]]\nname = \"r\"\nlimit = 5\nminutes = 5\n\
                scope = \"team\"\nper = \"user\"\n";
    let keys = |case: Case| case.good().warnings.iter().map(|w| w.key.clone()).collect::<Vec<_>>();
    assert_eq!(keys(Case::user(text)), ["budget.b.scope", "rate.r.scope"]);
    assert_eq!(keys(Case::user(text).var("FUSEBOX_STORE_TEAM", "core")), [""; 0]);
}

#[test]
fn units_of_platforms_and_chains() {
    for (scope, units) in [
        ("platform", &[Unit::Requests, Unit::Tokens, Unit::Usd][..]),
        ("chain", &[Unit::Requests, Unit::Tokens, Unit::Usd, Unit::ToolCalls]),
    ] {
        for unit in units {
            let loaded = budget(&format!("scope = \"{scope}\"\nunit = \"{}\"\n", unit.name())).good();
            assert_eq!((loaded.budget("b").scope.name(), loaded.budget("b").unit), (scope, *unit));
        }
    }
    let message = "unit: must be requests, tokens or usd with scope = \"platform\": nothing else is known of calls of a platform";
    for more in
        ["unit = \"tool_calls\"\n", "unit = \"percent\"\n", "unit = \"percent\"\nwindow = \"plan_5h\"\n"]
    {
        assert_eq!(
            refused(&format!("scope = \"platform\"\n{more}")),
            [format!("{USER}:5: budget.b.{message}")]
        );
    }
    let refusals = refused("scope = \"chain\"\nunit = \"percent\"\nwindow = \"plan_5h\"\n");
    assert!(refusals[0].contains("budget.b.scope: must be \"user\" with unit = \"percent\""), "{refusals:?}");
}

#[test]
fn windows_of_minutes_and_hours() {
    for (written, window) in [
        ("1m", "1m"),
        ("90m", "90m"),
        ("60m", "1h"),
        ("300m", "5h"),
        ("5h", "5h"),
        ("24h", "24h"),
        ("1440m", "24h"),
    ] {
        let loaded = budget(&format!("window = \"{written}\"\n")).good();
        assert_eq!(loaded.budget("b").window.to_string(), format!("{window}@UTC"), "{written}");
        assert_eq!(loaded.value("budget.b.window").0, window);
    }
    let shared = "[store]\nredis_url = \"redis://localhost\"\n[[budget]]\nname = \"b\"\nlimit = 5\nscope = \"user\"\nwindow = \"10m\"\n";
    Case::user(shared).good();
    for window in
        ["0m", "1441m", "25h", "05m", "+5m", "-5m", "5", "m", "h", "5 m", "5M", "5min", "1d", "1.5h", ""]
    {
        let message = format!(
            "window: must be one of lifetime, 5h, day, week, month, plan_5h, plan_week, or minutes or hours from 1m to 24h, such \
             as 10m (found \"{window}\")"
        );
        assert_eq!(refused(&format!("window = \"{window}\"\n")), [format!("{USER}:4: budget.b.{message}")]);
    }
}
