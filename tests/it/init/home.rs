//! A temporary home to run `fusebox init` in.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use fusebox::agents::hook;
use serde_json::Value;
use tempfile::TempDir;

/// The folder of the executables under test.
pub fn bin_dir() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_fusebox")).parent().unwrap()
}

/// A temporary home.
pub struct Home {
    dir: TempDir,
}

/// How a run ended.
#[derive(Debug)]
pub struct Ran {
    /// Exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Home {
    /// An empty home.
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("fb init ").tempdir().unwrap();
        fs::create_dir(dir.path().join("project")).unwrap();
        Self { dir }
    }

    /// A home with these user settings.
    pub fn with(settings: &str) -> Self {
        let home = Self::new();
        home.write(settings);
        home
    }

    /// A path in the home.
    pub fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// The user's settings file.
    pub fn file(&self) -> PathBuf {
        self.at("claude/settings.json")
    }

    /// Writes the user's settings.
    pub fn write(&self, settings: &str) {
        fs::create_dir_all(self.at("claude")).unwrap();
        fs::write(self.file(), settings).unwrap();
    }

    /// The user's settings.
    pub fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    /// The user's settings, parsed.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text()).unwrap()
    }

    /// The backups of the user's settings, by name.
    pub fn backups(&self) -> Vec<PathBuf> {
        let all = fs::read_dir(self.at("claude")).unwrap().map(|e| e.unwrap().path());
        let mut all: Vec<_> = all.filter(|p| p.to_string_lossy().contains("fusebox-backup")).collect();
        all.sort();
        all
    }

    /// The recorded installation.
    pub fn record(&self) -> Value {
        serde_json::from_slice(&fs::read(self.at("state/install.json")).unwrap()).unwrap()
    }

    /// Another folder with executables.
    pub fn other_bin(&self, name: &str) -> PathBuf {
        let dir = self.at(name);
        fs::create_dir_all(&dir).unwrap();
        for name in hook::programs() {
            let file = dir.join(name);
            fs::write(&file, "#!/bin/sh\n# fusebox\n").unwrap();
            fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
        }
        dir
    }

    /// Runs `fusebox init`.
    pub fn init<const N: usize>(&self, args: [&str; N]) -> Ran {
        self.init_with(&[], &args)
    }

    /// Runs `fusebox init` with more variables.
    pub fn init_with(&self, env: &[(&str, &str)], args: &[&str]) -> Ran {
        let output = Command::new(env!("CARGO_BIN_EXE_fusebox"))
            .env_clear()
            .env("HOME", self.at("home"))
            .env("CLAUDE_CONFIG_DIR", self.at("claude"))
            .env("XDG_CONFIG_HOME", self.at("config"))
            .env("FUSEBOX_STATE_DIR", self.at("state"))
            .env("FUSEBOX_CACHE_DIR", self.at("cache"))
            .envs(env.iter().copied())
            .current_dir(self.at("project"))
            .arg("init")
            .args(args)
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Ran {
    /// Standard output. Fails if there was an error.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{}", self.stdout);
        self.stdout
    }

    /// Asserts exit code 2 and one line that contains all of these texts.
    #[track_caller]
    pub fn refused(self, says: &[&str]) {
        assert_eq!((self.code, self.stdout.as_str()), (Some(2), ""), "{}", self.stderr);
        assert_eq!(self.stderr.trim_end().lines().count(), 1, "{}", self.stderr);
        for part in says {
            assert!(self.stderr.contains(part), "no {part:?} in: {}", self.stderr);
        }
    }
}
