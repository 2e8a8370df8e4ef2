//! A temporary home for the executables: state, caches, project, and a transcript written by tests.

use std::ffi::OsStr;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use fusebox::app::open_store::StoreLocation;
use fusebox::platform::Env;
use fusebox::store::metrics::MetricKind;
use serde_json::{Value, json};

/// The factor for hooks' deadlines and for the time that Redis has to answer, except in tests that are about these: far more
/// than either takes, even if all cores are busy.
pub const PATIENCE: &str = "40";

/// A temporary home, deleted when the test ends.
pub struct Home {
    folder: tempfile::TempDir,
    vars: Vec<(String, String)>,
    is_hurried: AtomicBool,
    writes_calls: bool,
}

/// The result of a run.
#[derive(Debug, PartialEq)]
pub struct Ran {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// Standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Whether the exit code is 0 and there is no output.
    pub fn is_silent(&self) -> bool {
        *self == Self { code: 0, stdout: String::new(), stderr: String::new() }
    }
}

impl Home {
    /// An empty home.
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("fusebox-it-").tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("project")).unwrap();
        let mut vars = Vec::new();
        // Runs everything on a shared store. Experimental, since some tests are about the embedded store's file.
        if let Ok(url) = std::env::var("FUSEBOX_TEST_REDIS") {
            let tenant = folder.path().file_name().unwrap().to_string_lossy().into_owned();
            vars.push(("FUSEBOX_STORE_REDIS_URL".into(), url));
            vars.push(("FUSEBOX_STORE_TENANT".into(), tenant));
        }
        Self { folder, vars, is_hurried: AtomicBool::new(false), writes_calls: true }
    }

    /// The client writes nothing by itself: see [`Self::hook`].
    pub fn without_lines(self) -> Self {
        Self { writes_calls: false, ..self }
    }

    /// Sets a variable.
    pub fn var(mut self, name: &str, value: &str) -> Self {
        self.vars.push((name.into(), value.into()));
        self
    }

    /// From now on hooks have no more time than those that people run, and Redis must answer as fast: for tests of what
    /// hangs. `false` ends it.
    pub fn hurry(&self, yes: bool) {
        self.is_hurried.store(yes, Ordering::Relaxed);
    }

    /// A path in the home.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The transcript of `session`.
    pub fn transcript(&self, session: &str) -> PathBuf {
        self.path("claude/projects/-p").join(format!("{session}.jsonl"))
    }

    /// The file of one of its subagents.
    pub fn agent_transcript(&self, session: &str, agent: &str) -> PathBuf {
        self.path("claude/projects/-p").join(session).join("subagents").join(format!("agent-{agent}.jsonl"))
    }

    /// A command in this home, without the tests' own environment.
    pub fn command(&self, program: &str) -> Command {
        self.furnish(Command::new(program_path(program)))
    }

    /// Prepares any command in the same way.
    pub fn furnish(&self, mut command: Command) -> Command {
        let patience = if self.is_hurried.load(Ordering::Relaxed) { "1" } else { PATIENCE };
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.folder.path())
            // Files left by a killed command are deleted with the home.
            .env("TMPDIR", self.folder.path())
            .env("USER", "tester")
            .env("TESTED_BY_PID", std::process::id().to_string())
            .env("FUSEBOX_TEST_PATIENCE", patience);
        command.env("CLAUDE_CONFIG_DIR", self.path("claude")).env("CLAUDE_PROJECT_DIR", self.path("project"));
        command.env("XDG_CONFIG_HOME", self.path("config"));
        command.env("FUSEBOX_STATE_DIR", self.path("state")).env("FUSEBOX_CACHE_DIR", self.path("cache"));
        command.envs(self.vars.iter().map(|(n, v)| (n, v))).current_dir(self.path("project"));
        command
    }

    /// The environment of a hook in this home, for in-process tests.
    pub fn env(&self) -> Env {
        let of = |value: Option<&OsStr>| value.map(|v| v.to_string_lossy().into_owned());
        let command = self.command("pre-tool-use");
        let vars = command
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_string_lossy().into_owned(), of(value)?)));
        Env { vars: vars.collect(), cwd: self.path("project"), ..Env::from_process() }
    }

    /// Input, output and responses of all sessions, by the store's totals for monitoring.
    pub fn totals(&self) -> [i64; 3] {
        let env = self.env();
        let store = StoreLocation::new(&fusebox::config::load(&env, None).config).open(&env, None);
        let all = store.unwrap().0.metrics().unwrap();
        let usage = all.iter().filter(|total| total.kind == MetricKind::Usage);
        let sums = usage.map(|total| [total.sums[0], total.sums[1], total.sums[5]]);
        sums.fold([0; 3], |[i, o, r], [input, output, requests]| [i + input, o + output, r + requests])
    }

    /// Runs an executable with `input` on its standard input.
    pub fn run(&self, program: &str, input: &[u8]) -> Ran {
        run(&mut self.command(program), input)
    }

    /// Calls a hook as the client does. Before the end of a response, its calls are in the transcript, or it would be
    /// missing there: if the test has not written them, in a line without usage.
    pub fn hook(&self, event: &str, session: &str, fields: Value) -> Ran {
        let payload = self.payload(event, session, fields);
        if event == "PostToolBatch" && self.writes_calls {
            self.write_calls(session, &payload);
        }
        self.run(hook_of(event), payload.to_string().as_bytes())
    }

    fn write_calls(&self, session: &str, payload: &Value) {
        let agent = payload["agent_id"].as_str();
        let file =
            agent.map_or_else(|| self.transcript(session), |agent| self.agent_transcript(session, agent));
        let written = std::fs::read_to_string(&file).unwrap_or_default();
        let ids = payload["tool_calls"].as_array().into_iter().flatten().map(|call| &call["tool_use_id"]);
        let new: Vec<&Value> =
            ids.filter(|id| id.is_string() && !written.contains(&id.to_string())).collect();
        let Some(first) = new.first() else { return };
        let block = |id: &&Value| json!({"type": "tool_use", "id": id, "name": "Bash", "input": {}});
        let message = json!({
            "id": format!("msg of {first}"), "role": "assistant", "stop_reason": "tool_use",
            "content": new.iter().map(block).collect::<Vec<_>>(), "usage": {"input_tokens": 0, "output_tokens": 0},
        });
        self.append(
            &file,
            &[json!({"type": "assistant", "uuid": format!("of {first}"), "message": message})],
        );
    }

    /// The payload that the client would send.
    pub fn payload(&self, event: &str, session: &str, fields: Value) -> Value {
        let mut payload = json!({
            "session_id": session,
            "transcript_path": self.transcript(session),
            "cwd": self.path("project"),
            "hook_event_name": event,
        });
        payload.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        payload
    }

    /// Runs `fusebox` with arguments.
    pub fn fusebox(&self, arguments: &[&str]) -> Ran {
        run(self.command("fusebox").args(arguments), b"")
    }

    /// `fusebox status --session ID --json`.
    pub fn status(&self, session: &str) -> Value {
        let ran = self.fusebox(&["status", "--session", session, "--json"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.json()
    }

    /// Appends lines to a file, creating its folder.
    pub fn append(&self, file: &Path, lines: &[Value]) {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file).unwrap();
        // One write, so that lines of several writers do not mix.
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// Writes the user's configuration.
    pub fn configure(&self, toml: &str) {
        std::fs::create_dir_all(self.path("config/fusebox")).unwrap();
        std::fs::write(self.path("config/fusebox/config.toml"), toml).unwrap();
    }

    /// Ends the back-off of the hooks of `session`.
    pub fn wake_store(&self, session: &str) {
        let file = self.path("cache").join(format!("guardrails-{session}.json"));
        let mut cache: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert!(cache["store_asleep_until"].is_i64(), "{cache}");
        cache["store_asleep_until"] = json!(1);
        std::fs::write(&file, cache.to_string()).unwrap();
    }

    /// The content of the journal.
    pub fn journal(&self) -> String {
        std::fs::read_to_string(self.path("state/journal.jsonl")).unwrap_or_default()
    }
}

/// Runs `command` with `input`.
pub fn run(command: &mut Command, input: &[u8]) -> Ran {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = start(command);
    // A program that does not read its input may close the pipe.
    let _ = child.stdin.take().unwrap().write_all(input);
    Ran::of(&child.wait_with_output().unwrap())
}

/// Starts `command`. A script that this test just wrote is busy while a process that another thread starts at this
/// moment still holds the file open.
fn start(command: &mut Command) -> Child {
    loop {
        match command.spawn() {
            Err(busy) if busy.kind() == ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
            child => return child.unwrap(),
        }
    }
}

/// The path of one of this package's programs.
pub fn program_path(name: &str) -> &'static str {
    match name {
        "fusebox" => env!("CARGO_BIN_EXE_fusebox"),
        "pre-tool-use" => env!("CARGO_BIN_EXE_pre-tool-use"),
        "post-tool-use" => env!("CARGO_BIN_EXE_post-tool-use"),
        "prompt-submit" => env!("CARGO_BIN_EXE_prompt-submit"),
        "session-event" => env!("CARGO_BIN_EXE_session-event"),
        "status-line" => env!("CARGO_BIN_EXE_status-line"),
        other => panic!("no program {other}"),
    }
}

/// The hook for an event.
pub fn hook_of(event: &str) -> &'static str {
    match event {
        "PreToolUse" => "pre-tool-use",
        "PostToolUse" | "PostToolUseFailure" | "PostToolBatch" => "post-tool-use",
        "UserPromptSubmit" => "prompt-submit",
        _ => "session-event",
    }
}

/// One assistant line: message `n` with a tool call, `input` and `output` tokens.
pub fn message(n: usize, input: u64, output: u64) -> Value {
    json!({
        "type": "assistant", "uuid": format!("uuid-{n}"), "requestId": format!("req_{n}"), "isSidechain": false,
        "timestamp": "2026-11-22T10:00:00.000Z",
        "message": {
            "id": format!("msg_{n}"), "role": "assistant", "model": "claude-test-1", "stop_reason": "tool_use",
            "content": [{"type": "tool_use", "id": format!("toolu_{n}"), "name": "Bash", "input": {"command": "true"}}],
            "usage": {"input_tokens": input, "output_tokens": output, "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 10}
        }
    })
}
