//! Checks the configuration, the project's settings, and whether any budget is enforced.

use super::finding::Finding;
use super::survey::Survey;
use crate::app::plan;
use crate::domain::budget::{Budget, Mode, OnLimit, Scope};

/// Checks the project's configuration.
pub fn check(survey: &Survey) -> Vec<Finding> {
    let loaded = &survey.loaded;
    let mut found = Vec::new();
    for problem in &loaded.problems {
        let fix = "`fusebox config check` shows all problems; until they are fixed, hooks use the last good configuration";
        let text = problem.to_string();
        found.push(match problem.source.is_project() {
            true => Finding::warning(
                format!("{text} (ignored)"),
                "the project may only tighten settings; fix its file, or your settings",
            ),
            false => Finding::problem(text, fix),
        });
    }
    for warning in &loaded.warnings {
        let fix = "follow the message, or remove the setting from the configuration";
        found.push(Finding::warning(warning.to_string(), fix));
    }
    found.extend(loaded.notes.iter().map(|note| Finding::note(note.to_string())));
    let config = &loaded.config;
    if !config.enabled {
        found.push(Finding::problem("enabled is false: hooks do nothing", "set enabled = true"));
    }
    let counts = |b: &Budget| match b.scope {
        Scope::Team | Scope::Member => config.team.is_some(),
        // It holds back calls of the platform only.
        Scope::Platform => false,
        _ => true,
    };
    let acts = |b: &&Budget| b.mode == Mode::Enforce && b.on_limit != OnLimit::Warn && counts(b);
    let acting: Vec<&str> = config.budgets.iter().filter(acts).map(|b| b.name.as_str()).collect();
    if acting.is_empty() {
        let fix = "set mode = \"enforce\" and on_limit = \"pause\" or \"stop\" for one of them";
        found.push(Finding::problem(
            "no budget stops an agent: all of them only warn, are in shadow mode, or count nothing",
            fix,
        ));
    }
    let mut current = config.clone();
    plan::look_up(&mut current, survey.env);
    let unknown = plan::unknown_budgets(&current, &survey.env.user(), survey.env);
    found.extend(unknown.iter().map(|unknown| Finding::note(unknown.line())));
    let by_project = loaded.values.iter().filter(|value| value.source.is_project());
    for value in by_project {
        found.push(Finding::note(format!(
            "the project sets {} = {} ({})",
            value.key, value.value, value.source
        )));
    }
    if found.iter().all(|f| f.fix.is_none()) && !acting.is_empty() {
        found.insert(0, Finding::ok(format!("usable; budgets that stop an agent: {}", acting.join(", "))));
    }
    found
}
