//! Defaults, the user's file, variables: which value applies, and its reported source.

use serde_json::json;

use super::{Case, PROJECT, USER};
use crate::config::{Config, PromptLineMode, Source};
use crate::domain::budget::{Budget, Mode, OnLimit, Scope, StoreDown, TokenClasses, Unit};
use crate::domain::window::{Period, WindowRule};

fn user() -> Source {
    Source::User(USER.into())
}

fn variable(name: &str) -> Source {
    Source::Variable(name.into())
}

#[test]
fn without_configuration_there_is_one_budget() {
    let loaded = Case::new().good();
    assert_eq!(loaded.names(), ["session"]);
    let session = loaded.budget("session");
    assert_eq!(
        (session.scope, session.unit, session.count),
        (Scope::Session, Unit::Tokens, TokenClasses::FRESH)
    );
    assert_eq!((session.matches.as_str(), session.limit, session.hard_limit), ("*", 1_000_000, None));
    assert_eq!(session.window, WindowRule::LIFETIME);
    assert_eq!(session.thresholds, [0.5, 0.8, 0.9, 1.0]);
    assert_eq!((session.on_limit, session.wrap_up, session.mode), (OnLimit::Pause, 1, Mode::Enforce));
    assert_eq!(session.store_down, StoreDown::Local);
    let config = &loaded.config;
    assert_eq!(
        (config.enabled, config.prompt_line, config.tenant.as_str()),
        (true, PromptLineMode::Always, "default")
    );
    assert_eq!((&config.team, &config.task_type, config.alert_command.len()), (&None, &None, 0));
    assert_eq!(*config, Config::default());
    assert!(loaded.values.iter().all(|v| v.source == Source::Default));
    assert_eq!(loaded.value("budget.session.hard_limit").0, json!(null));
}

#[test]
fn the_user_file_sets_every_key() {
    let loaded = Case::user(
        r#"
enabled = false
prompt_line = "past_threshold"
[store]
tenant = "acme"
team = "core"
[[budget]]
name = "repo"
scope = "project"
match = "github.com/*"
unit = "requests"
count = ["output", "input"]
limit = 1_000
hard_limit = 0x7d0
window = "day"
timezone = "Europe/Berlin"
thresholds = [1, 0.25, 0.25]
on_limit = "stop"
wrap_up = 3
store_down = "deny"
mode = "shadow"
[alerts]
command = ["notify-send", "fusebox, at the limit"]
[task_type]
planning = 30_000
"#,
    )
    .good();
    let config = &loaded.config;
    assert_eq!((config.enabled, config.prompt_line), (false, PromptLineMode::PastThreshold));
    assert_eq!((config.tenant.as_str(), config.team.as_deref()), ("acme", Some("core")));
    assert_eq!(config.alert_command, ["notify-send", "fusebox, at the limit"]);
    assert_eq!(loaded.names(), ["session", "repo"]);
    let repo = loaded.budget("repo");
    assert_eq!(
        (repo.scope, repo.matches.as_str(), repo.unit),
        (Scope::Project, "github.com/*", Unit::Requests)
    );
    assert_eq!((repo.limit, repo.hard_limit, repo.wrap_up), (1000, Some(2000), 3));
    assert_eq!(repo.count, TokenClasses { cache_write: false, ..TokenClasses::FRESH });
    assert_eq!(repo.window.to_string(), "day@Europe/Berlin");
    assert_eq!(repo.thresholds, [0.25, 1.0]);
    assert_eq!((repo.on_limit, repo.mode), (OnLimit::Stop, Mode::Shadow));
    assert_eq!(repo.store_down, StoreDown::Deny);
    assert_eq!(loaded.value("budget.repo.thresholds"), (json!([0.25, 1.0]), user()));
    assert_eq!(loaded.value("budget.session.limit"), (json!(1_000_000), Source::Default));
    assert_eq!(loaded.value("task_type.planning"), (json!(30_000), user()));
    let kept = serde_json::to_string(config).unwrap();
    assert_eq!(serde_json::from_str::<Config>(&kept).unwrap(), *config);
}

fn plan(window: &str) -> Budget {
    let text = format!(
        "[[budget]]\nname = \"b\"\nlimit = 92.5\nscope = \"user\"\nunit = \"percent\"\nwindow = \"{window}\"\n"
    );
    Case::user(&text).good().budget("b").clone()
}

#[test]
fn percent_are_counted_in_hundredths() {
    let budget = plan("plan_5h");
    assert_eq!((budget.unit, budget.limit, budget.plan), (Unit::Percent, 9_250, None));
    // A later layer may only change the limit.
    let project = "[[budget]]\nname = \"b\"\nlimit = 80\n";
    let user = "[[budget]]\nname = \"b\"\nlimit = 90\nscope = \"user\"\nunit = \"percent\"\nwindow = \"plan_week\"\n";
    assert_eq!(Case::user(user).project(project).good().budget("b").limit, 8_000);
}

#[test]
fn every_name_of_the_domain_is_known() {
    let budget = |key: &str, name: &str| {
        let text = format!("[[budget]]\nname = \"b\"\nlimit = 1\n{key} = \"{name}\"\n");
        Case::user(&text).good().budget("b").clone()
    };
    for (name, scope) in Scope::ALL.into_iter().filter(|(_, scope)| *scope != Scope::Member) {
        assert_eq!(budget("scope", name).scope, scope);
    }
    for (name, unit) in Unit::ALL.into_iter().filter(|(_, unit)| *unit != Unit::Percent) {
        assert_eq!(budget("unit", name).unit, unit);
    }
    for (name, period) in Period::ALL {
        let budget = match period {
            Period::Plan(_) => plan(name),
            _ => budget("window", name),
        };
        assert_eq!(budget.window.period, period);
    }
    for (name, on_limit) in [("warn", OnLimit::Warn), ("pause", OnLimit::Pause), ("stop", OnLimit::Stop)] {
        assert_eq!(budget("on_limit", name).on_limit, on_limit);
    }
    for (name, down) in [("allow", StoreDown::Allow), ("local", StoreDown::Local), ("deny", StoreDown::Deny)]
    {
        assert_eq!(budget("store_down", name).store_down, down);
    }
}

#[test]
fn budgets_merge_by_name() {
    let loaded = Case::user("[[budget]]\nname = \"session\"\nlimit = 5\n").good();
    assert_eq!(loaded.names(), ["session"]);
    assert_eq!((loaded.budget("session").limit, loaded.budget("session").wrap_up), (5, 1));
    assert_eq!(loaded.value("budget.session.limit"), (json!(5), user()));
    assert_eq!(loaded.value("budget.session.wrap_up"), (json!(1), Source::Default));
}

#[test]
fn the_default_budget_can_be_removed() {
    let loaded = Case::user("[[budget]]\nname = \"session\"\nenabled = false\n").good();
    assert_eq!(loaded.names(), [] as [&str; 0]);
    assert_eq!(loaded.value("budget.session.enabled"), (json!(false), user()));
    assert!(!loaded.values.iter().any(|v| v.key == "budget.session.limit"));
}

#[test]
fn variables_win_over_the_files() {
    let case =
        Case::user("enabled = true\n[store]\ntenant = \"a\"\n[[budget]]\nname = \"per-day.x\"\nlimit = 9\n")
            .project("[[budget]]\nname = \"session\"\nlimit = 10\n")
            .var("FUSEBOX_ENABLED", "0")
            .var("FUSEBOX_PROMPT_LINE", "never")
            .var("FUSEBOX_STORE_TENANT", "b")
            .var("FUSEBOX_STORE_TEAM", "t")
            .var("FUSEBOX_ALERTS_COMMAND", "say, alert")
            .var("FUSEBOX_BUDGET_SESSION_LIMIT", "50_000")
            .var("FUSEBOX_BUDGET_SESSION_THRESHOLDS", "0.5, 0.75")
            .var("FUSEBOX_BUDGET_PER_DAY_X_HARD_LIMIT", "12")
            .var("FUSEBOX_BUDGET_PER_DAY_X_COUNT", "output")
            .var("FUSEBOX_TASK_TYPE_PLANNING", "7");
    let loaded = case.good();
    let config = &loaded.config;
    assert_eq!((config.enabled, config.prompt_line), (false, PromptLineMode::Never));
    assert_eq!((config.tenant.as_str(), config.team.as_deref()), ("b", Some("t")));
    assert_eq!(config.alert_command, ["say", "alert"]);
    assert_eq!(loaded.budget("session").limit, 50_000);
    assert_eq!(loaded.budget("session").thresholds, [0.5, 0.75]);
    assert_eq!((loaded.budget("per-day.x").limit, loaded.budget("per-day.x").hard_limit), (9, Some(12)));
    assert_eq!(loaded.value("enabled"), (json!(false), variable("FUSEBOX_ENABLED")));
    let source = variable("FUSEBOX_BUDGET_SESSION_LIMIT");
    assert_eq!(loaded.value("budget.session.limit"), (json!(50_000), source));
    assert_eq!(loaded.value("task_type.planning").0, json!(7));
}

#[test]
fn a_variable_can_set_a_budget_that_the_project_adds() {
    let case = Case::new()
        .project("[[budget]]\nname = \"docs\"\nlimit = 100\n")
        .var("FUSEBOX_BUDGET_DOCS_LIMIT", "200");
    assert_eq!(case.good().budget("docs").limit, 200);
}

#[test]
fn other_variables_of_the_program_are_no_values() {
    let case = Case::new()
        .with("~/own.toml", "[store]\nteam = \"own\"\n")
        .with(USER, "not = read")
        .var("FUSEBOX_CONFIG", "own.toml")
        .var("FUSEBOX_STATE_DIR", "/s")
        .var("FUSEBOX_CACHE_DIR", "/c")
        .var("FUSEBOX_USER", "ann")
        .var("FUSEBOX_TASK", "t")
        .var("FUSEBOX_CHAIN", "c")
        .var("FUSEBOX_TEST_X", "1")
        .var("FUSEBOX_PROMPT_LINE", "")
        .var("FUSE", "1");
    assert_eq!(case.good().value("store.team"), (json!("own"), Source::User("~/own.toml".into())));
}

#[test]
fn a_budget_over_teams_without_a_team_is_warned_about() {
    let text = "[[budget]]\nname = \"t\"\nscope = \"team\"\nlimit = 5\n";
    let case = Case::user(text).project("[[budget]]\nname = \"p\"\nscope = \"team\"\nlimit = 5\n");
    let warned: Vec<String> = case.good().warnings.iter().map(ToString::to_string).collect();
    let message = "counts nothing without store.team: set your team in your own file ([store] team = \"…\") or in \
                   FUSEBOX_STORE_TEAM (an account that only decides needs none)";
    let expected =
        [format!("{USER}: budget.t.scope: {message}"), format!("{PROJECT}: budget.p.scope: {message}")];
    assert_eq!(warned, expected);
    let loaded = case.var("FUSEBOX_STORE_TEAM", "core").good();
    assert_eq!((loaded.warnings.as_slice(), loaded.budget("t").scope), (&[][..], Scope::Team));
    // No warnings about a budget that is not in force.
    let off = Case::user(&format!("{text}enabled = false\n")).good();
    assert_eq!(off.warnings, []);
    assert_eq!(Case::new().good().warnings, []);
}

#[test]
fn a_declared_task_type_adds_its_budget() {
    let limits = [("planning", 50_000), ("implement", 100_000), ("review", 60_000)];
    for (name, limit) in limits.into_iter().chain([("test", 80_000), ("debug", 100_000), ("docs", 40_000)]) {
        let loaded = Case::new().var("FUSEBOX_TASK_TYPE", name).good();
        assert_eq!(loaded.names(), ["session", "task"]);
        let task = loaded.budget("task");
        assert_eq!((task.scope, task.unit, task.limit), (Scope::Session, Unit::Tokens, limit));
        assert_eq!(loaded.config.task_type.as_deref(), Some(name));
        assert_eq!(loaded.value("budget.task.limit"), (json!(limit), Source::Default));
    }
}

#[test]
fn the_table_and_the_budget_of_task_types_set_its_limit() {
    let table = "[task_type]\nplanning = 7\nspike = 8\n";
    let loaded = Case::user(table).var("FUSEBOX_TASK_TYPE", "planning").good();
    assert_eq!((loaded.budget("task").limit, loaded.value("budget.task.limit").1), (7, user()));
    assert_eq!(Case::user(table).var("FUSEBOX_TASK_TYPE", "spike").good().budget("task").limit, 8);

    // Settings of the budget itself apply only if a type is declared.
    let stop = format!("{table}[[budget]]\nname = \"task\"\non_limit = \"stop\"\n");
    assert_eq!(Case::user(&stop).good().names(), ["session"]);
    let loaded = Case::user(&stop).var("FUSEBOX_TASK_TYPE", "spike").good();
    assert_eq!((loaded.budget("task").limit, loaded.budget("task").on_limit), (8, OnLimit::Stop));

    let own = format!("{table}[[budget]]\nname = \"task\"\nlimit = 9\n");
    assert_eq!(Case::user(&own).var("FUSEBOX_TASK_TYPE", "any").good().budget("task").limit, 9);
}

#[test]
fn a_hard_limit_of_the_task_budget_bounds_the_limit_of_any_type() {
    let text = "[[budget]]\nname = \"task\"\nhard_limit = 45_000\n";
    let planning = Case::user(text).var("FUSEBOX_TASK_TYPE", "planning").good();
    assert_eq!(planning.budget("task").limit, 45_000);
    assert_eq!(Case::user(text).var("FUSEBOX_TASK_TYPE", "docs").good().budget("task").limit, 40_000);
}
