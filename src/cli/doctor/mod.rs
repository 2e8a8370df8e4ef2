//! `fusebox doctor`: checks that the guard works.
//!
//! A check is one function in one file, and one line in `CHECKS`.

mod binaries;
mod client;
mod configuration;
mod denial;
mod finding;
mod folders;
mod hooks;
mod journal;
mod prices;
mod sessions;
mod shared;
mod status_line;
mod store;
mod survey;

use std::borrow::Cow;
use std::path::PathBuf;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use self::finding::{Finding, Severity};
use self::survey::Survey;
use super::Io;
use super::render::{self, counted, wrap};
use crate::agents;
use crate::platform::Env;

/// Check that the hooks work, and say what to fix.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Checks the executables, the hooks in every layer of the settings, the folders, the store, the journal, the \
configuration and the client, and tests a denial by running the registered commands in a temporary folder.

Exit code: 0 if the hooks work (even with warnings and notes), 1 if they would not stop an agent.

Examples:
  fusebox doctor
  fusebox doctor --dir ~/work/project           with that project's settings
  fusebox doctor --json | jq '.findings[] | select(.severity == \"problem\")'"
)]
pub struct DoctorArgs {
    /// The project's folder [default: the current folder]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The client [default: the claude on the PATH]
    #[arg(long, value_name = "PROGRAM")]
    client: Option<PathBuf>,
    /// Write JSON.
    #[arg(long)]
    json: bool,
}

/// A check: its name and function.
type Check = (&'static str, fn(&Survey) -> Vec<Finding>);

/// Every check, in display order.
const CHECKS: [Check; 12] = [
    ("executables", binaries::check),
    ("hooks", hooks::check),
    ("denial", denial::check),
    ("folders", folders::check),
    ("store", store::check),
    ("shared store", shared::check),
    ("journal", journal::check),
    ("configuration", configuration::check),
    ("client", client::check),
    ("sessions", sessions::check),
    ("status line", status_line::check),
    ("prices", prices::check),
];

#[derive(Serialize)]
struct DoctorReport {
    holds: bool,
    findings: Vec<CheckFinding>,
}

#[derive(Serialize)]
struct CheckFinding {
    check: &'static str,
    #[serde(flatten)]
    finding: Finding,
}

/// Runs the command.
///
/// # Errors
/// No such folder; the output cannot be written.
pub fn run(args: &DoctorArgs, env: &Env, io: &mut Io) -> anyhow::Result<u8> {
    let project = agents::project_dir(env, &env.cwd);
    let project = args.dir.as_ref().map_or(project, |dir| env.cwd.join(dir));
    if !project.is_dir() {
        let message = format!("{}: no such folder; name the project's folder with --dir", project.display());
        return Err(super::UsageError(message).into());
    }
    let survey = Survey::collect(env, &project, args.client.as_deref());
    let found = |(name, check): &Check| {
        check(&survey).into_iter().map(|finding| CheckFinding { check: name, finding }).collect::<Vec<_>>()
    };
    let findings: Vec<CheckFinding> = CHECKS.iter().flat_map(found).collect();
    let holds = findings.iter().all(|reported| reported.finding.severity < Severity::Problem);
    let report = DoctorReport { holds, findings };
    if args.json {
        render::json(io.out, &report)?;
    } else {
        show(&report, io)?;
    }
    Ok(u8::from(!holds))
}

/// Columns before a text.
const INDENTATION: usize = 16;

/// Wraps a text to the width of the terminal. Words are not split, so that commands, paths and addresses can be copied.
fn wrapped(text: &str, less: usize) -> Vec<Cow<'_, str>> {
    wrap::lines(
        text,
        wrap::columns().unwrap_or(wrap::DEFAULT_COLUMNS).saturating_sub(INDENTATION + less).max(40),
    )
}

fn show(report: &DoctorReport, io: &mut Io) -> anyhow::Result<()> {
    let (bold, dim) = (Style::new().bold(), Style::new().dimmed());
    let mut last = "";
    for CheckFinding { check, finding } in &report.findings {
        let (sign, style) = sign(finding.severity);
        let label = if *check == last { "" } else { check };
        last = check;
        let mut lines = wrapped(&finding.found, 0).into_iter();
        writeln!(
            io.out,
            "{style}{sign}{style:#} {bold}{label:<14}{bold:#}{}",
            lines.next().unwrap_or_default()
        )?;
        for line in lines {
            writeln!(io.out, "{:16}{line}", "")?;
        }
        let fix = finding.fix.iter().flat_map(|fix| wrapped(fix, 2));
        for (line, arrow) in fix.zip(std::iter::once("→").chain(std::iter::repeat(" "))) {
            writeln!(io.out, "{:16}{dim}{arrow} {line}{dim:#}", "")?;
        }
    }
    let count =
        |severity: Severity| report.findings.iter().filter(|r| r.finding.severity == severity).count();
    let problems = counted(count(Severity::Problem), "problem");
    let warnings = counted(count(Severity::Warning), "warning");
    let (_, style) = sign(if report.holds { Severity::Ok } else { Severity::Problem });
    let verdict = if report.holds { "The hooks work." } else { "The hooks would not stop an agent." };
    writeln!(io.out, "\n{style}{verdict}{style:#} {problems}, {warnings}.")?;
    Ok(())
}

fn sign(severity: Severity) -> (&'static str, Style) {
    let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
    match severity {
        Severity::Ok => ("✓", colour(AnsiColor::Green)),
        Severity::Note => ("·", Style::new()),
        Severity::Warning => ("!", colour(AnsiColor::Yellow)),
        Severity::Problem => ("✗", colour(AnsiColor::Red).bold()),
    }
}
