//! `fusebox ledger`: purges the ledger.

use std::path::Path;

use serde::Serialize;

use super::alerts::parse_time;
use super::render::counted;
use super::{Io, UsageError, confirm, import, person_only, render};
use crate::app;
use crate::app::messages::amounts::{dollars, grouped};
use crate::app::project::project_root;
use crate::domain::time::Timestamp;
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
        #[arg(long, value_name = "DATE", value_parser = parse_time)]
        before: Option<Timestamp>,
        /// Records of this project: a folder in it, or the project as reports name it.
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
    import::import(env, &[], io)?;
    let dir = app::import::ledger_dir(env)?;
    let _lock = LedgerLock::wait(&dir, || ())?;
    let mut ledger = app::import::open_ledger(env)?.database;
    let project =
        project.as_deref().map(|named| known_project(named, &ledger.projects()?, env)).transpose()?;
    let filter = PurgeFilter { before: *before, project };
    let found = ledger.to_purge(&filter)?;
    if found.tasks > 0 && !yes {
        let (records, cost) = (counted_records(&found), dollars(found.cost_nanos));
        let question = format!("Remove {records} ({cost}) from {}?", ledger.path().display());
        if !confirm::ask(&question, io)? {
            return refuse("not confirmed");
        }
    }
    let purged = if found.tasks > 0 {
        ledger.purge(&filter, &app::import::prices(env))?
    } else {
        CostTotals::default()
    };
    if *json {
        let before = filter.before.map(Timestamp::to_rfc3339);
        render::json(io.out, &PurgedJson { before, project: filter.project.as_deref(), purged })?;
    } else if purged.tasks == 0 {
        io.line("Nothing to remove.")?;
    } else {
        io.line(&format!("Removed {} ({}).", counted_records(&purged), dollars(purged.cost_nanos)))?;
    }
    Ok(0)
}

fn refuse(why: &str) -> anyhow::Result<u8> {
    Err(UsageError(format!("{why}. Nothing was removed")).into())
}

fn counted_records(totals: &CostTotals) -> String {
    match totals.tasks {
        1 => counted(1, "record"),
        many => format!("{} records", grouped(many)),
    }
}

/// The project of this name, or that of this folder.
fn known_project(named: &str, known: &[String], env: &Env) -> anyhow::Result<String> {
    let root = project_root(&env.cwd.join(Path::new(named))).to_string_lossy().into_owned();
    if let Some(found) = known.iter().find(|project| **project == named || **project == root) {
        return Ok(found.clone());
    }
    let some: Vec<&str> = known.iter().take(5).map(String::as_str).collect();
    let more = if known.len() > some.len() { ", …" } else { "" };
    let there = if some.is_empty() { "none".to_owned() } else { some.join(", ") + more };
    Err(UsageError(format!("the ledger has no project {named}; projects: {there}")).into())
}
