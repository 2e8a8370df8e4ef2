//! The input of the checks: the client's settings by layer, and Fusebox's entries in them.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::agents::claude::protected_client;
use crate::agents::claude::version::ClientVersion;
use crate::agents::claude::{hook_entries, program};
use crate::agents::hook::Hook;
use crate::app::installation::Installation;
use crate::cli::settings_file::SettingsFile;
use crate::config::{self, LoadedConfig};
use crate::platform::Env;

/// A settings file of the client. Later layers override earlier ones; hooks of all layers run.
pub struct SettingsLayer {
    /// `user`, `project`, `local` or `managed`.
    pub name: &'static str,
    /// Its path.
    pub path: PathBuf,
    /// Its settings; `Err` if it cannot be read. A missing file has no settings.
    pub settings: Result<SettingsFile, String>,
}

impl SettingsLayer {
    fn read(name: &'static str, path: PathBuf) -> Self {
        let settings = SettingsFile::read(&path).map_err(|error| format!("{error:#}"));
        Self { name, path, settings }
    }

    /// A top-level setting.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.settings.as_ref().ok()?.get(key)
    }

    /// Its hooks.
    pub fn hooks(&self) -> Map<String, Value> {
        self.settings.as_ref().map(SettingsFile::hooks).unwrap_or_default()
    }
}

/// An entry of the settings that calls one of Fusebox's executables.
pub struct HookEntry {
    /// The layer of the entry.
    pub layer: &'static str,
    /// The event of the entry.
    pub event: String,
    /// The executable that it calls.
    pub hook: Hook,
    /// The program as written.
    pub program: String,
    /// Its matcher, if it has one.
    pub matcher: Option<String>,
    /// The whole entry.
    pub entry: Value,
}

/// The input of all checks, read once.
pub struct Survey<'a> {
    /// The environment of this process.
    pub env: &'a Env,
    /// The layers, earliest first.
    pub layers: Vec<SettingsLayer>,
    /// Fusebox's entries in all of them.
    pub entries: Vec<HookEntry>,
    /// What `init` recorded.
    pub installation: Option<Installation>,
    /// The configuration in the project.
    pub loaded: LoadedConfig,
    /// The client and the version that it reports; `None` if there is none on the `PATH`.
    pub client: Option<(PathBuf, Result<ClientVersion, String>)>,
}

impl<'a> Survey<'a> {
    /// Reads everything. `client`: use this one instead of the `claude` on the `PATH`.
    pub fn collect(env: &'a Env, project: &Path, client: Option<&Path>) -> Self {
        let mut layers = Vec::new();
        if let Some(dir) = protected_client::user_dir(env) {
            layers.push(SettingsLayer::read("user", dir.join("settings.json")));
        }
        let [shared, local] = protected_client::project_settings(project);
        layers.push(SettingsLayer::read("project", shared));
        layers.push(SettingsLayer::read("local", local));
        layers.extend(managed_files().into_iter().map(|path| SettingsLayer::read("managed", path)));
        let entries = layers.iter().flat_map(|layer| entries(layer, env)).collect();
        let client = client
            .map(Path::to_owned)
            .or_else(|| program::find(env.var("PATH").unwrap_or_default()))
            .map(|program| (program.clone(), program::version(&program)));
        Self {
            env,
            layers,
            entries,
            installation: env.state_dir().and_then(|dir| Installation::read(&dir)),
            loaded: config::load(env, Some(project)),
            client,
        }
    }

    /// The client's version, if known.
    pub fn version(&self) -> Option<ClientVersion> {
        self.client.as_ref().and_then(|(_, version)| version.clone().ok())
    }
}

fn managed_files() -> Vec<PathBuf> {
    let dir = protected_client::managed_dir();
    let more = std::fs::read_dir(dir.join("managed-settings.d")).into_iter().flatten().flatten();
    let mut more: Vec<PathBuf> = more.map(|entry| entry.path()).collect();
    more.sort();
    std::iter::once(dir.join("managed-settings.json")).chain(more).collect()
}

fn entries(layer: &SettingsLayer, env: &Env) -> Vec<HookEntry> {
    let ours = hook_entries::fusebox_entries(&layer.hooks(), env);
    let entry = |found: hook_entries::RegisteredEntry| {
        let hook = Hook::from_file_name(&found.program)?;
        let hook_entries::RegisteredEntry { event, program, matcher, entry } = found;
        Some(HookEntry { layer: layer.name, event, hook, program, matcher, entry })
    };
    ours.into_iter().filter_map(entry).collect()
}
