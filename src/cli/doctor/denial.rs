//! Checks that the guard works: runs the registered commands as the client does, for a session past its limit, in a
//! temporary folder. A tool call must be denied, the turn stopped, and a prompt blocked.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::finding::Finding;
use super::survey::{HookEntry, Survey};

/// Timeout of a command: far longer than the client waits, so that a slow machine is no finding.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// How often to check whether it has finished.
const POLL: Duration = Duration::from_millis(5);

/// One budget, which the first response exceeds. Another check covers the person's own configuration.
const CONFIG: &str = "[[budget]]\nname = \"session\"\nlimit = 10\n";

const SESSION: &str = "fusebox-doctor";
const CALL: &str = "toolu_fusebox_doctor";
const NEXT_CALL: &str = "toolu_fusebox_doctor_2";

/// Runs the commands registered for the three events that can hold an agent back.
pub fn check(survey: &Survey) -> Vec<Finding> {
    let at = |event: &str| survey.entries.iter().filter(move |e| e.event == event).collect::<Vec<_>>();
    let (before, after, prompts) = (at("PreToolUse"), at("PostToolBatch"), at("UserPromptSubmit"));
    if before.is_empty() || after.is_empty() || prompts.is_empty() {
        return vec![Finding::problem("not tested: no hook that denies is registered", "run `fusebox init`")];
    }
    match try_denial(survey, &before, &after, &prompts) {
        Ok(()) => vec![Finding::ok(
            "for a session past its limit, a tool call was denied, the turn stopped, and a prompt blocked",
        )],
        Err(error) => vec![Finding::problem(
            format!("a session past its limit was not stopped: {error:#}"),
            "check the command named above; `fusebox init` registers the executables beside this program",
        )],
    }
}

fn try_denial(
    survey: &Survey,
    before: &[&HookEntry],
    after: &[&HookEntry],
    prompts: &[&HookEntry],
) -> anyhow::Result<()> {
    let test = TestSession::new(survey)?;
    for entry in before {
        let answer = test.call(entry, json!({"tool_name": "Bash", "tool_input": {}, "tool_use_id": CALL}))?;
        test.expect(
            entry,
            &answer,
            answer["hookSpecificOutput"]["permissionDecision"] == "deny",
            "a denial",
        )?;
    }
    // One response to wrap up, then a stop. A hook that is registered twice reports a response twice.
    let batch =
        |call: &str| json!({"tool_calls": [{"tool_name": "Bash", "tool_input": {}, "tool_use_id": call}]});
    for entry in after {
        let answers = [test.call(entry, batch(CALL))?, test.call(entry, batch(NEXT_CALL))?];
        let stopped = answers.iter().any(|answer| answer["continue"] == false);
        test.expect(entry, &answers[1], stopped, "a stop")?;
    }
    for entry in prompts {
        let answer = test.call(entry, json!({"prompt": "go on"}))?;
        test.expect(entry, &answer, answer["decision"] == "block", "a block")?;
    }
    Ok(())
}

/// A session for the test, in a temporary folder.
struct TestSession<'a> {
    survey: &'a Survey<'a>,
    folder: tempfile::TempDir,
}

impl<'a> TestSession<'a> {
    fn new(survey: &'a Survey) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("fusebox-doctor-").tempdir()?;
        std::fs::create_dir(folder.path().join("project"))?;
        std::fs::write(folder.path().join("config.toml"), CONFIG)?;
        let response = json!({
            "type": "assistant", "uuid": "fusebox-doctor-1", "requestId": "req_fusebox_doctor", "sessionId": SESSION,
            "timestamp": survey.env.now.to_rfc3339(),
            "message": {"id": "msg_fusebox_doctor", "role": "assistant", "model": "fusebox-doctor", "stop_reason": "tool_use",
                "content": [{"type": "tool_use", "id": CALL, "name": "Bash", "input": {}}],
                "usage": {"input_tokens": 100, "output_tokens": 10}},
        });
        std::fs::write(folder.path().join("transcript.jsonl"), format!("{response}\n"))?;
        Ok(Self { survey, folder })
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Calls an entry as the client does. Returns its output.
    fn call(&self, entry: &HookEntry, fields: Value) -> anyhow::Result<Value> {
        let mut payload = json!({
            "session_id": SESSION, "transcript_path": self.path("transcript.jsonl"), "cwd": self.path("project"),
            "hook_event_name": entry.event, "permission_mode": "default",
        });
        if let (Some(payload), Value::Object(fields)) = (payload.as_object_mut(), fields) {
            payload.extend(fields);
        }
        let command = entry.entry["command"].as_str().unwrap_or_default();
        let output =
            self.run(entry, payload.to_string().as_bytes()).with_context(|| format!("`{command}`"))?;
        match output.trim_ascii() {
            [] => Ok(Value::Null),
            text => {
                serde_json::from_slice(text).with_context(|| format!("`{command}` did not answer with JSON"))
            }
        }
    }

    fn run(&self, entry: &HookEntry, input: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut command = entry_command(&entry.entry);
        for name in self.survey.env.vars.keys().filter(|name| name.starts_with("FUSEBOX_")) {
            command.env_remove(name);
        }
        for (name, place) in [
            ("FUSEBOX_STATE_DIR", "state"),
            ("FUSEBOX_CACHE_DIR", "cache"),
            ("FUSEBOX_CONFIG", "config.toml"),
            ("CLAUDE_PROJECT_DIR", "project"),
        ] {
            command.env(name, self.path(place));
        }
        // Files, not pipes, so that neither side can block.
        std::fs::write(self.path("input"), input)?;
        command.stdin(std::fs::File::open(self.path("input"))?);
        command.stdout(std::fs::File::create(self.path("output"))?).stderr(Stdio::null());
        let mut child = command.current_dir(self.path("project")).spawn()?;
        let end = Instant::now() + MAX_WAIT;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if Instant::now() >= end {
                child.kill()?;
                child.wait()?;
                bail!("did not finish within {} s", MAX_WAIT.as_secs());
            }
            std::thread::sleep(POLL);
        };
        if !status.success() {
            bail!("failed ({status}): the client ignores that");
        }
        Ok(std::fs::read(self.path("output"))?)
    }

    fn expect(&self, entry: &HookEntry, answer: &Value, is_met: bool, what: &str) -> anyhow::Result<()> {
        if is_met {
            return Ok(());
        }
        let command = entry.entry["command"].as_str().unwrap_or_default();
        let shown: String = answer.to_string().chars().take(200).collect();
        let answered = if answer.is_null() { "nothing".to_owned() } else { shown };
        bail!("`{command}` at {} answered {answered} instead of {what}", entry.event)
    }
}

/// The command of an entry: run directly in exec form, otherwise by a shell.
fn entry_command(entry: &Value) -> Command {
    let line = entry["command"].as_str().unwrap_or_default();
    match entry.get("args").and_then(Value::as_array) {
        Some(arguments) => {
            let mut command = Command::new(line);
            command.args(arguments.iter().filter_map(Value::as_str));
            command
        }
        None => {
            let mut command = Command::new(Path::new("/bin/sh"));
            command.args(["-c", line]);
            command
        }
    }
}
