//! `fusebox config`: what configuration is in force, and where each value comes from.

use serde::Serialize;

use super::Io;
use super::render::{self, table};
use crate::config::{self, Effective, Problem};
use crate::env::Env;

/// Check the configuration, and show what is in force.
#[derive(Debug, clap::Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print the configuration in force with the source of each value; exit code 2 when there are problems.
    #[command(after_help = "The configuration is that of the working folder's project. Example:
  fusebox config check --json | jq '.values[] | select(.source.kind != \"default\")'")]
    Check {
        /// Write JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Serialize)]
struct Checked {
    usable: bool,
    values: Vec<Effective>,
    problems: Vec<Problem>,
}

/// Runs it.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(args: &ConfigArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let Command::Check { json } = &args.command;
    let loaded = config::load(env, Some(&env.project_dir(&env.cwd)));
    let checked = Checked { usable: loaded.is_usable(), values: loaded.values, problems: loaded.problems };
    if *json {
        render::json(io.out, &checked)?;
    } else {
        let mut shown = table::plain(&["KEY", "VALUE", "SOURCE"], &[]);
        for Effective { key, value, source } in &checked.values {
            shown.add_row([key.clone(), value.to_string(), source.to_string()]);
        }
        write!(io.out, "{}", table::trimmed(&shown))?;
        for problem in &checked.problems {
            writeln!(io.err, "{problem}")?;
        }
        if !checked.usable {
            writeln!(
                io.err,
                "Until this is mended, hooks go on with the last good configuration; without one, with what is valid of this."
            )?;
        }
    }
    Ok(if checked.problems.is_empty() { 0 } else { 2 })
}
