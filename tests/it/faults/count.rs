//! The independent count: the usage in the transcripts, without the product's code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Input, output, cache writes of 5 minutes and of 1 hour, cache reads.
pub type Tokens = [u64; 5];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MessageKind {
    #[default]
    Response,
    Compaction,
    /// Usage in a client's total beyond the lines.
    Unlisted,
}

/// One message, according to its lines.
#[derive(Clone, Debug, Default)]
pub struct Message {
    pub kind: MessageKind,
    pub model: String,
    pub agent_type: String,
    pub at: i64,
    pub project: String,
    pub sessions: BTreeSet<String>,
    recorded: Tokens,
    stopped: bool,
    error_followed: bool,
    settled: bool,
    exact: Option<Tokens>,
    visible: BTreeMap<String, u64>,
    pub tools: BTreeSet<String>,
}

impl Message {
    /// The tokens charged.
    pub fn tokens(&self) -> Tokens {
        if let Some(exact) = self.exact {
            return exact;
        }
        let [input, output, short, long, read] = self.recorded;
        let cut = !self.stopped || (self.error_followed && output <= 1);
        let seen = self.visible.values().sum::<u64>() / 4;
        let output = if cut && !self.settled && self.kind == MessageKind::Response {
            output.max(seen)
        } else {
            output
        };
        [input, output, short, long, read]
    }

    pub fn is_estimated(&self) -> bool {
        match self.kind {
            MessageKind::Response => self.tokens() != self.recorded,
            MessageKind::Compaction => self.exact.is_none(),
            MessageKind::Unlisted => false,
        }
    }

    /// The tokens on its lines.
    pub fn listed(&self) -> Tokens {
        self.recorded
    }

    /// The price in nano-dollars.
    pub fn nano_usd(&self) -> u64 {
        let rates = match self.model.as_str() {
            "claude-opus-5" => [5000, 25_000, 6250, 10_000, 500],
            "claude-sonnet-5" => [2000, 10_000, 2500, 4000, 200],
            "claude-haiku-4-5" => [1000, 5000, 1250, 2000, 100],
            // A compaction before any response: the dearest.
            _ => [15_000, 75_000, 18_750, 30_000, 1500],
        };
        self.tokens().iter().zip(rates).map(|(tokens, rate): (&u64, u64)| tokens * rate).sum()
    }

    pub fn requests(&self) -> u64 {
        u64::from(self.kind != MessageKind::Unlisted)
    }
}

/// A session whose files are counted.
pub struct CountedSession<'a> {
    pub id: &'a str,
    pub transcript: PathBuf,
    pub project: String,
}

/// The messages in the files of these sessions, each once.
#[derive(Default)]
pub struct Count {
    pub messages: BTreeMap<String, Message>,
}

impl Count {
    pub fn from_sessions(sessions: &[CountedSession]) -> Self {
        let mut count = Self::default();
        for session in sessions {
            let mut totals = BTreeMap::new();
            for (file, agent_type) in files(&session.transcript) {
                count.file(&file, &agent_type, session, &mut totals);
            }
            for (model, (run, at, total)) in totals {
                count.settle(session, &model, &run, at, total);
            }
        }
        count
    }

    fn file(
        &mut self,
        file: &Path,
        agent_type: &str,
        session: &CountedSession,
        totals: &mut BTreeMap<String, (String, i64, Tokens)>,
    ) {
        let bytes = fs::read(file).unwrap_or_default();
        // Text after the last newline is not a complete line.
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
        let (mut last, mut last_model, mut latest) = (None, String::new(), 0);
        let mut begun = BTreeSet::new();
        for line in bytes[..whole].split(|b| *b == b'\n').flat_map(records) {
            let own = line["timestamp"]
                .as_str()
                .map(|at| chrono::DateTime::parse_from_rfc3339(at).unwrap().timestamp_millis());
            // An earlier line does not date what has no date.
            latest = latest.max(own.unwrap_or(0));
            let last_at = own.unwrap_or(latest);
            let uuid = line["uuid"].as_str().unwrap_or_default();
            match line["type"].as_str() {
                Some("assistant") if line["message"]["model"] == "<synthetic>" => {
                    if let Some(key) = last.as_ref().filter(|_| line["isApiErrorMessage"] == true) {
                        self.messages.get_mut(key).unwrap().error_followed = true;
                    }
                }
                Some("assistant") => {
                    let key = format!("{} {}", line["message"]["id"], line["requestId"]);
                    let model = line["message"]["model"].as_str().unwrap().to_owned();
                    let known = self.put(&key, MessageKind::Response, &model, agent_type, last_at, session);
                    known.response(&line, uuid);
                    begun.extend(uuid.ends_with("-1").then(|| key.clone()));
                    // A copy that lost its first line counts for no session.
                    if begun.contains(&key) {
                        known.sessions.insert(session.id.to_owned());
                    }
                    (last, last_model) = (Some(key), model);
                }
                Some("system") if line["subtype"] == "compact_boundary" => {
                    let read = line["compactMetadata"]["preTokens"].as_u64().unwrap();
                    let known =
                        self.put(uuid, MessageKind::Compaction, &last_model, agent_type, last_at, session);
                    known.recorded[4] = known.recorded[4].max(read);
                    known.sessions.insert(session.id.to_owned());
                }
                Some("cost-state") => {
                    for (model, usage) in line["modelUsage"].as_object().unwrap() {
                        let of = |name: &str| usage[name].as_u64().unwrap();
                        let total = [
                            of("inputTokens"),
                            of("outputTokens"),
                            of("cacheCreationEphemeral5mInputTokens"),
                            of("cacheCreationEphemeral1hInputTokens"),
                            of("cacheReadInputTokens"),
                        ];
                        totals.insert(model.clone(), (line["startTime"].to_string(), last_at, total));
                    }
                }
                _ => {}
            }
        }
    }

    fn put(
        &mut self,
        key: &str,
        kind: MessageKind,
        model: &str,
        agent_type: &str,
        at: i64,
        session: &CountedSession,
    ) -> &mut Message {
        let known = self.messages.entry(key.to_owned()).or_insert_with(|| Message {
            kind,
            at,
            model: model.to_owned(),
            agent_type: agent_type.to_owned(),
            project: session.project.clone(),
            ..Message::default()
        });
        known.at = known.at.min(at);
        // A compaction has the model of the response before it, which may differ between files that contain it: the
        // smallest name counts.
        if known.model.is_empty() || !model.is_empty() && model < known.model.as_str() {
            model.clone_into(&mut known.model);
        }
        known
    }

    /// A client's own total, of a session that is no fork, has none, and was compacted at most once. Usage beyond the
    /// lines is the compaction's, or else unlisted.
    fn settle(&mut self, session: &CountedSession, model: &str, run: &str, at: i64, total: Tokens) {
        let of_model = |m: &&mut Message| m.model == model && m.sessions.contains(session.id);
        let mut rest = total;
        let mut compaction = None;
        for message in self.messages.values_mut().filter(of_model) {
            match message.kind {
                MessageKind::Response => {
                    message.settled = true;
                    rest.iter_mut().zip(message.recorded).for_each(|(rest, listed)| *rest -= listed);
                }
                _ => compaction = Some(message),
            }
        }
        match compaction {
            Some(message) => message.exact = Some(rest),
            None => {
                let key = format!("run {run} {model}");
                let unlisted = self.put(&key, MessageKind::Unlisted, model, "main", at, session);
                unlisted.exact = Some(rest);
                unlisted.sessions.insert(session.id.to_owned());
            }
        }
    }

    /// The messages of one session.
    pub fn of_session(&self, id: &str) -> impl Iterator<Item = &Message> {
        self.messages.values().filter(move |m| m.sessions.contains(id))
    }
}

impl Message {
    fn response(&mut self, line: &Value, uuid: &str) {
        let usage = &line["message"]["usage"];
        let of = |name: &str| usage[name].as_u64().unwrap_or(0);
        let long = usage["cache_creation"]["ephemeral_1h_input_tokens"].as_u64().unwrap_or(0);
        let line_says = [
            of("input_tokens"),
            of("output_tokens"),
            of("cache_creation_input_tokens") - long,
            long,
            of("cache_read_input_tokens"),
        ];
        self.recorded.iter_mut().zip(line_says).for_each(|(known, said)| *known = (*known).max(said));
        self.stopped |= line["message"]["stop_reason"].is_string();
        let mut visible = 0;
        for block in line["message"]["content"].as_array().unwrap() {
            visible += block["text"].as_str().map_or(0, |text| text.chars().count());
            if block["type"] == "tool_use" {
                visible += block["input"].to_string().chars().count();
                self.tools.insert(block["id"].as_str().unwrap().to_owned());
            }
        }
        self.visible.insert(uuid.to_owned(), visible as u64);
    }
}

/// The records of a line: more than one, or one after a torn one, if a client was killed within its line.
pub fn records(line: &[u8]) -> Vec<Value> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = line[at..].windows(2).position(|bytes| bytes == b"{\"").map(|start| at + start) {
        let mut read = serde_json::Deserializer::from_slice(&line[start..]).into_iter::<Value>();
        let record = read.next().and_then(Result::ok);
        let end = start + read.byte_offset();
        // A part of a torn record has no type that counts.
        match record.filter(|_| matches!(line.get(end), None | Some(b'{'))) {
            Some(record) => {
                found.push(record);
                at = end;
            }
            None => at = start + 1,
        }
    }
    found
}

/// The files of a session and their agents: its transcript, and those of its subagents.
fn files(transcript: &Path) -> Vec<(PathBuf, String)> {
    let mut found = vec![(transcript.to_owned(), "main".to_owned())];
    let agents = fs::read_dir(transcript.with_extension("").join("subagents"));
    for path in agents.into_iter().flatten().map(|entry| entry.unwrap().path()) {
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            let meta = fs::read(path.with_extension("meta.json")).unwrap();
            let meta: Value = serde_json::from_slice(&meta).unwrap();
            found.push((path, meta["agentType"].as_str().unwrap().to_owned()));
        }
    }
    found
}
