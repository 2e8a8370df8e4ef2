//! Checks that the store can be written, and is complete.

use std::path::Path;

use super::finding::Finding;
use super::survey::Survey;
use crate::app::open_store::StoreLocation;
use crate::cli::render::counted;

/// Opens the store as hooks do, and writes what is already there.
pub fn check(survey: &Survey) -> Vec<Finding> {
    let Some(dir) = survey.env.state_dir() else {
        return vec![Finding::problem("there is no home folder", "set HOME, or FUSEBOX_STATE_DIR")];
    };
    let location = StoreLocation::new(&survey.loaded.config);
    let is_shared = location.is_shared();
    let opened = location.open(survey.env, None).and_then(|(mut store, warning)| {
        let rebuilding = store.is_rebuilding()?;
        // A write without effect. If other machines are refilling a shared store, it would add this machine to them.
        if !is_shared || !rebuilding {
            store.set_rebuilding(rebuilding)?;
        }
        Ok((store.sessions()?.len(), rebuilding, warning, store.installed_at()?))
    });
    let mut found = Vec::new();
    match opened {
        Err(error) => found.push(Finding::problem(
            error.to_string(),
            match is_shared {
                true => "follow the message; until then, hooks count only in their caches",
                false => {
                    "make the state folder writable and free some space; until then, hooks count only in their caches"
                }
            },
        )),
        Ok((sessions, rebuilding, warning, installed)) => {
            found.extend(warning.map(|warning| Finding::warning(warning, "run `fusebox status`")));
            if rebuilding {
                let said = "the store lost its data and is being refilled from the transcripts";
                found.push(Finding::warning(said, "run `fusebox status` to finish"));
            }
            if let Some(installed) = installed.filter(|at| *at > survey.env.now) {
                found.push(Finding::warning(
                    format!("Fusebox was installed at {}, which is in the future", installed.to_rfc3339()),
                    "check the clock; until that time, nothing counts as used before the installation",
                ));
            }
            if found.is_empty() {
                found.push(Finding::ok(format!("writable, {} known", counted(sessions, "session"))));
            }
        }
    }
    found.extend(quarantined(&dir));
    found
}

fn quarantined(dir: &Path) -> Option<Finding> {
    let names = std::fs::read_dir(dir).ok()?.flatten().map(|entry| entry.file_name());
    let mut aside: Vec<String> =
        names.filter_map(|name| name.into_string().ok()).filter(|name| is_quarantined(name)).collect();
    aside.sort();
    let last = aside.last()?;
    let found = format!(
        "set aside: {}, the latest as {}",
        counted(aside.len(), "corrupt store"),
        dir.join(last).display()
    );
    Some(Finding::note(format!("{found}; the alerts and acknowledgements in it are lost")))
}

fn is_quarantined(name: &str) -> bool {
    name.starts_with("state.db.corrupt") && !name.ends_with("-wal") && !name.ends_with("-shm")
}
