//! Checks that all hooks are registered correctly, and that no setting disables them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::finding::Finding;
use super::survey::{HookEntry, SettingsLayer, Survey};
use crate::agents;
use crate::agents::claude::hook_entries;
use crate::agents::claude::registration::{TIMEOUT_SECONDS, is_supported};
use crate::cli::render::counted;
use crate::platform::deadline::DEADLINE_MS;

/// Checks every layer of the settings.
pub fn check(survey: &Survey) -> Vec<Finding> {
    let mut found: Vec<Finding> = survey.layers.iter().flat_map(unreadable).collect();
    found.extend(turned_off(survey));
    found.extend(survey.layers.iter().flat_map(fatal_entries));
    found.extend(missing(survey));
    found.extend(survey.entries.iter().flat_map(entry_problems));
    found.extend(duplicates(survey));
    if found.is_empty() {
        let mut layers: Vec<&str> = survey.entries.iter().map(|e| e.layer).collect();
        layers.dedup();
        let events = survey.entries.len();
        found.push(Finding::ok(format!(
            "{} registered ({} settings)",
            counted(events, "event"),
            layers.join(", ")
        )));
    }
    found
}

/// The client skips an invalid file, with all its hooks.
fn unreadable(layer: &SettingsLayer) -> Option<Finding> {
    let error = layer.settings.as_ref().err()?;
    // This ending is for callers that change the file.
    let error = error.trim_end_matches(". Nothing was changed");
    Some(Finding::problem(error, "fix the file: the client ignores settings that it cannot read"))
}

/// The last layer with this setting wins (tested with 2.1.197 and 2.1.330).
fn turned_off(survey: &Survey) -> Vec<Finding> {
    let mut found = Vec::new();
    let says = |layer: &&SettingsLayer| layer.get("disableAllHooks").is_some();
    if let Some(layer) = survey.layers.iter().rfind(says)
        && layer.get("disableAllHooks") == Some(&Value::Bool(true))
    {
        let path = layer.path.display();
        found.push(Finding::problem(
            format!("disableAllHooks is true in {path}: no hook runs"),
            format!("remove it from {path}"),
        ));
    }
    // Only a managed file can set this one (tested with both versions).
    let managed = survey.layers.iter().filter(|layer| layer.name == "managed");
    let only = managed.filter(|layer| layer.get("allowManagedHooksOnly") == Some(&Value::Bool(true)));
    for layer in only {
        if survey.entries.iter().any(|e| e.layer != "managed") {
            let path = layer.path.display();
            found.push(Finding::problem(
                format!("allowManagedHooksOnly is true in {path}: hooks of other settings do not run"),
                format!(
                    "let the administrator register the hooks in {path} (settings.example.json shows how)"
                ),
            ));
        }
    }
    found
}

fn fatal_entries(layer: &SettingsLayer) -> Vec<Finding> {
    let path = layer.path.display();
    let of = |entry: String| {
        let found = format!("{path}: {entry}; in print mode, the client then ignores all hooks in the file");
        Finding::problem(found, "fix or remove that entry")
    };
    hook_entries::fatal_entries(&layer.hooks()).into_iter().map(of).collect()
}

fn missing(survey: &Survey) -> Option<Finding> {
    let wanted =
        agents::DEFAULT.registered_hooks().iter().filter(|(event, _)| is_supported(event, survey.version()));
    let missing: Vec<&str> = wanted
        .filter(|(event, hook)| !survey.entries.iter().any(|e| e.event == *event && e.hook == *hook))
        .map(|(event, _)| *event)
        .collect();
    if missing.is_empty() {
        return None;
    }
    let what = if survey.entries.is_empty() {
        "no hook is registered".into()
    } else {
        format!("not registered: {}", missing.join(", "))
    };
    Some(Finding::problem(what, "run `fusebox init`"))
}

/// What keeps a registered hook from working.
fn entry_problems(entry: &HookEntry) -> Vec<Finding> {
    let mut found = Vec::new();
    let place = format!("{} at {} ({} settings)", entry.hook.name(), entry.event, entry.layer);
    let again = "run `fusebox init` to update the entry";
    if let Some(matcher) = &entry.matcher {
        found.push(Finding::problem(format!("{place} is limited to \"{matcher}\""), again));
    }
    if entry.entry["async"] == true {
        found.push(Finding::problem(
            format!("{place} is async: the client does not wait for its answer"),
            again,
        ));
    }
    match entry.entry["timeout"].as_f64() {
        Some(seconds) if seconds * 1000.0 < DEADLINE_MS as f64 => {
            let own = DEADLINE_MS as f64 / 1000.0;
            found.push(Finding::problem(
                format!("{place} has a timeout of {seconds} s, shorter than its own {own} s"),
                again,
            ));
        }
        Some(seconds) if seconds != TIMEOUT_SECONDS as f64 => {
            found.push(Finding::note(format!(
                "{place} has a timeout of {seconds} s, not {TIMEOUT_SECONDS} s"
            )));
        }
        _ => {}
    }
    let by = entry.event.as_str();
    if !agents::DEFAULT.registered_hooks().iter().any(|(event, hook)| *event == by && *hook == entry.hook) {
        found.push(Finding::warning(format!("{place} does not handle this event"), again));
    }
    found
}

/// Two different entries both run: the second one only costs time.
fn duplicates(survey: &Survey) -> Vec<Finding> {
    let mut places: BTreeMap<&str, Vec<&HookEntry>> = BTreeMap::new();
    for entry in &survey.entries {
        places.entry(&entry.event).or_default().push(entry);
    }
    let twice = places.into_iter().filter(|(_, entries)| entries.len() > 1);
    let of = |(event, entries): (&str, Vec<&HookEntry>)| {
        let layers: Vec<&str> = entries.iter().map(|e| e.layer).collect();
        let found = format!("registered {} times at {event} ({} settings)", entries.len(), layers.join(", "));
        Finding::warning(found, "remove one of them (`fusebox uninstall` with --project or --local)")
    };
    twice.map(of).collect()
}
