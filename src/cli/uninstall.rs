//! `fusebox uninstall`: removes Fusebox from the client's settings, and with --purge its data.

use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::line_diff::diff;
use super::person_only::refuse_in_agent;
use super::settings_file::{Removal, SettingsFile};
use super::settings_scope::SettingsScope;
use super::{Io, UsageError};
use crate::app::installation::Installation;
use crate::app::operation_ledger;
use crate::hook::failure_count;
use crate::platform::Env;

/// Remove the hooks and the status line from Claude Code's settings; everything else stays.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(
    after_help = "Without --user, --project or --local, this covers your settings and the file in which `fusebox init` last registered \
the hooks. A file that has not changed since `init` is restored byte for byte; from others, only Fusebox's entries are removed.

Examples:
  fusebox uninstall --dry-run
  fusebox uninstall
  fusebox uninstall --project --dir ~/work/project
  fusebox uninstall --purge --yes        also the store, the ledger, the caches"
)]
pub struct UninstallArgs {
    #[command(flatten)]
    place: SettingsScope,
    /// Also remove the store, the ledger, the journal and the caches
    #[arg(long)]
    purge: bool,
    /// Do not ask before --purge
    #[arg(long, requires = "purge")]
    yes: bool,
    /// Show what would change without changing anything
    #[arg(long)]
    dry_run: bool,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

/// What was done, or would be done.
struct FileReport {
    file: PathBuf,
    /// The text before and after; `None`: the file is removed.
    change: Option<(String, Option<String>)>,
    backup: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// A file is not as expected; says which, and what to do.
pub fn run(args: &UninstallArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    if !args.dry_run {
        refuse_in_agent(env, "fusebox uninstall")?;
    }
    let stored = if args.purge { stored_paths(env) } else { Vec::new() };
    if args.purge && !args.dry_run && !args.yes {
        confirm(&stored, io)?;
    }
    // Read all first: if one cannot be changed, none is.
    let removals = removals(args, env).map_err(|error| UsageError(format!("{error:#}")))?;
    let mut done = Vec::new();
    for (file, removal) in removals {
        done.push(unregister(&file, removal, args.dry_run, env)?);
    }
    let mut purged = Vec::new();
    for path in stored {
        if !args.dry_run {
            remove(&path)?;
        }
        purged.push(path);
    }
    if args.json {
        writeln!(io.out, "{:#}", to_json(&done, &purged, args.dry_run))?;
    } else {
        write!(io.out, "{}", summary(&done, &purged, args, env))?;
    }
    Ok(0)
}

fn removals(args: &UninstallArgs, env: &Env) -> anyhow::Result<Vec<(SettingsFile, Removal)>> {
    let removal = |path: &PathBuf| {
        let file = SettingsFile::read(path)?;
        let removal = file.without_fusebox(env)?;
        Ok((file, removal))
    };
    settings_files(args, env)?.iter().map(removal).collect()
}

fn unregister(file: &SettingsFile, removal: Removal, dry_run: bool, env: &Env) -> anyhow::Result<FileReport> {
    let path = file.path().to_owned();
    let before = file.text().to_owned();
    let (change, backup) = match removal {
        Removal::Nothing => (None, None),
        Removal::File => {
            if !dry_run {
                file.remove()?;
            }
            (Some((before, None)), None)
        }
        Removal::Text(text) => {
            let backup = if dry_run { None } else { file.replace(&text, env.now)? };
            (Some((before, Some(text))), backup)
        }
    };
    Ok(FileReport { file: path, change, backup })
}

/// The settings files to check.
fn settings_files(args: &UninstallArgs, env: &Env) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = vec![args.place.file(env)?];
    let recorded = env.state_dir().and_then(|dir| Installation::read(&dir)).map(|known| known.settings_file);
    if !args.place.is_named() {
        let same = |path: &PathBuf| path.canonicalize().ok() == files[0].canonicalize().ok();
        files.extend(recorded.filter(|path| path.exists() && !same(path)));
    }
    Ok(files)
}

/// Fusebox's own files in its folders, and the folders.
fn stored_paths(env: &Env) -> Vec<PathBuf> {
    let in_state = |name: &str| {
        name.starts_with("state.db")
            || name.starts_with("ledger.")
            || name.starts_with("journal.jsonl")
            || name.starts_with("plan.")
            || ["install.json", operation_ledger::FILE, failure_count::FILE].contains(&name)
    };
    let in_cache = |name: &str| name.starts_with("guardrails-");
    let mut found = Vec::new();
    if let Some(dir) = env.state_dir() {
        found.extend(own_paths(&dir, in_state));
    }
    found.extend(own_paths(&env.cache_dir(), in_cache));
    found
}

/// Skips a folder that is a link or somebody else's.
fn own_paths(dir: &Path, is_ours: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    if !dir.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
        return Vec::new();
    }
    let names = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = names
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .filter(|entry| entry.file_name().to_str().is_some_and(&is_ours))
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files.push(dir.to_owned());
    files
}

/// Removes a file, or an empty folder.
fn remove(path: &Path) -> anyhow::Result<()> {
    let removed = if path.is_dir() { std::fs::remove_dir(path) } else { std::fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => Ok(other?),
    }
}

fn confirm(stored: &[PathBuf], io: &mut Io) -> anyhow::Result<()> {
    let refuse = |why: &str| Err(UsageError(format!("{why}. Nothing was changed")).into());
    if !std::io::stdin().is_terminal() {
        return refuse("--purge asks before it removes anything, but there is no terminal; add --yes");
    }
    for path in stored {
        writeln!(io.err, "  {}", path.display())?;
    }
    write!(io.err, "Remove these, with everything that was counted and decided? [y/N] ")?;
    io.err.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => refuse("not confirmed"),
    }
}

fn to_json(done: &[FileReport], purged: &[PathBuf], dry_run: bool) -> Value {
    let text = |path: &PathBuf| path.to_string_lossy().into_owned();
    let files: Vec<Value> = done
        .iter()
        .map(|done| {
            json!({
                "settings_file": text(&done.file),
                "changed": done.change.is_some(),
                "removed": matches!(done.change, Some((_, None))),
                "backup": done.backup.as_ref().map(text),
            })
        })
        .collect();
    json!({"dry_run": dry_run, "files": files, "purged": purged.iter().map(text).collect::<Vec<_>>()})
}

fn summary(done: &[FileReport], purged: &[PathBuf], args: &UninstallArgs, env: &Env) -> String {
    let mut text = String::new();
    for FileReport { file, change, backup } in done {
        let path = file.display();
        match (change, args.dry_run) {
            (None, _) => text += &format!("No Fusebox hooks in {path}\n"),
            (Some((before, after)), true) => {
                let after = after.as_deref().unwrap_or_default();
                text += &format!("Changes to {path}:\n\n{}\n", diff(before, after));
            }
            (Some((_, None)), false) => text += &format!("Removed {path}, which contained nothing else\n"),
            (Some((_, Some(_))), false) => text += &format!("Hooks removed from {path}\n"),
        }
        if let Some(backup) = backup {
            text += &format!("Backup    {}\n", backup.display());
        }
    }
    let would = if args.dry_run { "Would remove" } else { "Removed" };
    for path in purged {
        text += &format!("{would}   {}\n", path.display());
    }
    if !args.purge {
        let folders =
            [env.state_dir(), Some(env.cache_dir())].into_iter().flatten().filter(|dir| dir.exists());
        let kept: Vec<String> = folders.map(|dir| dir.display().to_string()).collect();
        if !kept.is_empty() {
            text += &format!("Kept      {} (--purge removes them)\n", kept.join(", "));
        }
    }
    if let Some(config) = env.user_config().filter(|path| path.exists()) {
        text += &format!("Kept      {}, your configuration\n", config.display());
    }
    if args.dry_run {
        return text;
    }
    text + "\nRunning sessions still call the hooks until they end. `cargo uninstall fusebox` removes the programs.\n"
}
