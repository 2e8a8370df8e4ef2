//! `fusebox config init`: writes a starter file. The user's adds a daily budget in dollars; all other settings in it are
//! comments.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Serialize;

use crate::agents;
use crate::cli::{Io, UsageError, person_only, render};
use crate::config;
use crate::domain::time::Timestamp;
use crate::platform::Env;

const USER_FILE: &str = include_str!("starter_user.toml");
const PROJECT_FILE: &str = include_str!("starter_project.toml");

/// Write a starting configuration file: all settings with their defaults, explained.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Your own file adds a budget that warns at $20 a day; the project's file changes nothing as written. An \
existing file is never overwritten without --force, which keeps it \
as a backup beside the new one.

Examples:
  fusebox config init
  fusebox config init --project --dry-run"
)]
pub struct InitArgs {
    /// Write the project's file, .claude/fusebox.toml, with the settings that a project may change.
    #[arg(long)]
    project: bool,
    /// Replace an existing file, and keep it as a backup.
    #[arg(long)]
    force: bool,
    /// Print the file instead of writing it.
    #[arg(long)]
    dry_run: bool,
    /// Write JSON.
    #[arg(long, conflicts_with = "dry_run")]
    json: bool,
}

#[derive(Serialize)]
struct WrittenJson {
    path: PathBuf,
    backup: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// The file already exists, or cannot be written. Nothing was changed.
pub fn run(args: &InitArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let text = if args.project { PROJECT_FILE } else { USER_FILE };
    if args.dry_run {
        write!(io.out, "{text}")?;
        return Ok(0);
    }
    person_only::refuse_in_agent(env, "fusebox config init")?;
    let what = if args.project { "project_file" } else { "user_file" };
    let places = config::paths(env, &agents::project_dir(env, &env.cwd));
    let place = places.into_iter().find(|place| place.what == what);
    let path =
        place.context("there is no home folder. Set HOME, or FUSEBOX_CONFIG to a file of your own")?.path;
    // Follow links: the file may be kept elsewhere.
    let path = fs::canonicalize(&path).unwrap_or(path);
    let backup = write_new(&path, text, args.force, env.now)?;
    if args.json {
        render::json(io.out, &WrittenJson { path, backup })?;
        return Ok(0);
    }
    writeln!(io.out, "Written  {}", path.display())?;
    if let Some(backup) = backup {
        writeln!(io.out, "Backup   {}", backup.display())?;
    }
    let says = match args.project {
        true => "It changes nothing yet.",
        false => "It adds the budget `daily`, which warns when you have spent $20 in a day (UTC).",
    };
    writeln!(io.out, "\n{says} Edit it, then run `fusebox config check`.")?;
    Ok(0)
}

/// Writes a new file. With `force`, an existing one is renamed first; returns its new path.
fn write_new(path: &Path, text: &str, force: bool, now: Timestamp) -> anyhow::Result<Option<PathBuf>> {
    let dir = path.parent().with_context(|| format!("{} is not a file", path.display()))?;
    let failed = |error: std::io::Error| anyhow::anyhow!("{}: {error}. Nothing was changed", path.display());
    fs::create_dir_all(dir).map_err(failed)?;
    // The default mode of a new file, less the umask: a project's file is for everybody who works there.
    let mode = fs::Permissions::from_mode(0o666);
    let new = tempfile::Builder::new().prefix(".fusebox-").permissions(mode).tempfile_in(dir);
    let mut new = new.map_err(failed)?;
    new.write_all(text.as_bytes()).and_then(|()| new.as_file().sync_all()).map_err(failed)?;
    let there = fs::symlink_metadata(path);
    let backup = match &there {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => bail!("{}: {error}. Nothing was changed", path.display()),
        Ok(found) if !found.is_file() => bail!("{} is not a file. Nothing was changed", path.display()),
        Ok(_) if !force => {
            let way = "--force replaces it and keeps a backup; --dry-run prints what would be written";
            return Err(
                UsageError(format!("{} already exists: {way}. Nothing was changed", path.display())).into()
            );
        }
        Ok(_) => Some(back_up(path, now).map_err(failed)?),
    };
    // Not over a file written by somebody else meanwhile.
    if let Err(error) = new.persist_noclobber(path) {
        let kept =
            backup.map(|backup| format!(" (the old file is now {})", backup.display())).unwrap_or_default();
        bail!("{}: {}{kept}", path.display(), error.error);
    }
    Ok(backup)
}

/// Renames a file to an unused name.
fn back_up(path: &Path, now: Timestamp) -> std::io::Result<PathBuf> {
    let name = format!("{}.fusebox-backup-{}", path.display(), now.utc().format("%Y%m%dT%H%M%SZ"));
    let names = std::iter::once(name.clone()).chain((2..).map(|n| format!("{name}-{n}")));
    for backup in names {
        // A hard link fails if the name is taken; a rename would replace the other file.
        match fs::hard_link(path, &backup) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            linked => {
                linked?;
                fs::remove_file(path)?;
                return Ok(backup.into());
            }
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}
