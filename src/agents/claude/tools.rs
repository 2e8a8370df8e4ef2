//! The effect of the client's tools, for the breaker and for the protection of Fusebox's own files.

use serde::Deserialize;
use serde_json::Value;

use super::results;
use crate::agents::tool::ToolTarget;
use crate::domain::breaker::action::{Action, InputComparison};
use crate::domain::breaker::call::Call;
use crate::domain::breaker::effect::CallEffect;
use crate::domain::breaker::outcome::Outcome;
use crate::domain::protection::TOKEN_FILE;

/// The tool that runs commands.
pub const SHELL: &str = "Bash";

/// Tools that change files.
const EDITORS: [&str; 4] = ["Edit", "Write", "MultiEdit", "NotebookEdit"];

/// Tools that check whether a background task is done.
const WAITERS: [&str; 8] =
    ["BashOutput", "TaskOutput", "AgentOutput", "AgentOutputTool", "Monitor", "Sleep", "TaskGet", "TaskList"];

/// Tools that start subagents. (Older clients call the tool `Task`.)
const AGENT_STARTERS: [&str; 2] = ["Agent", "Task"];

/// Tools that change no file and run no command.
const HARMLESS: [&str; 17] = [
    "Read",
    "Grep",
    "Glob",
    "LS",
    "NotebookRead",
    "WebFetch",
    "WebSearch",
    "TodoWrite",
    "TodoRead",
    "Agent",
    "Task",
    "AskUserQuestion",
    "ExitPlanMode",
    "EnterPlanMode",
    "BashOutput",
    "KillShell",
    "Skill",
];

/// Parts of the names, in lower case, of tools whose text can come back as a prompt: `ScheduleWakeup`, `CronCreate`,
/// `SendMessage`, and those of servers for scheduled tasks.
const SCHEDULERS: [&str; 3] = ["schedule", "cron", "sendmessage"];

#[derive(Deserialize)]
struct ShellInput {
    command: String,
}

/// Tools that read files.
const READERS: [&str; 3] = ["Read", "Grep", "NotebookRead"];

#[derive(Deserialize)]
struct ReadInput {
    #[serde(alias = "notebook_path", alias = "path")]
    file_path: String,
}

#[derive(Deserialize)]
struct FileInput {
    #[serde(alias = "notebook_path")]
    file_path: String,
}

/// The text that a call schedules as a prompt, if any. `input`: JSON.
pub fn scheduled_text(tool: &str, input: &str) -> Option<String> {
    let tool = tool.to_ascii_lowercase();
    if !SCHEDULERS.iter().any(|part| tool.contains(part)) {
        return None;
    }
    let input: Value = serde_json::from_str(input).ok()?;
    input["prompt"].as_str().or(input["message"].as_str()).map(str::to_owned)
}

/// Whether a tool starts subagents.
pub fn starts_agent(tool: &str) -> bool {
    AGENT_STARTERS.contains(&tool)
}

/// A finished call for the breaker. `failed`: what the event says; if nothing, the result decides. `folder`: where it
/// ran.
pub fn finished_call(
    id: u32,
    tool: &str,
    input: &Value,
    result: &str,
    failed: Option<bool>,
    folder: &str,
) -> Call {
    let failed = failed.unwrap_or_else(|| results::looks_failed(result));
    let outcome = |failed| Outcome::new(result, results::says(result), failed, folder);
    // Nobody waits for a dead task, whatever its id.
    if WAITERS.contains(&tool) && results::reports_dead_task(result) {
        let outcome = Outcome { failed: true, ..outcome(failed) };
        return Call::new(id, tool, input, &Action::default(), outcome);
    }
    Call::new(id, tool, input, &action(tool, input), outcome(failed))
}

/// What a call does. Reading another part of the same file or page is the same call.
fn action(tool: &str, input: &Value) -> Action {
    let effect = effect(tool, input);
    let as_is = |likeness| (input.clone(), likeness);
    let (essence, likeness) = match (tool, input) {
        (tool, _) if EDITORS.contains(&tool) => as_is(InputComparison::Exact),
        (SHELL, Value::Object(_)) => (input["command"].clone(), InputComparison::Command),
        ("Read", Value::Object(_)) => (select_fields(input, &["file_path", "pages"]), InputComparison::Exact),
        ("Grep" | "Glob", Value::Object(_)) => {
            (select_fields(input, &["pattern", "path"]), InputComparison::Exact)
        }
        ("WebFetch", Value::Object(_)) => (input["url"].clone(), InputComparison::Text),
        ("WebSearch", Value::Object(_)) => (input["query"].clone(), InputComparison::Words),
        _ => as_is(InputComparison::Code),
    };
    Action { effect, relevant_input: essence, comparison: likeness }
}

fn effect(tool: &str, input: &Value) -> CallEffect {
    if EDITORS.contains(&tool) {
        return CallEffect::Changes;
    }
    if WAITERS.contains(&tool) {
        return CallEffect::Waits;
    }
    if tool == SHELL {
        return input
            .get("command")
            .and_then(Value::as_str)
            .map_or(CallEffect::Looks, CallEffect::from_command);
    }
    // An MCP tool: `mcp__<server>__<tool>`.
    let name = tool.to_ascii_lowercase();
    let name = name.strip_prefix("mcp__").and_then(|rest| rest.split_once("__"));
    name.map_or(CallEffect::Looks, |(_, name)| CallEffect::from_tool_name(name))
}

/// The input reduced to these fields.
fn select_fields(input: &Value, names: &[&str]) -> Value {
    names.iter().map(|name| input.get(name).cloned().unwrap_or_default()).collect()
}

/// What a requested call could change. `input`: JSON.
pub fn target(tool: &str, input: &str) -> ToolTarget {
    // Most reads are of files that nobody protects: their input is not parsed.
    if READERS.contains(&tool) && (input.contains("fusebox") || input.contains(TOKEN_FILE)) {
        let read = serde_json::from_str::<ReadInput>(input);
        return read.map_or(ToolTarget::Nothing, |input| ToolTarget::ReadFile(input.file_path));
    }
    if HARMLESS.contains(&tool) {
        return ToolTarget::Nothing;
    }
    let known = if tool == SHELL {
        serde_json::from_str::<ShellInput>(input).ok().map(|input| ToolTarget::Command(input.command))
    } else if EDITORS.contains(&tool) {
        serde_json::from_str::<FileInput>(input).ok().map(|input| ToolTarget::File(input.file_path))
    } else {
        None
    };
    known.unwrap_or_else(|| match serde_json::from_str::<Value>(input) {
        Ok(_) => ToolTarget::Unknown,
        Err(_) => ToolTarget::Unreadable,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::breaker::signature::ToolSignature;

    #[test]
    fn what_calls_are_for() {
        assert_eq!(effect("Edit", &json!({})), CallEffect::Changes);
        assert_eq!(effect("BashOutput", &json!({})), CallEffect::Waits);
        assert_eq!(effect("mcp__browser__wait_for", &json!({})), CallEffect::Waits);
        assert_eq!(effect("Bash", &json!({"command": "sed -i s/a/b/ f"})), CallEffect::Changes);
        assert_eq!(effect("Bash", &json!({"command": 5})), CallEffect::Looks);
    }

    #[test]
    fn cosmetics_change_the_signature_and_not_the_shape() {
        let bash = |command: &str, description: &str| json!({"command": command, "description": description});
        let shape = |input: &Value| finished_call(1, "Bash", input, "", None, "").shape;
        let plain = bash("npm test -- --run", "Run the tests");
        for other in [
            bash("npm  test  -- --run", "Run the tests again"),
            bash("npm test -- --run # attempt 3", "x"),
            json!({"command": "npm test -- --run", "timeout": 5000}),
        ] {
            assert_ne!(ToolSignature::new("Bash", &plain), ToolSignature::new("Bash", &other), "{other}");
            assert_eq!(shape(&plain), shape(&other), "{other}");
        }
        for (one, other) in [
            ("curl host/users/1", "curl host/users/2"),
            ("git show 1a2b3c4d", "git show 5e6f7a8b"),
            ("echo '# one'", "echo '# two'"),
            ("head -n 10 f", "head -n 20 f"),
        ] {
            assert_ne!(shape(&bash(one, "")), shape(&bash(other, "")), "{one}");
        }
    }

    #[test]
    fn what_calls_could_change() {
        assert_eq!(target("Read", r#"{"file_path": "/a"}"#), ToolTarget::Nothing);
        assert_eq!(target("Bash", r#"{"command": "ls"}"#), ToolTarget::Command("ls".into()));
        assert_eq!(target("NotebookEdit", r#"{"notebook_path": "/a"}"#), ToolTarget::File("/a".into()));
        assert_eq!(target("Write", "{}"), ToolTarget::Unknown);
        assert_eq!(target("Bash", r#"{"command": ["rm", "x"]}"#), ToolTarget::Unknown);
        let deep = "[".repeat(200) + &"]".repeat(200);
        assert_eq!(
            target("Bash", &format!(r#"{{"command": "ls", "x": {deep}}}"#)),
            ToolTarget::Command("ls".into())
        );
        assert_eq!(target("Read", &deep), ToolTarget::Nothing);
        for tool in ["Bash", "Edit", "mcp__x__run"] {
            assert_eq!(target(tool, &deep), ToolTarget::Unreadable, "{tool}");
            assert_eq!(target(tool, "1e999"), ToolTarget::Unreadable, "{tool}");
        }
        assert_eq!(target("mcp__x__run", "{}"), ToolTarget::Unknown);
    }
}
