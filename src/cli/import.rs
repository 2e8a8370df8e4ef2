//! `fusebox import`: reads the history of all sessions into the ledger.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::render::{counted, counted_many};
use super::{Io, UsageError, render, select};
use crate::app::import;
use crate::app::messages::amounts::grouped;
use crate::ledger::import::{Imported, Unreadable};
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
    let imported = import(env, &args.folders, true, io)?;
    for unreadable in &imported.unreadable {
        let said = match unreadable.is_missing {
            true => missing(unreadable),
            false => {
                format!("{unreadable}. It was left out: make it readable, and run `fusebox import` again")
            }
        };
        writeln!(io.err, "fusebox: {said}")?;
    }
    if args.json {
        render::json(io.out, &imported)?;
    } else {
        show(&imported, args.folders.is_empty(), io)?;
    }
    Ok(u8::from(!imported.unreadable.is_empty()))
}

/// Imports what is new, with a progress bar on a terminal.
///
/// # Errors
/// The configuration cannot be used, so prices are not known; or the ledger cannot be written.
fn import(env: &Env, folders: &[PathBuf], counts_records: bool, io: &mut Io) -> anyhow::Result<Imported> {
    // Not with the last prices that could be read: the ledger keeps what it is charged with.
    let prices = select::configuration(env)?.prices;
    let bar = ProgressBar::hidden();
    let waiting = || {
        if std::io::stderr().is_terminal() {
            let _ = writeln!(io.err, "fusebox: waiting for another import to end");
        }
    };
    let mut is_shown = false;
    let imported = import::import(env, &prices, folders, counts_records, waiting, |done, all| {
        // Often there is next to nothing to read: then a bar would only flash.
        if all > 0 && !is_shown {
            show_progress(&bar);
            is_shown = true;
        }
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
    Ok(imported)
}

/// Imports what is new in the client's transcripts, for `reader`, such as `this report`.
///
/// # Errors
/// The configuration cannot be used, or the ledger cannot be written.
pub fn import_for(reader: &str, env: &Env, io: &mut Io) -> anyhow::Result<Imported> {
    let imported = import(env, &[], false, io)?;
    for unreadable in &imported.unreadable {
        let said = match unreadable.is_missing {
            true => missing(unreadable),
            false => format!("{unreadable}. It is missing from {reader}: make it readable"),
        };
        writeln!(io.err, "fusebox: {said}")?;
    }
    Ok(imported)
}

/// Like [`import_for`]. If the ledger cannot be written, says what `reader` lacks, and goes on with what the ledger has.
///
/// # Errors
/// The configuration cannot be used, or standard error cannot be written.
pub fn import_new(reader: &str, env: &Env, io: &mut Io) -> anyhow::Result<Option<Imported>> {
    match import_for(reader, env, io) {
        Err(error) if !error.is::<UsageError>() => {
            writeln!(io.err, "fusebox: {error:#}. What is new in the transcripts is missing from {reader}")?;
            Ok(None)
        }
        imported => imported.map(Some),
    }
}

/// A folder of the client that does not exist. Without the variable, only those that exist are looked through.
fn missing(unreadable: &Unreadable) -> String {
    format!("CLAUDE_CONFIG_DIR names {}, which does not exist", unreadable.path.display())
}

/// Says that there was nothing to import, and what to do about it.
pub fn nothing_found(imported: &Imported) -> String {
    if imported.files > 0 {
        return "The transcripts contain no responses yet.".to_owned();
    }
    format!(
        "No transcripts in {}. If they are elsewhere, set CLAUDE_CONFIG_DIR or run `fusebox import FOLDER`.",
        places(imported)
    )
}

fn places(imported: &Imported) -> String {
    let folders: Vec<String> = imported.folders.iter().map(|folder| folder.display().to_string()).collect();
    if folders.is_empty() { "~/.claude or ~/.config/claude".to_owned() } else { folders.join(" or ") }
}

/// Shows the bar, on standard error, and only if that is a terminal.
fn show_progress(bar: &ProgressBar) {
    bar.set_draw_target(ProgressDrawTarget::stderr());
    let template = "importing {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
}

/// `is_usual`: the client's folders were looked through, and no others.
fn show(imported: &Imported, is_usual: bool, io: &mut Io) -> anyhow::Result<()> {
    let Imported { files, files_read, sessions, added, changed, records, ledger, .. } = imported;
    if *files == 0 && is_usual {
        io.line(&nothing_found(imported))?;
    } else if *files == 0 {
        io.line(&format!("No transcripts in {}.", places(imported)))?;
    } else {
        io.line(&format!(
            "{} with {}, {files_read} with something new.",
            counted(*sessions, "session"),
            counted(*files, "file")
        ))?;
    }
    io.line(&format!("Records added: {}, changed: {}.", grouped(*added), grouped(*changed)))?;
    if let Some(records) = records {
        io.line(&format!("The ledger has {}: {}", counted_many(*records, "record"), ledger.display()))?;
    }
    Ok(())
}
