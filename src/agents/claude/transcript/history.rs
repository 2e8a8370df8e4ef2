//! The client's history: the transcripts of all its sessions, in all its folders.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::files::MAX_DEPTH;
use crate::platform::Env;
use crate::transcript::{HistoryFile, TranscriptFile};

/// The client's folders: those in `CLAUDE_CONFIG_DIR` (several are separated by commas), else `~/.claude` and
/// `$XDG_CONFIG_HOME/claude` (`~/.config/claude`), as far as they exist.
pub fn folders(env: &Env) -> Vec<PathBuf> {
    if let Some(named) = env.var("CLAUDE_CONFIG_DIR") {
        if Path::new(named).is_dir() {
            return vec![named.into()];
        }
        return named.split(',').map(str::trim).filter(|name| !name.is_empty()).map(PathBuf::from).collect();
    }
    let home = env.home();
    let config = env.path_var("XDG_CONFIG_HOME").or_else(|| home.as_ref().map(|home| home.join(".config")));
    let all = [home.map(|home| home.join(".claude")), config.map(|config| config.join("claude"))];
    let mut seen = BTreeSet::new();
    let is_new = |folder: &PathBuf| folder.canonicalize().is_ok_and(|real| seen.insert(real));
    all.into_iter().flatten().filter(|folder| folder.is_dir()).filter(is_new).collect()
}

/// The transcripts in a folder of the client, or in its folder `projects`, or in that of one project. What cannot be
/// read is added to `unreadable`.
pub fn files(folder: &Path, unreadable: &mut Vec<(PathBuf, io::Error)>) -> Vec<HistoryFile> {
    let mut walk = Walk { found: Vec::new(), unreadable };
    let projects = folder.join("projects");
    if projects.is_dir() {
        walk.projects(&projects);
    } else if walk.entries(folder).iter().any(|entry| is_transcript(&entry.path)) {
        walk.project(folder);
    } else {
        walk.projects(folder);
    }
    walk.found
}

struct Walk<'a> {
    found: Vec<HistoryFile>,
    unreadable: &'a mut Vec<(PathBuf, io::Error)>,
}

struct Entry {
    path: PathBuf,
    is_dir: bool,
}

impl Walk<'_> {
    fn projects(&mut self, folder: &Path) {
        for project in self.entries(folder).into_iter().filter(|entry| entry.is_dir) {
            self.project(&project.path);
        }
    }

    fn project(&mut self, folder: &Path) {
        for Entry { path, is_dir } in self.entries(folder) {
            let name = if is_dir { path.file_name() } else { path.file_stem() };
            let Some(session) = name.and_then(|name| name.to_str()).map(str::to_owned) else { continue };
            if is_dir {
                // The main transcript may be gone.
                self.subagents(&path.join("subagents"), &session, MAX_DEPTH);
            } else if is_transcript(&path) {
                self.found.push(HistoryFile { session, file: TranscriptFile { path, agent: None } });
            }
        }
    }

    fn subagents(&mut self, folder: &Path, session: &str, depth: usize) {
        for Entry { path, is_dir } in self.entries(folder) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let agent = name.strip_prefix("agent-").and_then(|name| name.strip_suffix(".jsonl"));
            match agent.map(str::to_owned) {
                Some(agent) => {
                    let file = TranscriptFile { path, agent: Some(agent) };
                    self.found.push(HistoryFile { session: session.to_owned(), file });
                }
                None if is_dir && depth > 1 => self.subagents(&path, session, depth - 1),
                None => {}
            }
        }
    }

    /// The entries of a folder; none if it does not exist.
    fn entries(&mut self, folder: &Path) -> Vec<Entry> {
        let mut found = Vec::new();
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return found,
            Err(error) => {
                self.unreadable.push((folder.to_owned(), error));
                return found;
            }
        };
        for entry in entries {
            match entry {
                Ok(entry) => {
                    let path = entry.path();
                    let kind = entry.file_type().ok();
                    let is_dir = kind.is_some_and(|kind| kind.is_dir())
                        || (kind.is_none_or(|kind| kind.is_symlink()) && path.is_dir());
                    found.push(Entry { path, is_dir });
                }
                Err(error) => self.unreadable.push((folder.to_owned(), error)),
            }
        }
        found
    }
}

fn is_transcript(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "jsonl")
}
