//! Reduces results of the client's tools to text, and interprets it.

use serde_json::Value;

use crate::domain::breaker::outcome::ResultContent;

/// Results of searches without a match and of commands without output.
const EMPTY_RESULTS: [&str; 5] = [
    "No matches found",
    "No files found",
    "Found 0 total occurrences across 0 files.",
    "(Bash completed with no output)",
    "No content",
];

/// Prefixes of the result of a call that only started something.
const STARTED_PREFIXES: [&str; 3] =
    ["Command running in background", "Async agent launched", "async_launched"];

/// Prefixes of the result of a call that a hook of Fusebox denied.
const DENIED_PREFIXES: [&str; 2] = ["hook error: Fusebox", "hook error: ["];

/// Prefixes of a failure.
const FAILED_PREFIXES: [&str; 4] =
    ["<tool_use_error>", "Error: ", "InputValidationError", "Permission to use"];

/// A result as text: what the tool printed or returned, without the enclosing object. (The same result is an object in
/// one event and text in another.)
pub fn text(result: &Value) -> String {
    let field = |name: &str| result.get(name).and_then(Value::as_str);
    match result {
        Value::String(text) => return text.clone(),
        Value::Null => return String::new(),
        Value::Array(blocks) => return join_blocks(blocks),
        _ => {}
    }
    if let Some(stdout) = field("stdout") {
        let stderr = field("stderr").unwrap_or_default();
        return [stdout, stderr]
            .iter()
            .filter(|part| !part.is_empty())
            .copied()
            .collect::<Vec<_>>()
            .join("\n");
    }
    if let Some(content) = result.pointer("/file/content").and_then(Value::as_str) {
        return content.to_owned();
    }
    if let Some(blocks) = result.get("content").and_then(Value::as_array) {
        return join_blocks(blocks);
    }
    if let Some(status) = field("status").filter(|_| result.get("agentId").is_some()) {
        return status.to_owned();
    }
    result.to_string()
}

fn join_blocks(blocks: &[Value]) -> String {
    let text = |block: &Value| {
        block.get("text").and_then(Value::as_str).map_or_else(|| block.to_string(), str::to_owned)
    };
    blocks.iter().map(text).collect::<Vec<_>>().join("\n")
}

/// What a result contains.
pub fn says(text: &str) -> ResultContent {
    if EMPTY_RESULTS.contains(&text.trim()) {
        return ResultContent::Nothing;
    }
    match STARTED_PREFIXES.iter().any(|start| text.starts_with(start)) {
        true => ResultContent::Started,
        false => ResultContent::Something,
    }
}

/// Whether a result looks like a failure. Used if no event says so.
pub fn looks_failed(text: &str) -> bool {
    let exit = text
        .strip_prefix("Exit code ")
        .and_then(|rest| rest.bytes().next())
        .is_some_and(|b| b.is_ascii_digit() && b != b'0');
    exit || FAILED_PREFIXES.iter().any(|start| text.starts_with(start))
}

/// Whether a result reports a background task that failed or was killed.
pub fn reports_dead_task(text: &str) -> bool {
    ["<status>failed</status>", "<status>killed</status>", "<status>error</status>"]
        .iter()
        .any(|said| text.contains(said))
}

/// Whether a result is the client's text for a denial by Fusebox. No tool ran, so it does not count as a call.
pub fn is_own_denial(text: &str) -> bool {
    let head = &text[..text.floor_char_boundary(400)];
    match head.find("Fusebox:") {
        Some(at) => at == 0 || DENIED_PREFIXES.iter().any(|begin| head[..at + 8].contains(begin)),
        None => false,
    }
}

/// How the client's own texts begin for calls that it did not run: invalid input, a rule, a person's answer.
const REFUSALS: [&str; 4] = [
    "<tool_use_error>",
    "Permission to use ",
    "Claude requested permissions to ",
    "The user doesn't want to proceed with this tool use.",
];

/// Whether a result says that the call never ran: a hook, a rule or a person refused it.
pub fn is_refusal(text: &str) -> bool {
    let by_hook = || text.starts_with("PreToolUse:") && text.contains(" hook ");
    is_own_denial(text) || by_hook() || REFUSALS.iter().any(|begin| text.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_same_result_in_whatever_form() {
        assert_eq!(text(&json!({"stdout": "hello", "stderr": "", "interrupted": false})), "hello");
        assert_eq!(text(&json!("hello")), "hello");
        assert_eq!(
            text(&json!({"content": [{"type": "text", "text": "hello"}], "totalDurationMs": 5})),
            "hello"
        );
        assert_eq!(text(&json!({"file": {"content": "hello"}})), "hello");
    }

    #[test]
    fn what_results_say() {
        assert!(looks_failed("Exit code 1\nno") && looks_failed("<tool_use_error>x"));
        assert!(!looks_failed("Exit code 0") && !looks_failed("ok"));
        assert_eq!(says("No files found\n"), ResultContent::Nothing);
        assert_eq!(says("Command running in background with ID: b1"), ResultContent::Started);
        assert_eq!(says("ok"), ResultContent::Something);
    }

    #[test]
    fn denials_of_our_own() {
        assert!(is_own_denial("PreToolUse:Bash hook error: Fusebox: budget session is paused"));
        assert!(is_own_denial("Fusebox: budget session is paused"));
        assert!(!is_own_denial("Exit code 1\nerror in Fusebox: no such file"));
    }
}
