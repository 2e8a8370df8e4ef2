//! Recorded sessions without loops: nothing trips.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fusebox::domain::breaker::policy::Policy;
use serde_json::Value;

use super::Prepared;
use super::corpus::{Called, Event, Sequence};

/// All transcripts below a folder.
fn transcripts(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            transcripts(&path, found);
        } else if path.extension().is_some_and(|e| e == "jsonl") {
            found.push(path);
        }
    }
}

/// The events in a transcript: responses with their calls and results, and prompts.
fn read(path: &Path) -> Option<Sequence> {
    let text = String::from_utf8_lossy(&std::fs::read(path).ok()?).into_owned();
    let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let blocks = |line: &Value| line["message"]["content"].as_array().cloned().unwrap_or_default();
    let mut results: BTreeMap<String, (String, bool)> = BTreeMap::new();
    for block in lines.iter().flat_map(blocks).filter(|block| block["type"] == "tool_result") {
        let text = fusebox::agents::claude::results::text(&block["content"]);
        let id = block["tool_use_id"].as_str().unwrap_or_default().to_owned();
        results.insert(id, (text, block["is_error"] == true));
    }
    let mut events: Vec<Event> = Vec::new();
    let mut last = String::new();
    for line in &lines {
        let content = &line["message"]["content"];
        match line["type"].as_str() {
            Some("user") if content.is_string() && line["isMeta"] != true && line["isSidechain"] != true => {
                let text = content.as_str().unwrap_or_default();
                if !text.trim_start().starts_with('<') {
                    events.push(Event::Prompt(text.to_owned()));
                }
            }
            Some("assistant") => {
                let id = line["message"]["id"].as_str().unwrap_or_default().to_owned();
                let tools = blocks(line).into_iter().filter(|block| block["type"] == "tool_use");
                let calls: Vec<Called> = tools
                    .filter_map(|block| {
                        let (result, failed) = results.get(block["id"].as_str()?)?.clone();
                        let tool = block["name"].as_str()?.to_owned();
                        let cwd = line["cwd"].as_str().unwrap_or_default().to_owned();
                        Some(Called {
                            tool,
                            input: block["input"].clone(),
                            result,
                            failed,
                            refused: false,
                            cwd,
                        })
                    })
                    .collect();
                let texts = blocks(line).into_iter().find(|block| block["type"] == "text");
                let say = texts.and_then(|block| block["text"].as_str().map(str::to_owned));
                match events.last_mut() {
                    Some(Event::Response { calls: known, say: said, .. }) if id == last && !id.is_empty() => {
                        known.extend(calls);
                        *said = said.take().or(say);
                    }
                    _ => events.push(Event::Response { agent: String::new(), say, calls }),
                }
                last = id;
            }
            _ => {}
        }
    }
    events.retain(|event| !matches!(event, Event::Response { calls, .. } if calls.is_empty()));
    let name = path.file_name()?.to_string_lossy().into_owned();
    Some(Sequence {
        name,
        is_loop: false,
        why: String::new(),
        file: path.to_string_lossy().into_owned(),
        events,
    })
}

#[test]
fn recorded_sessions_do_not_trip() {
    let mut files = Vec::new();
    transcripts(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/transcripts"), &mut files);
    assert!(files.len() > 10);
    // A folder with further transcripts.
    if let Some(more) = std::env::var_os("FUSEBOX_TEST_TRANSCRIPTS") {
        transcripts(Path::new(&more), &mut files);
    }
    let sequences: Vec<Prepared> = files.iter().filter_map(|file| read(file)).map(Prepared::of).collect();
    let calls = |event: &Event| match event {
        Event::Response { calls, .. } => calls.len(),
        _ => 0,
    };
    let all: usize = sequences.iter().flat_map(|s| &s.sequence.events).map(calls).sum();
    println!("{} calls in {} transcripts", all, sequences.len());
    let trips = sequences
        .iter()
        .filter_map(|s| s.judge(&Policy::default()).map(|trip| format!("{}: {trip:?}", s.sequence.file)));
    let trips: Vec<String> = trips.collect();
    assert!(trips.is_empty(), "{}", trips.join("\n"));
}
