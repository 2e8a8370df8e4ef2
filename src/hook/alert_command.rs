//! `[alerts] command`: the person's own program, started for each alert once it was shown.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::app::status::{AlertStatus, EventStatus};
use crate::domain::alert::BudgetAlert;
use crate::domain::event::Event;

/// Starts `command` for each alert and event, with one line of JSON on its standard input, without waiting. It is in
/// its own process group, so it outlives the hook and the client's time limit. Returns what could not be started.
pub fn run(command: &[String], alerts: &[BudgetAlert], events: &[Event]) -> Vec<String> {
    let Some((program, arguments)) = command.split_first() else { return Vec::new() };
    let start = |line: String| -> std::io::Result<()> {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        // Far less than a pipe holds, so writing never blocks.
        match child.stdin.take() {
            Some(mut stdin) => stdin.write_all((line + "\n").as_bytes()),
            None => Ok(()),
        }
    };
    let alerts = alerts.iter().map(|alert| serde_json::to_string(&AlertStatus::from_alert(alert)));
    let events = events.iter().map(|event| serde_json::to_string(&EventStatus::from_event(event)));
    let failed = |error: std::io::Error| format!("alerts.command {program}: {error}");
    alerts
        .chain(events)
        .filter_map(|line| line.map_err(Into::into).and_then(start).err().map(failed))
        .collect()
}
