//! Kills executables (−9) at a chosen step.
#![allow(unsafe_code)]

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// When to kill a process: at its `stops`-th stop at a system call (each call stops before and after), plus a number of
/// instructions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct At {
    pub stops: usize,
    pub instructions: usize,
}

/// The result of a process to be killed.
#[derive(Debug)]
pub struct Killed {
    /// Whether it was killed; otherwise it had already ended.
    pub killed: bool,
    /// Its exit code, if it ended by itself.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
}

/// Starts `command` for tracing, with its input.
fn traced(mut command: Command, input: &[u8]) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    // SAFETY: ptrace(TRACEME) is safe between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
            Ok(())
        });
    }
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child
}

/// Runs `command` to its end. Returns whether it slept.
pub fn sleeps(command: Command, input: &[u8]) -> bool {
    #[allow(clippy::zombie_processes)] // waited for below, by its id
    let child = traced(command, input);
    let (pid, mut status, mut slept) = (child.id().cast_signed(), 0, false);
    let sleeping = [libc::SYS_clock_nanosleep, libc::SYS_nanosleep].map(|number| number.to_string());
    // SAFETY: plain calls on the child just started; `status` outlives them.
    unsafe {
        libc::waitpid(pid, &raw mut status, 0);
        while !(libc::WIFEXITED(status) || libc::WIFSIGNALED(status)) {
            // While it is stopped at a system call, this file names the call.
            let call = std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
            slept |= sleeping.iter().any(|number| call.split(' ').next() == Some(number));
            libc::ptrace(libc::PTRACE_SYSCALL, pid, 0, 0);
            libc::waitpid(pid, &raw mut status, 0);
        }
    }
    slept
}

/// Runs `command` and kills it.
pub fn run_killed_at(command: Command, input: &[u8], at: At) -> Killed {
    #[allow(clippy::zombie_processes)] // waited for below, by its id
    let mut child = traced(command, input);
    let pid = child.id().cast_signed();
    let steps = std::iter::repeat_n(libc::PTRACE_SYSCALL, at.stops);
    let steps = steps.chain(std::iter::repeat_n(libc::PTRACE_SINGLESTEP, at.instructions));
    let mut status = 0;
    let ended = |status| libc::WIFEXITED(status) || libc::WIFSIGNALED(status);
    let mut killed = false;
    // SAFETY: plain calls on the child just started; `status` outlives them.
    unsafe {
        libc::waitpid(pid, &raw mut status, 0);
        for step in steps {
            libc::ptrace(step, pid, 0, 0);
            libc::waitpid(pid, &raw mut status, 0);
            if ended(status) {
                break;
            }
        }
        if !ended(status) {
            killed = true;
            libc::kill(pid, libc::SIGKILL);
            libc::waitpid(pid, &raw mut status, 0);
        }
    }
    let mut stdout = String::new();
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    let code = libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
    Killed { killed, code, stdout }
}
