//! Processes of the client, and its variables about the session.

use std::path::Path;

use crate::agents::InheritedEnv;
use crate::platform::Env;
use crate::platform::process::{self, Process};
use crate::transcript::is_plain_id;

/// Set for every process that the client starts.
const INSIDE_VAR: &str = "CLAUDECODE";

/// The session that a process was started in.
const SESSION_VAR: &str = "CLAUDE_CODE_SESSION_ID";

/// The sessions that launched a client through a daemon (2.1.330 and later), separated by commas.
const LAUNCHED_BY_VAR: &str = "CLAUDE_CODE_LAUNCHED_BY_SESSION_IDS";

/// The client's process id, set for hooks.
const PID_VAR: &str = "CLAUDE_PID";

/// The client process that called this hook: the nearest ancestor that is not a shell, unless `CLAUDE_PID` names one
/// further up (for hooks behind a wrapper). Anybody can set that variable, in 2.1.197 to anything, so it counts only
/// for an ancestor with no other client before it.
pub fn calling_process<'a>(env: &Env, ancestors: &'a [Process]) -> Option<&'a Process> {
    let nearest = ancestors.iter().find(|a| !process::is_shell(a)).or(ancestors.first())?;
    let named = named_client_pid(env).and_then(|pid| ancestors.iter().position(|a| a.pid == pid));
    match named {
        Some(place) if !ancestors[..place].iter().any(|a| is_client(a.pid)) => Some(&ancestors[place]),
        _ => Some(nearest),
    }
}

/// The client's process id according to the variables.
pub fn named_client_pid(env: &Env) -> Option<u32> {
    env.var(PID_VAR).and_then(|pid| pid.parse().ok())
}

/// Whether a process is a client, judged by its program: `claude`, a version in a folder of versions, or a script of
/// its package.
pub fn is_client(pid: u32) -> bool {
    let program = process::program(pid).unwrap_or_default();
    let program = program.to_string_lossy();
    let is_script = |script: &Vec<u8>| memchr::memmem::find(script, b"/claude-code/").is_some();
    // npm links `claude` to `@anthropic-ai/claude-code/bin/claude.exe`, also on Linux.
    program.ends_with("/claude")
        || program.contains("/@anthropic-ai/claude-code")
        || program.contains("/claude/versions/")
        || process::arguments(pid).get(1).is_some_and(is_script)
}

/// The session that a client was told to fork: with `--fork-session`, the one named after `--resume`, or the last one
/// of the project (`--continue`). A session that is chosen from a list is in no argument.
pub fn forked_session(pid: u32, transcript: &Path) -> Option<String> {
    let arguments = process::arguments(pid);
    let mut arguments = arguments.iter().map(|argument| String::from_utf8_lossy(argument));
    let (mut forks, mut resumed, mut continues) = (false, None, false);
    while let Some(argument) = arguments.next() {
        match &*argument {
            "--fork-session" => forks = true,
            "--continue" | "-c" => continues = true,
            "--resume" | "-r" => resumed = arguments.next(),
            other => {
                resumed = other.strip_prefix("--resume=").map(|id| id.to_owned().into()).or(resumed);
            }
        }
    }
    // The id, or the file of the session.
    let id = |of: &Path| of.file_name()?.to_str().map(|name| name.trim_end_matches(".jsonl").to_owned());
    match resumed {
        _ if !forks => None,
        Some(session) => id(Path::new(&*session)),
        None if !continues => None,
        None => {
            let files = std::fs::read_dir(transcript.parent()?).ok()?.flatten().map(|entry| entry.path());
            let others =
                files.filter(|path| path != transcript && path.extension().is_some_and(|e| e == "jsonl"));
            let modified = |path: &std::path::PathBuf| path.metadata().and_then(|meta| meta.modified()).ok();
            id(&others.max_by_key(modified)?)
        }
    }
}

/// What a process inherited from a client in its environment.
pub fn inherited_env(variables: &dyn Fn(&str) -> Option<String>) -> InheritedEnv {
    let is_inside = variables(INSIDE_VAR).is_some();
    let launched_by = variables(LAUNCHED_BY_VAR).unwrap_or_default();
    InheritedEnv {
        is_inside,
        session: variables(SESSION_VAR).filter(|id| is_inside && !id.is_empty()),
        launched_by: launched_by.split(',').filter(|id| is_session(id)).map(str::to_owned).collect(),
    }
}

/// Whether an entry of the list names a session. (Others: `clear:…`, a session that `/clear` ended.)
fn is_session(entry: &str) -> bool {
    is_plain_id(entry) && !["saved", "unknown"].contains(&entry)
}

/// Whether a person is at the terminal of the session that called this hook, according to its variables.
pub fn is_attended(env: &Env) -> bool {
    match env.var("CLAUDE_CODE_SESSION_ATTENDED") {
        Some(attended) => attended == "1",
        // 2.1.197 does not set the variable, 2.1.330 does.
        None => env.var("CLAUDE_CODE_ENTRYPOINT") == Some("cli"),
    }
}
