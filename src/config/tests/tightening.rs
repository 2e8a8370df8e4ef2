//! No project file or setting can loosen a budget.

use proptest::prelude::*;

use super::Case;
use crate::config::LoadedConfig;

const USER: &str = r#"
[[budget]]
name = "a"
limit = 100
hard_limit = 200
thresholds = [0.5, 1]
wrap_up = 3
mode = "shadow"
[[budget]]
name = "b-c"
scope = "project"
unit = "requests"
limit = 100
on_limit = "warn"
store_down = "allow"
[[budget]]
name = "gone"
limit = 1
enabled = false
[[rate]]
name = "r"
limit = 100
minutes = 10
mode = "shadow"
[[platform]]
name = "p"
commands = ["x"]
"#;

fn value() -> impl Strategy<Value = String> {
    let number = prop::sample::select(vec!["0", "50", "100", "150", "250", "-1", "1000000", "1.5", "9e99"]);
    let list = prop::collection::vec(prop::sample::select(vec!["0.25", "0.5", "0.8", "0.9", "1", "2"]), 0..6);
    let word = prop::sample::select(vec![
        "warn",
        "pause",
        "stop",
        "shadow",
        "enforce",
        "allow",
        "deny",
        "user",
        "session",
        "project",
        "tokens",
        "requests",
        "usd",
        "percent",
        "day",
        "plan_5h",
        "*",
        "x",
        "Europe/Berlin",
        "never",
        "",
    ]);
    prop_oneof![
        3 => number.prop_map(str::to_owned),
        2 => list.prop_map(|l| format!("[{}]", l.join(", "))),
        3 => word.prop_map(|w| format!("\"{w}\"")),
        1 => any::<bool>().prop_map(|b| b.to_string()),
        1 => Just("[\"output\"]".to_owned()),
        1 => Just("{}".to_owned()),
    ]
}

fn key() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "enabled",
        "scope",
        "match",
        "unit",
        "count",
        "limit",
        "limit",
        "hard_limit",
        "hard_limit",
        "window",
        "timezone",
        "thresholds",
        "thresholds",
        "on_limit",
        "wrap_up",
        "store_down",
        "mode",
        "per",
        "minutes",
        "commands",
        "tools",
        "ttl",
        "on_excess",
        "anchor",
        "other",
    ])
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "session", "a", "a", "b-c", "b-c", "gone", "task", "new", "b", "a-hard", "A", "", "r", "p",
    ])
}

fn budget() -> impl Strategy<Value = String> {
    let tables = prop::sample::select(vec!["budget", "budget", "rate", "platform"]);
    (tables, name(), prop::collection::btree_map(key(), value(), 0..6)).prop_map(|(table, name, keys)| {
        let keys: String = keys.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        format!("[[{table}]]\nname = \"{name}\"\n{keys}")
    })
}

fn file() -> impl Strategy<Value = String> {
    let top = prop::sample::select(vec![
        "",
        "enabled = false\n",
        "store.tenant = \"x\"\n",
        "alerts.command = [\"sh\"]\n",
        "task_type.docs = 9e9\n",
        "task_type.docs = 90000000\n",
        "prompt_line = \"never\"\n",
        "budget = 1\n",
        "= broken\n",
    ]);
    (top, prop::collection::vec(budget(), 0..5)).prop_map(|(top, tables)| format!("{top}{}", tables.concat()))
}

fn variable() -> impl Strategy<Value = (String, String)> {
    let part = |name: &str| name.to_uppercase().replace('-', "_");
    let tables = prop::sample::select(vec!["BUDGET", "BUDGET", "RATE", "PLATFORM"]);
    let of_table = (tables, name(), key(), value()).prop_map(move |(table, name, key, value)| {
        let value = value.trim_matches(|c| "[]\"{}".contains(c)).to_owned();
        (format!("FUSEBOX_{table}_{}_{}", part(name), part(key)), value)
    });
    let others = ["FUSEBOX_ENABLED", "FUSEBOX_CONFIG", "XDG_CONFIG_HOME", "FUSEBOX_STORE_TENANT"];
    let other = prop::sample::select(others.to_vec())
        .prop_flat_map(|name| (Just(name.to_owned()), prop::sample::select(vec!["0", "work", "/dev/null"])));
    prop_oneof![4 => of_table, 1 => other.prop_map(|(name, value)| (name, value.to_owned()))]
}

/// Everything that is looser in `after` than in `before`.
fn looser(before: &LoadedConfig, after: &LoadedConfig) -> Vec<String> {
    let mut found = Vec::new();
    let mut check = |right: bool, what: String| {
        if !right {
            found.push(what)
        }
    };
    let (old, new) = (&before.config, &after.config);
    check(new.enabled == old.enabled && new.tenant == old.tenant && new.team == old.team, "settings".into());
    check(
        new.prompt_line == old.prompt_line && new.alert_command == old.alert_command,
        "prompt line or alerts".into(),
    );
    for platform in &old.platforms {
        check(new.platforms.contains(platform), format!("platform {}", platform.name));
    }
    for old in &old.budgets {
        let Some(new) = new.budgets.iter().find(|new| new.name == old.name) else {
            check(false, format!("{} is gone", old.name));
            continue;
        };
        let most = |hard: Option<u64>| hard.unwrap_or(u64::MAX);
        let mut check = |right: bool, what: &str| check(right, format!("{}: {what}", old.name));
        check(new.scope == old.scope && new.matches == old.matches, "what it is for");
        check(new.unit == old.unit && new.count == old.count && new.window == old.window, "what it counts");
        check(new.limit <= old.limit && most(new.hard_limit) <= most(old.hard_limit), "limits");
        check(new.limit <= most(new.hard_limit), "limit above the hard limit");
        check(new.wrap_up <= old.wrap_up, "wrap_up");
        check(new.on_limit >= old.on_limit && new.mode >= old.mode, "on_limit or mode");
        check(old.thresholds.iter().all(|t| new.thresholds.contains(t)), "thresholds");
        check(new.store_down == old.store_down, "store_down");
    }
    found
}

fn case(file: &str, project_vars: &[(String, String)]) -> Case {
    let case = Case::user(USER)
        .var("FUSEBOX_BUDGET_A_HARD_LIMIT", "180")
        .var("FUSEBOX_BUDGET_SESSION_WRAP_UP", "2")
        .var("FUSEBOX_TASK_TYPE", "docs")
        .project(file);
    // A variable has one value: if the project sets one of the person's variables, only its value is visible.
    let own = ["FUSEBOX_BUDGET_A_HARD_LIMIT", "FUSEBOX_BUDGET_SESSION_WRAP_UP"];
    let named = project_vars.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    named.fold(case, |case, (name, value)| case.project_var(name, value))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn no_project_loosens_a_budget(file in file(), vars in prop::collection::vec(variable(), 0..5)) {
        let before = case("", &[]).good();
        let after = case(&file, &vars).load();
        prop_assert!(after.is_usable(), "{:?}", after.problems);
        let looser = looser(&before, &after);
        prop_assert!(looser.is_empty(), "{looser:?}");
    }

    #[test]
    fn no_text_breaks_it(file in ".{0,300}", settings in ".{0,300}") {
        let case = case(&file, &[]).with("~/work/.claude/settings.local.json", &settings);
        let after = case.load();
        prop_assert!(after.is_usable());
        prop_assert!(looser(&self::case("", &[]).good(), &after).is_empty());
    }
}
