//! A hook called by a client in a terminal: its parent reads from a terminal, and no agent started it.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::FromRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Home, Ran, program_path};

/// Far longer than any hook takes.
const LIMIT: Duration = Duration::from_secs(60);

/// A copy of `find` with this name in the folder `bin` of a home: it starts programs like a client, and they inherit
/// its input.
pub fn starter(home: &Path, name: &str) -> PathBuf {
    let found = ["/usr/bin/find", "/bin/find"].into_iter().find(|path| Path::new(path).is_file()).unwrap();
    let copy = home.join("bin").join(name);
    if !copy.exists() {
        std::fs::create_dir_all(home.join("bin")).unwrap();
        // Copied by another process: a file open for writing anywhere cannot be run.
        assert!(Command::new("cp").arg(found).arg(&copy).status().unwrap().success());
    }
    copy
}

/// Calls `prompt-submit` with `payload` from a client in a terminal. `outer`: another program that starts that client.
pub fn prompt_from(home: &Home, payload: &Value, outer: Option<&Path>) -> Ran {
    let (_terminal, line) = terminal();
    prompt_of(home, payload, &starter(&home.path(""), "claude"), outer, line.into())
}

/// The same, from a program that reads from `input`, and may not be a client.
pub fn prompt_of(home: &Home, payload: &Value, client: &Path, outer: Option<&Path>, input: Stdio) -> Ran {
    let furnish = |command| home.furnish(command);
    call(&home.path(""), &furnish, &BTreeMap::new(), &payload.to_string(), client, outer, input)
}

/// The same in any folder. `furnish` gives the client its variables; `variables` are those that it sets for the hook.
pub fn call(
    folder: &Path,
    furnish: &dyn Fn(Command) -> Command,
    variables: &BTreeMap<String, String>,
    payload: &str,
    client: &Path,
    outer: Option<&Path>,
    input: Stdio,
) -> Ran {
    let place = tempfile::tempdir_in(folder).unwrap();
    let file = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(file("in"), payload).unwrap();
    // The code comes last, and atomically: then everything else is there.
    let script = r#""$0" < "$1/in" > "$1/out" 2> "$1/err"; echo $? > "$1/c"; mv "$1/c" "$1/code""#;
    let mut words: Vec<&str> = Vec::new();
    if let Some(outer) = outer {
        // `find` ends its command at the first `;`, so the shell between the two passes one to the inner one.
        words.extend([
            outer.to_str().unwrap(),
            "/",
            "-maxdepth",
            "0",
            "-exec",
            "sh",
            "-c",
            r#""$@" \;"#,
            "sh",
        ]);
    }
    let folder = place.path().to_str().unwrap();
    let variables: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
    words.extend([client.to_str().unwrap(), "/", "-maxdepth", "0", "-exec", "env"]);
    words.extend(variables.iter().map(String::as_str));
    words.extend(["sh", "-c", script]);
    words.extend([program_path("prompt-submit"), folder, ";"]);
    let mut command = Command::new("setsid");
    // Detached from whatever runs the tests, which may be an agent.
    command.arg("--fork").args(&words);
    let mut command = furnish(command);
    let status = command.stdin(input).stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{status:?}");
    let end = Instant::now() + LIMIT;
    let code = loop {
        if let Ok(code) = std::fs::read_to_string(file("code")) {
            break code.trim().parse().unwrap();
        }
        assert!(Instant::now() < end, "no answer");
        std::thread::sleep(Duration::from_millis(5));
    };
    let read = |name: &str| std::fs::read_to_string(file(name)).unwrap();
    Ran { code, stdout: read("out"), stderr: read("err") }
}

/// A pseudo-terminal: the side of its user, and the side of the program in it.
pub fn terminal() -> (File, File) {
    let (mut near, mut far) = (0, 0);
    let none = std::ptr::null_mut();
    // SAFETY: the two numbers outlive the call, and the other arguments may be null; we own the files from here on.
    unsafe {
        assert_eq!(libc::openpty(&raw mut near, &raw mut far, none, none.cast(), none.cast()), 0);
        (File::from_raw_fd(near), File::from_raw_fd(far))
    }
}
