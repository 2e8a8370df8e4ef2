//! The files of a session: its transcript, and those of its subagents.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::agents::claude::protected_client;
use crate::platform::{Env, files};
use crate::transcript::lines::{Line, Lines};
use crate::transcript::{AgentNote, TranscriptFile, is_plain_id};

/// How deep agent files are searched below `subagents/` (workflows use folders of their own).
pub(super) const MAX_DEPTH: usize = 4;

/// The maximum size of what the client records about an agent.
const MAX_META_BYTES: u64 = 64 * 1024;

/// The folder with the subagents' files: `<transcript without .jsonl>/subagents`.
pub fn subagents_dir(transcript: &Path) -> PathBuf {
    transcript.with_extension("").join("subagents")
}

/// All existing files of the session with this transcript, and the main one, which comes first.
pub fn session_files(transcript: &Path) -> Vec<TranscriptFile> {
    let mut agents = Vec::new();
    collect(&subagents_dir(transcript), MAX_DEPTH, &mut agents);
    agents.sort();
    let main = TranscriptFile { path: transcript.to_owned(), agent: None };
    std::iter::once(main).chain(agents).collect()
}

/// The file of one subagent: in the usual place, else found by name in a workflow's folder.
pub fn agent_file(transcript: &Path, agent: &str) -> Option<TranscriptFile> {
    // The id comes from outside, and must not form a path.
    if !is_plain_id(agent) {
        return None;
    }
    let path = subagents_dir(transcript).join(format!("agent-{agent}.jsonl"));
    let usual = TranscriptFile { path, agent: Some(agent.to_owned()) };
    if usual.path.is_file() {
        return Some(usual);
    }
    session_files(transcript).into_iter().find(|f| f.agent.as_deref() == Some(agent)).or(Some(usual))
}

/// What the client records about an agent (`agent-<id>.meta.json`).
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    #[serde(default)]
    agent_type: Option<String>,
    /// Of a teammate, whose `agentType` is its name.
    #[serde(default)]
    spawned_agent_type: Option<String>,
    #[serde(default)]
    tool_use_id: Option<String>,
    #[serde(default)]
    spawn_depth: Option<u32>,
}

/// What the client recorded about an agent.
pub fn agent_note(file: &TranscriptFile) -> Option<AgentNote> {
    let mut meta = Vec::new();
    let file = files::nonblocking().open(file.path.with_extension("meta.json")).ok()?;
    file.take(MAX_META_BYTES).read_to_end(&mut meta).ok()?;
    let Meta { agent_type, spawned_agent_type, tool_use_id, spawn_depth } =
        serde_json::from_slice(&meta).ok()?;
    // Teammates have depth 0, like the main agent that leads them.
    let depth = spawn_depth.map(|depth| depth.max(1));
    Some(AgentNote { agent_type: spawned_agent_type.or(agent_type), tool_use_id, depth })
}

/// The sessions and their transcripts in the client's folder.
pub fn all(env: &Env) -> Vec<(String, PathBuf)> {
    let projects = protected_client::user_dir(env).map(|dir| dir.join("projects"));
    let mut found = Vec::new();
    for path in projects.iter().flat_map(|dir| entries(dir)).flat_map(|project| entries(&project)) {
        if path.extension().is_some_and(|e| e == "jsonl")
            && let Some(session) = path.file_stem().and_then(|s| s.to_str())
        {
            found.push((session.to_owned(), path.clone()));
        }
    }
    found
}

/// The transcripts of one session in the client's folder.
pub fn find_all(env: &Env, session: &str) -> impl Iterator<Item = PathBuf> {
    let projects = protected_client::user_dir(env).map(|dir| entries(&dir.join("projects")));
    let name = format!("{session}.jsonl");
    projects.into_iter().flatten().map(move |project| project.join(&name)).filter(|path| path.is_file())
}

/// The first working folder in a transcript.
pub fn working_folder(transcript: &Path) -> Option<PathBuf> {
    let file = files::nonblocking().open(transcript).ok()?;
    let mut lines = Lines::new(file, u64::MAX, 0).ok()?;
    for _ in 0..50 {
        let Line::Whole(line) = lines.next_line().ok()?? else { continue };
        if let Some(cwd) =
            serde_json::from_slice(line).ok().and_then(|fields: Value| Some(fields["cwd"].as_str()?.into()))
        {
            return Some(cwd);
        }
    }
    None
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn collect(dir: &Path, depth: usize, found: &mut Vec<TranscriptFile>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let Some(name) = name.to_str() else { continue };
        let agent = name.strip_prefix("agent-").and_then(|n| n.strip_suffix(".jsonl"));
        match agent {
            Some(agent) => found.push(TranscriptFile { path, agent: Some(agent.to_owned()) }),
            None if depth > 1 && entry.file_type().is_ok_and(|t| t.is_dir()) => {
                collect(&path, depth - 1, found)
            }
            None => {}
        }
    }
}
