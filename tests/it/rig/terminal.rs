//! A client in a terminal: tmux on its own socket, controlled by what is on the screen.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::api::Shared;
use super::client::Client;
use super::recording::Mark;

/// Runs a script in a terminal of its own, as a terminal emulator does: `$1`, a copy of `script`, passes on keys and
/// screen. It is detached, so that tmux is not among the client's ancestors.
const DETACHED: &str = r#"setsid --fork "$1" -qc "echo \$PPID > $0.relay; exec sh $0" /dev/null
until [ -e "$2" ]; do sleep 0.1; done"#;

const LIMIT: Duration = Duration::from_mins(1);

/// Columns and rows of a terminal, unless the test is about them.
pub const SIZE: (u32, u32) = (160, 50);

/// A terminal session; ends when dropped. With a recording, nothing is typed, and the screen is the one at the test's
/// last wait.
pub struct Terminal {
    api: Arc<Shared>,
    env: BTreeMap<String, String>,
    place: Place,
}

enum Place {
    /// tmux, with its socket and the file for the client's exit code.
    Tmux { socket: PathBuf, code: PathBuf },
    /// The screen of a recording.
    Recording(Mutex<String>),
}

impl Terminal {
    /// Starts the client. The socket and tmux's configuration are in its folder `out`.
    #[track_caller]
    pub(super) fn start(client: &Client, args: &[String], in_tmux: bool, size: (u32, u32)) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let (api, env) = (Arc::clone(&client.api), client.vars().clone());
        if let Some(player) = api.drive().player() {
            player.in_terminal(true);
            return Self { api: Arc::clone(&client.api), env, place: Place::Recording(Mutex::default()) };
        }
        let n = NUMBER.fetch_add(1, Ordering::SeqCst);
        let folder = client.root().join("out");
        let conf = folder.join("tmux.conf");
        // Otherwise the screen disappears with the program.
        fs::write(&conf, "set -g remain-on-exit on\nset -g status off\n").expect("write tmux.conf");
        let [socket, code, start] = ["socket", "code", "sh"].map(|name| folder.join(format!("t{n}.{name}")));
        fs::write(&start, launcher(client.program(), args, &code)).expect("write a script");
        let mut command = tmux(&env, &socket);
        let [columns, rows] = [size.0.to_string(), size.1.to_string()];
        command.arg("-f").arg(conf).args(["new-session", "-d", "-x", &columns, "-y", &rows, "-c"]);
        command.arg(client.project()).arg("sh");
        if !in_tmux {
            let relay = folder.join("terminal");
            // Copied by another process: a file open for writing anywhere cannot be run.
            let copied = Command::new("cp").arg("/usr/bin/script").arg(&relay).status();
            assert!(copied.is_ok_and(|status| status.success()), "copy script");
            command.args(["-c", DETACHED]).arg(&start).arg(relay).arg(&code);
        } else {
            command.arg(&start);
        }
        let output = command.output().expect("start tmux");
        assert!(output.status.success(), "tmux: {output:?}");
        let terminal = Self { api, env, place: Place::Tmux { socket, code } };
        // The prompt of the input box: the client is ready.
        terminal.await_text("❯");
        terminal
    }

    /// The screen's text.
    pub fn screen(&self) -> String {
        match &self.place {
            Place::Recording(screen) => screen.lock().expect("the screen").clone(),
            Place::Tmux { .. } => {
                let output = self.ask(&["capture-pane", "-p"]);
                String::from_utf8_lossy(&output.stdout).into_owned()
            }
        }
    }

    /// Waits until one of the texts (separated by `|`) is on the screen; panics after the time limit.
    #[track_caller]
    pub fn wait(&self, texts: &str) {
        self.wait_within(LIMIT, &format!("{texts:?}"), || self.shows(texts));
    }

    /// Waits for a text that may take its time, such as what the client does every full minute.
    #[track_caller]
    pub fn wait_long(&self, text: &str) {
        self.wait_within(2 * LIMIT, &format!("{text:?}"), || self.shows(text));
    }

    /// Waits for a condition outside the screen, such as on the API's calls.
    #[track_caller]
    pub fn wait_for(&self, what: &str, ready: impl Fn() -> bool) {
        self.wait_within(LIMIT, what, ready);
    }

    #[track_caller]
    fn wait_within(&self, limit: Duration, what: &str, ready: impl Fn() -> bool) {
        if let Place::Recording(screen) = &self.place {
            let mark = self.api.play(what, &self.env).expect("a recording");
            *screen.lock().expect("the screen") = mark.screen.unwrap_or_default();
            // A hook can have done what was waited for, and have ended after that.
            while !ready() {
                assert!(self.api.play_hook(&self.env), "{what}: true in the recording, but not now");
            }
            return;
        }
        assert!(poll(limit, ready), "{what}: never; the screen:\n{}", self.screen());
        self.api.mark(Mark { screen: Some(self.screen()), ..Mark::now(what) });
    }

    fn shows(&self, texts: &str) -> bool {
        let screen = self.screen();
        texts.split('|').any(|t| screen.contains(t))
    }

    /// Waits for a text, ignoring any recording.
    #[track_caller]
    fn await_text(&self, text: &str) {
        assert!(poll(LIMIT, || self.shows(text)), "{text:?} never showed up; the screen:\n{}", self.screen());
    }

    /// Types a text, without Enter.
    #[track_caller]
    pub fn type_text(&self, text: &str) {
        if matches!(self.place, Place::Recording(_)) {
            return;
        }
        self.ask(&["send-keys", "-l", text]);
        // Keys in one piece with the text would count as pasted.
        let start: String = text.chars().take(60).collect();
        self.await_text(&start);
    }

    /// Types a text into the empty input box and presses Enter, once the client is idle: around the end of a turn it
    /// sometimes loses a key.
    #[track_caller]
    pub fn enter(&self, text: &str) {
        if matches!(self.place, Place::Recording(_)) {
            return;
        }
        assert!(
            poll(LIMIT, || !self.shows("esc to interrupt")),
            "the client is still busy: {}",
            self.screen()
        );
        // A blocked prompt may still be there.
        self.keys(&["C-u"]);
        self.type_text(text);
        self.keys(&["Enter"]);
    }

    /// Presses keys by tmux's names, such as `Enter`, `Escape`, `C-c`.
    pub fn keys(&self, keys: &[&str]) {
        let mut all = vec!["send-keys"];
        all.extend(keys);
        self.ask(&all);
    }

    /// Waits for the client's end (after `/exit`, for example). Returns its exit code, if it ended.
    #[track_caller]
    pub fn exit_code(&self) -> Option<i32> {
        let what = "exit code";
        let Place::Tmux { code, .. } = &self.place else {
            return self.api.play(what, &self.env)?.screen?.parse().ok();
        };
        let status = || fs::read_to_string(code).ok()?.trim().parse::<i32>().ok();
        poll(LIMIT, || status().is_some());
        let code = status();
        self.api.mark(Mark { screen: code.map(|code| code.to_string()), ..Mark::now(what) });
        code
    }

    fn ask(&self, args: &[&str]) -> Output {
        match &self.place {
            Place::Tmux { socket, .. } => tmux(&self.env, socket).args(args).output().expect("run tmux"),
            Place::Recording(_) => {
                Output { status: Default::default(), stdout: Vec::new(), stderr: Vec::new() }
            }
        }
    }
}

/// A shell script that runs the client and records its exit code, which tmux sometimes loses; the trap lets it outlive
/// the terminal. The client behaves differently if it knows that it is inside tmux.
fn launcher(program: &Path, args: &[String], code: &Path) -> String {
    let program = program.display().to_string();
    let words: Vec<String> = std::iter::once(&program)
        .chain(args)
        .map(|word| format!("'{}'", word.replace('\'', r"'\''")))
        .collect();
    let words = words.join(" ");
    format!("trap : HUP; unset TMUX TMUX_PANE TERM_PROGRAM; {words}; echo \"$?\" > '{}'\n", code.display())
}

fn tmux(env: &BTreeMap<String, String>, socket: &Path) -> Command {
    let mut c = Command::new("tmux");
    c.env_clear().envs(env).stdin(Stdio::null()).arg("-S").arg(socket);
    c
}

fn poll(limit: Duration, ready: impl Fn() -> bool) -> bool {
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

impl Drop for Terminal {
    fn drop(&mut self) {
        match &self.place {
            Place::Recording(_) => {
                if let Some(player) = self.api.drive().player() {
                    player.in_terminal(false);
                }
            }
            Place::Tmux { code, .. } => {
                self.ask(&["kill-server"]);
                // The client's own terminal, if it has one.
                if let Ok(relay) = fs::read_to_string(code.with_extension("sh.relay")) {
                    let _ = Command::new("kill").args(["-KILL", relay.trim()]).status();
                }
                // The client ends its session normally, and its folder must exist until then.
                poll(LIMIT, || code.exists());
            }
        }
    }
}
