//! Checks the configuration, the project's settings, and whether any budget is enforced.

use super::finding::Finding;
use super::survey::Survey;
use crate::domain::budget::{Budget, Mode, OnLimit, Scope};

/// Checks the project's configuration.
pub fn check(survey: &Survey) -> Vec<Finding> {
    let loaded = &survey.loaded;
    let mut found = Vec::new();
    for problem in &loaded.problems {
        let fix =
            "`fusebox config check` shows all of it; until it is fixed, hooks go on with the last good one";
        let text = problem.to_string();
        found.push(match problem.source.is_project() {
            true => Finding::warning(
                format!("{text} (left out)"),
                "the project may only tighten; fix its file, or your settings",
            ),
            false => Finding::problem(text, fix),
        });
    }
    for warning in &loaded.warnings {
        let fix = "do as it says, or take it out of the configuration";
        found.push(Finding::warning(warning.to_string(), fix));
    }
    found.extend(loaded.notes.iter().map(|note| Finding::note(note.to_string())));
    let config = &loaded.config;
    if !config.enabled {
        found.push(Finding::problem("enabled is false: hooks do nothing", "set enabled = true"));
    }
    let counts = |b: &Budget| b.scope != Scope::Team || config.team.is_some();
    let acts = |b: &&Budget| b.mode == Mode::Enforce && b.on_limit != OnLimit::Warn && counts(b);
    let acting: Vec<&str> = config.budgets.iter().filter(acts).map(|b| b.name.as_str()).collect();
    if acting.is_empty() {
        let fix = "give one mode = \"enforce\" and on_limit = \"pause\" or \"stop\"";
        found.push(Finding::problem(
            "no budget holds anybody back: all only warn, are in shadow mode, or count nothing",
            fix,
        ));
    }
    let by_project = loaded.values.iter().filter(|value| value.source.is_project());
    for value in by_project {
        found.push(Finding::note(format!(
            "the project sets {} = {} ({})",
            value.key, value.value, value.source
        )));
    }
    if found.iter().all(|f| f.fix.is_none()) && !acting.is_empty() {
        found.insert(0, Finding::ok(format!("usable; budgets that act: {}", acting.join(", "))));
    }
    found
}
