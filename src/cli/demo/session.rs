//! The demo's session: a temporary home folder, a growing transcript, and hooks called as the client calls them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anstyle::{AnsiColor, Style};
use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::app::messages::amounts::grouped;
use crate::cli::Io;
use crate::cli::render::wrap;
use crate::platform::Env;

/// The session id.
pub const SESSION: &str = "67393810-3473-4bd3-b05f-e73c943b62e9";

/// Assistant lines captured from a real client (2.1.330): a Bash call on two lines, a Read call, an answer.
const CAPTURED: &str = include_str!("captured.jsonl");

/// Width of quoted text, in columns. Fits a terminal of 80 with its indentation.
const WIDTH: usize = 74;

/// The demo's session.
pub struct DemoSession {
    folder: tempfile::TempDir,
    programs: PathBuf,
    limit: u64,
    responses: usize,
}

impl DemoSession {
    /// Creates the session. The hook executables must be beside the running program.
    pub fn new(env: &Env, limit: u64) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("the running program cannot be found")?;
        let programs = own.parent().unwrap_or(&env.cwd).to_owned();
        let folder = tempfile::Builder::new().prefix("fusebox-demo-").tempdir()?;
        std::fs::create_dir(folder.path().join("project"))?;
        Ok(Self { folder, programs, limit, responses: 0 })
    }

    /// Keeps the folder instead of deleting it.
    pub fn keep(self) -> PathBuf {
        self.folder.keep()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.env_clear().current_dir(self.path("project"));
        command
            .env("HOME", self.folder.path())
            .env("USER", "demo")
            .env("CLAUDE_PROJECT_DIR", self.path("project"));
        command.env("FUSEBOX_STATE_DIR", self.path("state")).env("FUSEBOX_CACHE_DIR", self.path("cache"));
        command.env("FUSEBOX_BUDGET_SESSION_LIMIT", self.limit.to_string());
        command
    }

    /// The session starts.
    pub fn session_start(&self, io: &mut Io) -> anyhow::Result<()> {
        self.event("session-event", "SessionStart", json!({"source": "startup"}), io).map(drop)
    }

    /// A person sends a prompt.
    pub fn prompt(&self, text: &str, io: &mut Io) -> anyhow::Result<()> {
        say(io, &format!("prompt: {text}"))?;
        self.event("prompt-submit", "UserPromptSubmit", json!({"prompt": text}), io).map(drop)
    }

    /// The model answers with a tool call, which is made if the hooks allow it.
    pub fn response(&mut self, what: &str, io: &mut Io) -> anyhow::Result<()> {
        let (used, call) = self.write_response()?;
        say(io, &format!("{what}: a response of {} tokens", grouped(used)))?;
        let id = json!({"tool_use_id": call});
        let before = self.event("pre-tool-use", "PreToolUse", id.clone(), io)?;
        let denied = before["hookSpecificOutput"]["permissionDecision"] == "deny";
        if !denied {
            self.event("post-tool-use", "PostToolUse", id.clone(), io)?;
        }
        if before["continue"] != false {
            self.event("post-tool-use", "PostToolBatch", json!({"tool_calls": [id]}), io)?;
        }
        Ok(())
    }

    /// Runs `fusebox` as a person would.
    pub fn fusebox(&self, arguments: &[&str], io: &mut Io) -> anyhow::Result<()> {
        let shown: Vec<String> = arguments
            .iter()
            .map(|a| if a.contains(' ') { format!("\"{a}\"") } else { (*a).to_owned() })
            .collect();
        say(io, &format!("$ fusebox {}", shown.join(" ")))?;
        let session = if arguments[0] == "budget" { &["--session", SESSION][..] } else { &[] };
        let output =
            self.command("fusebox").env("CLICOLOR_FORCE", "1").args(arguments).args(session).output()?;
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        for line in text.lines() {
            // A row of a table has columns.
            if line.trim_start().contains("  ") {
                writeln!(io.out, "    {line}")?;
                continue;
            }
            for part in wrap::lines(line, WIDTH) {
                writeln!(io.out, "    {part}")?;
            }
        }
        if !output.status.success() {
            bail!("fusebox {} failed", shown.join(" "));
        }
        Ok(())
    }

    /// Writes the next response to the transcript. Returns its fresh tokens and the id of its tool call. After the
    /// captured responses, the second one is repeated: an agent in a loop.
    fn write_response(&mut self) -> anyhow::Result<(u64, String)> {
        let captured: Vec<Value> = CAPTURED.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let first = self.responses == 0;
        self.responses += 1;
        let own = if first { "msg_fake0001" } else { "msg_fake0002" };
        let lines = captured.into_iter().filter(|line| line["message"]["id"] == own);
        let mut transcript =
            std::fs::OpenOptions::new().create(true).append(true).open(self.path("transcript.jsonl"))?;
        let (mut used, mut call) = (0, String::new());
        for mut line in lines {
            let (message, round) = (&mut line["message"], self.responses);
            message["id"] = json!(format!("msg_demo{round:04}"));
            if message["content"][0]["type"] == "tool_use" {
                call = format!("toolu_demo{round:04}");
                message["content"][0]["id"] = json!(call);
            }
            let usage = &message["usage"];
            let count = |name: &str| usage[name].as_u64().unwrap_or(0);
            used = count("input_tokens") + count("output_tokens") + count("cache_creation_input_tokens");
            line["requestId"] = json!(format!("req_demo{round:04}"));
            line["uuid"] = json!(format!("{:?}-{round}", line["uuid"]));
            writeln!(transcript, "{line}")?;
        }
        Ok((used, call))
    }

    /// Calls a hook as the client does, and shows its answer.
    fn event(&self, program: &str, event: &str, fields: Value, io: &mut Io) -> anyhow::Result<Value> {
        let mut payload = json!({
            "session_id": SESSION,
            "transcript_path": self.path("transcript.jsonl"),
            "cwd": self.path("project"),
            "hook_event_name": event,
        });
        if let (Some(payload), Value::Object(fields)) = (payload.as_object_mut(), fields) {
            payload.extend(fields);
        }
        let mut command = self.command(program);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| missing(&self.programs, program))?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(payload.to_string().as_bytes())?;
        }
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("{program} failed: {}", output.status);
        }
        let answer: Value = match output.stdout.is_empty() {
            true => json!({}),
            false => serde_json::from_slice(&output.stdout).context("a hook did not answer with JSON")?,
        };
        show(event, &answer, io)?;
        Ok(answer)
    }
}

fn missing(programs: &Path, program: &str) -> String {
    format!(
        "{} is missing: build all programs with `cargo build --release --bins`",
        programs.join(program).display()
    )
}

fn say(io: &mut Io, text: &str) -> anyhow::Result<()> {
    let dim = Style::new().dimmed();
    writeln!(io.out, "  {dim}▸{dim:#} {text}")?;
    Ok(())
}

/// Shows each part of an answer on one line.
fn show(event: &str, answer: &Value, io: &mut Io) -> anyhow::Result<()> {
    let red = Style::new().fg_color(Some(AnsiColor::Red.into())).bold();
    let yellow = Style::new().fg_color(Some(AnsiColor::Yellow.into()));
    let plain = Style::new();
    let specific = &answer["hookSpecificOutput"];
    let stops = answer["continue"] == false;
    let said = [
        (yellow, "to you", &answer["systemMessage"]),
        (
            plain,
            "to the agent",
            if answer["systemMessage"].is_null() { &specific["additionalContext"] } else { &Value::Null },
        ),
        (red, "denied", if stops { &Value::Null } else { &specific["permissionDecisionReason"] }),
        (red, "stopped", &answer["stopReason"]),
        (red, "blocked", &answer["reason"]),
    ];
    for (style, label, text) in said {
        if let Some(text) = text.as_str() {
            writeln!(io.out, "    {event} {style}{label}{style:#}:")?;
            for line in wrap::lines(text, WIDTH) {
                writeln!(io.out, "      {line}")?;
            }
        }
    }
    Ok(())
}
