//! How a call came out: reduced to text, without what is volatile, as a hash.

use serde_json::Value;

use super::fingerprint::Fingerprint;
use super::volatile::{self, Of};

/// Bytes of a result that are looked at, from its start and from its end.
const EACH_END: usize = 32 * 1024;

/// Bytes of a result that says something.
const TELLING: usize = 40;

/// What searches say that found nothing.
const NOTHING: [&str; 5] = [
    "No matches found",
    "No files found",
    "Found 0 total occurrences across 0 files.",
    "(Bash completed with no output)",
    "No content",
];

/// How a client begins where a call only started something: what comes of it is not known yet.
const LAUNCHED: [&str; 3] = ["Command running in background", "Async agent launched", "async_launched"];

/// Bytes of a failure in which an outage is looked for.
const HEAD: usize = 2 * 1024;

/// How a call came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What is known of the result: equal for results that differ in volatile parts only. Four bytes of a hash.
    pub hash: u32,
    /// Whether it failed.
    pub failed: bool,
    /// Whether it says enough to be recognised wherever it comes from: "ok" and "no matches" come from everywhere.
    pub telling: bool,
    /// Whether it failed because somebody's service was out of order or overloaded: that is no loop, waiting helps.
    pub outage: bool,
}

/// How a client begins the result of a call that a hook of Fusebox denied.
const DENIED: [&str; 3] = ["hook error: Fusebox", "hook error: [", "Fusebox: "];

/// What services say that are overloaded or out of order.
const OUTAGES: [&str; 14] = [
    "429",
    "529",
    "502 bad gateway",
    "503",
    "504 gateway",
    "too many requests",
    "rate limit",
    "rate-limit",
    "ratelimit",
    "overloaded",
    "service unavailable",
    "temporarily unavailable",
    "secondary rate",
    "mcp error -32000",
];

impl Outcome {
    /// The outcome of a call whose result reads `text`, in the folder `place`: the same command in another folder is
    /// another thing. `failed`: what the event says; where it says nothing, the text is asked.
    pub fn of(text: &str, failed: Option<bool>, place: &str) -> Self {
        let failed = failed.unwrap_or_else(|| reads_failed(text));
        let mut hash = Fingerprint::default();
        hash.add(&[u8::from(failed)]);
        hash.add(place.as_bytes());
        hash.add(&[0]);
        let (head, tail) = ends(text);
        let stripped = match NOTHING.contains(&text.trim()) {
            true => String::new(),
            false => volatile::strip(head, Of::Outcome),
        };
        hash.add(stripped.as_bytes());
        if !tail.is_empty() {
            hash.add(&(text.len() as u64).to_le_bytes());
            hash.add(volatile::strip(tail, Of::Outcome).as_bytes());
        }
        let launched = LAUNCHED.iter().any(|start| text.starts_with(start));
        let telling = stripped.len() >= TELLING && !launched;
        Self { hash: hash.four(), failed, telling, outage: is_outage(text, failed) }
    }
}

/// Whether this says of something in the background that it ended badly.
pub fn says_dead(text: &str) -> bool {
    ["<status>failed</status>", "<status>killed</status>", "<status>error</status>"]
        .iter()
        .any(|said| text.contains(said))
}

/// Whether this is what a client makes of a denial of Fusebox: then no tool ran, and it is no call of the agent's.
pub fn is_own_denial(text: &str) -> bool {
    let head = &text[..floor(text, 400)];
    match head.find("Fusebox:") {
        Some(at) => at == 0 || DENIED[..2].iter().any(|begin| head[..at + 8].contains(begin)),
        None => false,
    }
}

/// A result reduced to text: what the tool printed or returned, whatever object it came in. (The same result is an object
/// in one event and text in another.)
pub fn text(result: &Value) -> String {
    let field = |name: &str| result.get(name).and_then(Value::as_str);
    match result {
        Value::String(text) => return text.clone(),
        Value::Null => return String::new(),
        Value::Array(blocks) => return join(blocks),
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
        return join(blocks);
    }
    if let Some(status) = field("status").filter(|_| result.get("agentId").is_some()) {
        return status.to_owned();
    }
    result.to_string()
}

fn join(blocks: &[Value]) -> String {
    let text = |block: &Value| {
        block.get("text").and_then(Value::as_str).map_or_else(|| block.to_string(), str::to_owned)
    };
    blocks.iter().map(text).collect::<Vec<_>>().join("\n")
}

/// Whether a result says that the call failed, where no event does.
fn reads_failed(text: &str) -> bool {
    let exit = text
        .strip_prefix("Exit code ")
        .and_then(|rest| rest.bytes().next())
        .is_some_and(|b| b.is_ascii_digit() && b != b'0');
    exit || ["<tool_use_error>", "Error: ", "InputValidationError", "Permission to use"]
        .iter()
        .any(|start| text.starts_with(start))
}

/// Whether a service was out of order. (What succeeded may speak of it and mean something else, unless it is short.)
fn is_outage(text: &str, failed: bool) -> bool {
    if !failed && text.len() > 400 {
        return false;
    }
    let head = text[..floor(text, HEAD)].to_ascii_lowercase();
    OUTAGES.iter().any(|said| match said.bytes().all(|b| b.is_ascii_digit()) {
        true => head.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == *said),
        false => head.contains(said),
    })
}

fn ends(text: &str) -> (&str, &str) {
    if text.len() <= 2 * EACH_END {
        return (text, "");
    }
    let mut from = text.len() - EACH_END;
    while !text.is_char_boundary(from) {
        from += 1;
    }
    (&text[..floor(text, EACH_END)], &text[from..])
}

/// The last place at or before `at` where a character ends.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
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
    fn failures_outages_places() {
        let of = |text: &str| Outcome::of(text, None, "/p");
        assert!(
            of("Exit code 1\nno").failed
                && of("<tool_use_error>x").failed
                && !of("Exit code 0").failed
                && !of("ok").failed
        );
        assert!(of("HTTP 429 Too Many Requests").outage && of("Exit code 22\ncurl: 503").outage);
        assert!(
            !of("Exit code 1\n1429 errors").outage
                && !of(&format!("see {} rate limit", "x".repeat(500))).outage
        );
        assert_ne!(of("x").hash, Outcome::of("x", None, "/q").hash);
        assert_ne!(of("x").hash, Outcome::of("x", Some(true), "/p").hash);
        assert_eq!(of("done in 3s").hash, of("done in 5s").hash);
        let long = |c: &str| format!("{}{}", "é".repeat(40_000), c);
        assert_ne!(of(&long("a")).hash, of(&long("b")).hash);
    }

    #[test]
    fn denials_of_our_own() {
        assert!(is_own_denial("PreToolUse:Bash hook error: Fusebox: budget session is paused"));
        assert!(is_own_denial("Fusebox: budget session is paused"));
        assert!(!is_own_denial("Exit code 1\nerror in Fusebox: no such file"));
    }
}
