//! `fusebox import`: reads the history of all sessions into the ledger.

use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::render::counted;
use super::{Io, UsageError, render};
use crate::app::import;
use crate::app::messages::amounts::grouped;
use crate::ledger::import::Imported;
use crate::platform::Env;

/// Read the history of all sessions into the ledger.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The ledger (ledger.db in the state folder) keeps one record per model response, with what it cost, and keeps \
it when the client deletes its transcripts. Only what is new is read. You can interrupt an import at any point: the next one continues, \
nothing is lost, and nothing counts twice.

Without a folder: those in CLAUDE_CONFIG_DIR (several are separated by commas), else ~/.claude and ~/.config/claude.

Exit code 1: a file or folder could not be read, or the ledger could not be written. Everything else was imported.

Examples:
  fusebox import
  fusebox import ~/backup/.claude /mnt/old-laptop/.claude
  fusebox import --json | jq '.records'"
)]
pub struct ImportArgs {
    /// Folders with history, such as a backup of ~/.claude.
    #[arg(value_name = "FOLDER")]
    folders: Vec<PathBuf>,
    /// Write JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// A named folder does not exist, or the ledger cannot be written.
pub fn run(args: &ImportArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    if let Some(missing) = args.folders.iter().find(|folder| !folder.is_dir()) {
        let missing = missing.display();
        let why =
            format!("{missing} is not a folder: name a folder with transcripts, such as a copy of ~/.claude");
        return Err(UsageError(why).into());
    }
    let imported = import(env, &args.folders, io)?;
    if args.json {
        render::json(io.out, &imported)?;
    } else {
        show(&imported, io)?;
    }
    Ok(u8::from(!imported.unreadable.is_empty()))
}

/// Imports what is new, with a progress bar on a terminal. Says on standard error what could not be read.
///
/// # Errors
/// The ledger cannot be written.
pub fn import(env: &Env, folders: &[PathBuf], io: &mut Io) -> anyhow::Result<Imported> {
    let bar = progress_bar();
    let waiting = || bar.println("fusebox: waiting for another import to end");
    let imported = import::import(env, folders, waiting, |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let imported = imported?;
    if let Some(aside) = &imported.set_aside {
        writeln!(
            io.err,
            "fusebox: {} was damaged, and is kept as {}. A new one was made from the transcripts that there are; `sqlite3` may \
             recover what is only in the old one",
            imported.ledger.display(),
            aside.display()
        )?;
    }
    for unreadable in &imported.unreadable {
        writeln!(
            io.err,
            "fusebox: {unreadable}. It was left out: make it readable, and run `fusebox import` again"
        )?;
    }
    Ok(imported)
}

/// Imports what is new in the transcripts into this machine's ledger. If that fails, says what `reader` lacks, and goes on
/// with what the ledger has.
///
/// # Errors
/// Standard error cannot be written.
pub fn import_new(reader: &str, env: &Env, io: &mut Io) -> anyhow::Result<()> {
    if let Err(error) = import(env, &[], io) {
        writeln!(io.err, "fusebox: {error:#}. What is new in the transcripts is missing from {reader}")?;
    }
    Ok(())
}

fn progress_bar() -> ProgressBar {
    // On standard error, and only if that is a terminal.
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let template = "importing {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn show(imported: &Imported, io: &mut Io) -> anyhow::Result<()> {
    let Imported { files, files_read, sessions, added, changed, records, ledger, .. } = imported;
    if *files == 0 {
        let folders: Vec<String> =
            imported.folders.iter().map(|folder| folder.display().to_string()).collect();
        let places =
            if folders.is_empty() { "~/.claude, ~/.config/claude".to_owned() } else { folders.join(", ") };
        io.line(&format!("No transcripts in {places}."))?;
    } else {
        io.line(&format!(
            "{} with {}, {files_read} with something new.",
            counted(*sessions, "session"),
            counted(*files, "file")
        ))?;
    }
    io.line(&format!("Records added: {}, changed: {}.", grouped(*added), grouped(*changed)))?;
    io.line(&format!("The ledger has {} records: {}", grouped(*records), ledger.display()))?;
    Ok(())
}
