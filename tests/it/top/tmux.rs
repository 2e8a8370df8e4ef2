//! A terminal that a test types into: tmux, on a socket of its own.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::harness::Home;

/// Far longer than anything on a screen takes.
const LIMIT: Duration = Duration::from_mins(1);

/// A terminal; its programs end when it is dropped.
pub struct Tmux<'h> {
    home: &'h Home,
    socket: PathBuf,
}

impl<'h> Tmux<'h> {
    /// Runs a shell script in a terminal of this size. At its end, the screen stays.
    #[track_caller]
    pub fn start(home: &'h Home, (columns, rows): (u16, u16), script: &str) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        std::fs::write(
            home.path("tmux.conf"),
            "set -g status off\nset -g default-terminal screen-256color\n",
        )
        .unwrap();
        let tmux = Self { home, socket: home.path(&format!("tmux-{number}")) };
        let size = [columns, rows].map(|n| n.to_string());
        let script = format!("{script}\nexec cat");
        let started = tmux.ask(&["new-session", "-d", "-x", &size[0], "-y", &size[1], "sh", "-c", &script]);
        assert!(started.status.success(), "tmux is needed: {started:?}");
        tmux
    }

    fn ask(&self, arguments: &[&str]) -> Output {
        let mut command = self.home.furnish(Command::new("tmux"));
        command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
        command.arg("-u").arg("-S").arg(&self.socket).arg("-f").arg(self.home.path("tmux.conf"));
        command.args(arguments).output().unwrap_or_else(|error| panic!("tmux cannot be run: {error}"))
    }

    /// The screen's text.
    pub fn screen(&self) -> String {
        String::from_utf8(self.ask(&["capture-pane", "-p"]).stdout).unwrap()
    }

    /// The screen with its colours, and what has left it at the top.
    pub fn coloured(&self) -> String {
        String::from_utf8(self.ask(&["capture-pane", "-p", "-e", "-S", "-"]).stdout).unwrap()
    }

    /// Waits until this is on the screen.
    #[track_caller]
    pub fn wait(&self, text: &str) -> String {
        self.wait_until(text, |screen| screen.contains(text))
    }

    /// Waits until the screen is like this.
    #[track_caller]
    pub fn wait_until(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + LIMIT;
        loop {
            let screen = self.screen();
            if is_so(&screen) {
                return screen;
            }
            assert!(Instant::now() < end, "{what}: never; the screen:\n{screen}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Presses keys by tmux's names, such as `Enter`, `Escape`, `C-c`.
    pub fn keys(&self, keys: &[&str]) {
        assert!(self.ask(&[&["send-keys"], keys].concat()).status.success());
    }

    /// Types a text.
    pub fn write(&self, text: &str) {
        self.keys(&["-l", text]);
    }

    /// Pastes a text, as a terminal does.
    pub fn paste(&self, text: &str) {
        assert!(self.ask(&["set-buffer", text]).status.success());
        assert!(self.ask(&["paste-buffer", "-p"]).status.success());
    }

    /// Gives the terminal another size.
    pub fn resize(&self, columns: u16, rows: u16) {
        let size = [columns, rows].map(|n| n.to_string());
        let done = self.ask(&["resize-window", "-x", &size[0], "-y", &size[1]]);
        assert!(done.status.success(), "{done:?}");
    }

    /// Whether the terminal is in the alternate screen, and whether it shows its cursor.
    pub fn modes(&self) -> (bool, bool) {
        let asked = self.ask(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        let answer = String::from_utf8(asked.stdout).unwrap();
        let mut flags = answer.split_whitespace().map(|flag| flag == "1");
        (flags.next().unwrap(), flags.next().unwrap())
    }
}

impl Drop for Tmux<'_> {
    fn drop(&mut self) {
        self.ask(&["kill-server"]);
    }
}
