//! `fusebox resync`: reads all data of this machine again, and reports what was missing.

use anstyle::{AnsiColor, Style};

use super::person_only::refuse_in_agent;
use super::render::counted;
use super::{Io, render, select, status};
use crate::app::messages::amounts::{grouped, number, quantity};
use crate::app::operation_ledger::FILE;
use crate::app::operator;
use crate::app::resync::{self, ResyncReport};
use crate::platform::Env;

/// Read every transcript of this machine into the store again, from its start.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Nothing counts twice, however often it is read. Decisions that were made about budgets on this machine are \
sent again, too. Hooks recover from a loss by themselves; use this command if you want to be sure. Exit code 1: something could not be \
read or recorded.

Examples:
  fusebox resync
  fusebox resync --json | jq '.budgets'   the budgets whose count changed"
)]
pub struct ResyncArgs {
    /// Write JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// It runs in an agent's shell, or the configuration or store cannot be used.
pub fn run(args: &ResyncArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    refuse_in_agent(env, "fusebox resync")?;
    let (mut opened, _) = select::open_as_is(env, io.err).map_err(select::with_unchanged)?;
    let bar = select::progress_bar("reading transcripts");
    let resynced = resync::resync(env, &opened.config, &mut opened.store, |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let resynced = resynced?;
    if args.json {
        render::json(io.out, &resynced)?;
    } else {
        show(&resynced, io)?;
    }
    for (session, why) in &resynced.incomplete {
        writeln!(io.err, "fusebox: session {session} was not read to the end: {why}")?;
    }
    if resynced.operations_denied > 0 {
        let (count, config) = (resynced.operations_denied, &opened.config);
        let why = operator::denied_text(config, "fusebox resync");
        let (missing, are) = (counted(count, "decision"), if count == 1 { "is" } else { "are" });
        // A person who may decide must be able to read the file: an operator's own account has another ledger.
        let ledger = env.state_dir().map_or_else(|| FILE.into(), |dir| dir.join(FILE)).display().to_string();
        writeln!(io.err, "fusebox: {missing} of {ledger} {are} still missing from the store: {why}")?;
    }
    Ok(u8::from(!resynced.incomplete.is_empty() || resynced.operations_denied > 0))
}

fn show(resynced: &ResyncReport, io: &mut Io) -> anyhow::Result<()> {
    let ResyncReport { sessions, requests, requests_added, operations, operations_added, .. } = resynced;
    writeln!(
        io.out,
        "Re-read {}: {} requests, {} of them missing from the store.",
        counted(*sessions, "session"),
        grouped(*requests),
        grouped(*requests_added)
    )?;
    let resent = counted(*operations, "decision");
    writeln!(io.out, "Sent {resent} again, {operations_added} of them missing from the store.")?;
    for budget in &resynced.budgets {
        let (before, after) = (number(budget.before, budget.unit), quantity(budget.after, budget.unit));
        let (name, value) = (&budget.name, &budget.value);
        let bold = Style::new().fg_color(Some(AnsiColor::Yellow.into())).bold();
        writeln!(io.out, "  {bold}{name}{bold:#} {value}: {before} → {after}")?;
    }
    if resynced.budgets.is_empty() {
        writeln!(io.out, "No budget's count changed.")?;
    }
    status::print_recovering(&resynced.store, io)
}
