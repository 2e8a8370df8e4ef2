//! The process seen once: the clock, variables, folders, user. Everything else takes what it needs as arguments.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::domain::message::MessageKey;
use crate::domain::time::Timestamp;

/// Beginnings of the names of variables that are looked at. The others, secrets among them, are not even kept.
const PREFIXES: [&str; 6] = ["FUSEBOX_", "CLAUDE", "XDG_", "HOME", "USER", "PATH"];

/// What the process found when it started.
#[derive(Clone, Debug)]
pub struct Env {
    /// The wall clock at the start.
    pub now: Timestamp,
    /// Environment variables that Fusebox knows; those that are not UTF-8 are left out.
    pub vars: BTreeMap<String, String>,
    /// Working folder; `/` when there is none.
    pub cwd: PathBuf,
    /// Effective user id.
    pub uid: u32,
}

impl Env {
    /// Reads the process. The one place that looks at the clock and at variables.
    #[allow(clippy::disallowed_methods)]
    pub fn of_process() -> Self {
        let vars = std::env::vars_os()
            .filter(|(name, _)| PREFIXES.iter().any(|p| name.as_encoded_bytes().starts_with(p.as_bytes())))
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .collect();
        Self { now: clock(), vars, cwd: std::env::current_dir().unwrap_or_else(|_| "/".into()), uid: uid() }
    }

    /// A variable that is set and not empty.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }

    fn path_var(&self, name: &str) -> Option<PathBuf> {
        self.var(name).map(PathBuf::from)
    }

    /// The user's home: `HOME`, else what the passwd file says.
    pub fn home(&self) -> Option<PathBuf> {
        self.path_var("HOME").or_else(|| passwd(self.uid).map(|(_, home)| home))
    }

    /// Who is working: `FUSEBOX_USER`, else `USER`, else the passwd name, else the user id.
    pub fn user(&self) -> String {
        let named = self.var("FUSEBOX_USER").or_else(|| self.var("USER")).map(str::to_owned);
        named.or_else(|| passwd(self.uid).map(|(name, _)| name)).unwrap_or_else(|| self.uid.to_string())
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

    /// The client's folder of settings and transcripts: `CLAUDE_CONFIG_DIR`, else `~/.claude`.
    pub fn claude_dir(&self) -> Option<PathBuf> {
        self.path_var("CLAUDE_CONFIG_DIR").or_else(|| self.home().map(|h| h.join(".claude")))
    }

    /// The folder that the client calls its project: `CLAUDE_PROJECT_DIR`, else `fallback`.
    pub fn project_dir(&self, fallback: &Path) -> PathBuf {
        self.path_var("CLAUDE_PROJECT_DIR").unwrap_or_else(|| fallback.to_owned())
    }
}

/// The folder that the program stands in: of the path that it was started with, because asking `/proc` takes longer; of what
/// the system says where it was found by its name alone.
pub fn program_dir() -> Option<PathBuf> {
    let started = std::env::args_os().next().map(PathBuf::from).filter(|path| path.is_absolute());
    started.or_else(|| std::env::current_exe().ok())?.parent().map(Path::to_owned)
}

/// How long something takes, whatever becomes of the wall clock meanwhile. For waiting only.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// Milliseconds since its start.
    pub fn ms(&self) -> i64 {
        i64::try_from(self.0.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

/// The wall clock now. Decisions take [`Env::now`]; this is for who dates something itself, such as a test.
#[allow(clippy::disallowed_methods)]
pub fn clock() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let read = since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
    Timestamp(read.saturating_add(test_offset()))
}

/// Milliseconds by which tests move the clock: what the file says that `FUSEBOX_TEST_CLOCK` names. In builds with the
/// feature `test-clock` only: else an agent could step around a budget by it.
#[cfg(feature = "test-clock")]
#[allow(clippy::disallowed_methods)]
fn test_offset() -> i64 {
    let file = std::env::var_os("FUSEBOX_TEST_CLOCK");
    let text = file.and_then(|file| std::fs::read_to_string(file).ok());
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

#[cfg(not(feature = "test-clock"))]
const fn test_offset() -> i64 {
    0
}

/// Whether `pid` is the process that runs the tests, which an agent may have started: what is above it does not count.
/// In builds with the feature `test-clock` only.
#[cfg(feature = "test-clock")]
#[allow(clippy::disallowed_methods)]
pub fn is_tests(pid: u32) -> bool {
    std::env::var("TESTED_BY_PID").is_ok_and(|tests| tests == pid.to_string())
}

/// There are no tests that run this.
#[cfg(not(feature = "test-clock"))]
pub const fn is_tests(_pid: u32) -> bool {
    false
}

#[allow(unsafe_code)]
/// Effective user id of the process.
pub fn uid() -> u32 {
    // SAFETY: geteuid has no preconditions and cannot fail.
    unsafe { libc::geteuid() }
}

/// What this machine is called among those that share a store: a hash of its id and its name. Boots keep it, copies of
/// one image differ at least in their names.
pub fn machine_name() -> String {
    let of = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let (id, name) = (of("/etc/machine-id"), of("/proc/sys/kernel/hostname"));
    format!("{:016x}", MessageKey::of(&["machine", id.trim(), name.trim()]).short())
}

/// Name and home of a user by the passwd file. Read as a file: the C library's look-up may load plug-ins, which a
/// static program cannot.
fn passwd(uid: u32) -> Option<(String, PathBuf)> {
    let text = std::fs::read_to_string("/etc/passwd").ok()?;
    let mut rows = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let row = rows.find(|row| row.len() >= 6 && row[2] == uid.to_string())?;
    Some((row[0].to_owned(), row[5].into()))
}
