//! Clients that write transcripts: late, torn, with several lines per message, with forks, compactions and totals.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::count::{CountedSession, records};
use crate::random::Random;

pub const MODELS: [&str; 3] = ["claude-opus-5", "claude-sonnet-5", "claude-haiku-4-5"];
pub const AGENT_TYPES: [&str; 3] = ["explorer", "reviewer", "writer"];

/// A process that represents a client, so that hooks see a running one.
pub struct Process(Child);

impl Process {
    pub fn start() -> Self {
        // It ends with its standard input, so it never outlives the test.
        let child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        Self(child)
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The messages that a session's files held when a hook first saw it, by their keys in the count.
#[derive(Default)]
pub struct Held {
    /// Those that they certainly held.
    pub surely: BTreeSet<String>,
    /// Those that they may have held: a killed hook may have seen it or not.
    pub perhaps: BTreeSet<String>,
    /// A hook was called, or a command may have read its files.
    pub tried: bool,
    /// A hook surely saw it.
    pub seen: bool,
}

/// A session, and what its client has not written yet.
pub struct Session {
    pub id: String,
    /// The machine that it runs on.
    pub machine: usize,
    pub project: PathBuf,
    pub transcript: PathBuf,
    /// Id and type of its subagents.
    pub agents: Vec<(String, String)>,
    pub client: Option<Process>,
    /// It was forked, or is a fork.
    pub related: bool,
    pub compacted: bool,
    /// One of its clients was killed: lines are lost.
    pub killed: bool,
    /// Its client wrote its total and is gone for good.
    pub retired: bool,
    /// The last tool call, and the last one of each agent (`None`: the main one), written or not.
    pub last_tool: String,
    pub last_tools: BTreeMap<Option<usize>, String>,
    /// The texts that hooks were told of: each ends one turn.
    pub ended: BTreeSet<String>,
    /// Its transcript is not where it should be: nothing is written.
    pub hidden: bool,
    /// A hook completed while the store was there, and the store was not replaced since.
    pub in_store: bool,
    /// The same, and its cache was kept since.
    pub in_cache: bool,
    /// What its files held when a hook first saw it.
    pub held: Held,
    buffers: BTreeMap<PathBuf, Vec<u8>>,
}

impl Session {
    pub fn new(id: &str, project: PathBuf, transcript: PathBuf) -> Self {
        Self {
            id: id.into(),
            machine: 0,
            project,
            transcript,
            agents: vec![],
            client: Some(Process::start()),
            related: false,
            compacted: false,
            killed: false,
            retired: false,
            last_tool: "toolu_none".into(),
            last_tools: BTreeMap::new(),
            ended: BTreeSet::new(),
            hidden: false,
            in_store: false,
            in_cache: false,
            held: Held::default(),
            buffers: BTreeMap::new(),
        }
    }

    /// The same, on another machine.
    pub fn on(self, machine: usize) -> Self {
        Self { machine, ..self }
    }

    /// If both the store and the cache were lost, the next hook sees it for the first time again. So it does if only
    /// the cache was lost, and the store has none of its messages.
    pub fn note_loss(&mut self) {
        if !self.in_cache && (!self.in_store || self.held.perhaps.is_empty()) {
            self.held.seen = false;
            self.held.surely.clear();
        }
    }

    /// Whether its client is running.
    pub fn is_live(&self) -> bool {
        self.client.is_some()
    }

    /// What the count needs to know of it.
    pub fn counted(&self) -> CountedSession<'_> {
        let project = self.project.canonicalize().unwrap_or_default().to_string_lossy().into_owned();
        CountedSession { id: &self.id, transcript: self.transcript.clone(), project }
    }

    /// Whether any of its files exists.
    pub fn has_written(&self) -> bool {
        self.files().iter().any(|file| file.exists())
    }

    pub fn agent_file(&self, agent: &str) -> PathBuf {
        self.transcript.with_extension("").join("subagents").join(format!("agent-{agent}.jsonl"))
    }

    /// Its files.
    pub fn files(&self) -> Vec<PathBuf> {
        let agents = self.agents.iter().map(|(id, _)| self.agent_file(id));
        std::iter::once(self.transcript.clone()).chain(agents).collect()
    }

    /// Starts a subagent.
    pub fn start_agent(&mut self, id: &str, agent_type: &str) {
        let meta = self.agent_file(id).with_extension("meta.json");
        fs::create_dir_all(meta.parent().unwrap()).unwrap();
        fs::write(meta, json!({"agentType": agent_type}).to_string()).unwrap();
        self.agents.push((id.into(), agent_type.into()));
    }

    /// Adds a response of several lines to the buffer of its file.
    pub fn respond(&mut self, random: &mut Random, agent: Option<usize>, serial: u64, now: i64) {
        let file = agent.map_or_else(|| self.transcript.clone(), |a| self.agent_file(&self.agents[a].0));
        let model = *random.pick(&MODELS);
        let blocks = random.within(1, 4);
        let kind = random.weighted(&[
            (60, "plain"),
            (15, "growing"),
            (10, "cut"),
            (8, "failed"),
            (7, "stopped late"),
        ]);
        let long = random.within(0, 1) * random.within(0, 300);
        let output = if kind == "cut" || kind == "failed" { 1 } else { random.within(2, 900) };
        let write = long + random.within(0, 400);
        let (input, read) = (random.within(1, 1500), random.within(0, 5000));
        for block in 1..=blocks {
            let last = block == blocks;
            let output = if kind == "growing" { (output * block / blocks).max(1) } else { output };
            let stop = match kind {
                "plain" | "failed" => json!("tool_use"),
                "growing" | "stopped late" if last => json!("end_turn"),
                _ => Value::Null,
            };
            let content = if random.chance(50) {
                self.last_tool = format!("toolu_{serial}_{block}");
                self.last_tools.insert(agent, self.last_tool.clone());
                let input = "x".repeat(random.below(90));
                json!({"type": "tool_use", "id": self.last_tool, "name": "Bash", "input": {"command": input}})
            } else {
                let text = format!("text {serial} {block} {}", "ü".repeat(random.below(120)));
                json!({"type": "text", "text": text})
            };
            self.line(&file, &json!({
                "type": "assistant", "uuid": format!("line-{serial}-{block}"), "requestId": format!("req_{serial}"),
                "sessionId": self.id, "timestamp": rfc3339(now + i64::try_from(block).unwrap()),
                "isSidechain": agent.is_some(),
                "message": {
                    "id": format!("msg_{serial}"), "role": "assistant", "model": model, "stop_reason": stop,
                    "content": [content],
                    "usage": {"input_tokens": input, "output_tokens": output, "cache_creation_input_tokens": write,
                        "cache_creation": {"ephemeral_1h_input_tokens": long,
                            "ephemeral_5m_input_tokens": write - long},
                        "cache_read_input_tokens": read},
                },
            }));
            if random.chance(20) {
                // A tool result: no usage, only a date.
                self.line(&file, &json!({"type": "user", "uuid": format!("result-{serial}-{block}"),
                    "sessionId": self.id, "timestamp": rfc3339(now), "message": {"role": "user", "content": "done"}}));
            }
        }
        if kind == "failed" {
            self.line(
                &file,
                &json!({"type": "assistant", "uuid": format!("error-{serial}"), "sessionId": self.id,
                "timestamp": rfc3339(now + 9), "isApiErrorMessage": true,
                "message": {"id": format!("error-{serial}"), "model": "<synthetic>", "content": [],
                    "usage": {"input_tokens": 0, "output_tokens": 0}}}),
            );
        }
    }

    /// Adds a compaction.
    pub fn compact(&mut self, random: &mut Random, serial: u64, now: i64) {
        let line = json!({"type": "system", "subtype": "compact_boundary", "uuid": format!("compact-{serial}"),
            "sessionId": self.id, "timestamp": rfc3339(now),
            "compactMetadata": {"trigger": "auto", "preTokens": random.within(100, 9000)}});
        self.line(&self.transcript.clone(), &line);
        self.compacted = true;
    }

    /// Adds the client's own total.
    pub fn total(&mut self, run: i64, models: &BTreeMap<String, [u64; 5]>) {
        let of = |t: &[u64; 5]| {
            json!({"inputTokens": t[0], "outputTokens": t[1], "cacheCreationInputTokens": t[2] + t[3],
                "cacheCreationEphemeral5mInputTokens": t[2], "cacheCreationEphemeral1hInputTokens": t[3],
                "cacheReadInputTokens": t[4]})
        };
        let usage: serde_json::Map<String, Value> = models.iter().map(|(m, t)| (m.clone(), of(t))).collect();
        let line = json!({"type": "cost-state", "sessionId": self.id, "startTime": run, "modelUsage": usage});
        self.line(&self.transcript.clone(), &line);
    }

    fn line(&mut self, file: &Path, line: &Value) {
        let mut line = line.clone();
        line["cwd"] = json!(self.project);
        let buffer = self.buffers.entry(file.to_owned()).or_default();
        buffer.extend_from_slice(line.to_string().as_bytes());
        buffer.push(b'\n');
    }

    /// Writes the buffer; `torn`: only a part of it, which may end anywhere.
    pub fn flush(&mut self, torn: Option<&mut Random>) {
        if self.hidden {
            return;
        }
        let mut torn = torn;
        for (file, buffer) in &mut self.buffers {
            let part = torn.as_mut().map_or(buffer.len(), |random| random.below(buffer.len() + 1));
            append(file, &buffer[..part]);
            buffer.drain(..part);
        }
    }

    /// The last tool call, or the last text, in the file of an agent.
    pub fn shown(&self, agent: Option<usize>, block: &str, field: &str) -> Option<String> {
        let file = agent.map_or_else(|| self.transcript.clone(), |a| self.agent_file(&self.agents[a].0));
        let bytes = fs::read(file).unwrap_or_default();
        let whole = bytes.iter().rposition(|b| *b == b'\n')?;
        let of_record = |record: Value| {
            let content = record["message"]["content"].as_array()?.first()?.clone();
            (content["type"] == block).then(|| content[field].as_str().map(str::to_owned)).flatten()
        };
        let lines = bytes[..whole].rsplit(|b| *b == b'\n');
        lines.flat_map(|line| records(line).into_iter().rev()).find_map(of_record)
    }

    /// Kills the client: unwritten data is lost.
    pub fn kill(&mut self) {
        self.client = None;
        self.killed = true;
        self.buffers.clear();
    }

    /// The lines of its transcript as copied by a fork's client.
    pub fn copied(&self, fork: &str) -> Vec<u8> {
        let bytes = fs::read(&self.transcript).unwrap_or_default();
        let mut copy = Vec::new();
        for line in String::from_utf8_lossy(&bytes).lines() {
            let Ok(mut line) = serde_json::from_str::<Value>(line) else { continue };
            if line["requestSessionId"].is_null() {
                line["requestSessionId"] = json!(self.id);
            }
            line["sessionId"] = json!(fork);
            copy.extend_from_slice(format!("{line}\n").as_bytes());
        }
        copy
    }
}

pub fn append(file: &Path, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
    file.write_all(bytes).unwrap();
}

/// A time as in transcript lines.
pub fn rfc3339(ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms).unwrap().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}
