//! How the client is named and started, and where its settings are, for the protection of Fusebox's own files.

use std::path::{Path, PathBuf};

use crate::domain::protection::Client;
use crate::platform::{Env, SYSTEM, System};

/// The client.
pub static CLIENT: Client = Client {
    program: "claude",
    package_prefix: "@anthropic-ai/claude-code",
    package_paths: &["/claude-code/"],
    version_paths: &["/claude/versions/"],
    variables: &["CLAUDE_CONFIG_DIR", "CLAUDE_CODE_SIMPLE", "CLAUDE_CODE_SAFE_MODE"],
    hookless_options: &["--bare", "--safe-mode"],
    sources_option: ("--setting-sources", "user"),
    settings_option: "--settings",
    hooks_off_setting: "disableAllHooks",
    settings_folder: ".claude",
    settings_file: "settings",
    managed_file: "managed-settings",
    variable_prefix: "CLAUDE",
};

/// The folder of managed settings.
pub fn managed_dir() -> &'static Path {
    Path::new(match SYSTEM {
        System::Linux => "/etc/claude-code",
        System::MacOs => "/Library/Application Support/ClaudeCode",
    })
}

/// The client's folder for settings and transcripts: `CLAUDE_CONFIG_DIR`, else `~/.claude`.
pub fn user_dir(env: &Env) -> Option<PathBuf> {
    let named = env.var("CLAUDE_CONFIG_DIR").map(PathBuf::from);
    named.or_else(|| env.home().map(|home| home.join(CLIENT.settings_folder)))
}

/// The client's settings files of a project, whose `env` sets environment variables.
pub fn project_settings(project_dir: &Path) -> [PathBuf; 2] {
    ["settings.json", "settings.local.json"].map(|name| project_dir.join(CLIENT.settings_folder).join(name))
}

/// Folders and files with settings: managed, the user's, and those of these projects.
pub fn settings_paths(env: &Env, projects: &[&Path]) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let user = user_dir(env).map(|dir| dir.join("settings.json"));
    // Where a client without `CLAUDE_CONFIG_DIR` looks.
    let usual = env.home().map(|home| home.join(CLIENT.settings_folder).join("settings.json"));
    let of_projects = projects.iter().flat_map(|dir| project_settings(dir));
    (vec![managed_dir().to_owned()], user.into_iter().chain(usual).chain(of_projects).collect())
}
