//! A second counter, written without the product's code: applies the rules to a session's files.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::test_store::{SessionFiles, Sum};

#[derive(Default)]
struct Response {
    model: String,
    sum: Sum,
    stopped: bool,
    error_followed: bool,
    visible: usize,
}

/// The usage in some files.
#[derive(Default)]
pub struct NaiveCount {
    /// By the first line of each: message id, date and content.
    responses: BTreeMap<[String; 3], Response>,
    blocks: BTreeSet<String>,
    tools: BTreeSet<String>,
    compactions: BTreeMap<String, u64>,
    /// The client's last total, by model.
    totals: BTreeMap<String, Sum>,
}

/// The lines of one file so far, each with its message.
#[derive(Default)]
struct FileLines(Vec<(Value, [String; 3])>);

impl FileLines {
    /// The message of a line: that of the line before it in the chain, if that has the same id; or of a line with the
    /// same date and content; or of the last line with the same id, prompt and request. Else a new one.
    fn message_of(&mut self, line: &Value) -> [String; 3] {
        let message = |line: &Value| line["message"].clone();
        let prompt = |line: &Value| {
            let mut usage = message(line)["usage"].clone();
            usage["output_tokens"].take();
            usage
        };
        let own =
            [&message(line)["id"], &line["timestamp"], &message(line)["content"]].map(ToString::to_string);
        let same_id = || self.0.iter().rev().filter(|(known, _)| message(known)["id"] == message(line)["id"]);
        let is_chained = |known: &Value| !line["parentUuid"].is_null() && known["uuid"] == line["parentUuid"];
        let is_copied = |known: &[String; 3]| *known == own;
        let is_one_request = |known: &Value| {
            let all = [known, line].map(|line| line["requestId"].as_str());
            prompt(known) == prompt(line) && (all[0] == all[1] || all.contains(&None))
        };
        let found = same_id()
            .find(|(known, key)| is_chained(known) || is_copied(key))
            .or_else(|| same_id().find(|(known, _)| is_one_request(known)))
            .map_or(own, |(_, key)| key.clone());
        self.0.push((line.clone(), found.clone()));
        found
    }
}

fn n(v: &Value) -> u64 {
    v.as_u64().unwrap_or(0)
}

impl NaiveCount {
    pub fn from_files(files: &SessionFiles) -> Self {
        let mut found = Self::default();
        found.read(files);
        found
    }

    /// Counts several sessions together: copies in forks count once.
    pub fn from_sessions(sessions: &[SessionFiles]) -> Self {
        let mut found = Self::default();
        sessions.iter().for_each(|files| found.read(files));
        found
    }

    fn read(&mut self, files: &SessionFiles) {
        for (_, bytes) in &files.files {
            let mut last = None;
            let mut file = FileLines::default();
            for line in String::from_utf8_lossy(bytes).lines() {
                let line: Value = serde_json::from_str(line).expect("a captured line is JSON");
                match line["type"].as_str() {
                    Some("assistant") => self.response(&line, &mut file, &mut last),
                    Some("cost-state") => self.total(&line),
                    Some("system") if line["subtype"] == "compact_boundary" => {
                        let uuid = line["uuid"].as_str().expect("a boundary has a uuid");
                        self.compactions.insert(uuid.into(), n(&line["compactMetadata"]["preTokens"]));
                    }
                    _ => {}
                }
            }
        }
    }

    fn response(&mut self, line: &Value, file: &mut FileLines, last: &mut Option<[String; 3]>) {
        let message = &line["message"];
        if message["model"] == "<synthetic>" {
            if line["isApiErrorMessage"] != true {
                return;
            }
            let before = last.as_ref().and_then(|key| self.responses.get_mut(key));
            before.into_iter().for_each(|r| r.error_followed = true);
            return;
        }
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let key = file.message_of(line);
        let known = self.responses.entry(key.clone()).or_default();
        let usage = &message["usage"];
        let long = n(&usage["cache_creation"]["ephemeral_1h_input_tokens"]);
        known.model = text(&message["model"]);
        known.sum.input = known.sum.input.max(n(&usage["input_tokens"]));
        known.sum.output = known.sum.output.max(n(&usage["output_tokens"]));
        known.sum.write_5m = known.sum.write_5m.max(n(&usage["cache_creation_input_tokens"]) - long);
        known.sum.write_1h = known.sum.write_1h.max(long);
        known.sum.read = known.sum.read.max(n(&usage["cache_read_input_tokens"]));
        known.stopped |= message["stop_reason"].is_string();
        let new = self.blocks.insert(text(&line["uuid"]));
        for block in message["content"].as_array().into_iter().flatten() {
            if block["type"] == "tool_use" {
                self.tools.insert(text(&block["id"]));
            }
            if new {
                known.visible +=
                    ["text", "thinking"].map(|part| text(&block[part]).chars().count()).iter().sum::<usize>();
                known.visible +=
                    if block["input"].is_object() { block["input"].to_string().chars().count() } else { 0 };
            }
        }
        *last = Some(key);
    }

    fn total(&mut self, line: &Value) {
        for (model, usage) in line["modelUsage"].as_object().into_iter().flatten() {
            let sum = Sum::tokens(
                n(&usage["inputTokens"]),
                n(&usage["outputTokens"]),
                n(&usage["cacheCreationEphemeral5mInputTokens"]),
                n(&usage["cacheCreationEphemeral1hInputTokens"]),
                n(&usage["cacheReadInputTokens"]),
            );
            self.totals.insert(model.clone(), sum);
        }
    }

    fn cut(&self) -> Vec<&Response> {
        let is_cut = |r: &&Response| !r.stopped || (r.error_followed && r.sum.output <= 1);
        self.responses.values().filter(is_cut).collect()
    }

    /// The charge for these files alone, and the number of estimated messages: the client's last totals for the models
    /// in them, else the lines, with estimates for cut streams and compactions.
    pub fn charged(&self) -> (Sum, u64) {
        let mut sum = Sum::default()
            .calls((self.responses.len() + self.compactions.len()) as u64, self.tools.len() as u64);
        for total in self.totals.values() {
            sum = sum.plus(*total);
        }
        let open = |r: &&Response| !self.totals.contains_key(&r.model);
        for response in self.responses.values().filter(open) {
            sum = sum.plus(response.sum);
        }
        let mut estimated = 0;
        for cut in self.cut().into_iter().filter(open) {
            let visible = cut.visible as u64 / 4;
            sum.output += visible.saturating_sub(cut.sum.output);
            estimated += u64::from(visible > cut.sum.output);
        }
        if self.totals.is_empty() {
            sum.read += self.compactions.values().sum::<u64>();
            estimated += self.compactions.len() as u64;
        }
        (sum, estimated)
    }

    /// The sum of the responses of one model, by their lines alone.
    pub fn listed(&self, model: &str) -> Sum {
        let of = self.responses.values().filter(|r| r.model == model);
        of.fold(Sum::default(), |sum, r| sum.plus(r.sum))
    }

    /// The models that answered.
    pub fn models(&self) -> BTreeSet<String> {
        self.responses.values().map(|r| r.model.clone()).collect()
    }
}
