//! `fusebox ledger`: purges the ledger.

use std::path::Path;

use serde::Serialize;

use super::render::{counted_many, usd};
use super::{Io, UsageError, confirm, import, person_only, render, select, values};
use crate::app;
use crate::app::project::project_root;
use crate::domain::time::Timestamp;
use crate::ledger::names::last_folder;
use crate::ledger::{CostTotals, LedgerLock, PurgeFilter};
use crate::platform::Env;

/// Remove records from the ledger.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fusebox ledger purge --before 2026-01-01
  fusebox ledger purge --project ~/src/old --yes")]
pub struct LedgerArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Remove old records, or those of a project.
    #[command(
        after_help = "What is new in the history is imported first. A removed record does not come back, although its transcript \
may still be there: hashes and counts of it are kept, but not where it was written. With both options, a record must match both.

Examples:
  fusebox ledger purge --before 2026-01-01
  fusebox ledger purge --project ~/src/old --yes --json"
    )]
    Purge {
        /// Records from before this time: a date (its start in UTC), or an RFC 3339 time.
        #[arg(long, value_name = "DATE", value_parser = values::time)]
        before: Option<Timestamp>,
        /// Records of this project: a folder in it, or the project as reports name it, or its last folder.
        #[arg(long, value_name = "PROJECT")]
        project: Option<String>,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
        /// Write JSON.
        #[arg(long)]
        json: bool,
    },
}

/// What was purged, as JSON.
#[derive(Serialize)]
struct PurgedJson<'a> {
    before: Option<String>,
    project: Option<&'a str>,
    #[serde(flatten)]
    purged: CostTotals,
}

/// Runs the command.
///
/// # Errors
/// It runs in an agent's shell, is not confirmed, names an unknown project, or the ledger cannot be used.
pub fn run(args: &LedgerArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let Command::Purge { before, project, yes, json } = &args.command;
    person_only::refuse_in_agent(env, "fusebox ledger purge")?;
    if before.is_none() && project.is_none() {
        return refuse("choose the records with --before or --project");
    }
    if !yes && !confirm::can_ask() {
        return refuse(
            "`fusebox ledger purge` asks before it removes anything, but there is no terminal; add --yes",
        );
    }
    let prices = select::configuration(env)?.prices;
    import::import_for("the ledger", env, io)?;
    let dir = app::import::ledger_dir(env)?;
    let _lock = LedgerLock::wait(&dir, || ())?;
    let mut ledger = app::import::open_ledger(env)?.database;
    let project =
        project.as_deref().map(|named| known_project(named, &ledger.projects()?, env)).transpose()?;
    let filter = PurgeFilter { before: *before, project };
    let found = ledger.to_purge(&filter)?;
    if found.tasks > 0 && !yes {
        let (records, cost) = (counted_many(found.tasks, "record"), usd(found.cost_nanos));
        let question = format!("Remove {records} ({cost}) from {}?", ledger.path().display());
        if !confirm::ask(&question, io)? {
            return refuse("not confirmed");
        }
    }
    let purged = if found.tasks > 0 { ledger.purge(&filter, &prices)? } else { CostTotals::default() };
    if *json {
        let before = filter.before.map(Timestamp::to_rfc3339);
        render::json(io.out, &PurgedJson { before, project: filter.project.as_deref(), purged })?;
    } else if purged.tasks == 0 {
        io.line("Nothing to remove.")?;
    } else {
        let (records, cost) = (counted_many(purged.tasks, "record"), usd(purged.cost_nanos));
        io.line(&format!("Removed {records} ({cost})."))?;
    }
    Ok(0)
}

fn refuse(why: &str) -> anyhow::Result<u8> {
    Err(UsageError(format!("{why}. Nothing was removed")).into())
}

/// The project of this name, that of this folder, or the only one whose last folder has this name.
fn known_project(named: &str, known: &[String], env: &Env) -> anyhow::Result<String> {
    let root = project_root(&env.cwd.join(Path::new(named))).to_string_lossy().into_owned();
    let bare = named.trim_end_matches('/');
    if let Some(found) = known.iter().find(|project| [named, bare, &root].contains(&project.as_str())) {
        return Ok(found.clone());
    }
    let same: Vec<&str> =
        known.iter().map(String::as_str).filter(|project| last_folder(project) == bare).collect();
    let (what, among) = match same[..] {
        [only] => return Ok(only.to_owned()),
        [] => ("the ledger has no project", known.iter().map(String::as_str).collect()),
        _ => ("the ledger has several projects", same),
    };
    let some = &among[..among.len().min(5)];
    let more = if among.len() > some.len() { ", …" } else { "" };
    let there = if some.is_empty() { "none".to_owned() } else { some.join(", ") + more };
    Err(UsageError(format!("{what} {named}; projects: {there}. Nothing was removed")).into())
}
