//! Starting a program the way the client does, and how long it takes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::place::Session;

/// A hook executable, built with the profile of benchmarks.
#[derive(Clone, Copy, PartialEq)]
pub enum Hook {
    PreToolUse,
    PostToolUse,
    PromptSubmit,
    SessionEvent,
}

impl Hook {
    pub const ALL: [Self; 4] = [Self::PreToolUse, Self::PostToolUse, Self::PromptSubmit, Self::SessionEvent];

    pub fn path(self) -> &'static str {
        match self {
            Self::PreToolUse => env!("CARGO_BIN_EXE_pre-tool-use"),
            Self::PostToolUse => env!("CARGO_BIN_EXE_post-tool-use"),
            Self::PromptSubmit => env!("CARGO_BIN_EXE_prompt-submit"),
            Self::SessionEvent => env!("CARGO_BIN_EXE_session-event"),
        }
    }

    pub fn name(self) -> &'static str {
        Path::new(self.path()).file_name().and_then(|n| n.to_str()).unwrap()
    }
}

/// What is started.
pub struct Tools {
    /// Does nothing.
    pub floor: PathBuf,
    peak: PathBuf,
    hooks: PathBuf,
}

impl Tools {
    /// Compiles the C programs into `dir`, and installs the hooks there (of this build, or those in `from`), as `cargo install`
    /// does: by a copy. A file as the linker wrote it, here and there, lies in the page cache in small pieces, and its pages
    /// take longer to map.
    pub fn build(dir: &Path, from: Option<&Path>) -> Self {
        let build = |name: &str| {
            let (source, program) = (format!("benches/{name}.c"), dir.join(name));
            let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
            let mut command = Command::new(compiler);
            command.args(["-O2", "-static", "-o"]).arg(&program);
            command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(source));
            assert!(command.status().unwrap().success(), "{name}.c cannot be compiled");
            program
        };
        let hooks = dir.join("bin");
        std::fs::create_dir(&hooks).unwrap();
        for hook in Hook::ALL {
            let built = from.map_or_else(|| hook.path().into(), |from| from.join(hook.name()));
            std::fs::copy(&built, hooks.join(hook.name())).expect("there is such an executable");
        }
        Self { floor: build("floor"), peak: build("peak"), hooks }
    }

    /// The installed executable of a hook.
    pub fn hook(&self, hook: Hook) -> PathBuf {
        self.hooks.join(hook.name())
    }

    /// Peak memory of a hook, in megabytes.
    pub fn peak(&self, hook: Hook, session: &Session) -> f64 {
        let out = command(&self.peak, session).arg(self.hook(hook)).stdout(Stdio::piped()).output().unwrap();
        let kib: f64 = String::from_utf8_lossy(&out.stdout).trim().parse().expect("peak prints a number");
        kib * 1024.0 / 1e6
    }
}

/// From before the spawn until the process is gone.
pub fn time(program: &Path, session: &Session) -> Duration {
    let mut command = command(program, session);
    let start = Instant::now();
    let status = command.spawn().unwrap().wait().unwrap();
    let took = start.elapsed();
    assert!(status.success(), "{}: {status}", program.display());
    took
}

/// A program in the session's folder and environment, the payload on standard input.
pub fn command(program: &Path, session: &Session) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(session.place.variables()).current_dir(&session.place.project);
    command.stdin(File::open(session.input()).unwrap()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}
