//! Starts programs as the client does, and measures how long they take.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fusebox::agents::hook;

/// The executables, by name.
pub const PRE_TOOL_USE: &str = "pre-tool-use";
pub const POST_TOOL_USE: &str = "post-tool-use";
pub const PROMPT_SUBMIT: &str = "prompt-submit";
pub const SESSION_EVENT: &str = "session-event";
pub const STATUS_LINE: &str = hook::STATUS_LINE;

/// How a program is started.
pub struct Launch {
    /// The whole environment.
    pub variables: Vec<(&'static str, PathBuf)>,
    /// The working folder.
    pub folder: PathBuf,
    /// The file on its standard input.
    pub input: PathBuf,
}

/// An executable, built with the profile of benchmarks.
pub fn built(program: &str) -> &'static str {
    match program {
        PRE_TOOL_USE => env!("CARGO_BIN_EXE_pre-tool-use"),
        POST_TOOL_USE => env!("CARGO_BIN_EXE_post-tool-use"),
        PROMPT_SUBMIT => env!("CARGO_BIN_EXE_prompt-submit"),
        SESSION_EVENT => env!("CARGO_BIN_EXE_session-event"),
        STATUS_LINE => env!("CARGO_BIN_EXE_status-line"),
        "fusebox" => env!("CARGO_BIN_EXE_fusebox"),
        other => panic!("no program {other}"),
    }
}

/// The programs to start.
pub struct Tools {
    /// Does nothing.
    pub floor: PathBuf,
    /// The same, with musl; `None` if `musl-gcc` is not installed.
    pub musl_floor: Option<PathBuf>,
    peak: PathBuf,
    hooks: PathBuf,
}

impl Tools {
    /// Compiles the C programs to `dir`, and installs the hooks there (of this build, or from `from`) by copying them,
    /// like `cargo install`. The linker writes files at random offsets, so they are fragmented in the page cache and
    /// slower to map.
    pub fn build(dir: &Path, from: Option<&Path>) -> Self {
        let compile = |compiler: &str, name: &str, program: &str| {
            let (source, program) = (format!("benches/{name}.c"), dir.join(program));
            let mut command = Command::new(compiler);
            command.args(["-O2", "-static", "-o"]).arg(&program);
            command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(source));
            command.status().is_ok_and(|status| status.success()).then_some(program)
        };
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
        let build = |name: &str| compile(&compiler, name, name).expect("the C program can be compiled");
        let musl_floor = compile("musl-gcc", "floor", "floor-musl");
        if musl_floor.is_none() {
            eprintln!(
                "THERE IS NO musl-gcc: the ratios to a static musl program are left out (Debian: musl-tools)"
            );
        }
        let hooks = dir.join("bin");
        std::fs::create_dir(&hooks).unwrap();
        for name in hook::programs() {
            let built = from.map_or_else(|| built(name).into(), |from| from.join(name));
            std::fs::copy(&built, hooks.join(name)).expect("there is such an executable");
        }
        Self { floor: build("floor"), musl_floor, peak: build("peak"), hooks }
    }

    /// The installed executable.
    pub fn program(&self, name: &str) -> PathBuf {
        self.hooks.join(name)
    }

    /// Peak memory of an executable, in megabytes.
    pub fn peak(&self, program: &str, launch: &Launch) -> f64 {
        let out =
            command(&self.peak, launch).arg(self.program(program)).stdout(Stdio::piped()).output().unwrap();
        let kib: f64 = String::from_utf8_lossy(&out.stdout).trim().parse().expect("peak prints a number");
        kib * 1024.0 / 1e6
    }
}

/// The time from before the spawn until the process has exited.
pub fn time(program: &Path, launch: &Launch) -> Duration {
    let mut command = command(program, launch);
    let start = Instant::now();
    let status = command.spawn().unwrap().wait().unwrap();
    let took = start.elapsed();
    assert!(status.success(), "{}: {status}", program.display());
    took
}

/// Starts a program that is not measured.
pub fn start(program: &Path, launch: &Launch) -> Child {
    command(program, launch).spawn().unwrap()
}

/// The command for a program.
pub fn command(program: &Path, launch: &Launch) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(launch.variables.iter().map(|(name, value)| (name, value)));
    command.current_dir(&launch.folder);
    command.stdin(File::open(&launch.input).unwrap()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}
