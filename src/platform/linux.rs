//! Linux.

use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::System;
use super::process::Process;

/// This system.
pub const SYSTEM: System = System::Linux;

/// The unit of `started`.
const TICKS_PER_SECOND: u64 = 100;

/// From fields 2, 4 and 22 of `/proc/<pid>/stat`; the name may contain any character.
pub fn process(pid: u32) -> Option<Process> {
    let text = std::fs::read_to_string(proc_path(pid, "stat")).ok()?;
    let (start, rest) = text.rsplit_once(')')?;
    let name = start.split_once('(')?.1.to_owned();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let parent = fields.get(1)?.parse().ok();
    Some(Process { pid, started: fields.get(19)?.parse().ok()?, name, parent })
}

pub fn program(pid: u32) -> Option<PathBuf> {
    let program = std::fs::read_link(proc_path(pid, "exe")).ok()?;
    let text = program.to_string_lossy();
    // The program was replaced while running.
    Some(text.strip_suffix(" (deleted)").map_or_else(|| program.clone(), PathBuf::from))
}

pub fn arguments(pid: u32) -> Vec<Vec<u8>> {
    split_at_nul(&std::fs::read(proc_path(pid, "cmdline")).unwrap_or_default())
}

pub fn variables(pid: u32) -> Vec<Vec<u8>> {
    split_at_nul(&std::fs::read(proc_path(pid, "environ")).unwrap_or_default())
}

pub fn has_terminal(pid: u32) -> bool {
    let input = std::fs::read_link(proc_path(pid, "fd/0")).unwrap_or_default();
    input.starts_with("/dev/pts") || input.to_str().is_some_and(|path| path.starts_with("/dev/tty"))
}

pub fn age_ms(started: u64) -> Option<i64> {
    let text = std::fs::read_to_string("/proc/uptime").ok()?;
    let up: f64 = text.split_whitespace().next()?.parse().ok()?;
    let started = started as f64 / TICKS_PER_SECOND as f64;
    Some(((up - started).max(0.0) * 1000.0) as i64)
}

/// Identifies this machine: an id that survives reboots, and its name.
pub fn machine() -> [String; 2] {
    ["/etc/machine-id", "/proc/sys/kernel/hostname"]
        .map(|path| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned())
}

/// Name and home of a user from the passwd file. The C library's lookup may load plug-ins, which a static program
/// cannot.
pub fn user(uid: u32) -> Option<(String, PathBuf)> {
    let text = std::fs::read_to_string("/etc/passwd").ok()?;
    let mut rows = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let row = rows.find(|row| row.len() >= 6 && row[2] == uid.to_string())?;
    Some((row[0].to_owned(), row[5].into()))
}

/// Whether a path contains no symbolic link. One system call tries to open the path, or its parent folder, without
/// following any. (False if the kernel does not support the call.)
pub fn has_no_symlinks(path: &Path) -> bool {
    let opens = |path: &Path| {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        rustix::fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS).map(drop)
    };
    match opens(path) {
        Err(Errno::NOENT) => path.parent().is_some_and(|folder| opens(folder).is_ok()),
        answer => answer.is_ok(),
    }
}

fn proc_path(pid: u32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{file}"))
}

fn split_at_nul(text: &[u8]) -> Vec<Vec<u8>> {
    // Each argument ends with a zero byte, and may be empty.
    let text = text.strip_suffix(&[0]).unwrap_or(text);
    text.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
}
