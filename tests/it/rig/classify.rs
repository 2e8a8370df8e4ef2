//! Classifies requests: main loop, subagent, compaction or side call.

use serde_json::Value;

/// Determines the caller from a request's body.
pub fn classify(body: &Value) -> String {
    let messages = body["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let first = messages.iter().find(|m| m["role"] == "user");
    let first = first.map(|m| text_of(&m["content"])).unwrap_or_default();
    let last = messages.last().map(|m| text_of(&m["content"])).unwrap_or_default();
    if last.contains("create a detailed summary of") {
        return "compact".into();
    }
    let has_tools = body["tools"].as_array().is_some_and(|t| !t.is_empty());
    if has_tools {
        let name = first.split_once("[[agent:").and_then(|(_, rest)| rest.split_once("]]"));
        return name.map_or_else(|| "main".into(), |(name, _)| format!("agent:{name}"));
    }
    let all = format!("{} {first} {last}", text_of(&body["system"])).to_lowercase();
    let words = ["title", "topic", "suggestion", "summar", "classif", "quota"];
    let word = words.iter().find(|w| all.contains(**w)).unwrap_or(&"other");
    format!("side:{word}")
}

fn text_of(content: &Value) -> String {
    match content {
        Value::String(s) => s.clone(),
        Value::Array(blocks) => {
            let texts = blocks.iter().map(|b| match b["type"].as_str() {
                Some("text") => b["text"].as_str().unwrap_or_default().to_owned(),
                Some("tool_result") => text_of(&b["content"]),
                _ => String::new(),
            });
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}
