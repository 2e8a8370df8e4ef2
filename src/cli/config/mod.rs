//! `fusebox config`: writes a starter file, and checks and shows the configuration.

mod init;
mod platform_warnings;
mod price_warnings;
mod show;

use std::io::Write;

use serde::Serialize;

use self::platform_warnings::platform_warnings;
use self::price_warnings::price_warnings;
use super::Io;
use super::render::{self, table};
use crate::agents;
use crate::config::{self, EffectiveValue, LoadedConfig, PathInfo, Problem};
use crate::platform::Env;

/// Write, check and show the configuration.
#[derive(Debug, clap::Args)]
#[command(after_help = "The configuration is that of the project in the working folder.

Examples:
  fusebox config init
  fusebox config check
  fusebox config show")]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write a starting configuration file: all settings with their defaults, explained.
    Init(init::InitArgs),
    /// Check the configuration; exit code 2 if something in it is refused.
    #[command(after_help = "Also lists the files that are read and the folders in use.

Example:
  fusebox config check --json | jq '.places[] | select(.exists)'")]
    Check {
        /// Write JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the configuration in force as TOML, each value with its source; exit code 2 if something in it is refused.
    #[command(after_help = "The output can be used as a configuration file.

Example:
  fusebox config show --json | jq '.values[] | select(.source.kind == \"user\")'")]
    Show {
        /// Write JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command.
///
/// # Errors
/// A file or standard output cannot be written.
pub fn run(args: &ConfigArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let loaded = || config::load(env, Some(&agents::project_dir(env, &env.cwd)));
    match &args.command {
        Command::Init(args) => init::run(args, env, io),
        Command::Check { json } => check(loaded(), *json, env, io),
        Command::Show { json } => show(&loaded(), *json, io),
    }
}

#[derive(Serialize)]
struct CheckJson {
    usable: bool,
    values: Vec<EffectiveValue>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    notes: Vec<Problem>,
    places: Vec<PathInfo>,
}

fn check(mut loaded: LoadedConfig, json: bool, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    loaded.warnings.extend(price_warnings(&loaded, env.now));
    loaded.warnings.extend(platform_warnings(&loaded));
    let places = config::paths(env, &agents::project_dir(env, &env.cwd));
    let code = exit_code(&loaded);
    if json {
        let usable = loaded.is_usable();
        let LoadedConfig { values, problems, warnings, notes, .. } = loaded;
        render::json(io.out, &CheckJson { usable, values, problems, warnings, notes, places })?;
        return Ok(code);
    }
    let verdict = match (loaded.is_usable(), code) {
        (true, 0) if !loaded.warnings.is_empty() => "The configuration is valid, with warnings.",
        (true, 0) => "The configuration is valid.",
        (true, _) => "The configuration is valid; settings that the project may not change were ignored.",
        (false, _) => "The configuration cannot be used.",
    };
    writeln!(io.out, "{verdict}")?;
    print_problems(&loaded, io.out)?;
    writeln!(io.out)?;
    let mut rows = table::new_table(&["WHAT", "WHERE", ""], &[]);
    for PathInfo { what, shown, exists, .. } in &places {
        let note = match exists {
            true => "",
            false if what.ends_with("_folder") => "not created yet",
            false => "not there (optional)",
        };
        rows.add_row([&what.replace('_', " "), shown, note]);
    }
    rows.set_content_arrangement(comfy_table::ContentArrangement::Disabled);
    write!(io.out, "{}", table::to_trimmed_text(&rows))?;
    Ok(code)
}

#[derive(Serialize)]
struct ShowJson<'a> {
    values: &'a [EffectiveValue],
}

fn show(loaded: &LoadedConfig, json: bool, io: &mut Io) -> anyhow::Result<u8> {
    if json {
        render::json(io.out, &ShowJson { values: &loaded.values })?;
    } else {
        write!(io.out, "{}", show::as_toml(&loaded.values))?;
    }
    print_problems(loaded, io.err)?;
    Ok(exit_code(loaded))
}

fn exit_code(loaded: &LoadedConfig) -> u8 {
    if loaded.problems.is_empty() { 0 } else { 2 }
}

/// Prints notes, warnings and problems, and what applies until the problems are fixed.
fn print_problems(loaded: &LoadedConfig, out: &mut dyn Write) -> anyhow::Result<()> {
    for note in &loaded.notes {
        writeln!(out, "note: {note}")?;
    }
    for warning in &loaded.warnings {
        writeln!(out, "warning: {warning}")?;
    }
    for problem in &loaded.problems {
        writeln!(out, "{problem}")?;
    }
    if !loaded.is_usable() {
        writeln!(
            out,
            "Until this is fixed, hooks use the last good configuration or, without one, the valid settings of this one."
        )?;
    }
    Ok(())
}
