//! `[alerts] command`: the person's own program is told of each alert, once it was shown.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::app::report::AlertStatus;
use crate::domain::alert::BudgetAlert;

/// Starts `command` for each alert, with the alert as one line of JSON on its standard input, and does not wait: it is
/// in a process group of its own, so it outlives the hook and the client's time limit. Answers what could not be
/// started.
pub fn run(command: &[String], alerts: &[BudgetAlert]) -> Vec<String> {
    let Some((program, arguments)) = command.split_first() else { return Vec::new() };
    let start = |alert: &BudgetAlert| -> std::io::Result<()> {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        // Far less than a pipe holds: writing never waits for the reader.
        match child.stdin.take() {
            Some(mut stdin) => {
                stdin.write_all((serde_json::to_string(&AlertStatus::raised(alert))? + "\n").as_bytes())
            }
            None => Ok(()),
        }
    };
    let failed = |error: std::io::Error| format!("alerts.command {program}: {error}");
    alerts.iter().filter_map(|alert| start(alert).err().map(failed)).collect()
}
