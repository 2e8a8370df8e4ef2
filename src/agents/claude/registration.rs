//! Which executable handles each event, and the form of an entry in the client's settings.
//!
//! This is the only such table: `init`, `uninstall`, `doctor` and the test of the example file use it.

use std::path::Path;

use serde_json::{Value, json};

use super::version::ClientVersion;
use crate::agents::hook::{Hook, STATUS_LINE};

/// Every event that Fusebox handles, and its executable.
pub const EVENTS: [(&str, Hook); 13] = [
    ("PreToolUse", Hook::PreToolUse),
    ("PostToolUse", Hook::PostToolUse),
    ("PostToolUseFailure", Hook::PostToolUse),
    ("PostToolBatch", Hook::PostToolUse),
    ("UserPromptSubmit", Hook::PromptSubmit),
    ("SessionStart", Hook::SessionEvent),
    ("Stop", Hook::SessionEvent),
    ("StopFailure", Hook::SessionEvent),
    ("SubagentStop", Hook::SessionEvent),
    ("SessionEnd", Hook::SessionEvent),
    ("PreCompact", Hook::SessionEvent),
    ("PostCompact", Hook::SessionEvent),
    ("PostModelSwitch", Hook::SessionEvent),
];

/// Events that older clients do not know, with the first version that does. In print mode an unknown event is harmless;
/// in a terminal, the client asks about it at every start (2.1.197).
const NEWER_EVENTS: [(&str, ClientVersion); 1] = [("PostModelSwitch", ClientVersion(2, 1, 330))];

/// Whether a client of this version knows an event. An unknown version counts as new.
pub fn is_supported(event: &str, version: Option<ClientVersion>) -> bool {
    let newer =
        NEWER_EVENTS.iter().any(|(name, since)| *name == event && version.is_some_and(|v| v < *since));
    !newer
}

/// Seconds that the client waits for a hook. The hook's own deadline (1.5 s) comes first.
pub const TIMEOUT_SECONDS: u64 = 2;

/// The events that an executable handles.
pub fn events_of(hook: Hook) -> impl Iterator<Item = &'static str> {
    EVENTS.into_iter().filter(move |(_, h)| *h == hook).map(|(event, _)| event)
}

/// The entry that calls `hook` in the folder `bin_dir`. With `args`, the client starts the program without a shell:
/// faster, and safe for any path.
pub fn entry(hook: Hook, bin_dir: &Path) -> Value {
    let command = bin_dir.join(hook.name());
    json!({"type": "command", "command": command.to_string_lossy(), "args": [], "timeout": TIMEOUT_SECONDS})
}

/// The setting that makes the program in the folder `bin_dir` the status line. The client hands it to a shell.
pub fn status_line(bin_dir: &Path) -> Value {
    let command = bin_dir.join(STATUS_LINE).to_string_lossy().into_owned();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+@%".contains(c);
    let command = match command.chars().all(is_plain) {
        true => command,
        false => format!("'{}'", command.replace('\'', r"'\''")),
    };
    json!({"type": "command", "command": command, "padding": 0})
}

/// The program that an entry starts, if any: the command itself in exec form (with `args`), else the first word of the
/// command line.
pub fn program(entry: &Value) -> Option<String> {
    let command = entry.get("command")?.as_str()?;
    match entry.get("args") {
        Some(_) => Some(command.to_owned()),
        None => first_word(command),
    }
}

/// The first word of a shell command line that is not an assignment (`NAME=value`), unquoted.
fn first_word(line: &str) -> Option<String> {
    let mut rest = line.chars().peekable();
    loop {
        while rest.next_if(|c| c.is_whitespace()).is_some() {}
        rest.peek()?;
        let (mut word, mut quote) = (String::new(), None);
        while let Some(c) = rest.next() {
            match (quote, c) {
                (None, '"' | '\'') => quote = Some(c),
                (Some(q), _) if q == c => quote = None,
                (None | Some('"'), '\\') => word.extend(rest.next()),
                (None, _) if c.is_whitespace() || ";&|<>()".contains(c) => break,
                _ => word.push(c),
            }
        }
        let is_name = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_');
        if !word.split_once('=').is_some_and(|(name, _)| is_name(name)) {
            return Some(word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(command: &str) -> Option<Hook> {
        Hook::from_file_name(&program(&json!({"type": "command", "command": command}))?)
    }

    #[test]
    fn every_executable_has_an_event() {
        assert!(Hook::ALL.into_iter().all(|hook| events_of(hook).count() > 0));
    }

    #[test]
    fn programs_of_command_lines() {
        for command in [
            "/opt/fusebox/pre-tool-use",
            "pre-tool-use",
            "'/my tools/pre-tool-use' 2>/dev/null || true",
            "FUSEBOX_TEAM=core \"$HOME\"/bin/pre-tool-use",
            "/my\\ tools/pre-tool-use; true",
            "/opt/pre-tool-use;true",
        ] {
            assert_eq!(shell(command), Some(Hook::PreToolUse), "{command}");
        }
        for command in
            ["", "  ", "A=b", "/opt/pre-tool-use.sh", "/opt/my-pre-tool-use", "cat /opt/pre-tool-use"]
        {
            assert_eq!(shell(command), None, "{command}");
        }
    }

    #[test]
    fn programs_of_exec_form() {
        let exec = json!({"type": "command", "command": "/my tools/session-event", "args": ["x"]});
        assert_eq!(program(&exec).as_deref(), Some("/my tools/session-event"));
        assert_eq!(Hook::from_file_name("/my tools/session-event"), Some(Hook::SessionEvent));
        assert_eq!(program(&json!({"type": "http", "url": "http://localhost/pre-tool-use"})), None);
    }
}
