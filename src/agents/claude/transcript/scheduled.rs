//! Finds the texts that the agent schedules as prompts.

use serde_json::Value;

use super::super::tools;
use crate::transcript::cursor::Position;
use crate::transcript::search;

/// Notes the texts that the calls of a response's line schedule.
pub fn note(line: &[u8], position: &mut Position) {
    // Few lines are worth parsing again.
    if tools::PROMPT_FIELDS.iter().all(|field| search::bytes(field.as_bytes(), line).is_none()) {
        return;
    }
    let Ok(line) = serde_json::from_slice::<Value>(line) else { return };
    let blocks = line.pointer("/message/content").and_then(Value::as_array);
    for block in blocks.into_iter().flatten() {
        let schedules = block["name"].as_str().is_some_and(tools::is_scheduler);
        if let Some(text) = tools::scheduled_text(&block["input"]).filter(|_| schedules) {
            position.scheduled.note(text);
        }
    }
}
