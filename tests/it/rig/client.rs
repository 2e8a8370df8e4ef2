//! A real client in a temporary home with a project, settings and a clean environment.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::api::{Api, Shared};
use super::drive::{self, Drive};
use super::prompt::Prompt;
use super::terminal::{self, Terminal};
use super::transcripts;
use super::version::Version;
use crate::harness::PATIENCE;

/// The default model.
pub const MODEL: &str = "claude-sonnet-4-5-20250929";

/// A temporary home, project and settings for clients, deleted when dropped.
pub struct Client {
    dir: TempDir,
    program: PathBuf,
    env: BTreeMap<String, String>,
    settings: Option<PathBuf>,
    mode: String,
    model: String,
    runs: AtomicUsize,
    pub(super) api: Arc<Shared>,
}

impl Client {
    /// A new home whose client, of this version, uses `api`.
    pub fn new(version: Version, api: &Api) -> Self {
        let dir = tempfile::Builder::new().prefix("fb-rig-").tempdir().expect("temp dir");
        let at = |name: &str| dir.path().join(name);
        // The space in the project's path reveals missing quotes.
        for name in ["home/config", "home/.state", "home/.cache", "tmp", "out", "my project"] {
            fs::create_dir_all(at(name)).expect("make folder");
        }
        let project = at("my project");
        for (name, text) in [("README.md", "# demo\n"), ("a.txt", "alpha\n"), ("b.txt", "beta\n")] {
            fs::write(project.join(name), text).expect("write project file");
        }
        let text = |p: PathBuf| p.to_str().expect("the temp folder's name is UTF-8").to_owned();
        // With this, the client asks no questions before the first prompt.
        let state = json!({
            "hasCompletedOnboarding": true, "theme": "dark", "numStartups": 5, "autoUpdates": false,
            "bypassPermissionsModeAccepted": true,
            "customApiKeyResponses": {"approved": ["dummy-key"], "rejected": []},
            "projects": {text(project.clone()): {
                "hasTrustDialogAccepted": true, "hasCompletedProjectOnboarding": true, "allowedTools": [],
            }},
        });
        fs::write(at("home/config/.claude.json"), state.to_string()).expect("write client state");
        api.define("@PROJECT@", &text(project));
        let fixed = [
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
            ("LANG", "C.UTF-8"),
            ("USER", "user"),
            ("SHELL", "/bin/bash"),
            ("TERM", "xterm-256color"),
            ("ANTHROPIC_API_KEY", "dummy-key"),
            // Root may skip permission prompts only in a declared sandbox.
            ("IS_SANDBOX", "1"),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
            ("DISABLE_AUTOUPDATER", "1"),
            ("DISABLE_TELEMETRY", "1"),
            ("DISABLE_ERROR_REPORTING", "1"),
            ("CLAUDE_CODE_MAX_RETRIES", "3"),
        ];
        let mut env: BTreeMap<_, _> = fixed.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        env.insert("ANTHROPIC_BASE_URL".into(), api.url());
        for (name, folder) in [
            ("HOME", "home"),
            ("CLAUDE_CONFIG_DIR", "home/config"),
            ("XDG_STATE_HOME", "home/.state"),
            ("XDG_CACHE_HOME", "home/.cache"),
            // Otherwise the client leaves a folder in the machine's temp folder.
            ("TMPDIR", "tmp"),
            ("CLAUDE_CODE_TMPDIR", "tmp"),
        ] {
            env.insert(name.into(), text(at(folder)));
        }
        if drive::is_recording() {
            // Runs between the client and the hooks: tests/recorder.
            env.insert("FUSEBOX_TEST_HOOKS".into(), text(real_hooks()));
        }
        env.insert("FUSEBOX_TEST_CLOCK".into(), text(at("clock")));
        env.insert("FUSEBOX_TEST_PATIENCE".into(), PATIENCE.into());
        if api.shared.drive().player().is_some() {
            // Played hooks are started by the tests, which an agent may have started.
            env.insert("TESTED_BY_PID".into(), std::process::id().to_string());
        }
        let client = Self {
            // Not needed with a recording.
            program: version.program().unwrap_or_default(),
            dir,
            env,
            settings: None,
            mode: "bypassPermissions".into(),
            model: MODEL.into(),
            runs: AtomicUsize::new(0),
            api: Arc::clone(&api.shared),
        };
        client.begin()
    }

    fn begin(self) -> Self {
        match &mut *self.api.drive() {
            Drive::Live => {}
            Drive::Record(recorder) => recorder.begin(self.root()),
            Drive::Replay(player) => player.begin(self.root()),
        }
        self
    }

    /// The folder of hooks to use in the client's settings.
    pub fn hooks() -> PathBuf {
        if drive::is_recording() {
            return PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recorder");
        }
        real_hooks()
    }

    /// Moves the clock of hooks and commands, not the client's own.
    pub fn move_clock(&self, ms: i64) {
        match self.api.drive().player() {
            Some(player) => player.move_clock(&self.env, ms),
            None => fs::write(&self.env["FUSEBOX_TEST_CLOCK"], ms.to_string()).expect("write the clock"),
        }
    }

    /// Passes these settings with `--settings FILE`.
    pub fn settings(mut self, settings: &Value) -> Self {
        let file = self.dir.path().join("out/settings.json");
        fs::write(&file, settings.to_string()).expect("write settings");
        self.settings = Some(file);
        self
    }

    /// Writes these user settings to the client's config folder.
    pub fn user_settings(self, settings: &Value) -> Self {
        fs::write(self.user_settings_file(), settings.to_string()).expect("write settings");
        self
    }

    /// Sets a variable for the client, its hooks and its tools.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Removes a variable.
    pub fn without(mut self, name: &str) -> Self {
        self.env.remove(name);
        self
    }

    /// Sets another permission mode than `bypassPermissions`.
    pub fn mode(mut self, mode: &str) -> Self {
        self.mode = mode.into();
        self
    }

    /// Sets another model than `MODEL`.
    pub fn model(mut self, model: &str) -> Self {
        self.model = model.into();
        self
    }

    /// The temporary folder that contains everything.
    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    /// The home folder.
    pub fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// The client's config folder, with its transcripts in `projects/`.
    pub fn config_dir(&self) -> PathBuf {
        self.dir.path().join("home/config")
    }

    /// `XDG_STATE_HOME` of the client and its hooks.
    pub fn state_home(&self) -> PathBuf {
        self.dir.path().join("home/.state")
    }

    /// The user's settings file.
    pub fn user_settings_file(&self) -> PathBuf {
        self.config_dir().join("settings.json")
    }

    /// The project the client works in.
    pub fn project(&self) -> PathBuf {
        self.dir.path().join("my project")
    }

    /// All transcripts, including those of subagents.
    pub fn transcripts(&self) -> Vec<PathBuf> {
        transcripts::find(&self.config_dir().join("projects"))
    }

    /// The usage in the transcripts, each message once.
    pub fn count(&self) -> transcripts::Count {
        transcripts::count(&self.transcripts())
    }

    /// Another program in the client's environment, such as the product itself.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut c = Command::new(program.as_ref());
        c.env_clear().envs(&self.env).current_dir(self.project()).stdin(Stdio::null());
        c
    }

    /// A prompt in print mode (`-p`), not started yet.
    pub fn prompt(&self, text: &str) -> Prompt<'_> {
        Prompt::new(self, text)
    }

    /// A session in a terminal, with further arguments.
    pub fn terminal(&self, args: &[&str]) -> Terminal {
        let mut all = self.arguments();
        all.extend(args.iter().map(|a| (*a).to_owned()));
        Terminal::start(self, &all, false, terminal::SIZE)
    }

    /// A session in a terminal of this size: columns, rows.
    pub fn terminal_of(&self, size: (u32, u32)) -> Terminal {
        Terminal::start(self, &self.arguments(), false, size)
    }

    /// A session in a tmux pane, where programs can type.
    pub fn terminal_in_tmux(&self) -> Terminal {
        Terminal::start(self, &self.arguments(), true, terminal::SIZE)
    }

    /// The client's binary.
    pub fn program(&self) -> &Path {
        &self.program
    }

    pub(super) fn vars(&self) -> &BTreeMap<String, String> {
        &self.env
    }

    pub(super) fn next_run(&self) -> usize {
        self.runs.fetch_add(1, Ordering::SeqCst)
    }

    pub(super) fn arguments(&self) -> Vec<String> {
        let mut all = vec!["--permission-mode".into(), self.mode.clone()];
        all.extend(["--model".into(), self.model.clone()]);
        if let Some(file) = &self.settings {
            all.extend(["--settings".into(), file.display().to_string()]);
        }
        all
    }
}

fn real_hooks() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_fusebox")).parent().expect("a folder").to_owned()
}

impl Drop for Client {
    fn drop(&mut self) {
        match &mut *self.api.drive() {
            Drive::Live => {}
            Drive::Record(recorder) => recorder.end(),
            Drive::Replay(player) if !thread::panicking() => player.end(&self.env),
            Drive::Replay(_) => {}
        }
        // Processes started by a killed client may still write, so retry.
        let end = Instant::now() + Duration::from_secs(5);
        while self.dir.path().exists() && Instant::now() < end {
            let _ = fs::remove_dir_all(self.dir.path());
            thread::sleep(Duration::from_millis(5));
        }
    }
}
