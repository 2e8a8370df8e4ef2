//! The client's history: the transcripts of all its sessions, in all its folders.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use super::files::MAX_DEPTH;
use crate::platform::Env;
use crate::platform::folder::Folder;
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
    } else if walk.read(folder).is_some_and(|read| read.entries.iter().any(|(name, _)| is_transcript(name))) {
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

impl Walk<'_> {
    fn projects(&mut self, path: &Path) {
        let Some(folder) = self.read(path) else { return };
        for (name, is_dir) in &folder.entries {
            let project = path.join(name);
            if is_folder(*is_dir, &project) {
                self.project(&project);
            }
        }
    }

    fn project(&mut self, path: &Path) {
        let Some(folder) = self.read(path) else { return };
        for (name, is_dir) in &folder.entries {
            let (entry, is_transcript) = (path.join(name), is_transcript(name));
            if is_folder(*is_dir, &entry) {
                // The main transcript may be gone.
                if let Some(session) = name.to_str() {
                    self.subagents(&entry.join("subagents"), session, MAX_DEPTH);
                }
            } else if let Some(session) = entry.file_stem().and_then(OsStr::to_str).filter(|_| is_transcript)
            {
                let session = session.to_owned();
                self.add(session, TranscriptFile { path: entry, agent: None }, &folder, name);
            }
        }
    }

    fn subagents(&mut self, path: &Path, session: &str, depth: usize) {
        let Some(folder) = self.read(path) else { return };
        for (name, is_dir) in &folder.entries {
            let entry = path.join(name);
            let text = name.to_str().unwrap_or_default();
            match text.strip_prefix("agent-").and_then(|name| name.strip_suffix(".jsonl")) {
                Some(agent) => {
                    let file = TranscriptFile { path: entry, agent: Some(agent.to_owned()) };
                    self.add(session.to_owned(), file, &folder, name);
                }
                None if depth > 1 && is_folder(*is_dir, &entry) => self.subagents(&entry, session, depth - 1),
                None => {}
            }
        }
    }

    /// Adds a file, unless it is gone or none.
    fn add(&mut self, session: String, file: TranscriptFile, folder: &Folder, name: &OsStr) {
        match folder.look(name) {
            Ok(look) => self.found.extend(look.map(|look| HistoryFile { session, file, look })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.unreadable.push((file.path, error)),
        }
    }

    /// A folder; `None` if it does not exist or cannot be read.
    fn read(&mut self, path: &Path) -> Option<Folder> {
        match Folder::read(path) {
            Ok(mut folder) => {
                self.unreadable.extend(folder.failure.take().map(|error| (path.to_owned(), error)));
                Some(folder)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                self.unreadable.push((path.to_owned(), error));
                None
            }
        }
    }
}

/// `is_dir`: what the folder that has the entry says.
fn is_folder(is_dir: Option<bool>, path: &Path) -> bool {
    is_dir.unwrap_or_else(|| path.is_dir())
}

fn is_transcript(name: &OsStr) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "jsonl")
}
