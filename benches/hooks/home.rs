//! A temporary home with one session in it: transcript, payloads, cache, store.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::spawn::{self, Launch, POST_TOOL_USE, PROMPT_SUBMIT, SESSION_EVENT};

/// Prefix of session ids.
const SESSION: &str = "67393810-3473-4bd3-b05f-e73c943b";

/// A daily budget in dollars beside the built-in one, as `fusebox config init` writes it; its limit is never near.
const DOLLARS: &str = "[[budget]]\nname = \"daily\"\nscope = \"user\"\nwindow = \"day\"\nunit = \"usd\"\n\
     limit = 1000000.0\non_limit = \"warn\"\n";

/// Folders of one user.
#[derive(Clone)]
pub struct Home {
    root: PathBuf,
    pub project: PathBuf,
    /// The address of the shared store and its tenant; `None`: the embedded store.
    redis: Option<(String, String)>,
    /// Limit of a session's budget; `None`: the default.
    limit: Option<u64>,
}

impl Home {
    pub fn new(root: &Path) -> Self {
        let project = root.join("project");
        fs::create_dir_all(project.join(".git")).unwrap();
        let config = root.join(".config/fusebox");
        fs::create_dir_all(&config).unwrap();
        fs::write(config.join("config.toml"), DOLLARS).unwrap();
        Self { root: root.to_owned(), project, redis: None, limit: None }
    }

    /// The same, on the shared store at `url`, with this tenant.
    pub fn on_redis(self, url: &str, tenant: &str) -> Self {
        Self { redis: Some((url.to_owned(), tenant.to_owned())), ..self }
    }

    /// The same, with another limit for sessions.
    pub fn with_limit(self, limit: u64) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// A path in the home folder.
    #[allow(dead_code, reason = "for the benchmark of the server")]
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The environment of a hook: the client's variables, and the usual others.
    pub fn variables(&self) -> Vec<(&'static str, PathBuf)> {
        let mut variables = vec![
            ("HOME", self.root.clone()),
            ("FUSEBOX_STATE_DIR", self.root.join("state")),
            ("FUSEBOX_CACHE_DIR", self.root.join("cache")),
            ("CLAUDE_PROJECT_DIR", self.project.clone()),
            ("CLAUDE_PID", std::process::id().to_string().into()),
            ("CLAUDECODE", "1".into()),
            ("CLAUDE_CODE_ENTRYPOINT", "cli".into()),
            ("PWD", self.project.clone()),
            ("USER", "user".into()),
            ("LANG", "C.UTF-8".into()),
            ("TERM", "xterm-256color".into()),
            ("SHELL", "/bin/bash".into()),
            ("PATH", "/usr/local/bin:/usr/bin:/bin".into()),
        ];
        if let Some((url, tenant)) = &self.redis {
            variables.push(("FUSEBOX_STORE_REDIS_URL", url.into()));
            variables.push(("FUSEBOX_STORE_TENANT", tenant.into()));
        }
        if let Some(limit) = self.limit {
            variables.push(("FUSEBOX_BUDGET_SESSION_LIMIT", limit.to_string().into()));
        }
        variables
    }
}

/// The content of a message.
#[derive(Clone, Copy, PartialEq)]
pub enum Text {
    /// It calls a tool.
    ToolCall,
    /// It ends the turn.
    Answer,
}

/// A session of the user.
pub struct Session {
    pub home: Home,
    id: String,
    transcript: PathBuf,
    messages: u64,
}

impl Session {
    /// A session that has just made its first call.
    pub fn begin(home: Home) -> Self {
        Self::numbered(0, home)
    }

    /// The same; sessions with other numbers have other ids and messages.
    pub fn numbered(number: u64, home: Home) -> Self {
        let folder = home.root.join(".claude/projects/-project");
        fs::create_dir_all(&folder).unwrap();
        let id = format!("{SESSION}{number:04}");
        let transcript = folder.join(format!("{id}.jsonl"));
        let mut session = Self { id, transcript, home, messages: number * 1_000_000 };
        session.append(1, Text::ToolCall);
        session.call("SessionStart");
        session.read_to_end();
        session
    }

    /// The session id.
    #[allow(dead_code, reason = "for the benchmark of the shared store")]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The file with the payload.
    fn input(&self) -> PathBuf {
        self.home.root.join(format!("stdin-{}.json", self.id))
    }

    /// How to start a hook of this session.
    pub fn launch(&self) -> Launch {
        Launch { variables: self.home.variables(), folder: self.home.project.clone(), input: self.input() }
    }

    /// Omits the next message from the transcript: hooks about it find no line.
    pub fn hold_line_back(&mut self) {
        self.messages += 1;
    }

    /// Writes the payload of `event`, about the last message.
    pub fn write_input(&self, event: &str) {
        self.write_input_naming(event, &self.transcript);
    }

    /// The same, with a transcript that does not exist.
    pub fn write_input_without_transcript(&self, event: &str) {
        self.write_input_naming(event, &self.home.root.join("none.jsonl"));
    }

    fn write_input_naming(&self, event: &str, transcript: &Path) {
        let tool = json!({
            "tool_name": "Bash",
            // A new input each time: repetitions would trip the breaker.
            "tool_input": {"command": command(self.messages), "description": "Run the tests"},
            "tool_use_id": tool_id(self.messages),
        });
        let mut more = tool.clone();
        match event {
            "SessionStart" => more = json!({"source": "startup", "model": "claude-sonnet-4-5-20250929"}),
            "PreToolUse" => {}
            "PostToolUse" => {
                more["tool_response"] = json!({"stdout": words(self.messages, 2000), "stderr": "",
                    "interrupted": false, "isImage": false, "noOutputExpected": false});
                more["duration_ms"] = json!(32);
            }
            "PostToolBatch" => {
                let mut call = tool;
                call["tool_response"] = json!(words(self.messages, 2000));
                more = json!({"tool_calls": [call]});
            }
            "UserPromptSubmit" => more = json!({"prompt": words(self.messages, 200)}),
            "Stop" => {
                more = json!({"stop_hook_active": false, "last_assistant_message": answer(self.messages),
                    "background_tasks": [], "session_crons": []});
            }
            // What changes with each call is kept.
            "StatusLine" => {
                let used = (self.messages % 9_000) as f64 / 100.0;
                let resets_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 3600;
                more = json!({"model": {"id": "claude-sonnet-4-5-20250929", "display_name": "Sonnet 4.5"},
                    "cost": {"total_cost_usd": self.messages as f64 / 100.0},
                    "context_window": {"context_window_size": 200_000, "used_percentage": 31},
                    "rate_limits": {"five_hour": {"used_percentage": used, "resets_at": resets_at},
                        "seven_day": {"used_percentage": used, "resets_at": resets_at}}});
            }
            other => panic!("{other}: no payload for it"),
        }
        let mut payload = json!({
            "session_id": self.id,
            "transcript_path": transcript,
            "cwd": self.home.project,
            "prompt_id": "d93bc316-2159-439b-9221-dd58d18438b9",
            "permission_mode": "bypassPermissions",
            "hook_event_name": event,
        });
        payload.as_object_mut().unwrap().append(more.as_object_mut().unwrap());
        fs::write(self.input(), serde_json::to_vec(&payload).unwrap()).unwrap();
    }

    /// Appends `count` messages to the transcript.
    pub fn append(&mut self, count: usize, text: Text) {
        let mut file = self.append_to();
        for _ in 0..count {
            self.messages += 1;
            writeln!(file, "{}", message(&self.id, self.messages, text)).unwrap();
        }
        file.flush().unwrap();
    }

    /// Fills the transcript to about `bytes`: turns with a prompt snapshot (30 to 110 KB, as 2.1.330 writes them), and
    /// ten messages with a tool result each.
    pub fn fill(&mut self, bytes: u64) {
        let mut file = self.append_to();
        let mut written = 0;
        while written < bytes {
            let size = 30_000 + self.messages as usize * 7919 % 80_000;
            let mut lines = vec![line(
                &self.id,
                self.messages,
                json!({"type": "attachment", "attachment": {
                "type": "prompt_snapshot", "systemPrompt": [words(self.messages, size)], "reminderFold": false,
                "echoWireToolInputs": false, "contextRendering": "announced"}}),
            )];
            for _ in 0..10 {
                self.messages += 1;
                lines.push(message(&self.id, self.messages, Text::ToolCall));
                let content = words(self.messages, 4000);
                lines.push(line(
                    &self.id,
                    self.messages,
                    json!({"type": "user", "message": {"role": "user", "content": [{
                    "tool_use_id": tool_id(self.messages), "type": "tool_result", "content": content}]}}),
                ));
            }
            for line in lines {
                writeln!(file, "{line}").unwrap();
                written += line.to_string().len() as u64 + 1;
            }
        }
        file.flush().unwrap();
    }

    fn append_to(&self) -> BufWriter<File> {
        BufWriter::new(OpenOptions::new().create(true).append(true).open(&self.transcript).unwrap())
    }

    /// Calls post-tool-use until everything is read.
    pub fn read_to_end(&self) {
        let len = fs::metadata(&self.transcript).unwrap().len();
        // A hook reads 32 MB and stops after 1.5 s; what it recorded stays.
        for _ in 0..200 {
            self.call("PostToolUse");
            if self.offset() == Some(len) {
                return;
            }
        }
        panic!("{}: not read to its end, {:?} of {len} bytes", self.transcript.display(), self.offset());
    }

    /// Calls a hook with `event`, without measuring.
    pub fn call(&self, event: &str) {
        let program = match event {
            "SessionStart" => SESSION_EVENT,
            "UserPromptSubmit" => PROMPT_SUBMIT,
            _ => POST_TOOL_USE,
        };
        self.write_input(event);
        let done = spawn::command(spawn::built(program).as_ref(), &self.launch())
            .stderr(Stdio::inherit())
            .status()
            .unwrap();
        assert!(done.success(), "{program}: {done}");
    }

    /// Length of the store's write-ahead log.
    pub fn log_bytes(&self) -> u64 {
        fs::metadata(self.home.root.join("state/state.db-wal")).map_or(0, |meta| meta.len())
    }

    fn cache(&self) -> PathBuf {
        self.home.root.join("cache").join(format!("guardrails-{}.json", self.id))
    }

    fn read_cache(&self) -> Option<Value> {
        serde_json::from_slice(&fs::read(self.cache()).ok()?).ok()
    }

    fn offset(&self) -> Option<u64> {
        let cache = self.read_cache()?;
        cache["positions"][self.transcript.to_str()?]["offset"].as_u64()
    }

    /// Makes the cache `seconds` old.
    pub fn age_cache(&self, seconds: i64) {
        let mut cache = self.read_cache().expect("the session has a cache");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        cache["written"] = json!(now - seconds * 1000);
        fs::write(self.cache(), serde_json::to_vec(&cache).unwrap()).unwrap();
    }

    /// The failures recorded by hooks.
    pub fn journal(&self) -> String {
        fs::read_to_string(self.home.root.join("state/journal.jsonl")).unwrap_or_default()
    }

    /// Panics if a hook failed: failures are silent and fast, and would invalidate the row.
    pub fn check(&self) {
        let journal = self.journal();
        // The other sessions wait for lines that never come, which Fusebox notes.
        let failures: Vec<&str> =
            journal.lines().filter(|line| !line.contains("incomplete transcript")).collect();
        assert!(failures.is_empty(), "hooks failed while they were measured:\n{failures:#?}");
        let len = fs::metadata(&self.transcript).unwrap().len();
        assert_eq!(self.offset(), Some(len), "{}: not read to its end", self.transcript.display());
    }
}

fn command(message: u64) -> String {
    format!("cargo test --test part_{message}")
}

fn tool_id(message: u64) -> String {
    format!("toolu_01Bench{message:014}")
}

fn answer(message: u64) -> String {
    format!("All done, for the {message}th time.")
}

/// An assistant's line, with tokens far below any limit.
fn message(id: &str, number: u64, text: Text) -> Value {
    let (content, reason) = match text {
        Text::Answer => (json!({"type": "text", "text": answer(number)}), "end_turn"),
        Text::ToolCall => {
            let input = json!({"command": command(number), "description": words(number, 300)});
            (json!({"type": "tool_use", "id": tool_id(number), "name": "Bash", "input": input}), "tool_use")
        }
    };
    let usage = json!({"input_tokens": 1, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 20_000,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}, "output_tokens": 3,
        "service_tier": "standard"});
    line(
        id,
        number,
        json!({"type": "assistant", "requestId": format!("req_011Bench{number:014}"), "message": {
            "id": format!("msg_01Bench{number:014}"), "type": "message", "role": "assistant",
            "model": "claude-sonnet-4-5-20250929", "content": [content], "stop_reason": reason,
            "stop_sequence": null, "usage": usage}}),
    )
}

/// A line with the common fields.
fn line(id: &str, number: u64, mut own: Value) -> Value {
    let (hours, minutes, seconds) = (number / 3600 % 24, number / 60 % 60, number % 60);
    let mut line = json!({
        "parentUuid": format!("00000000-0000-4000-8000-{:012x}", number.saturating_sub(1)),
        "isSidechain": false,
    });
    line.as_object_mut().unwrap().append(own.as_object_mut().unwrap());
    let mut tail = json!({
        "uuid": format!("00000000-0000-4000-8000-{number:012x}"),
        "timestamp": format!("2026-11-22T{hours:02}:{minutes:02}:{seconds:02}.000Z"),
        "userType": "external", "entrypoint": "cli", "cwd": "/home/user/project", "sessionId": id,
        "version": "2.1.330", "gitBranch": "main",
    });
    line.as_object_mut().unwrap().append(tail.as_object_mut().unwrap());
    line
}

/// Text of about `bytes` bytes that depends on `seed`.
fn words(seed: u64, bytes: usize) -> String {
    const WORDS: [&str; 16] = [
        "cargo",
        "test",
        "running",
        "passed",
        "warning:",
        "unused",
        "variable",
        "error",
        "src/lib.rs",
        "thread",
        "expected",
        "\"found\"",
        "the",
        "of",
        "and",
        "\n    ",
    ];
    let mut text = String::with_capacity(bytes + 16);
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    while text.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(WORDS[(state >> 60) as usize]);
        text.push(' ');
    }
    text
}
