//! Commands that only a person may run: the tripwire knows all of them, and they refuse to run under a client.

use std::process::Command;

use serde_json::json;

use super::{Layout, World, is_denial};
use crate::harness::{Home, program_path, run};
use crate::terminal::starter;

/// The commands in the table of commands, with their required arguments, and whether each refuses in an agent's shell.
fn commands() -> Vec<(String, bool)> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/commands.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows = page.lines().filter(|line| line.matches('|').count() == 4 && line.starts_with("| `"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let more = match cells[1].trim_matches('`') {
            "budget extend" => " session --tokens 5 --reason x",
            "budget reset" | "budget delete" => " session --reason x",
            "quota reset" => " --platform p --reason x --yes",
            "quota reserve" | "quota record" => " --platform p",
            "quota release" => " --id x",
            "run" => " --platform p -- true",
            "wait" => " --until-reset",
            "alerts ack" => " --all",
            "circuit ack" | "circuit reset" => " --reason x",
            // It would go on.
            "serve" => " --tls-cert none.pem --tls-key none.pem",
            _ => "",
        };
        (format!("{}{more}", cells[1].trim_matches('`')), cells[3].to_owned())
    };
    let rows = rows.map(row).filter(|(_, shell)| shell.starts_with("refuses") || shell == "runs");
    rows.map(|(words, shell)| (words, shell.starts_with("refuses"))).collect()
}

#[test]
fn the_tripwire_knows_every_command_that_refuses_in_an_agents_shell() {
    let world = World::new(Layout::Usual);
    let commands = commands();
    assert!(commands.iter().filter(|(_, refuses)| *refuses).count() >= 6, "{commands:?}");
    for (words, refuses) in &commands {
        let call = |line: String| world.call("Bash", &json!({ "command": line }));
        assert_eq!(is_denial(&call(format!("fusebox {words}"))), *refuses, "{words}");
        let help = words.replace(" -- true", "") + " --help";
        assert!(call(format!("fusebox {help}")).is_silent(), "{help}");
    }
}

#[test]
fn what_fusebox_runs_is_looked_at() {
    let world = World::new(Layout::Usual);
    for (line, is_denied) in [
        ("fusebox run --platform p -- fusebox budget reset session --reason x", true),
        (
            "fusebox run --platform p --key run -- env X=1 fusebox quota reset --platform p --reason x --yes",
            true,
        ),
        ("fusebox run --platform p -- sh -c 'fusebox alerts ack --all'", true),
        ("fusebox run --platform p -- fusebox budget list", false),
        ("fusebox run --platform p -- cargo test", false),
        ("fusebox quota release --platform p --key reset", false),
        ("fusebox quota status; fusebox quota summary --json", false),
    ] {
        assert_eq!(is_denial(&world.call("Bash", &json!({ "command": line }))), is_denied, "{line}");
    }
}

#[test]
fn a_command_that_decides_refuses_under_a_client_whatever_its_variables_say() {
    let home = Home::new();
    let client = starter(&home.path(""), "claude");
    let other = starter(&home.path(""), "supervisor");
    for (words, refuses) in commands() {
        if !refuses && !words.starts_with("budget") {
            continue;
        }
        let line = format!("env -u CLAUDECODE {} {words}; echo code $?", program_path("fusebox"));
        let under = |program: &std::path::Path| {
            let mut command = Command::new(program);
            command.args(["/", "-maxdepth", "0", "-exec", "sh", "-c", &line, ";"]);
            let mut command = home.furnish(command);
            run(command.env("CLAUDECODE", "1"), b"")
        };
        let ran = under(&client);
        let refused =
            ran.stdout.ends_with("code 2\n") && ran.stderr.contains("a Claude Code client started it");
        assert_eq!(refused, refuses, "{words}: {ran:?}");
        assert!(
            !refuses || ran.stderr.contains("a person can run it in a terminal that no agent started"),
            "{ran:?}"
        );
        // It depends on the program, not on its presence.
        let ran = under(&other);
        assert!(!ran.stderr.contains("inside an agent's shell"), "{words}: {ran:?}");
    }
}
