//! The project that a folder belongs to.

use std::path::{Path, PathBuf};

/// The main worktree of the git repository that contains `dir`, else `dir` itself. A linked worktree belongs to its
/// main worktree's project; a submodule is its own project. Only reads files, without starting git.
pub fn project_root(dir: &Path) -> PathBuf {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    for folder in dir.ancestors() {
        let git = folder.join(".git");
        if git.is_dir() {
            return folder.to_owned();
        }
        if git.is_file() {
            return main_worktree(&git).unwrap_or_else(|| folder.to_owned());
        }
    }
    dir
}

/// The main worktree behind a linked worktree's `.git` file: `gitdir: <main>/.git/worktrees/<name>`.
fn main_worktree(git_file: &Path) -> Option<PathBuf> {
    let text = std::fs::read_to_string(git_file).ok()?;
    let git_dir = Path::new(text.strip_prefix("gitdir:")?.trim());
    let git_dir = git_file.parent()?.join(git_dir);
    let worktrees = git_dir.parent()?;
    let common = worktrees.parent()?;
    let linked = worktrees.file_name()? == "worktrees" && common.file_name()? == ".git";
    linked.then(|| common.parent().map(|p| p.canonicalize().unwrap_or_else(|_| p.to_owned()))).flatten()
}
