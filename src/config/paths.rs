//! The paths of the configuration files and of the folders in use.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::source::printable;
use super::variable::{CONFIG_LOCATION, ProjectVariables};
use crate::agents::project_settings;
use crate::platform::Env;

/// The managed file, which bounds all others.
pub(super) const MANAGED_FILE: &str = "/etc/fusebox/config.toml";

/// The project's file.
pub fn project_file(project_dir: &Path) -> PathBuf {
    project_dir.join(".claude/fusebox.toml")
}

/// The user's file, ignoring the variables for which `ignored` is true.
pub(super) fn user_file(env: &Env, ignored: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let trusted = CONFIG_LOCATION.into_iter().filter(|name| !ignored(name));
    let vars = trusted.filter_map(|name| Some((name.to_owned(), env.vars.get(name)?.clone()))).collect();
    let trusted = Env { now: env.now, vars, cwd: env.cwd.clone(), uid: env.uid };
    trusted.user_config().map(|path| env.cwd.join(path))
}

/// Every file that may be read. The user's file can be in three places, depending on which variables the project's
/// settings name; finding out would mean reading those settings.
pub(super) fn candidate_files(env: &Env, project_dir: Option<&Path>, managed: &Path) -> Vec<PathBuf> {
    let ignored = [&[][..], &CONFIG_LOCATION[..1], &CONFIG_LOCATION[..2]];
    let users = ignored.iter().filter_map(|names| user_file(env, |name| names.contains(&name)));
    let mut paths: Vec<PathBuf> = [managed.to_owned()].into_iter().chain(users).collect();
    paths.dedup();
    if let Some(dir) = project_dir {
        paths.push(project_file(dir));
        paths.extend(project_settings(dir));
    }
    paths
}

/// A file or folder that Fusebox uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PathInfo {
    /// `user_file`, `project_file`, `managed_file`, `state_folder` or `cache_folder`.
    pub what: &'static str,
    /// The absolute path.
    pub path: PathBuf,
    /// The path for display, with `~` for the home folder.
    pub shown: String,
    /// Whether it exists.
    pub exists: bool,
}

/// The configuration files and the folders in use. The user's file and the state folder are omitted if there is no home
/// folder.
pub fn paths(env: &Env, project_dir: &Path) -> Vec<PathInfo> {
    let settings = project_settings(project_dir);
    let by_project = ProjectVariables::read(settings.iter().map(|path| (path.as_path(), String::new())));
    let all = [
        ("user_file", user_file(env, |name| by_project.names(name))),
        ("project_file", Some(project_file(project_dir))),
        ("managed_file", Some(MANAGED_FILE.into())),
        ("state_folder", env.state_dir()),
        ("cache_folder", Some(env.cache_dir())),
    ];
    let info = |(what, path): (_, Option<PathBuf>)| {
        let path = env.cwd.join(path?);
        Some(PathInfo { what, shown: display_path(env, &path), exists: path.exists(), path })
    };
    all.into_iter().filter_map(info).collect()
}

/// A path for display, with `~` for the home folder.
pub(super) fn display_path(env: &Env, path: &Path) -> String {
    let short = env.home().filter(|home| home.parent().is_some());
    let short = short.and_then(|home| Some(Path::new("~").join(path.strip_prefix(home).ok()?)));
    printable(&short.as_deref().unwrap_or(path).to_string_lossy(), 500)
}
