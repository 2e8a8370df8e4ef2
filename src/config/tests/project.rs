//! What the project's file and the variables that its settings name may and may not do.

use serde_json::json;

use super::{Case, PROJECT, USER};
use crate::config::{Source, Stamp};
use crate::domain::budget::{Mode, OnLimit, Scope, Unit};

const BUDGET: &str = r#"
[[budget]]
name = "b"
limit = 100
hard_limit = 200
thresholds = [0.5, 1]
on_limit = "pause"
wrap_up = 3
mode = "shadow"
"#;

/// The user's budget `b`, with the project's change to it in line 3.
fn case(line: &str) -> Case {
    Case::user(BUDGET).project(&format!("[[budget]]\nname = \"b\"\n{line}\n"))
}

#[test]
fn tightening_counts() {
    let loaded = case(
        "limit = 50\nhard_limit = 60\nthresholds = [1.0, 0.25, 0.5]\non_limit = \"stop\"\nwrap_up = 0\n\
         mode = \"enforce\"",
    )
    .good();
    let b = loaded.budget("b");
    assert_eq!((b.limit, b.hard_limit, b.wrap_up), (50, Some(60), 0));
    assert_eq!((b.on_limit, b.mode), (OnLimit::Stop, Mode::Enforce));
    assert_eq!(b.thresholds, [0.25, 0.5, 1.0]);
    assert_eq!(loaded.value("budget.b.limit"), (json!(50), Source::Project(PROJECT.into())));
}

#[test]
fn loosening_is_refused_and_the_rest_kept() {
    let allowed = "cannot be set by the project, which may only add budgets, and tighten existing ones (limit, hard_limit, \
                   thresholds, on_limit, wrap_up, mode), [breaker] and [throttle]";
    let cases = [
        ("limit = 150", "limit: may only be lowered by the project, from 100 (found 150)"),
        ("hard_limit = 300", "hard_limit: may only be lowered by the project, from 200 (found 300)"),
        ("hard_limit = 50", "hard_limit: must be at least the limit, 100 (found 50)"),
        ("wrap_up = 4", "wrap_up: may only be lowered by the project, from 3 (found 4)"),
        (
            "thresholds = [0.5, 0.6]",
            "thresholds: may only be added to by the project: must keep [0.5,1.0] (found [0.5,0.6])",
        ),
        (
            "on_limit = \"warn\"",
            "on_limit: may only be made stricter by the project: must be pause or stop (found \"warn\")",
        ),
        ("enabled = false", &format!("enabled: {allowed}")),
        ("enabled = true", &format!("enabled: {allowed}")),
        ("store_down = \"deny\"", &format!("store_down: {allowed}")),
    ];
    for (line, message) in cases {
        let case = case(&format!("{line}\nwrap_up = 2").replace("wrap_up = 4\nwrap_up = 2", "wrap_up = 4"));
        assert_eq!(case.refusals(), [format!("{PROJECT}:3: budget.b.{message}")], "{line}");
        let loaded = case.load();
        assert!(loaded.is_usable());
        let mut expected = Case::user(BUDGET).good().config;
        expected.budgets[1].wrap_up = if line == "wrap_up = 4" { 3 } else { 2 };
        assert_eq!(loaded.config, expected, "{line}");
    }
    let shadow = Case::new().project("[[budget]]\nname = \"session\"\nmode = \"shadow\"\n").refusals();
    assert!(
        shadow[0]
            .ends_with("mode: may only be made stricter by the project: must be enforce (found \"shadow\")")
    );
}

#[test]
fn a_budget_that_means_something_else_is_left_out_whole() {
    for line in
        ["scope = \"user\"", "unit = \"requests\"", "unit = \"usd\"", "match = \"x\"", "window = \"day\""]
    {
        let case = case(&format!("{line}\nlimit = 1"));
        assert_eq!(case.refusals().len(), 1, "{line}");
        assert_eq!(case.load().config, Case::user(BUDGET).good().config, "{line}");
    }
    // Repeating the same value is refused too, but the rest applies.
    let case = case("scope = \"session\"\nlimit = 1");
    assert_eq!((case.refusals().len(), case.load().budget("b").limit), (1, 1));
    for line in ["unit = \"percent\"", "anchor = \"plan\"", "scopes = \"user\""] {
        let case = Case::new().project(&format!("[[budget]]\nname = \"new\"\nlimit = 1\n{line}\n"));
        assert_eq!((case.refusals().len(), case.load().names()), (1, vec!["session"]), "{line}");
    }
}

#[test]
fn keys_outside_of_budgets_are_refused() {
    let lines = [
        "enabled = false",
        "enabled = true",
        "store.tenant = \"x\"",
        "store.team = \"x\"",
        "prompt_line = \"never\"",
        "brief.show = \"never\"",
        "alerts.command = [\"sh\"]",
        "task_type.planning = 1",
        "breaker.cooldown_seconds = 5",
        "nonsense = 1",
    ];
    for line in lines {
        let case = Case::new().project(&format!("{line}\n"));
        assert!(case.refusals()[0].starts_with(&format!("{PROJECT}:1: ")), "{line}");
        assert!(case.load().is_usable());
        assert_eq!(case.load().config, Case::new().good().config);
    }
    assert!(Case::new().project("= not toml").load().is_usable());
}

#[test]
fn the_breaker_and_throttling_may_be_tightened() {
    let user = "[breaker]\nmax_repeats = 9\n[throttle]\nhard_limit_tokens = 100\n";
    let tight = Case::user(user)
        .project("breaker.max_repeats = 3\nbreaker.preset = \"strict\"\nthrottle.max_concurrency = 2\n");
    let config = tight.good().config;
    assert_eq!(
        (config.breaker.limits.get("same_call"), config.breaker.limits.get("iterations")),
        (Some(3), Some(50))
    );
    assert!(config.breaker.ignore_outcome);
    assert_eq!(config.throttle.map(|t| (t.hard_limit_tokens, t.max_concurrency)), Some((100, 2)));
    for (line, from) in [
        ("breaker.max_repeats = 10", "9"),
        ("breaker.max_repeats = \"off\"", "9"),
        // Compared with the preset if nothing is set.
        ("breaker.max_cycles = 5", "4"),
        ("throttle.hard_limit_tokens = 101", "100"),
        ("breaker.preset = \"relaxed\"", "standard"),
        ("breaker.enabled = false", "true"),
        ("breaker.mode = \"shadow\"", "enforce"),
    ] {
        let loose = Case::user(user).project(&format!("{line}\n"));
        let refusal = loose.refusals().join("\n");
        assert!(refusal.contains("by the project") && refusal.contains(from), "{line}: {refusal}");
        assert_eq!(loose.load().config, Case::user(user).good().config, "{line}");
    }
}

#[test]
fn a_new_budget_counts() {
    let text = "[[budget]]\nname = \"req\"\nscope = \"project\"\nunit = \"requests\"\nlimit = 10\nmode = \"shadow\"\n\
                wrap_up = 5\nstore_down = \"allow\"\non_limit = \"warn\"\nthresholds = [1]\nwindow = \"day\"\n";
    let loaded = Case::new().project(text).good();
    let req = loaded.budget("req");
    assert_eq!((req.scope, req.unit, req.limit, req.wrap_up), (Scope::Project, Unit::Requests, 10, 5));
    let refused = Case::new().project(&text.replace("limit = 10\n", "")).refusals();
    assert_eq!(
        refused,
        [format!(
            "{PROJECT}:2: budget.req.limit: is required for a new budget: must be a whole number from 0 to 9007199254740991"
        )]
    );
}

#[test]
fn the_project_cannot_bring_back_or_take_away() {
    let removed = "[[budget]]\nname = \"session\"\nenabled = false\n";
    assert_eq!(
        Case::user(removed).project("[[budget]]\nname = \"session\"\nlimit = 5\n").good().names().len(),
        0
    );
    let case = Case::new().project(removed);
    assert_eq!((case.refusals().len(), case.load().names()), (1, vec!["session"]));
}

#[test]
fn a_variable_in_the_settings_is_the_projects_word() {
    let name = "FUSEBOX_BUDGET_SESSION_LIMIT";
    let lower = Case::new().project_var(name, "5").good();
    assert_eq!(lower.value("budget.session.limit"), (json!(5), Source::ProjectVariable(name.into())));
    let higher = Case::new().project_var(name, "2000000");
    let message = "may only be lowered by the project, from 1000000 (found 2000000)";
    assert_eq!(
        higher.refusals(),
        [format!("{name} (in the project's settings): budget.session.limit: {message}")]
    );
    assert!(higher.load().is_usable());
    assert_eq!(higher.load().config, Case::new().good().config);
    for name in [
        "FUSEBOX_ENABLED",
        "FUSEBOX_ALERTS_COMMAND",
        "FUSEBOX_STORE_TEAM",
        "FUSEBOX_NONSENSE",
        "FUSEBOX_BUDGET_X_LIMIT",
    ] {
        let case = Case::new().project_var(name, "0");
        assert_eq!(case.refusals().len(), 1, "{name}");
        assert!(case.load().is_usable());
        assert_eq!(case.load().config, Case::new().good().config);
    }
    let unit = Case::new().project_var("FUSEBOX_BUDGET_SESSION_UNIT", "requests").project_var(name, "5");
    assert_eq!(unit.load().config, Case::new().good().config);
}

#[test]
fn local_and_broken_settings_count_too() {
    let named = |text: &str| {
        let case = Case::new().var("FUSEBOX_ENABLED", "false");
        case.with("~/work/.claude/settings.local.json", text).load().config.enabled
    };
    assert!(named(r#"{"env": {"FUSEBOX_ENABLED": "false"}}"#));
    assert!(named(r#"{"env": {"\u0046USEBOX_ENABLED": 0}}"#));
    assert!(named(r#"{"env": {"FUSEBOX_ENABLED": "false"},}"#), "what cannot be understood may name it");
    assert!(named(&" ".repeat(5 << 20)), "what is too large to read may name it");
    assert!(!named(r#"{"permissions": {"allow": ["Bash(FUSEBOX_ENABLED=0 make)"]}}"#));
    assert!(!named("{}"));
}

#[test]
fn the_project_cannot_choose_the_configuration() {
    let own = "[[budget]]\nname = \"session\"\nlimit = 7\n";
    let loose = "[[budget]]\nname = \"session\"\nlimit = 7_000_000\n";
    let case =
        Case::user(own).with("~/work/loose.toml", loose).project_var("FUSEBOX_CONFIG", "work/loose.toml");
    let message = "set by the project's settings, which may not choose the configuration: ignored";
    assert_eq!(case.refusals(), [format!("FUSEBOX_CONFIG (in the project's settings): {message}")]);
    assert!(case.load().is_usable());
    assert_eq!(case.load().value("budget.session.limit"), (json!(7), Source::User(USER.into())));
    assert_eq!(case.load().stamp, case.stamp());

    let case = Case::user(own).with("~/work/x/fusebox/config.toml", loose);
    let folder = case.path("~/work/x").to_str().unwrap().to_owned();
    let case = case.project_var("XDG_CONFIG_HOME", &folder);
    assert_eq!((case.load().budget("session").limit, case.refusals().len()), (7, 1));
    assert_eq!(case.load().stamp, case.stamp());

    let case = Case::new().with("~/work/.config/fusebox/config.toml", loose);
    let folder = case.path("~/work").to_str().unwrap().to_owned();
    let case = case.project_var("HOME", &folder);
    assert_eq!((case.load().budget("session").limit, case.load().stamp), (1_000_000, Stamp::NEVER));
}

#[test]
fn folders_that_the_settings_choose_are_named() {
    for name in ["FUSEBOX_STATE_DIR", "FUSEBOX_CACHE_DIR", "FUSEBOX_USER", "XDG_STATE_HOME"] {
        let case = Case::new().project_var(name, "/x");
        let message =
            "set by the project's settings, which should not choose where, or for whom, Fusebox counts";
        assert_eq!(case.refusals(), [format!("{name} (in the project's settings): {message}")]);
        assert!(case.load().is_usable());
    }
}

#[test]
fn a_task_type_of_the_project_adds_a_budget() {
    let case = Case::new().project_var("FUSEBOX_TASK_TYPE", "docs");
    assert_eq!(case.good().budget("task").limit, 40_000);
    let unknown = Case::new().project_var("FUSEBOX_TASK_TYPE", "party");
    assert!(unknown.load().is_usable() && unknown.refusals().len() == 1);
}

#[test]
fn nothing_in_the_project_makes_the_users_word_wrong() {
    // Each of these variables would be refused if it were applied after the project's file.
    let case = Case::user("[[budget]]\nname = \"a\"\nlimit = 100\nhard_limit = 300\n")
        .var("FUSEBOX_BUDGET_A_LIMIT", "200")
        .var("FUSEBOX_BUDGET_A_HARD_LIMIT", "300")
        .project("[[budget]]\nname = \"a\"\nhard_limit = 150\n[[budget]]\nname = \"a-hard\"\nlimit = 1\n");
    let loaded = case.load();
    assert!(loaded.is_usable());
    assert_eq!((loaded.budget("a").limit, loaded.budget("a").hard_limit), (200, Some(300)));
    assert_eq!(loaded.budget("a-hard").limit, 1);
}
