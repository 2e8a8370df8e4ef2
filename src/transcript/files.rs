//! The files of a session: its transcript, and those of its subagents.

use std::path::{Path, PathBuf};

/// How deep below `subagents/` agent files are looked for (workflows put theirs into folders of their own).
const MAX_DEPTH: usize = 4;

/// A transcript file and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TranscriptFile {
    /// Where it is.
    pub path: PathBuf,
    /// The subagent whose it is; `None`: the main agent's.
    pub agent: Option<String>,
}

/// Where the subagents of the session with this transcript write: `<transcript without .jsonl>/subagents`.
pub fn subagents_dir(transcript: &Path) -> PathBuf {
    transcript.with_extension("").join("subagents")
}

/// All files of the session with this transcript, the main one first; those that do not exist are left out, except
/// the main one.
pub fn of_session(transcript: &Path) -> Vec<TranscriptFile> {
    let mut agents = Vec::new();
    collect(&subagents_dir(transcript), MAX_DEPTH, &mut agents);
    agents.sort();
    let main = TranscriptFile { path: transcript.to_owned(), agent: None };
    std::iter::once(main).chain(agents).collect()
}

/// The file of one subagent, where it usually lies; found by name in a workflow's folder otherwise.
pub fn of_agent(transcript: &Path, agent: &str) -> Option<TranscriptFile> {
    // The id comes from outside: it names a file, never a path.
    if !is_plain_id(agent) {
        return None;
    }
    let path = subagents_dir(transcript).join(format!("agent-{agent}.jsonl"));
    let usual = TranscriptFile { path, agent: Some(agent.to_owned()) };
    if usual.path.is_file() {
        return Some(usual);
    }
    of_session(transcript).into_iter().find(|f| f.agent.as_deref() == Some(agent)).or(Some(usual))
}

/// Whether an id from outside may stand in a file name.
pub fn is_plain_id(id: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !id.is_empty() && id.len() <= 128 && !id.starts_with('.') && id.chars().all(plain)
}

/// What the client notes beside an agent's transcript (`agent-<id>.meta.json`).
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentMeta {
    /// Its type.
    #[serde(default)]
    pub agent_type: Option<String>,
    /// The call that started it.
    #[serde(default)]
    pub tool_use_id: Option<String>,
    /// How deep it is nested; 1: the main agent started it.
    #[serde(default, rename = "spawnDepth")]
    pub depth: Option<u32>,
}

/// What the client noted of an agent.
pub fn agent_meta(file: &TranscriptFile) -> Option<AgentMeta> {
    let meta = std::fs::read(file.path.with_extension("meta.json")).ok()?;
    serde_json::from_slice(&meta).ok()
}

/// The agent type that the client noted.
pub fn agent_type(file: &TranscriptFile) -> Option<String> {
    agent_meta(file)?.agent_type
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
