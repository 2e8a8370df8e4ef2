//! Runs of a client in print mode (`-p`) and their results.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::Client;
use super::recording::Mark;
use super::transcripts;

/// Far longer than any test prompt takes, even on a busy machine.
const LIMIT: Duration = Duration::from_mins(2);

/// One run of `claude -p`.
pub struct Prompt<'a> {
    client: &'a Client,
    text: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
    format: String,
    cwd: PathBuf,
    limit: Duration,
    stdin: Option<String>,
}

impl<'a> Prompt<'a> {
    pub(super) fn new(client: &'a Client, text: &str) -> Self {
        Self {
            client,
            text: text.into(),
            args: Vec::new(),
            env: Vec::new(),
            format: "stream-json".into(),
            cwd: client.project(),
            limit: LIMIT,
            stdin: None,
        }
    }

    /// Adds text on standard input.
    pub fn stdin(mut self, text: &str) -> Self {
        self.stdin = Some(text.into());
        self
    }

    /// Adds arguments.
    pub fn args<const N: usize>(mut self, args: [&str; N]) -> Self {
        self.args.extend(args.map(str::to_owned));
        self
    }

    /// Resumes a session.
    pub fn resume(self, session: &str) -> Self {
        self.args(["--resume", session])
    }

    /// Sets a variable for this run only.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// `text` or `json`; the default is `stream-json` with hook events.
    pub fn format(mut self, format: &str) -> Self {
        self.format = format.into();
        self
    }

    /// Sets another working folder than the project.
    pub fn cwd(mut self, cwd: &Path) -> Self {
        self.cwd = cwd.into();
        self
    }

    /// Sets another time limit.
    pub const fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Starts the client without waiting. Not with a recording.
    pub fn start(self) -> Running {
        let client = self.client;
        assert!(client.api.drive().player().is_none(), "a recording has no process");
        let n = client.next_run();
        let file = |what: &str| client.root().join(format!("out/{n}.{what}"));
        let (stdout, stderr) = (file("stdout"), file("stderr"));
        let mut command = client.command(client.program());
        command.args(client.arguments()).args(["-p", "--verbose", "--output-format", &self.format]);
        if self.format == "stream-json" {
            command.arg("--include-hook-events");
        }
        if let Some(text) = &self.stdin {
            let path = file("stdin");
            std::fs::write(&path, text).expect("file for stdin");
            command.stdin(File::open(&path).expect("file for stdin"));
        }
        // The prompt comes first, because some options take any number of values.
        let child = command
            .args((!self.text.is_empty()).then_some(&self.text))
            .args(&self.args)
            .envs(self.env)
            .current_dir(self.cwd)
            .stdout(File::create(&stdout).expect("file for stdout"))
            .stderr(File::create(&stderr).expect("file for stderr"))
            .spawn()
            .expect("start the client");
        Running { child, stdout, stderr, end: Instant::now() + self.limit }
    }

    /// Runs the client to its end.
    #[track_caller]
    pub fn run(self) -> Outcome {
        let (client, what) = (self.client, format!("run {:?}", self.text));
        if let Some(mark) = client.api.play(&what, client.vars()) {
            let (code, stdout, stderr) = mark.outcome.expect("how the run ended");
            return Outcome::new(code, false, stdout, stderr);
        }
        let outcome = self.start().wait();
        let ended = (outcome.code, outcome.stdout.clone(), outcome.stderr.clone());
        client.api.mark(Mark { outcome: Some(ended), ..Mark::now(&what) });
        outcome
    }
}

/// A running client; killed when dropped.
pub struct Running {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    end: Instant,
}

impl Running {
    /// The client's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills the client only.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
    }

    /// Its output so far.
    pub fn stdout_so_far(&self) -> String {
        transcripts::read(&self.stdout)
    }

    /// Waits for its end; kills it after the time limit.
    pub fn wait(mut self) -> Outcome {
        let mut timed_out = false;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("wait for the client") {
                break status;
            }
            if Instant::now() > self.end && !timed_out {
                timed_out = true;
                self.kill();
            }
            thread::sleep(Duration::from_millis(10));
        };
        Outcome::new(
            status.code(),
            timed_out,
            transcripts::read(&self.stdout),
            transcripts::read(&self.stderr),
        )
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
        let _ = self.child.wait();
    }
}

/// The result of a run of `claude -p`.
#[derive(Debug)]
pub struct Outcome {
    /// Exit code; `None` if a signal killed it.
    pub code: Option<i32>,
    /// Whether it was killed after the time limit.
    pub timed_out: bool,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// The JSON lines of standard output.
    pub events: Vec<Value>,
    /// The `result` event; `Null` if there is none.
    pub result: Value,
    /// The session at the end of the run; empty if unknown.
    pub session: String,
}

impl Outcome {
    fn new(code: Option<i32>, timed_out: bool, stdout: String, stderr: String) -> Self {
        let parsed = stdout.lines().filter_map(|l| serde_json::from_str(l).ok());
        // `--output-format json` prints one list instead of lines.
        let events: Vec<Value> = parsed
            .flat_map(|v| match v {
                Value::Array(all) => all,
                one => vec![one],
            })
            .collect();
        let result = events.iter().rfind(|e| e["type"] == "result").cloned().unwrap_or_default();
        // The last one: with --continue and --fork-session, the first hooks have another id.
        let session = events.iter().rev().find_map(|e| e["session_id"].as_str());
        let session = session.unwrap_or_default().to_owned();
        Self { code, timed_out, stdout, stderr, events, result, session }
    }

    /// Panics with all details unless the exit code is 0.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(self.code == Some(0) && !self.timed_out, "the client failed: {self:#?}");
        self
    }

    /// The final text.
    pub fn text(&self) -> &str {
        self.result["result"].as_str().unwrap_or_default()
    }
}
