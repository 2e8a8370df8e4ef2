//! `fusebox completions SHELL`: prints a completion script.

use clap_complete::Shell;

use super::Io;

/// Print a completion script for a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  fusebox completions bash > ~/.local/share/bash-completion/completions/fusebox")]
pub struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(args: &CompletionsArgs, command: &mut clap::Command, io: &mut Io) -> anyhow::Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "fusebox", &mut script);
    io.out.write_all(&script)?;
    Ok(0)
}
