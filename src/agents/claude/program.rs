//! The installed client: its path and version.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::version::ClientVersion;

/// Timeout for `claude --version`: far longer than it takes on a busy machine.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// How often to check whether it has finished.
const POLL: Duration = Duration::from_millis(10);

/// The path of `claude` on this `PATH`.
pub fn find(search_path: &str) -> Option<PathBuf> {
    let folders = std::env::split_paths(search_path);
    folders.map(|folder| folder.join("claude")).find(|program| is_program(program))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// The version that the client reports.
///
/// # Errors
/// It cannot be run, takes too long, or prints something else.
pub fn version(program: &Path) -> Result<ClientVersion, String> {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let end = Instant::now() + MAX_WAIT;
    let status = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break status,
            None if Instant::now() < end => std::thread::sleep(POLL),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("--version did not finish within {} s", MAX_WAIT.as_secs()));
            }
        }
    };
    let mut text = String::new();
    if let Some(out) = child.stdout.take() {
        let _ = out.take(4096).read_to_string(&mut text);
    }
    let first: String = text.lines().next().unwrap_or_default().chars().take(60).collect();
    if !status.success() {
        return Err(format!("--version failed ({status})"));
    }
    text.parse().map_err(|()| format!("--version printed \"{first}\""))
}
