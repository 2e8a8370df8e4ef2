//! Other processes: their program, ancestors, arguments and variables.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::env;
use super::system;

/// The maximum number of ancestors inspected.
const MAX_ANCESTORS: usize = 64;

/// A running process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// The process id.
    pub pid: u32,
    /// When it started, in a system-specific unit. Together with the id, it identifies the process.
    pub started: u64,
    /// The start of its program's name.
    pub name: String,
    /// The process that started it, if still running.
    pub parent: Option<u32>,
}

/// The process with this id; `None` if it does not exist or the system does not say.
pub fn find(pid: u32) -> Option<Process> {
    system::process(pid)
}

/// The ancestors of a process, nearest first, without process 1.
pub fn ancestors(pid: u32) -> impl Iterator<Item = Process> {
    let next = |pid: Option<u32>| pid.filter(|pid| *pid > 1).and_then(find);
    let first = next(find(pid).and_then(|own| own.parent));
    std::iter::successors(first, move |process| next(process.parent)).take(MAX_ANCESTORS)
}

/// Shells, which may be between a client and what it starts.
const SHELLS: [&str; 6] = ["sh", "bash", "dash", "zsh", "ksh", "fish"];

/// Whether a process is a shell.
pub fn is_shell(process: &Process) -> bool {
    SHELLS.contains(&process.name.as_str())
}

/// Whether a process says nothing about who started its children: a shell, or a service manager, which takes over
/// processes whose parent has ended.
pub fn may_adopt(process: &Process) -> bool {
    is_shell(process) || process.name == "systemd"
}

/// The program that a process runs; `None` if the system does not say.
pub fn program(pid: u32) -> Option<PathBuf> {
    system::program(pid)
}

/// The arguments of a process, starting with the program's name; empty if the system does not say.
pub fn arguments(pid: u32) -> Vec<Vec<u8>> {
    system::arguments(pid)
}

/// The variables that a process was started with, limited to those that Fusebox [knows](super::Env::vars): the others
/// may be secrets.
pub fn variables(pid: u32) -> BTreeMap<String, String> {
    let all = system::variables(pid);
    let pairs = all.iter().filter_map(|pair| std::str::from_utf8(pair).ok()?.split_once('='));
    let known = pairs.filter(|(name, _)| env::is_read(name));
    known.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The first of these variables that a process was started with, if it is not empty.
pub fn set_variable(pid: u32, names: &[&'static str]) -> Option<&'static str> {
    let all = system::variables(pid);
    let is_set = |name: &str| {
        let value = |pair: &Vec<u8>| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=").map(<[u8]>::len);
        all.iter().filter_map(value).any(|length| length > 0)
    };
    names.iter().copied().find(|name| is_set(name))
}

/// Whether a person can type the process's input: its standard input is a terminal (on macOS: it has a terminal).
pub fn has_terminal(pid: u32) -> bool {
    system::has_terminal(pid)
}

/// Milliseconds since a process [`started`](Process::started).
pub fn age_ms(started: u64) -> Option<i64> {
    system::age_ms(started)
}
