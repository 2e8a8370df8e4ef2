//! Finds a tool call in a transcript.

use std::path::Path;

use memchr::memmem;
use serde_json::Value;

use crate::domain::time::Timestamp;
use crate::platform::files;
use crate::transcript::lines::{Line, Lines};
use crate::transcript::{FoundCall, surrogates};

/// The call with this id; `None` if it is not in the file, or the file cannot be read.
pub fn find(path: &Path, id: &str) -> Option<FoundCall> {
    let file = files::nonblocking().open(path).ok()?;
    let length = file.metadata().ok().filter(|meta| meta.is_file())?.len();
    let mut lines = Lines::new(file, length, 0).ok()?;
    // The line of the call, not of its result.
    let needle = format!("\"id\":{}", Value::from(id));
    let finder = memmem::Finder::new(&needle);
    while let Some(line) = lines.next_line().ok()? {
        let Line::Whole(line) = line else { continue };
        if finder.find(line).is_some()
            && let Some(found) = call_in(line, id)
        {
            return Some(found);
        }
    }
    None
}

/// The call with this id in a line.
fn call_in(line: &[u8], id: &str) -> Option<FoundCall> {
    let line: Value = serde_json::from_str(&surrogates::repair(&String::from_utf8_lossy(line))).ok()?;
    let blocks = line.pointer("/message/content").and_then(Value::as_array);
    let is_it = |block: &&Value| block["type"] == "tool_use" && block["id"] == id;
    let tool = blocks?.iter().find(is_it)?["name"].as_str().unwrap_or_default().to_owned();
    let at = line["timestamp"].as_str().and_then(Timestamp::parse).unwrap_or_default();
    Some(FoundCall { tool, at })
}
