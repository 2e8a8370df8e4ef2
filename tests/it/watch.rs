//! `fusebox status --watch`: in a pipe, and in a terminal.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{Home, message, program_path};
use crate::top::tmux::Tmux;

fn spend(home: &Home, n: usize, tokens: u64) {
    home.append(&home.transcript("s"), &[message(n, tokens, 0)]);
    home.hook("PostToolUse", "s", json!({}));
}

fn watch(home: &Home, arguments: &[&str]) -> Child {
    let mut command = home.command("fusebox");
    command.args(["status", "--watch", "1"]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Ends it as Ctrl-C does. Returns its exit code and its messages.
fn interrupt(mut child: Child) -> (Option<i32>, String) {
    assert!(Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().unwrap().success());
    let code = child.wait().unwrap().code();
    let mut said = String::new();
    child.stderr.unwrap().read_to_string(&mut said).unwrap();
    (code, said)
}

#[test]
fn in_a_pipe_one_follows_the_other() {
    let home = Home::new();
    spend(&home, 1, 100);
    let mut child = watch(&home, &[]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let first: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    assert!(
        first[0].starts_with("Session s") && first.iter().any(|line| line.contains("100 input")),
        "{first:?}"
    );
    spend(&home, 2, 200);
    let second: Vec<String> = lines.by_ref().take_while(|line| !line.contains("300 input")).collect();
    assert!(second[0].starts_with("Session s"), "{second:?}");
    assert!([first, second].concat().iter().all(|line| !line.contains('\u{1b}')), "no movements in a pipe");
    assert_eq!(interrupt(child), (Some(0), String::new()));
}

#[test]
fn json_is_one_document_a_line() {
    let home = Home::new();
    spend(&home, 1, 100);
    for (arguments, pointer) in [(&["--json"][..], "/0/session"), (&["--json", "--session", "s"], "/session")]
    {
        let mut child = watch(&home, arguments);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        for line in lines.take(2) {
            let status: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(status.pointer(pointer), Some(&json!("s")), "{line}");
        }
        child.stdout = None;
        assert_eq!(interrupt(child).0, Some(0));
    }
}

#[test]
fn a_closed_pipe_ends_it_silently() {
    let home = Home::new();
    spend(&home, 1, 100);
    let mut child = watch(&home, &[]);
    drop(child.stdout.take());
    let done = child.wait_with_output().unwrap();
    assert_eq!((done.status.code(), done.stderr), (Some(0), Vec::new()));
}

#[test]
fn an_unknown_session_is_refused_at_once() {
    let home = Home::new();
    spend(&home, 1, 100);
    let ran = home.fusebox(&["status", "--watch", "--session", "other"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
    assert!(ran.stderr.contains("unknown session other"), "{ran:?}");
    assert_eq!(home.fusebox(&["status", "--watch", "0"]).code, 2);
    assert_eq!(home.fusebox(&["status", "--watch", "--check"]).code, 2);
}

#[test]
fn live_in_a_terminal_it_stays_in_place() {
    let home = Home::new();
    spend(&home, 1, 100);
    for var in ["", "NO_COLOR=1"] {
        let status = format!("{var} {} status --watch 1", program_path("fusebox"));
        // Otherwise, Ctrl-C would end the shell, too.
        let script = format!("trap : INT; echo former text; {status}; echo \"code $?\"");
        let tmux = Tmux::start(&home, (80, 24), &script);
        tmux.wait("Session s");
        spend(&home, 2 + var.len(), 200);
        let shown = if var.is_empty() { "300 input" } else { "500 input" };
        let screen = tmux.wait(shown);
        assert!(screen.starts_with("former text\nSession s"), "{screen}");
        assert_eq!(screen.matches("Session s").count(), 1, "{screen}");
        // Smaller than the text.
        tmux.resize(40, 6);
        tmux.wait("more lines");
        tmux.keys(&["C-c"]);
        tmux.wait("code 0");
    }
}
