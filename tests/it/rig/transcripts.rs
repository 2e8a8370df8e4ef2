//! The usage in the client's transcripts, counted without the product's code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::usage::Usage;

/// Usage in transcripts, each message counted once.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// All messages together.
    pub usage: Usage,
    /// The same by model.
    pub by_model: BTreeMap<String, Usage>,
    /// Ids of the messages.
    pub messages: BTreeSet<String>,
    /// Number of different tool calls.
    pub tool_calls: usize,
}

/// All `.jsonl` files below a folder, sorted by name.
pub fn find(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(find(&path));
        } else if path.extension().is_some_and(|e| e == "jsonl") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A file's text; empty if it does not exist.
pub fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// All lines of a transcript; panics on a line that is not JSON.
#[track_caller]
pub fn lines(path: &Path) -> Vec<Value> {
    let parse = |line: &str| match serde_json::from_str(line) {
        Ok(value) => value,
        Err(e) => panic!("{}: {e} in {line:.200}", path.display()),
    };
    read(path).lines().map(parse).collect()
}

/// Sums the messages in these transcripts; copies in forked sessions do not count again.
#[track_caller]
pub fn count(paths: &[PathBuf]) -> Count {
    let mut count = Count::default();
    let mut tools = BTreeSet::new();
    for line in paths.iter().flat_map(|p| lines(p)) {
        let message = &line["message"];
        // Messages made by the client itself report errors; nobody billed them.
        if line["type"] != "assistant" || message["model"] == "<synthetic>" {
            continue;
        }
        for block in message["content"].as_array().into_iter().flatten() {
            if block["type"] == "tool_use" {
                tools.insert(block["id"].to_string());
            }
        }
        let id = message["id"].as_str().expect("an assistant's message has an id");
        if count.messages.insert(id.to_owned()) {
            let usage = usage(&message["usage"]);
            count.usage += usage;
            let model = message["model"].as_str().unwrap_or_default();
            *count.by_model.entry(model.to_owned()).or_default() += usage;
        }
    }
    count.tool_calls = tools.len();
    count
}

fn usage(v: &Value) -> Usage {
    let n = |v: &Value| v.as_u64().unwrap_or(0);
    let written = n(&v["cache_creation_input_tokens"]);
    let one_hour = n(&v["cache_creation"]["ephemeral_1h_input_tokens"]);
    Usage::new(n(&v["input_tokens"]), n(&v["output_tokens"])).cache(
        written - one_hour,
        one_hour,
        n(&v["cache_read_input_tokens"]),
    )
}
