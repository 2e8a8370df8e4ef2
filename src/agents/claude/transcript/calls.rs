//! Finds a tool call in a transcript.

use std::path::Path;

use memchr::memmem;
use serde_json::Value;

use crate::domain::time::Timestamp;
use crate::transcript::FoundCall;

/// The call with this id; `None` if it is not in the file, or the file cannot be read.
pub fn find(path: &Path, id: &str) -> Option<FoundCall> {
    let bytes = std::fs::read(path).ok()?;
    // The line of the call, not of its result.
    let needle = format!("\"id\":{}", Value::from(id));
    for at in memmem::find_iter(&bytes, needle.as_bytes()) {
        let start = memchr::memrchr(b'\n', &bytes[..at]).map_or(0, |n| n + 1);
        let end = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |n| n + at);
        let Ok(line) = serde_json::from_slice::<Value>(&bytes[start..end]) else { continue };
        let blocks = line.pointer("/message/content").and_then(Value::as_array);
        let is_it = |block: &&Value| block["type"] == "tool_use" && block["id"] == id;
        if let Some(block) = blocks.into_iter().flatten().find(is_it) {
            let tool = block["name"].as_str().unwrap_or_default().to_owned();
            let at = line["timestamp"].as_str().and_then(Timestamp::parse).unwrap_or_default();
            return Some(FoundCall { tool, at });
        }
    }
    None
}
