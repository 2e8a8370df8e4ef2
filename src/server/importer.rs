//! Keeps the ledger current: a thread imports what is new in the transcripts, again and again.

use std::path::PathBuf;
use std::time::Duration;

use crate::agents;
use crate::app::import;
use crate::config;
use crate::ledger::FILE;
use crate::platform::{Env, clock};

/// Starts the thread. It ends with the process: an import can be interrupted at any point.
pub fn start(env: &Env, every: Duration) {
    let env = env.clone();
    std::thread::spawn(move || {
        let mut failure = None;
        loop {
            let failed = import_new(&Env { now: clock(), ..env.clone() }).err();
            if failed != failure {
                match &failed {
                    Some(error) => tracing::warn!(error, "the ledger is not kept current"),
                    None => tracing::info!("the ledger is kept current again"),
                }
                failure = failed;
            }
            std::thread::sleep(every);
        }
    });
}

/// Imports what is new in the folders that can be read, if there is a ledger or anything to import.
fn import_new(env: &Env) -> Result<(), String> {
    let mut unreadable = Vec::new();
    let is_readable = |folder: &PathBuf| std::fs::read_dir(folder).is_ok();
    let folders: Vec<PathBuf> = agents::history_folders(env).into_iter().filter(is_readable).collect();
    let has_ledger = env.state_dir().is_some_and(|dir| dir.join(FILE).exists());
    let mut has_history =
        || folders.iter().any(|folder| !agents::history(folder, &mut unreadable).0.is_empty());
    if folders.is_empty() || !(has_ledger || has_history()) {
        return Ok(());
    }
    // Not with the last prices that could be read: the ledger keeps what it is charged with.
    let loaded = config::load(env, None);
    if !loaded.is_usable() {
        return Err(loaded.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
    }
    let imported = import::import(env, &loaded.config.prices, &folders, false, || (), |_, _| ());
    let imported = imported.map_err(|error| error.to_string())?;
    if imported.added + imported.changed > 0 {
        tracing::info!(added = imported.added, changed = imported.changed, "imported");
    }
    match imported.unreadable.len() {
        0 => Ok(()),
        1 => Err(imported.unreadable[0].to_string()),
        n => Err(format!("{} (and {} more)", imported.unreadable[0], n - 1)),
    }
}
