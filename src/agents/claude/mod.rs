//! Claude Code: its payloads, answers, transcripts, tools, settings, versions and processes.
//!
//! Source: the captured payloads in `tests/fixtures/hooks`, and `tests/fixtures/README.md`.

pub mod hook_entries;
pub mod output;
pub mod payload;
pub mod process;
pub mod program;
pub mod protected_client;
pub mod registration;
pub mod results;
pub mod status_line;
pub mod tools;
pub mod transcript;
pub mod version;

use std::path::{Path, PathBuf};

use self::output::Output;
use self::payload::Payload;
use super::answer::{Answer, Reply};
use super::capability::Capabilities;
use super::hook::Hook;
use super::status_line::StatusLineInput;
use super::tool::ToolTarget;
use super::{Agent, InheritedEnv, InvalidPayload, ParsedEvent};
use crate::domain::protection::Client;
use crate::domain::time::Timestamp;
use crate::platform::Env;
use crate::platform::process::Process;
use crate::transcript::Transcripts;

/// Claude Code.
pub struct ClaudeCode;

impl Agent for ClaudeCode {
    fn name(&self) -> &'static str {
        "Claude Code"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            transcripts: true,
            asks_before_tools: true,
            ends_turns: true,
            reports_batches: true,
            asks_before_prompts: true,
            names_subagents: true,
        }
    }

    fn registered_hooks(&self) -> &'static [(&'static str, Hook)] {
        &registration::EVENTS
    }

    fn parse_event<'p>(
        &self,
        hook: Hook,
        input: &'p str,
        now: Timestamp,
    ) -> Result<Option<ParsedEvent<'p>>, InvalidPayload> {
        let payload = Payload::parse(input).ok_or(InvalidPayload)?;
        let name = payload.event_name().to_owned();
        let event = payload.into_event(now).filter(|event| hook.handles(&event.kind));
        Ok(event.map(|event| ParsedEvent { name, event }))
    }

    fn parse_status_line(&self, input: &str, now: Timestamp) -> Option<StatusLineInput> {
        status_line::parse(input, now)
    }

    fn reply(&self, event: &str, answer: Answer) -> Reply {
        Reply { stdout: Output::bytes(event, &answer), ..Reply::default() }
    }

    fn tool_target(&self, tool: &str, input: &str) -> ToolTarget {
        tools::target(tool, input)
    }

    fn transcripts(&self) -> Option<&'static dyn Transcripts> {
        Some(&transcript::ClaudeTranscripts)
    }

    fn protected_client(&self) -> &'static Client {
        &protected_client::CLIENT
    }

    fn settings_paths(&self, env: &Env, projects: &[&Path]) -> (Vec<PathBuf>, Vec<PathBuf>) {
        protected_client::settings_paths(env, projects)
    }

    fn project_dir(&self, env: &Env) -> Option<PathBuf> {
        env.path_var("CLAUDE_PROJECT_DIR")
    }

    fn project_settings(&self, project: &Path) -> Vec<PathBuf> {
        protected_client::project_settings(project).to_vec()
    }

    fn is_run_by(&self, pid: u32) -> bool {
        process::is_client(pid)
    }

    fn inherited_env(&self, variables: &dyn Fn(&str) -> Option<String>) -> InheritedEnv {
        process::inherited_env(variables)
    }

    fn is_attended(&self, env: &Env) -> bool {
        process::is_attended(env)
    }

    fn named_client_pid(&self, env: &Env) -> Option<u32> {
        process::named_client_pid(env)
    }

    fn forked_session(&self, pid: u32, transcript: &Path) -> Option<String> {
        process::forked_session(pid, transcript)
    }

    fn calling_process<'a>(&self, env: &Env, ancestors: &'a [Process]) -> Option<&'a Process> {
        process::calling_process(env, ancestors)
    }
}
