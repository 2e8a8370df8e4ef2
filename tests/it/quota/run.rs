//! `fusebox run`: streams, exit codes, signals, and what is counted.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::{HOUR_MS, World, on_both_stores};
use crate::harness::{program_path, run};
use crate::terminal::terminal;

on_both_stores!(
    a_command_is_counted_whatever_its_end,
    what_cannot_start_is_released,
    what_is_refused_does_not_run,
    a_key_runs_once,
    signals_reach_the_command,
    a_key_of_the_terminal_interrupts_once,
    a_killed_fusebox_leaves_an_estimate,
);

/// `fusebox run --platform gemini OPTIONS -- sh -c SCRIPT`, with pipes.
fn start(world: &World, options: &[&str], script: &str) -> Child {
    // Whoever runs the tests may ignore signals, and children inherit that.
    let mut command = world.home.furnish(Command::new("/usr/bin/env"));
    command.args(["--default-signal", program_path("fusebox")]);
    command.args(["run", "--platform", "gemini"]).args(options).args(["--", "/bin/sh", "-c", script]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn sh(world: &World, options: &[&str], script: &str) -> (i32, String, String) {
    let output = start(world, options, script).wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn a_command_is_counted_whatever_its_end(world: &World) {
    let mut child = start(world, &["--amount", "2"], "read line; echo \"got $line\"; echo oops >&2; exit 7");
    child.stdin.take().unwrap().write_all(b"hello\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"got hello\n"[..], &b"oops\n"[..]));
    assert_eq!(world.gemini(), [2, 0]);
    assert_eq!(sh(world, &[], "exit 0").0, 0);
    assert_eq!(sh(world, &[], "kill -TERM $$").0, 128 + 15);
    assert_eq!(sh(world, &[], "kill -KILL $$").0, 128 + 9);
    assert_eq!(sh(world, &[], "exit 255").0, 255);
    assert_eq!(world.gemini(), [6, 0]);
    // While it runs, it holds what it reserved, and afterwards it is recorded, however long it took.
    let status = "\"$0\" quota status --platform gemini --json";
    let mut command = world.home.command("fusebox");
    let program = program_path("fusebox");
    command.args(["run", "--platform", "gemini", "--", "sh", "-c", status, program]);
    let inside = run(&mut command, b"").json();
    assert_eq!(inside[0]["budgets"][0]["reserved"], 1, "{inside}");
    let mut child = start(world, &["--ttl", "60"], "read line");
    while world.gemini()[1] == 0 {
        std::thread::yield_now();
    }
    world.pass(HOUR_MS);
    assert_eq!(world.gemini(), [8, 0], "an estimate");
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(world.gemini(), [8, 0], "counted once");
}

fn what_cannot_start_is_released(world: &World) {
    let plain = world.home.path("plain");
    std::fs::write(&plain, "no program").unwrap();
    world.fails(
        "run --platform gemini -- no-such-program-here",
        127,
        "no-such-program-here: command not found",
    );
    world.fails(&format!("run --platform gemini -- {}", plain.display()), 126, "permission denied");
    world.fails("run --platform gemini -- /", 126, "permission denied");
    // It never ran, so its key is free.
    world.fails("run --platform gemini --key k -- no-such-program-here", 127, "command not found");
    assert_eq!(world.gemini(), [0, 0]);
    world.done("run --platform gemini --key k -- true");
    assert_eq!(world.gemini(), [1, 0]);
    world.fails("run --platform gemini --key k -- true", 2, "was not run: key k is known");
    assert_eq!(world.gemini(), [1, 0]);
}

fn what_is_refused_does_not_run(world: &World) {
    world.done("quota record --platform gemini --amount 10");
    let mark = world.home.path("ran");
    world.fails(
        &format!("run --platform gemini -- touch {}", mark.display()),
        3,
        "10 used and 0 reserved of 10",
    );
    assert!(!mark.exists());
    assert_eq!(world.gemini(), [10, 0]);
}

fn a_key_runs_once(world: &World) {
    assert_eq!(sh(world, &["--key", "nightly"], "echo ran").1, "ran\n");
    let (code, out, err) = sh(world, &["--key", "nightly"], "echo ran");
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("was recorded: 1 request") && err.contains("not run"), "{err}");
    let (code, out, _) = sh(world, &["--key", "nightly", "--amount", "2"], "echo ran");
    assert_eq!((code, out.as_str()), (2, ""));
    assert_eq!(world.gemini(), [1, 0]);
}

/// Sends a signal to `fusebox` itself.
fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn signals_reach_the_command(world: &World) {
    for (name, signal) in
        [("INT", Signal::INT), ("TERM", Signal::TERM), ("HUP", Signal::HUP), ("QUIT", Signal::QUIT)]
    {
        // It goes on after the signal, and so does fusebox.
        let script =
            format!("trap 'echo got {name}; exit 9' {name}; echo ready; while :; do sleep 0.01; done");
        let mut child = start(world, &[], &script);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
        send(&child, signal);
        assert_eq!(lines.next().unwrap().unwrap(), format!("got {name}"));
        assert_eq!(child.wait().unwrap().code(), Some(9), "{name}");
    }
    assert_eq!(world.gemini(), [4, 0]);
    // One that ends the command.
    let mut child = start(world, &[], "echo ready; exec sleep 1000");
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut [0; 6]).unwrap();
    send(&child, Signal::TERM);
    let ended = child.wait().unwrap();
    assert_eq!((ended.code(), ended.signal()), (Some(128 + 15), None));
    assert_eq!(world.gemini(), [5, 0]);
    // At any moment: it ends, and either ran (and is counted) or did not.
    for _ in 0..20 {
        let mut child = start(world, &["--amount", "1"], "exec sleep 1000");
        send(&child, Signal::TERM);
        let ended = child.wait().unwrap();
        assert!(ended.signal() == Some(15) || matches!(ended.code(), Some(143 | 3)), "{ended:?}");
    }
    assert_eq!(world.gemini()[1], 0, "nothing is left reserved");
}

/// Ctrl-C goes to all programs in the terminal, so it need not be passed on.
fn a_key_of_the_terminal_interrupts_once(world: &World) {
    let (mut near, far) = terminal();
    let script = "n=0; trap 'n=$((n + 1)); echo got $n' INT; echo ready; until read line; do :; done; echo end $n; exit 5";
    let mut command = world.home.furnish(Command::new("setsid"));
    command.args(["--ctty", "/usr/bin/env", "--default-signal", program_path("fusebox")]);
    command.args(["run", "--platform", "gemini", "--", "/bin/sh", "-c", script]);
    command.stdin(far.try_clone().unwrap()).stdout(far.try_clone().unwrap()).stderr(far);
    let mut child = command.spawn().unwrap();
    // Its copies of the terminal would keep it open.
    drop(command);
    let mut shown = BufReader::new(near.try_clone().unwrap()).lines().map_while(Result::ok);
    let mut wait_for = |text: &str| assert!(shown.any(|line| line.trim().ends_with(text)), "{text}");
    wait_for("ready");
    near.write_all(b"\x03").unwrap();
    wait_for("got 1");
    near.write_all(b"go\n").unwrap();
    wait_for("end 1");
    assert_eq!(child.wait().unwrap().code(), Some(5));
    assert_eq!(world.gemini(), [1, 0], "it ran");
}

fn a_killed_fusebox_leaves_an_estimate(world: &World) {
    let mut child = start(world, &["--amount", "3", "--ttl", "600"], "echo $$; exec sleep 1000");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let command: i32 = lines.next().unwrap().unwrap().parse().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(world.gemini(), [0, 3]);
    world.fails("quota reserve --platform gemini --amount 8", 3, "3 reserved");
    world.pass(601_000);
    assert_eq!(world.gemini(), [3, 0], "it may have been used");
    kill_process(Pid::from_raw(command).unwrap(), Signal::KILL).unwrap();
}

#[test]
fn what_is_ignored_stays_ignored() {
    let world = World::embedded();
    let program = program_path("fusebox");
    let script = "trap '' HUP; exec \"$0\" run --platform gemini -- sh -c 'kill -HUP $$; kill -HUP $PPID; echo survived'";
    let mut command = world.home.furnish(Command::new("/bin/sh"));
    command.args(["-c", script, program]);
    let ran = run(&mut command, b"");
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "survived\n"), "{ran:?}");
}
