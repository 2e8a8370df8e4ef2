//! The managed file: its values, or stricter ones, apply.

use serde_json::json;

use super::{Case, MANAGED};
use crate::config::{PromptLineMode, Source};
use crate::domain::budget::{Mode, OnLimit, Scope, StoreDown};

fn managed() -> Source {
    Source::Managed(MANAGED.into())
}

const SESSION: &str = "[[budget]]\nname = \"session\"\nlimit = 500\nhard_limit = 600\n";

#[test]
fn it_is_a_layer_of_defaults() {
    let loaded = Case::new().managed("[[budget]]\nname = \"session\"\nlimit = 2_000_000\n").good();
    assert_eq!(loaded.value("budget.session.limit"), (json!(2_000_000), managed()));
    let off = Case::new().managed("enabled = false\n").good();
    assert_eq!(off.value("enabled"), (json!(false), managed()));
}

#[test]
fn stricter_values_hold_whoever_says_them() {
    let user = "[[budget]]\nname = \"session\"\nlimit = 1000\nhard_limit = 2000\nwrap_up = 9\non_limit = \"warn\"\n\
                mode = \"shadow\"\nstore_down = \"allow\"\nthresholds = [0.1]\n";
    let loaded = Case::user(user).managed(SESSION).good();
    let session = loaded.budget("session");
    assert_eq!((session.limit, session.hard_limit, session.wrap_up), (500, Some(600), 1));
    assert_eq!((session.on_limit, session.mode), (OnLimit::Pause, Mode::Enforce));
    assert_eq!(session.store_down, StoreDown::Local);
    assert_eq!(session.thresholds, [0.1, 0.5, 0.8, 0.9, 1.0]);
    assert_eq!(loaded.value("budget.session.limit").1, managed());
    assert_eq!(loaded.value("budget.session.mode").1, managed());

    let strict = "[[budget]]\nname = \"session\"\nlimit = 100\nhard_limit = 200\nwrap_up = 0\non_limit = \"stop\"\n\
                  store_down = \"deny\"\n";
    let loaded = Case::user(strict).managed(SESSION).good();
    let session = loaded.budget("session");
    assert_eq!((session.limit, session.hard_limit, session.wrap_up), (100, Some(200), 0));
    assert_eq!((session.on_limit, session.store_down), (OnLimit::Stop, StoreDown::Deny));
    let variable = Case::new().managed(SESSION).var("FUSEBOX_BUDGET_SESSION_LIMIT", "550").good();
    assert_eq!(variable.budget("session").limit, 500);
}

#[test]
fn managed_budgets_cannot_be_removed_or_turned_into_others() {
    let removed = Case::user("[[budget]]\nname = \"session\"\nenabled = false\n").managed(SESSION).good();
    assert_eq!(removed.budget("session").limit, 500);
    let other = "[[budget]]\nname = \"session\"\nlimit = 1\nmatch = \"none\"\nscope = \"user\"\n";
    let loaded = Case::user(other).managed(SESSION).good();
    let session = loaded.budget("session");
    assert_eq!((session.limit, session.matches.as_str(), session.scope), (500, "*", Scope::Session));
    let gone = Case::new().managed("[[budget]]\nname = \"session\"\nenabled = false\n").good();
    assert_eq!(gone.names().len(), 0);
}

#[test]
fn a_hard_limit_alone_bounds_the_limit() {
    let loaded = Case::user("[[budget]]\nname = \"session\"\nlimit = 2_000_000\nhard_limit = 3_000_000\n")
        .managed("[[budget]]\nname = \"session\"\nhard_limit = 1_200_000\n")
        .good();
    let session = loaded.budget("session");
    assert_eq!((session.limit, session.hard_limit), (1_200_000, Some(1_200_000)));
    assert_eq!(loaded.value("budget.session.limit"), (json!(1_200_000), managed()));
}

#[test]
fn other_keys_hold_as_they_are() {
    let managed =
        "enabled = true\nprompt_line = \"always\"\n[store]\ntenant = \"acme\"\n[task_type]\ndocs = 9\n";
    let case =
        Case::user("enabled = false\nprompt_line = \"never\"\n[store]\ntenant = \"me\"\nteam = \"mine\"\n")
            .managed(managed)
            .var("FUSEBOX_ENABLED", "false")
            .var("FUSEBOX_TASK_TYPE_DOCS", "10")
            .var("FUSEBOX_TASK_TYPE", "docs");
    let loaded = case.good();
    let config = &loaded.config;
    assert_eq!(
        (config.enabled, config.prompt_line, config.tenant.as_str()),
        (true, PromptLineMode::Always, "acme")
    );
    assert_eq!((config.team.as_deref(), loaded.budget("task").limit), (Some("mine"), 9));
}

#[test]
fn a_team_that_it_names_is_everybodys() {
    let case = Case::user("store.team = \"mine\"\n").managed("store.team = \"core\"\n");
    let loaded = case.var("FUSEBOX_STORE_TEAM", "other").good();
    assert_eq!(loaded.value("store.team"), (json!("core"), managed()));
    assert_eq!(loaded.config.team.as_deref(), Some("core"));
}

#[test]
fn its_bounds_hold_where_another_file_is_wrong() {
    let loaded = Case::user("[[budget]]\nname = \"session\"\nlimit = 1000\nhard_limit = 5\n= broken")
        .managed(SESSION)
        .load();
    assert!(!loaded.is_usable());
    assert_eq!(loaded.budget("session").limit, 500);
}

#[test]
fn what_is_wrong_in_it_is_refused() {
    let case = Case::new().managed("enabled = true\nnonsense = 1\n");
    assert!(case.refusals()[0].starts_with(&format!("{MANAGED}:2: nonsense: unknown key; ")));
    assert!(!case.load().is_usable());
}
