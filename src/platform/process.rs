//! Other processes: what they run, who started them, what they were started with.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::env;
use super::system;

/// How many ancestors are looked at.
const MAX_ANCESTORS: usize = 64;

/// A process that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it started, in a unit of the system's own: with the number, it tells a process from a later one.
    pub started: u64,
    /// What it is called: the beginning of its program's name.
    pub name: String,
    /// The process that started it, as far as that still runs.
    pub parent: Option<u32>,
}

/// The process of this number; `None`: there is none, or the system does not say.
pub fn find(pid: u32) -> Option<Process> {
    system::process(pid)
}

/// The ancestors of a process, nearest first, without the first process of all.
pub fn ancestors(pid: u32) -> impl Iterator<Item = Process> {
    let next = |pid: Option<u32>| pid.filter(|pid| *pid > 1).and_then(find);
    let first = next(find(pid).and_then(|own| own.parent));
    std::iter::successors(first, move |process| next(process.parent)).take(MAX_ANCESTORS)
}

/// The program that a process runs; `None`: the system does not say.
pub fn program(pid: u32) -> Option<PathBuf> {
    system::program(pid)
}

/// The words of its command line, the program's name first; empty: the system does not say.
pub fn arguments(pid: u32) -> Vec<Vec<u8>> {
    system::arguments(pid)
}

/// The variables that a process was started with, as far as Fusebox [knows](super::Env::vars) them: there are secrets among the
/// others.
pub fn variables(pid: u32) -> BTreeMap<String, String> {
    let all = system::variables(pid);
    let pairs = all.iter().filter_map(|pair| std::str::from_utf8(pair).ok()?.split_once('='));
    let known = pairs.filter(|(name, _)| env::is_read(name));
    known.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Whether a person can type what a process reads: its standard input is a terminal (on macOS: it has one).
pub fn has_terminal(pid: u32) -> bool {
    system::has_terminal(pid)
}

/// For how many milliseconds a process that [`started`](Process::started) then has been running.
pub fn age_ms(started: u64) -> Option<i64> {
    system::age_ms(started)
}
