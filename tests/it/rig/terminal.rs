//! A client in a terminal: tmux on a socket of its own, driven by what is on the screen.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Runs the client and writes down its exit code, as tmux now and then loses it; the trap lets
/// it outlive the terminal. The client behaves otherwise when it knows that it is inside tmux.
const RUN: &str = r#"trap : HUP; unset TMUX TMUX_PANE TERM_PROGRAM; "$@"; echo "$?" > "$0""#;

const LIMIT: Duration = Duration::from_mins(1);

/// A terminal session; it ends when dropped.
pub struct Terminal {
    socket: PathBuf,
    code: PathBuf,
    env: BTreeMap<String, String>,
}

impl Terminal {
    /// Starts `program` in `cwd`; the socket and tmux's settings go to `folder`.
    pub(super) fn start(
        folder: &Path,
        cwd: &Path,
        env: &BTreeMap<String, String>,
        program: &Path,
        args: &[String],
    ) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let n = NUMBER.fetch_add(1, Ordering::SeqCst);
        let conf = folder.join("tmux.conf");
        // Or the screen would be gone with the program.
        fs::write(&conf, "set -g remain-on-exit on\nset -g status off\n").expect("write tmux.conf");
        let [socket, code] = ["socket", "code"].map(|name| folder.join(format!("t{n}.{name}")));
        let terminal = Self { socket, code, env: env.clone() };
        let mut command = terminal.tmux();
        command.arg("-f").arg(conf).args(["new-session", "-d", "-x", "160", "-y", "50", "-c"]);
        command.arg(cwd).args(["sh", "-c", RUN]).arg(&terminal.code);
        let output = command.arg(program).args(args).output().expect("start tmux");
        assert!(output.status.success(), "tmux: {output:?}");
        // The prompt sign of the input box: the client is ready.
        terminal.wait("❯");
        terminal
    }

    /// The screen's text.
    pub fn screen(&self) -> String {
        let output = self.ask(&["capture-pane", "-p"]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Waits until one of the texts (separated by `|`) is on the screen; panics if it never is.
    #[track_caller]
    pub fn wait(&self, texts: &str) {
        let found = Self::poll(|| {
            let screen = self.screen();
            texts.split('|').any(|t| screen.contains(t))
        });
        assert!(found, "{texts:?} never showed up; the screen:\n{}", self.screen());
    }

    /// Waits for a text that takes its time, such as what the client does every full minute.
    #[track_caller]
    pub fn wait_long(&self, text: &str) {
        let found = Self::poll_for(2 * LIMIT, || self.screen().contains(text));
        assert!(found, "{text:?} never showed up; the screen:\n{}", self.screen());
    }

    /// Waits until a condition outside the screen holds, e.g. on the API's calls.
    #[track_caller]
    pub fn wait_for(&self, what: &str, ready: impl Fn() -> bool) {
        assert!(Self::poll(ready), "{what}: never; the screen:\n{}", self.screen());
    }

    /// Types a text, without Enter.
    #[track_caller]
    pub fn type_text(&self, text: &str) {
        self.ask(&["send-keys", "-l", text]);
        // Keys that come in one piece with the text would be taken for a paste.
        let start: String = text.chars().take(60).collect();
        self.wait(&start);
    }

    /// Types a text and presses Enter.
    #[track_caller]
    pub fn enter(&self, text: &str) {
        self.type_text(text);
        self.keys(&["Enter"]);
    }

    /// Types a text where another may still stand, and presses Enter until `answer` is on the screen: around the end of a
    /// turn the client now and then loses the key.
    #[track_caller]
    pub fn enter_until(&self, text: &str, answer: &str) {
        self.keys(&["C-u"]);
        self.type_text(text);
        let answered = || self.screen().contains(answer);
        let found = (0..6).any(|_| {
            self.keys(&["Enter"]);
            Self::poll_for(LIMIT / 6, answered)
        });
        assert!(found, "{answer:?} never showed up; the screen:\n{}", self.screen());
    }

    /// Presses keys by tmux's names, e.g. `Enter`, `Escape`, `C-c`.
    pub fn keys(&self, keys: &[&str]) {
        let mut all = vec!["send-keys"];
        all.extend(keys);
        self.ask(&all);
    }

    /// Waits for the client's end (after `/exit`, say); its exit code if it came to an end.
    pub fn exit_code(&self) -> Option<i32> {
        let status = || fs::read_to_string(&self.code).ok()?.trim().parse().ok();
        Self::poll(|| status().is_some());
        status()
    }

    fn poll(ready: impl Fn() -> bool) -> bool {
        Self::poll_for(LIMIT, ready)
    }

    fn poll_for(limit: Duration, ready: impl Fn() -> bool) -> bool {
        let end = Instant::now() + limit;
        loop {
            if ready() {
                return true;
            }
            if Instant::now() > end {
                return false;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn ask(&self, args: &[&str]) -> Output {
        self.tmux().args(args).output().expect("run tmux")
    }

    fn tmux(&self) -> Command {
        let mut c = Command::new("tmux");
        c.env_clear().envs(&self.env).stdin(Stdio::null()).arg("-S").arg(&self.socket);
        c
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.ask(&["kill-server"]);
        // The client ends its session in peace, and its folder must not go before it is done.
        Self::poll(|| self.code.exists());
    }
}
