//! Old names of keys: still accepted, with a note.

use serde_json::json;

use super::{Case, MANAGED, USER};
use crate::config::{PromptLineMode, Source};

const IN_FILE: &str = "brief.show: is now prompt_line, at the top level";
const IN_VARIABLE: &str = "brief.show: is now FUSEBOX_PROMPT_LINE";

/// The notes, as lines.
fn notes(case: &Case) -> Vec<String> {
    case.good().notes.iter().map(ToString::to_string).collect()
}

#[test]
fn the_old_key_and_the_old_variable_still_work() {
    let case = Case::user("enabled = true\n[brief]\nshow = \"never\"\n");
    let loaded = case.good();
    assert_eq!(loaded.config.prompt_line, PromptLineMode::Never);
    assert_eq!(loaded.value("prompt_line"), (json!("never"), Source::User(USER.into())));
    assert_eq!(notes(&case), [format!("{USER}:3: {IN_FILE}; the old name works only in this version")]);
    assert_eq!(loaded.warnings, []);

    let case = case.var("FUSEBOX_BRIEF_SHOW", "past_threshold");
    let loaded = case.good();
    assert_eq!(loaded.config.prompt_line, PromptLineMode::PastThreshold);
    assert_eq!(loaded.value("prompt_line").1, Source::Variable("FUSEBOX_BRIEF_SHOW".into()));
    assert_eq!(
        notes(&case)[1],
        format!("FUSEBOX_BRIEF_SHOW: {IN_VARIABLE}; the old name works only in this version")
    );
}

#[test]
fn new_names_win_over_old_ones_in_one_layer() {
    let case = Case::user("prompt_line = \"never\"\n[brief]\nshow = \"always\"\n");
    assert_eq!(case.good().config.prompt_line, PromptLineMode::Never);
    assert_eq!(notes(&case), [format!("{USER}:3: {IN_FILE}; it is ignored, because both are set")]);

    let case = case.var("FUSEBOX_PROMPT_LINE", "past_threshold").var("FUSEBOX_BRIEF_SHOW", "always");
    assert_eq!(case.good().config.prompt_line, PromptLineMode::PastThreshold);
}

#[test]
fn a_later_layer_wins_whatever_name_it_uses() {
    let case = Case::user("prompt_line = \"never\"\n").var("FUSEBOX_BRIEF_SHOW", "always");
    assert_eq!(case.good().config.prompt_line, PromptLineMode::Always);
    let case = Case::user("brief.show = \"never\"\n").var("FUSEBOX_PROMPT_LINE", "always");
    assert_eq!(case.good().config.prompt_line, PromptLineMode::Always);
    // The managed file bounds the key under both names.
    let case = Case::user("prompt_line = \"never\"\n").managed("brief.show = \"always\"\n");
    assert_eq!(case.good().config.prompt_line, PromptLineMode::Always);
    assert_eq!(notes(&case), [format!("{MANAGED}:1: {IN_FILE}; the old name works only in this version")]);
}

#[test]
fn a_wrong_value_is_refused_under_the_name_it_was_given() {
    let case = Case::user("[brief]\nshow = 1\n");
    let message = "brief.show: must be one of always, past_threshold, never (found 1)";
    assert_eq!(case.refusals(), [format!("{USER}:2: {message}")]);
    assert_eq!(case.load().notes, []);
    // An empty table, as written by `fusebox config init` of earlier versions, needs no note.
    assert_eq!(notes(&Case::user("[brief]\n")), [] as [String; 0]);
    assert_eq!(notes(&Case::user("prompt_line = \"never\"\n")), [] as [String; 0]);
}
