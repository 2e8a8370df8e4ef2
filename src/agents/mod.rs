//! What a coding agent is to Fusebox: an [`Agent`], with a folder of its own.
//!
//! [`event`] and [`answer`] are plain values, independent of any agent's wire format. [`claude`] knows Claude Code; [`plain`]
//! is the protocol of other programs that call the hooks. `app` works with the values, and asks the agent that an event came
//! from. To add an agent: a folder that implements [`Agent`], and a line in [`ALL`].

pub mod answer;
pub mod capability;
pub mod claude;
pub mod event;
pub mod hook;
pub mod plain;
pub mod tool;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use self::answer::{Answer, Reply};
use self::capability::Capabilities;
use self::event::HookEvent;
use self::hook::Hook;
use self::tool::ToolTarget;
use crate::domain::protection::Client;
use crate::domain::time::Timestamp;
use crate::platform::Env;
use crate::platform::process::Process;
use crate::transcript::{TranscriptFile, Transcripts};

/// The agents that Fusebox knows, by who is asked first whether standard input is theirs.
pub static ALL: [&dyn Agent; 2] = [&claude::ClaudeCode, &plain::Plain];

/// The agent whose sessions are meant where nothing says whose they are.
pub static DEFAULT: &dyn Agent = &claude::ClaudeCode;

/// A coding agent: how it speaks to hooks, what it leaves in files, what its tools do, how its processes are recognised.
/// What an agent does not have, it need not implement.
pub trait Agent: Sync {
    /// What people call it.
    fn name(&self) -> &'static str;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// The events that its hooks are registered for, as the agent names them, and the executable that answers each.
    fn registered_hooks(&self) -> &'static [(&'static str, Hook)];

    /// The event that standard input describes, as the agent names it; `None`: none of this executable's.
    ///
    /// # Errors
    /// It is no payload of this agent.
    fn parse_event<'p>(
        &self,
        hook: Hook,
        input: &'p str,
        now: Timestamp,
    ) -> Result<Option<ParsedEvent<'p>>, InvalidPayload>;

    /// The answer to an event of this name, as the agent understands it.
    fn reply(&self, event: &str, answer: Answer) -> Reply;

    /// What a tool call could change. `input`: JSON.
    fn tool_target(&self, tool: &str, input: &str) -> ToolTarget;

    /// How it reads and writes its conversations; `None`: it has no transcripts.
    fn transcripts(&self) -> Option<&'static dyn Transcripts> {
        None
    }

    /// How it is called and started, for the guard.
    fn protected_client(&self) -> &'static Client;

    /// Folders and files with its settings, in these projects and elsewhere.
    fn settings_paths(&self, env: &Env, projects: &[&Path]) -> (Vec<PathBuf>, Vec<PathBuf>);

    /// The folder that it calls its project, as the variables of a hook name it.
    fn project_dir(&self, _env: &Env) -> Option<PathBuf> {
        None
    }

    /// Its settings files of a project, whose `env` becomes environment variables of hooks.
    fn project_settings(&self, _project: &Path) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Whether a process runs it.
    fn is_run_by(&self, _pid: u32) -> bool {
        false
    }

    /// What it says in variables about the session that a process was started in.
    fn inherited_env(&self, _variables: &dyn Fn(&str) -> Option<String>) -> InheritedEnv {
        InheritedEnv::default()
    }

    /// Whether a person sits at the terminal of the session that a hook was called in, according to its variables: enough to
    /// name the prompt commands, not enough to obey one.
    fn is_attended(&self, _env: &Env) -> bool {
        false
    }

    /// The client's process, as the variables of a hook name it. They can be set by anybody.
    fn named_client_pid(&self, _env: &Env) -> Option<u32> {
        None
    }

    /// The process that a hook was called by, by the variables of the hook and its ancestors, nearest first.
    fn calling_process<'a>(&self, env: &Env, ancestors: &'a [Process]) -> Option<&'a Process>;
}

/// The transcripts of all sessions on this machine, with their sessions.
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

/// The folder that agents call their project, by variables; else `fallback`.
pub fn project_dir(env: &Env, fallback: &Path) -> PathBuf {
    ALL.iter().find_map(|agent| agent.project_dir(env)).unwrap_or_else(|| fallback.to_owned())
}

/// The settings files of a project, whose `env` becomes environment variables of hooks.
pub fn project_settings(project: &Path) -> Vec<PathBuf> {
    ALL.iter().flat_map(|agent| agent.project_settings(project)).collect()
}

/// The agent that wrote a transcript.
pub fn agent_of_transcript(transcript: &Path) -> &'static dyn Agent {
    let owns = |agent: &&&dyn Agent| agent.transcripts().is_some_and(|known| known.owns(transcript));
    ALL.iter().find(owns).copied().unwrap_or(DEFAULT)
}

/// How a transcript is read: as `agent` writes them, or who wrote it, where that one writes none.
pub fn transcript_format(transcript: &Path, agent: &dyn Agent) -> Option<&'static dyn Transcripts> {
    agent.transcripts().or_else(|| agent_of_transcript(transcript).transcripts())
}

/// All files of the session with this transcript.
pub fn transcript_files(transcript: &Path) -> Vec<TranscriptFile> {
    let transcripts = agent_of_transcript(transcript).transcripts();
    transcripts.map(|transcripts| transcripts.files(transcript)).unwrap_or_default()
}

/// What an agent says in the variables of what it starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InheritedEnv {
    /// Whether the process was started in a session.
    pub is_inside: bool,
    /// That session, where it is named.
    pub session: Option<String>,
}

/// An event that standard input describes.
#[derive(Clone, Debug)]
pub struct ParsedEvent<'p> {
    /// What the agent calls the event.
    pub name: String,
    /// The event.
    pub event: HookEvent<'p>,
}

/// Standard input is no payload of the agent.
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
