//! Coding agents: each is an [`Agent`] with its own folder.
//!
//! [`event`] and [`answer`] are plain values, independent of any wire format. [`claude`] supports Claude Code;
//! [`plain`] is the protocol of other programs that call the hooks. `app` works with these values and calls the agent
//! that an event came from. To add an agent, add a folder that implements [`Agent`] and a line in [`ALL`].

pub mod answer;
pub mod capability;
pub mod claude;
pub mod event;
pub mod hook;
pub mod plain;
pub mod status_line;
pub mod tool;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use self::answer::{Answer, Reply};
use self::capability::Capabilities;
use self::event::HookEvent;
use self::hook::Hook;
use self::status_line::StatusLineInput;
use self::tool::ToolTarget;
use crate::domain::protection::Client;
use crate::domain::time::Timestamp;
use crate::platform::Env;
use crate::platform::process::Process;
use crate::transcript::{HistoryFile, TranscriptFile, Transcripts};

/// The supported agents, in the order in which they are offered standard input.
pub static ALL: [&dyn Agent; 2] = [&claude::ClaudeCode, &plain::Plain];

/// The agent of sessions with no known agent.
pub static DEFAULT: &dyn Agent = &claude::ClaudeCode;

/// A coding agent: its hook protocol, files, tools and processes. Methods with a default are for optional features.
pub trait Agent: Sync {
    /// Its display name.
    fn name(&self) -> &'static str;

    /// Its capabilities.
    fn capabilities(&self) -> Capabilities;

    /// The events that its hooks are registered for, by the agent's names, and their executables.
    fn registered_hooks(&self) -> &'static [(&'static str, Hook)];

    /// Parses the event on standard input; `None` if this executable does not handle it.
    ///
    /// # Errors
    /// The input is not a payload of this agent.
    fn parse_event<'p>(
        &self,
        hook: Hook,
        input: &'p str,
        now: Timestamp,
    ) -> Result<Option<ParsedEvent<'p>>, InvalidPayload>;

    /// Parses the input of its status line; `None` if that is not of this agent, or the agent has none.
    fn parse_status_line(&self, _input: &str, _now: Timestamp) -> Option<StatusLineInput> {
        None
    }

    /// Encodes the answer to the event of this name.
    fn reply(&self, event: &str, answer: Answer) -> Reply;

    /// What a tool call could change. `input`: JSON.
    fn tool_target(&self, tool: &str, input: &str) -> ToolTarget;

    /// The format of its transcripts, if it has any.
    fn transcripts(&self) -> Option<&'static dyn Transcripts> {
        None
    }

    /// How its client is named and started, for the protection of Fusebox itself.
    fn protected_client(&self) -> &'static Client;

    /// The folders and files with its settings, including those of these projects.
    fn settings_paths(&self, env: &Env, projects: &[&Path]) -> (Vec<PathBuf>, Vec<PathBuf>);

    /// The project folder according to a hook's variables.
    fn project_dir(&self, _env: &Env) -> Option<PathBuf> {
        None
    }

    /// Its settings files of a project, whose `env` sets environment variables of hooks.
    fn project_settings(&self, _project: &Path) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Whether a process runs this agent.
    fn is_run_by(&self, _pid: u32) -> bool {
        false
    }

    /// What a process inherited from a session of this agent in its environment.
    fn inherited_env(&self, _variables: &dyn Fn(&str) -> Option<String>) -> InheritedEnv {
        InheritedEnv::default()
    }

    /// Whether, by a hook's variables, a person is at the terminal of the session: not enough to execute a prompt
    /// command.
    fn is_attended(&self, _env: &Env) -> bool {
        false
    }

    /// The client's process id according to a hook's variables. Anybody can set them.
    fn named_client_pid(&self, _env: &Env) -> Option<u32> {
        None
    }

    /// The session that a client was told to fork when it was started, judged by its arguments. `transcript`: that of
    /// the fork.
    fn forked_session(&self, _pid: u32, _transcript: &Path) -> Option<String> {
        None
    }

    /// The process that called a hook, from its variables and its ancestors, nearest first.
    fn calling_process<'a>(&self, env: &Env, ancestors: &'a [Process]) -> Option<&'a Process>;
}

/// All sessions on this machine and their transcripts.
pub fn all_transcripts(env: &Env) -> Vec<(String, PathBuf)> {
    ALL.iter().filter_map(|agent| agent.transcripts()).flat_map(|transcripts| transcripts.all(env)).collect()
}

/// The same, by session.
pub fn transcripts_by_session(env: &Env) -> BTreeMap<String, PathBuf> {
    all_transcripts(env).into_iter().collect()
}

/// The transcript of one session on this machine.
pub fn find_transcript(env: &Env, session: &str) -> Option<PathBuf> {
    ALL.iter().find_map(|agent| agent.transcripts()?.find(env, session))
}

/// All transcripts of one session on this machine.
pub fn find_transcripts(env: &Env, session: &str) -> Vec<PathBuf> {
    let formats = ALL.iter().filter_map(|agent| agent.transcripts());
    formats.flat_map(|transcripts| transcripts.find_all(env, session)).collect()
}

/// The project folder according to the agents' variables, else `fallback`.
pub fn project_dir(env: &Env, fallback: &Path) -> PathBuf {
    ALL.iter().find_map(|agent| agent.project_dir(env)).unwrap_or_else(|| fallback.to_owned())
}

/// The settings files of a project, whose `env` sets environment variables of hooks.
pub fn project_settings(project: &Path) -> Vec<PathBuf> {
    ALL.iter().flat_map(|agent| agent.project_settings(project)).collect()
}

/// The agent that wrote a transcript.
pub fn agent_of_transcript(transcript: &Path) -> &'static dyn Agent {
    let owns = |agent: &&&dyn Agent| agent.transcripts().is_some_and(|known| known.owns(transcript));
    ALL.iter().find(owns).copied().unwrap_or(DEFAULT)
}

/// The format of a transcript: that of `agent`, else of the agent that wrote the transcript.
pub fn transcript_format(transcript: &Path, agent: &dyn Agent) -> Option<&'static dyn Transcripts> {
    agent.transcripts().or_else(|| agent_of_transcript(transcript).transcripts())
}

/// All files of the session with this transcript.
pub fn transcript_files(transcript: &Path) -> Vec<TranscriptFile> {
    let transcripts = agent_of_transcript(transcript).transcripts();
    transcripts.map(|transcripts| transcripts.files(transcript)).unwrap_or_default()
}

/// The folders with the history of all agents of this user.
pub fn history_folders(env: &Env) -> Vec<PathBuf> {
    claude::transcript::history::folders(env)
}

/// The history in a folder, and the format of its files. Folders that cannot be read are added to `unreadable`.
pub fn history(
    folder: &Path,
    unreadable: &mut Vec<(PathBuf, std::io::Error)>,
) -> (Vec<HistoryFile>, &'static dyn Transcripts) {
    (claude::transcript::history::files(folder, unreadable), &claude::transcript::ClaudeTranscripts)
}

/// What a process inherited from an agent in its environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InheritedEnv {
    /// Whether the process was started in a session.
    pub is_inside: bool,
    /// That session, if named.
    pub session: Option<String>,
    /// The sessions that had a daemon start the process, the nearest first.
    pub launched_by: Vec<String>,
}

/// An event parsed from standard input.
#[derive(Clone, Debug)]
pub struct ParsedEvent<'p> {
    /// The agent's name for the event.
    pub name: String,
    /// The event.
    pub event: HookEvent<'p>,
}

/// Standard input is not a payload of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPayload;

impl fmt::Debug for dyn Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PartialEq for dyn Agent {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for dyn Agent {}

impl Default for &'static dyn Agent {
    fn default() -> Self {
        DEFAULT
    }
}
