//! What a tool call would do to Fusebox itself: its store, caches, configuration, registration and executables, and the
//! commands that decide something. A tripwire: it reads what is plainly there, and runs nothing.
//!
//! A shell's text is read as a shell would (`shell`), each command for what it does (`command`, `tool`); text in other
//! languages is searched (`code`). The results are [`Suspicion`]s; whether a path among them is protected is decided by
//! [`protected_path`], after the caller has followed symbolic links.

mod analysis;
mod client;
mod code;
mod command;
mod own_commands;
pub mod protected_path;
mod shell;
mod tables;
mod text;
mod tool;
mod word;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use client::Client;
pub use text::has_marker;

use self::analysis::Analysis;
use self::shell::Parser;

/// What is protected, or what a call must not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProtectionReason {
    /// A protected file or folder is changed.
    Path(ProtectedKind),
    /// A command that decides something; as it would be typed.
    Command(&'static str),
    /// Fusebox's hooks are ended, or fed by hand.
    Hooks,
    /// A client is started without its guard.
    Client,
}

/// What a protected path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtectedKind {
    /// The folder with the store and the journal.
    State,
    /// The folder of the session caches.
    Cache,
    /// A configuration file.
    Configuration,
    /// Settings of the client, where hooks are registered.
    Registration,
    /// An executable.
    Executable,
}

/// Something that a call does and that must be checked further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Suspicion {
    /// A path is written, moved or removed.
    PathChanged(PathChange),
    /// The program at this path runs with the words of a command that decides something.
    ProgramRun {
        /// Where it is.
        path: String,
        /// The command, as it would be typed.
        command: &'static str,
    },
    /// A hook executable is started by the call, from this path.
    HookStarted(String),
    /// A client is started with these settings.
    ClientSettings(String),
    /// It is forbidden without further checks.
    Forbidden(ProtectionReason),
}

/// A change that a call makes to a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathChange {
    /// Absolute and plain, or beginning with what is not known; may hold patterns ([`has_marker`]).
    pub path: String,
    /// How much is changed with it.
    pub extent: ChangeExtent,
    /// Where not empty: only files with one of these names, below it.
    pub names: Vec<String>,
    /// Whether the change is certain: then symbolic links are followed, whatever the path is called.
    pub is_certain: bool,
}

/// How much is changed with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeExtent {
    /// Itself alone.
    Itself,
    /// What lies in it, too.
    Children,
    /// Everything below it.
    Tree,
}

/// The context in which a shell's text would run.
#[derive(Clone, Copy, Debug)]
pub struct ShellContext<'a> {
    /// Its variables, as far as they are known.
    pub vars: &'a BTreeMap<String, String>,
    /// The home.
    pub home: &'a str,
    /// Working folder.
    pub cwd: &'a str,
    /// The client that the agent runs in.
    pub client: &'static Client,
}

/// The longest text that is read. What is longer is read to here.
const MAX_TEXT: usize = 256 << 10;

/// Analyses the text of a shell.
pub fn check_command(text: &str, at: ShellContext) -> Vec<Suspicion> {
    let text: String = text.chars().take(MAX_TEXT).collect();
    let mut analysis = Analysis::new(&text, at);
    Parser::new(&text).run(&mut analysis);
    analysis.suspicions
}

/// Checks a tool's change of the file `path`; `text`: all text of the call.
pub fn check_file_change(path: &str, text: &str, at: ShellContext) -> Vec<Suspicion> {
    let mut analysis = Analysis::new(text, at);
    let path = match path.strip_prefix('~') {
        Some(rest) if rest.starts_with('/') => format!("{}{rest}", at.home),
        _ => path.to_owned(),
    };
    analysis.write_file(&path, text);
    analysis.suspicions
}
