//! What a tool call would do to Fusebox itself: its store, caches, configuration, registration, executables, and the
//! commands that change limits. This is a tripwire: it reads what is plainly there, and runs nothing.
//!
//! Shell text is read as a shell would read it (`shell`), each command for what it does (`command`, `tool`); code in
//! other languages is searched (`code`). The results are [`Suspicion`]s. [`protected_path`] decides whether a path
//! among them is protected, after the caller has resolved symbolic links.

mod analysis;
mod client;
mod code;
mod command;
mod own_commands;
pub mod protected_path;
mod secret;
mod shell;
mod tables;
mod text;
mod tool;
mod word;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use analysis::RunProgram;
pub use client::Client;
pub use secret::TOKEN_FILE;
pub use text::has_marker;

use self::analysis::Analysis;
use self::shell::Parser;

/// What is protected, or what a call must not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProtectionReason {
    /// Changes a protected file or folder.
    Path(ProtectedKind),
    /// Runs a command that only a person may run; contains the command as typed.
    Command(&'static str),
    /// Ends Fusebox's hooks, or runs them by hand.
    Hooks,
    /// Starts a client that may not be guarded.
    Client,
    /// Its input cannot be read: nobody knows what it does.
    Unreadable,
    /// Starts a client with this option or variable, which may leave out its guard.
    ClientWith(String),
}

impl ProtectionReason {
    /// [`Self::ClientWith`], with the name of an option or a variable. What does not look like one is cut off.
    fn client_with(name: &str) -> Self {
        let is_part = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        Self::ClientWith(name.chars().take_while(is_part).take(40).collect())
    }
}

/// The kind of a protected path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtectedKind {
    /// The folder with the store and the journal.
    State,
    /// The folder of the session caches.
    Cache,
    /// A configuration file.
    Configuration,
    /// Settings of the client, which register the hooks.
    Registration,
    /// An executable.
    Executable,
    /// The file with the server's tokens: agents must not read it, either.
    Tokens,
}

/// A finding that needs further checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Suspicion {
    /// A path is written, moved or removed.
    PathChanged(PathChange),
    /// A path is read.
    PathRead(PathChange),
    /// The program at this path runs with the words of a command that only a person may run.
    ProgramRun {
        /// Its path.
        path: String,
        /// The command as typed.
        command: &'static str,
    },
    /// The call starts a hook executable from this path.
    HookStarted(String),
    /// The call starts a client with these settings.
    ClientSettings(String),
    /// The call gives this file another name; it may be a client.
    ClientCopied(String),
    /// Forbidden without further checks.
    Forbidden(ProtectionReason),
}

/// A change that a call makes to a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathChange {
    /// Absolute and normalized, or with an unknown start; may contain patterns ([`has_marker`]).
    pub path: String,
    /// What the change includes.
    pub extent: ChangeExtent,
    /// If not empty: only files with one of these names, below the path.
    pub names: Vec<String>,
    /// Whether the change is certain. If so, symbolic links are resolved whatever the path's name is.
    pub is_certain: bool,
}

/// What a change of a path includes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeExtent {
    /// The path only.
    Itself,
    /// Also its direct children.
    Children,
    /// Everything below it.
    Tree,
}

/// The context in which shell text would run.
#[derive(Clone, Copy, Debug)]
pub struct ShellContext<'a> {
    /// The known variables.
    pub vars: &'a BTreeMap<String, String>,
    /// The home folder.
    pub home: &'a str,
    /// The working folder.
    pub cwd: &'a str,
    /// The client that the agent runs in.
    pub client: &'static Client,
}

impl ShellContext<'_> {
    /// A path, with `~` as the home folder.
    fn expanded(self, path: &str) -> String {
        match path.strip_prefix('~') {
            Some(rest) if rest.starts_with('/') => format!("{}{rest}", self.home),
            _ => path.to_owned(),
        }
    }
}

/// The maximum length of text, in characters. The rest is ignored.
const MAX_TEXT: usize = 256 << 10;

/// Analyses shell text.
pub fn check_command(text: &str, at: ShellContext) -> Vec<Suspicion> {
    let text: String = text.chars().take(MAX_TEXT).collect();
    let mut analysis = Analysis::new(&text, at);
    if secret::names_token_file(&text) {
        analysis.forbid(ProtectionReason::Path(ProtectedKind::Tokens));
    }
    Parser::new(&text).run(&mut analysis);
    analysis.suspicions
}

/// The programs that shell text runs: in loops once, and not what another program starts unseen.
pub fn programs(text: &str, at: ShellContext) -> Vec<RunProgram> {
    let text: String = text.chars().take(MAX_TEXT).collect();
    let mut analysis = Analysis::new(&text, at);
    Parser::new(&text).run(&mut analysis);
    analysis.programs
}

/// Checks a tool that reads the file `path`, or what is below it.
pub fn check_file_read(path: &str, at: ShellContext) -> Vec<Suspicion> {
    let mut analysis = Analysis::new(path, at);
    analysis.check_read(&at.expanded(path), true);
    analysis.suspicions
}

/// Checks a tool's change of the file `path`; `text`: all text of the call.
pub fn check_file_change(path: &str, text: &str, at: ShellContext) -> Vec<Suspicion> {
    let mut analysis = Analysis::new(text, at);
    analysis.write_file(&at.expanded(path), text);
    analysis.suspicions
}
