//! A made-up history of a client, with known sums. Sizes of files and shares of lines are those of real histories.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use fusebox::domain::time::Timestamp;
use serde_json::{Value, json};

use crate::random::Random;

/// Sizes of real files (3,142 files, 1.2 GiB), by their rank.
const SIZES: [(f64, f64); 7] = [
    (0.0, 236.0),
    (0.5, 105_267.0),
    (0.75, 233_572.0),
    (0.9, 653_972.0),
    (0.95, 1_504_757.0),
    (0.99, 5_383_751.0),
    (1.0, 87_033_471.0),
];

/// Models whose prices both programs know.
const MODELS: [&str; 5] = [
    "claude-opus-4-6",
    "claude-sonnet-4-6",
    "claude-opus-4-7",
    "claude-sonnet-4-5-20250929",
    "claude-haiku-4-5-20251001",
];

/// The first day of the history, and the days in which sessions begin.
const START: &str = "2026-06-01T00:00:00Z";
const DAYS: u64 = 100;

/// Sessions that may be forked have at most this many bytes.
const MAX_FORKED: usize = 1_000_000;

/// Tokens of a model on one day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    pub input: u64,
    pub output: u64,
    pub cache_write_5m: u64,
    pub cache_write_1h: u64,
    pub cache_read: u64,
}

/// Tokens by day (UTC) and model.
pub type Sums = BTreeMap<(String, String), Tokens>;

/// The corpus.
pub struct Corpus {
    random: Random,
    pool: String,
    folder: PathBuf,
    pub sums: Sums,
    pub files: usize,
    pub bytes: u64,
    pub messages: u64,
}

/// A file that is being written.
struct Session {
    out: BufWriter<File>,
    written: usize,
    /// What was written, as long as it is short: a fork copies it.
    text: String,
    id: String,
    agent: Option<String>,
    model: &'static str,
    now: Timestamp,
    parent: Option<String>,
    /// Tokens of the conversation so far.
    context: u64,
    /// Whether the cache is written for an hour.
    is_long_cache: bool,
}

impl Corpus {
    /// Writes a corpus of at least `bytes` to `folder`, a client's folder. The same seed writes the same.
    pub fn write(folder: &Path, bytes: u64, seed: u64) -> Self {
        let mut corpus = Self {
            random: Random(seed),
            pool: String::new(),
            folder: folder.join("projects"),
            sums: Sums::new(),
            files: 0,
            bytes: 0,
            messages: 0,
        };
        corpus.pool = corpus.random.words(2_000_000);
        let mut project = String::new();
        let mut last: Option<(String, String)> = None;
        while corpus.bytes < bytes {
            // No file is most of a small corpus.
            let size = file_size(&mut corpus.random).min(bytes as f64 / 8.0) as usize;
            let id = corpus.random.uuid();
            let forked = last.take().filter(|_| corpus.random.chance(10));
            if forked.is_none() {
                project = format!("proj{:03}", corpus.random.below(125));
            }
            let folder = corpus.folder.join(format!("-home-dev-src-{project}"));
            let mut session = corpus.begin(&folder.join(format!("{id}.jsonl")), id.clone(), None);
            if let Some((origin, text)) = forked {
                // A fork begins with the lines of its origin, which count once.
                session.write(&text.replace(&origin, &id));
            }
            let start = session.now;
            corpus.fill(&mut session, size, &project);
            last = Some((id.clone(), session.text)).filter(|(_, text)| !text.is_empty());
            let agents = if corpus.random.chance(25) { corpus.random.within(1, 6) } else { 0 };
            for _ in 0..agents {
                let size = file_size(&mut corpus.random).min(3e6).min(bytes as f64 / 8.0) as usize;
                let agent = corpus.random.uuid().replace('-', "")[..17].to_owned();
                let path = folder.join(&id).join(format!("subagents/agent-{agent}.jsonl"));
                let mut session = corpus.begin(&path, id.clone(), Some(agent));
                session.now = start.plus_millis(corpus.random.within(60_000, 3_600_000).cast_signed());
                corpus.fill(&mut session, size, &project);
            }
        }
        corpus
    }

    fn begin(&mut self, path: &Path, id: String, agent: Option<String>) -> Session {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        self.files += 1;
        let random = &mut self.random;
        let start = Timestamp::parse(START).unwrap();
        Session {
            out: BufWriter::new(File::create(path).unwrap()),
            written: 0,
            text: String::new(),
            id,
            model: MODELS[random.below(MODELS.len() as u64) as usize],
            now: start.plus_millis(random.below(DAYS * 86_400_000).cast_signed()),
            parent: None,
            context: random.within(12_000, 24_000),
            is_long_cache: agent.is_none() && random.chance(60),
            agent,
        }
    }

    /// Writes turns until the file has `size` bytes.
    fn fill(&mut self, session: &mut Session, size: usize, project: &str) {
        let folder = format!("/home/dev/src/{project}");
        self.prompt(session, &folder);
        while session.written < size {
            let is_last = self.random.chance(8);
            let calls = self.response(session, &folder, is_last);
            for call in calls {
                self.result(session, &folder, &call);
            }
            if is_last {
                session.pass(self.random.within(5_000, 1_800_000));
                self.snapshot(session, &folder);
                self.prompt(session, &folder);
            }
        }
        session.out.flush().unwrap();
        self.bytes += session.written as u64;
    }

    fn prompt(&mut self, session: &mut Session, folder: &str) {
        let text = self.text(20, 3_000);
        let own = json!({"type": "user", "message": {"role": "user", "content": text}});
        self.line(session, folder, own);
        session.pass(self.random.within(200, 4_000));
    }

    /// Lines that are not about usage: the client writes a state of the files each turn, and rarely its whole prompt.
    fn snapshot(&mut self, session: &mut Session, folder: &str) {
        let id = self.random.uuid();
        let files = json!({"type": "file-history-snapshot", "messageId": id, "isSnapshotUpdate": false,
            "snapshot": {"messageId": id, "trackedFileBackups": {}, "timestamp": session.date()}});
        session.write(&format!("{files}\n"));
        let own = json!({"type": "system", "subtype": "turn_duration", "durationMs": 4711, "isMeta": false});
        self.line(session, folder, own);
        if self.random.chance(5) {
            let prompt = self.text(30_000, 110_000);
            let own = json!({"type": "attachment", "attachment": {"type": "prompt_snapshot",
                "systemPrompt": [prompt], "reminderFold": false}});
            self.line(session, folder, own);
        }
    }

    /// A response, with a line per block. Returns the ids of its calls.
    fn response(&mut self, session: &mut Session, folder: &str, is_last: bool) -> Vec<String> {
        let mut blocks = Vec::new();
        let mut calls = Vec::new();
        if self.random.chance(45) {
            let thinking = if self.random.chance(30) { self.text(100, 1_800) } else { "" };
            let thinking = thinking.to_owned();
            let length = self.random.within(200, 1_200) as usize;
            blocks.push(
                json!({"type": "thinking", "thinking": thinking, "signature": self.random.id("E", length)}),
            );
        }
        if is_last || self.random.chance(50) {
            blocks.push(json!({"type": "text", "text": self.text(50, 1_800)}));
        }
        let count = match self.random.below(100) {
            _ if is_last => 0,
            0..80 => 1,
            _ => self.random.within(2, 4),
        };
        for _ in 0..count {
            let id = self.random.id("toolu_01", 22);
            let file = format!("{folder}/src/lib.rs");
            let (name, input) = match self.random.below(100) {
                0..50 => ("Bash", json!({"command": self.text(20, 300), "description": self.text(40, 41)})),
                50..75 => ("Read", json!({"file_path": file})),
                75..92 => {
                    let (old, new) = (self.text(100, 2_000).to_owned(), self.text(100, 2_000));
                    (
                        "Edit",
                        json!({"replace_all": false, "file_path": file, "old_string": old, "new_string": new}),
                    )
                }
                _ => ("Write", json!({"file_path": file, "content": self.text(500, 9_000)})),
            };
            blocks.push(json!({"type": "tool_use", "id": id, "name": name, "input": input}));
            calls.push(id);
        }
        let new = self.random.within(150, 4_000);
        let written: usize = blocks.iter().map(|block| block.to_string().len()).sum();
        let output = written as u64 / 4 + self.random.within(5, 400);
        let (short, long) = if session.is_long_cache { (0, new) } else { (new, 0) };
        let tokens = Tokens {
            input: self.random.within(1, 8),
            output,
            cache_write_5m: short,
            cache_write_1h: long,
            cache_read: session.context,
        };
        session.context += new;
        if session.context > 165_000 {
            session.context = self.random.within(18_000, 40_000);
        }
        self.count(session, tokens);
        // Older clients write what is known at the time of each line, later ones the sums on all lines.
        let is_partial = self.random.chance(50);
        let (id, request) = (self.random.id("msg_01", 22), self.random.id("req_011C", 20));
        let last = blocks.len() - 1;
        for (index, block) in blocks.into_iter().enumerate() {
            let output = if is_partial && index < last { self.random.within(1, 11) } else { output };
            let reason = (index == last).then_some(if is_last { "end_turn" } else { "tool_use" });
            let usage = json!({"input_tokens": tokens.input, "cache_creation_input_tokens": new,
                "cache_read_input_tokens": tokens.cache_read, "output_tokens": output,
                "server_tool_use": {"web_search_requests": 0, "web_fetch_requests": 0}, "service_tier": "standard",
                "cache_creation": {"ephemeral_1h_input_tokens": long, "ephemeral_5m_input_tokens": short},
                "inference_geo": "", "iterations": [], "speed": "standard"});
            let own = json!({"message": {"model": session.model, "id": id, "type": "message", "role": "assistant",
                "content": [block], "stop_reason": reason, "stop_sequence": null, "stop_details": null,
                "usage": usage}, "requestId": request, "type": "assistant"});
            self.line(session, folder, own);
        }
        session.pass(self.random.within(500, 15_000));
        calls
    }

    fn count(&mut self, session: &Session, tokens: Tokens) {
        self.messages += 1;
        let sum = self.sums.entry((session.date()[..10].to_owned(), session.model.to_owned())).or_default();
        sum.input += tokens.input;
        sum.output += tokens.output;
        sum.cache_write_5m += tokens.cache_write_5m;
        sum.cache_write_1h += tokens.cache_write_1h;
        sum.cache_read += tokens.cache_read;
    }

    /// The result of a call: twice, as the model gets it and as the client shows it.
    fn result(&mut self, session: &mut Session, folder: &str, call: &str) {
        let most = if self.random.chance(10) { 60_000 } else { 5_000 };
        let text = self.text(50, most).to_owned();
        let shown = json!({"stdout": text, "stderr": "", "interrupted": false, "isImage": false});
        let own = json!({"type": "user", "message": {"role": "user", "content": [{"tool_use_id": call,
            "type": "tool_result", "content": text, "is_error": false}]}, "toolUseResult": shown});
        session.context += text.len() as u64 / 4;
        self.line(session, folder, own);
        session.pass(self.random.within(30, 20_000));
    }

    /// Writes a line with the common fields.
    fn line(&mut self, session: &mut Session, folder: &str, mut own: Value) {
        let id = self.random.uuid();
        let mut line = json!({"parentUuid": session.parent, "isSidechain": session.agent.is_some()});
        if let Some(agent) = &session.agent {
            line["agentId"] = json!(agent);
        }
        let mut tail = json!({"uuid": id, "timestamp": session.date(), "userType": "external", "entrypoint": "cli",
            "cwd": folder, "sessionId": session.id, "version": "2.1.139", "gitBranch": "main"});
        for part in [&mut own, &mut tail] {
            line.as_object_mut().unwrap().append(part.as_object_mut().unwrap());
        }
        session.parent = Some(id);
        session.write(&format!("{line}\n"));
    }

    fn text(&mut self, least: u64, most: u64) -> &str {
        let length = self.random.within(least, most - 1) as usize;
        let start = self.random.below((self.pool.len() - length) as u64) as usize;
        let (start, end) =
            (self.pool.floor_char_boundary(start), self.pool.floor_char_boundary(start + length));
        &self.pool[start..end]
    }
}

impl Session {
    fn write(&mut self, text: &str) {
        self.out.write_all(text.as_bytes()).unwrap();
        self.written += text.len();
        if self.agent.is_none() && self.written <= MAX_FORKED {
            self.text += text;
        } else {
            self.text.clear();
        }
    }

    fn pass(&mut self, millis: u64) {
        self.now = self.now.plus_millis(millis.cast_signed());
    }

    fn date(&self) -> String {
        self.now.utc().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
    }
}

/// A file's size in bytes, distributed as in [`SIZES`].
fn file_size(random: &mut Random) -> f64 {
    let rank = random.below(1 << 32) as f64 / (1u64 << 32) as f64;
    let pair = SIZES.windows(2).find(|pair| rank < pair[1].0).unwrap();
    let ((low, least), (high, most)) = (pair[0], pair[1]);
    (least + (most - least) * (rank - low) / (high - low)).max(2_000.0)
}
