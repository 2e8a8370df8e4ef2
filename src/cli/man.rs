//! `fusebox man`: writes the manual pages, from the help of the commands.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::Io;

/// Print the manual page, or write one for each command into a folder.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  fusebox man | man -l -
  fusebox man ~/.local/share/man/man1")]
pub struct ManArgs {
    /// The folder for one page per command, created if missing.
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Exit codes, for every page.
const EXIT: [(&str, &str); 5] = [
    ("0", "Done."),
    ("1", "It failed; doctor: the hooks would not stop an agent."),
    (
        "2",
        "Wrong usage, or refused; config check and config show: something in the configuration is refused.",
    ),
    (
        "3",
        "status --check: a session was stopped by a budget or its circuit breaker, and is still blocked; quota, run: a \
         budget has no room; wait: still held back after the timeout.",
    ),
    ("4", "quota, run, wait: the store cannot be used. (run ends with the exit code of its command.)"),
];

/// Files, for the main page.
const FILES: [(&str, &str); 6] = [
    ("~/.config/fusebox/config.toml", "Your configuration."),
    (".claude/fusebox.toml", "The project's configuration, which may only tighten settings."),
    ("/etc/fusebox/config.toml", "The managed configuration, which bounds the others."),
    ("~/.local/state/fusebox/state.db", "The embedded store."),
    ("~/.local/state/fusebox/journal.jsonl", "Failures in hooks."),
    ("/tmp/fusebox-UID", "The session caches."),
];

/// Runs the command.
///
/// # Errors
/// A page cannot be written.
pub fn run(args: &ManArgs, command: Command, io: &mut Io) -> anyhow::Result<u8> {
    // Before building, or there would be pages for `help` and its subcommands.
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let Some(dir) = &args.dir else {
        io.out.write_all(&page(&command)?)?;
        return Ok(0);
    };
    fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let written = write_all(&command, dir)?;
    writeln!(io.out, "{written} pages written to {}", dir.display())?;
    Ok(0)
}

/// Writes the pages of a command and its subcommands. Returns their number.
fn write_all(command: &Command, dir: &Path) -> anyhow::Result<usize> {
    let path = dir.join(format!("{}.1", name(command)));
    fs::write(&path, page(command)?).with_context(|| path.display().to_string())?;
    let below = command.get_subcommands().filter(|command| !command.is_hide_set());
    below.map(|command| write_all(command, dir)).sum::<anyhow::Result<usize>>().map(|n| n + 1)
}

/// `fusebox-budget-show`
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

fn page(command: &Command) -> anyhow::Result<Vec<u8>> {
    let source = concat!("fusebox ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).source(source).manual("Fusebox Manual");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let mut roff = Roff::new();
    if let Some(text) = command.get_after_help() {
        examples(&text.to_string(), &mut roff);
    }
    list("EXIT STATUS", &EXIT, &mut roff);
    // The main page is the one that people read.
    let is_first = name(command) == "fusebox";
    if is_first {
        list("FILES", &FILES, &mut roff);
    }
    roff.to_writer(&mut page)?;
    Ok(page)
}

/// The text after a command's help: sentences, and after `Examples:`, command lines, which are not wrapped.
fn examples(text: &str, roff: &mut Roff) {
    let is_example = |line: &&str| line.starts_with("  ");
    let said: Vec<&str> = text.lines().filter(|line| !is_example(line)).collect();
    let said = said.join(" ");
    let said = said.trim_end_matches("Examples:").trim_end_matches("Example:").trim();
    if !said.is_empty() {
        roff.control("SH", ["NOTES"]).text([roman(said)]);
    }
    let lines: Vec<&str> = text.lines().filter(is_example).collect();
    if lines.is_empty() {
        return;
    }
    roff.control("SH", ["EXAMPLES"]).control("nf", []);
    for line in lines {
        roff.text([roman(line.trim())]);
    }
    roff.control("fi", []);
}

fn list(title: &str, entries: &[(&str, &str)], roff: &mut Roff) {
    roff.control("SH", [title]);
    for (term, text) in entries {
        roff.control("TP", []).text([roman(*term)]).text([roman(*text)]);
    }
}
