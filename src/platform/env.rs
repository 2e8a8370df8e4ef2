//! The environment of the process, read once: variables, folders, user. All other code gets it as arguments.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::clock::clock;
use super::system;
use crate::domain::message::MessageKey;
use crate::domain::time::Timestamp;

/// Prefixes of the variables that are read. Others, which include secrets, are not kept.
const PREFIXES: [&str; 9] =
    ["FUSEBOX_", "CLAUDE", "XDG_", "HOME", "USER", "PATH", "TZ", "COLUMNS", "NO_COLOR"];

/// Whether a variable is read.
pub(super) fn is_read(name: &str) -> bool {
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The environment of the process when it started.
#[derive(Clone, Debug)]
pub struct Env {
    /// The wall clock at process start.
    pub now: Timestamp,
    /// Environment variables that Fusebox knows, except those that are not UTF-8.
    pub vars: BTreeMap<String, String>,
    /// Working folder; `/` if there is none.
    pub cwd: PathBuf,
    /// Effective user id.
    pub uid: u32,
}

impl Env {
    /// Reads the environment. The only place that reads the clock and the variables for decisions.
    #[allow(clippy::disallowed_methods)]
    pub fn from_process() -> Self {
        let vars = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok().filter(|name| is_read(name))?, value)))
            .filter_map(|(name, value)| Some((name, value.into_string().ok()?)))
            .collect();
        Self { now: clock(), vars, cwd: std::env::current_dir().unwrap_or_else(|_| "/".into()), uid: uid() }
    }

    /// A variable, if set and not empty.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// A variable with a path.
    pub fn path_var(&self, name: &str) -> Option<PathBuf> {
        self.var(name).map(PathBuf::from)
    }

    /// The user's home folder: `HOME`, else from the passwd file.
    pub fn home(&self) -> Option<PathBuf> {
        self.path_var("HOME").or_else(|| system::user(self.uid).map(|(_, home)| home))
    }

    /// The user's name: `FUSEBOX_USER`, else `USER`, else the passwd name, else the user id.
    pub fn user(&self) -> String {
        let named = self.var("FUSEBOX_USER").or_else(|| self.var("USER")).map(str::to_owned);
        named.or_else(|| system::user(self.uid).map(|(name, _)| name)).unwrap_or_else(|| self.uid.to_string())
    }

    /// The chain of tasks that the process belongs to: `FUSEBOX_CHAIN`.
    pub fn chain(&self) -> Option<String> {
        self.var("FUSEBOX_CHAIN").map(str::to_owned)
    }

    /// Folder of the embedded store and the journal: `FUSEBOX_STATE_DIR`, else `$XDG_STATE_HOME/fusebox`, else
    /// `~/.local/state/fusebox`.
    pub fn state_dir(&self) -> Option<PathBuf> {
        self.path_var("FUSEBOX_STATE_DIR")
            .or_else(|| self.path_var("XDG_STATE_HOME").map(|d| d.join("fusebox")))
            .or_else(|| self.home().map(|h| h.join(".local/state/fusebox")))
    }

    /// Folder of the session caches: `FUSEBOX_CACHE_DIR`, else `/tmp/fusebox-<uid>`. Not `$TMPDIR`, which differs
    /// between the client and a terminal.
    pub fn cache_dir(&self) -> PathBuf {
        self.path_var("FUSEBOX_CACHE_DIR").unwrap_or_else(|| format!("/tmp/fusebox-{}", self.uid).into())
    }

    /// The user's configuration file: `FUSEBOX_CONFIG`, else `$XDG_CONFIG_HOME/fusebox/config.toml`, else
    /// `~/.config/fusebox/config.toml`.
    pub fn user_config(&self) -> Option<PathBuf> {
        self.path_var("FUSEBOX_CONFIG").or_else(|| {
            let base = self.path_var("XDG_CONFIG_HOME").or_else(|| self.home().map(|h| h.join(".config")));
            base.map(|b| b.join("fusebox/config.toml"))
        })
    }
}

/// The folder of the running program: from the path that it was started with, because asking the system is slower; from
/// the system if it was started by name.
pub fn program_dir() -> Option<PathBuf> {
    let started = std::env::args_os().next().map(PathBuf::from).filter(|path| path.is_absolute());
    started.or_else(|| std::env::current_exe().ok())?.parent().map(Path::to_owned)
}

/// Whether `pid` is the test runner, whose ancestors are ignored because an agent may have started it. Only in builds
/// with the feature `test-clock`.
#[cfg(feature = "test-clock")]
#[allow(clippy::disallowed_methods)]
pub fn is_test_runner(pid: u32) -> bool {
    std::env::var("TESTED_BY_PID").is_ok_and(|tests| tests == pid.to_string())
}

/// Always false outside test builds.
#[cfg(not(feature = "test-clock"))]
pub const fn is_test_runner(_pid: u32) -> bool {
    false
}

/// Effective user id of the process.
pub fn uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Identifies this machine among those that share a store: a hash of its id and its name. Survives reboots; copies of
/// one image differ at least in their names.
pub fn machine_fingerprint() -> String {
    let [id, name] = system::machine();
    format!("{:016x}", MessageKey::from_parts(&["machine", &id, &name]).short())
}
