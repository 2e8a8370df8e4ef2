//! Adds, removes and checks Fusebox's entries in the `hooks` of a settings file.
//!
//! Other entries are left unchanged and in place.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::registration::{EVENTS, entry, is_supported, program};
use super::version::ClientVersion;
use crate::agents::hook::{Hook, STATUS_LINE};
use crate::platform::Env;

/// Hook types of Claude Code 2.1.330.
const HOOK_TYPES: [&str; 5] = ["command", "prompt", "agent", "http", "mcp_tool"];

/// An incorrect entry of Fusebox that was replaced or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplacedEntry {
    /// Its event.
    pub event: String,
    /// The program it called.
    pub program: String,
    /// Its matcher, if it had one.
    pub matcher: Option<String>,
}

/// An entry of Fusebox in the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredEntry {
    /// Its event.
    pub event: String,
    /// The program it calls, with `~` or `$HOME` expanded.
    pub program: String,
    /// Its matcher, if it has one.
    pub matcher: Option<String>,
    /// The whole entry.
    pub entry: Value,
}

/// All entries of Fusebox, in order.
pub fn fusebox_entries(hooks: &Map<String, Value>, env: &Env) -> Vec<RegisteredEntry> {
    let mut found = Vec::new();
    for (event, groups) in hooks {
        for group in groups.as_array().into_iter().flatten() {
            for entry in group["hooks"].as_array().into_iter().flatten() {
                let Some(program) = fusebox_program(entry, env) else { continue };
                let program =
                    program_path(&program, env).map_or(program, |path| path.to_string_lossy().into_owned());
                let (event, matcher, entry) = (event.clone(), narrowing_matcher(group), entry.clone());
                found.push(RegisteredEntry { event, program, matcher, entry });
            }
        }
    }
    found
}

/// Registers every hook from `bin_dir` that a client of this version supports, once and without a matcher. Updates
/// existing entries of Fusebox in place; removes duplicates and entries with a matcher. Returns what changed.
pub fn register(
    hooks: &mut Map<String, Value>,
    bin_dir: &Path,
    version: Option<ClientVersion>,
    env: &Env,
) -> Vec<ReplacedEntry> {
    let events = || EVENTS.iter().filter(|(event, _)| is_supported(event, version));
    let wanted = |event: &str| events().find(|(e, _)| *e == event).map(|(_, hook)| entry(*hook, bin_dir));
    for (event, _) in events() {
        hooks.entry(*event).or_insert_with(|| json!([]));
    }
    set_entries(hooks, &wanted, env)
}

/// Removes all entries of Fusebox. Returns them.
pub fn unregister(hooks: &mut Map<String, Value>, env: &Env) -> Vec<ReplacedEntry> {
    set_entries(hooks, &|_| None, env)
}

/// Whether a value of `statusLine` starts Fusebox's program.
pub fn is_our_status_line(setting: &Value, env: &Env) -> bool {
    let is_named = |program: &String| Path::new(program).file_name() == Some(STATUS_LINE.as_ref());
    program(setting).filter(is_named).is_some_and(|program| is_fusebox(&program, env))
}

/// Leaves exactly the wanted entry of Fusebox for each event. Returns what was replaced.
fn set_entries(
    hooks: &mut Map<String, Value>,
    wanted: &dyn Fn(&str) -> Option<Value>,
    env: &Env,
) -> Vec<ReplacedEntry> {
    let mut replaced = Vec::new();
    hooks.retain(|event, groups| {
        let Some(groups) = groups.as_array_mut() else { return true };
        let (was_empty, mut wanted) = (groups.is_empty(), wanted(event));
        let is_wanted = wanted.is_some();
        groups.retain_mut(|group| {
            let matcher = narrowing_matcher(group);
            let Some(entries) = group.get_mut("hooks").and_then(Value::as_array_mut) else { return true };
            let before = entries.len();
            entries.retain_mut(|found| {
                let Some(program) = fusebox_program(found, env) else { return true };
                let place = if matcher.is_none() { wanted.take() } else { None };
                if place.as_ref() == Some(found) {
                    return true;
                }
                replaced.push(ReplacedEntry { event: event.clone(), program, matcher: matcher.clone() });
                let stays = place.is_some();
                *found = place.unwrap_or_default();
                stays
            });
            entries.len() == before || !entries.is_empty()
        });
        groups.extend(wanted.map(|entry| json!({"hooks": [entry]})));
        is_wanted || was_empty || !groups.is_empty()
    });
    replaced
}

/// The matcher of a group, unless it matches all tools.
fn narrowing_matcher(group: &Value) -> Option<String> {
    let matcher = group.get("matcher")?.as_str()?;
    (!matches!(matcher, "" | "*")).then(|| matcher.to_owned())
}

/// The program of an entry, if it is Fusebox's.
fn fusebox_program(entry: &Value, env: &Env) -> Option<String> {
    let program = program(entry)?;
    Hook::from_file_name(&program)?;
    is_fusebox(&program, env).then_some(program)
}

/// Whether a program named like one of our executables is ours. Others may use the same name, so an existing file must
/// mention Fusebox. A missing file counts as ours; a path that only the client can resolve (`$CLAUDE_PROJECT_DIR/…`)
/// does not.
fn is_fusebox(program: &str, env: &Env) -> bool {
    let Some(path) = program_path(program, env) else { return false };
    match fs::metadata(&path) {
        Ok(meta) if meta.is_file() => contains(&path, b"fusebox").unwrap_or(true),
        Ok(_) => false,
        Err(_) => true,
    }
}

/// Whether a file contains `bytes`. It is read in pieces: an executable may be large.
fn contains(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let mut file = fs::File::open(path)?;
    let mut piece = vec![0; 256 * 1024];
    // The end of the piece before, in which `bytes` may begin.
    let mut kept = 0;
    loop {
        let read = file.read(&mut piece[kept..])?;
        let filled = kept + read;
        let found = memchr::memmem::find(&piece[..filled], bytes).is_some();
        if found || read == 0 {
            return Ok(found);
        }
        kept = filled.min(bytes.len() - 1);
        piece.copy_within(filled - kept..filled, 0);
    }
}

/// The path of a program in the settings; `None` if only the client can resolve it.
fn program_path(program: &str, env: &Env) -> Option<PathBuf> {
    let in_home = ["~/", "$HOME/", "${HOME}/"].iter().find_map(|start| program.strip_prefix(start));
    match in_home {
        Some(rest) => Some(env.home().unwrap_or_default().join(rest)),
        // A folder may contain a `$`; otherwise it is a variable that only the client knows.
        None if program.contains('$') && !env.cwd.join(program).is_file() => None,
        None => Some(env.cwd.join(program)),
    }
}

/// Entries, of anyone, that make the client silently drop all hooks of the file in print mode.
pub fn fatal_entries(hooks: &Map<String, Value>) -> Vec<String> {
    let mut found = Vec::new();
    for (event, groups) in hooks {
        for (g, group) in groups.as_array().into_iter().flatten().enumerate() {
            for (h, entry) in group["hooks"].as_array().into_iter().flatten().enumerate() {
                let place = format!("hooks.{event}[{g}].hooks[{h}]");
                let kind = &entry["type"];
                if !kind.as_str().is_some_and(|kind| HOOK_TYPES.contains(&kind)) {
                    found.push(format!("{place}: Claude Code 2.1.330 has no hook type {kind}"));
                }
                let timeout = &entry["timeout"];
                if !timeout.is_null() && !timeout.as_f64().is_some_and(|t| t > 0.0) {
                    found.push(format!("{place}: the timeout {timeout} is not a number of seconds"));
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taking_out_undoes_putting_in() {
        let env = Env { now: Default::default(), vars: Default::default(), cwd: "/".into(), uid: 0 };
        let before = json!({
            "Empty": [],
            "PreToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": "true"}]}, {"hooks": []}],
        });
        let Value::Object(mut hooks) = before.clone() else { unreachable!() };
        assert_eq!(register(&mut hooks, Path::new("/opt"), None, &env), []);
        assert_eq!(hooks.len(), EVENTS.len() + 1);
        let gone = unregister(&mut hooks, &env);
        assert_eq!(gone.len(), EVENTS.len());
        assert_eq!(Value::from(hooks).to_string(), before.to_string());
    }
}
