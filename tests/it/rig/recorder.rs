//! Makes a recording while a test runs with a real client.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::api::Served;
use super::recording::{
    Files, HookCall, Mark, Moment, changes, client_files, read_folder, shorten_message, shorten_stdout,
    without_root,
};

/// The folder where `tests/recorder/record` puts hook calls, in the client's temporary folder.
const CALLS: &str = "hooks";

/// The client's variables that a recording keeps: those that Fusebox reads, without process ids.
const VARIABLES: [&str; 6] = [
    "CLAUDECODE",
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_CODE_LAUNCHED_BY_SESSION_IDS",
    "CLAUDE_CODE_SESSION_ATTENDED",
    "CLAUDE_CODE_SESSION_ID",
    "CLAUDE_PROJECT_DIR",
];

/// The recording of one client.
#[derive(Default)]
pub(super) struct Recorder {
    root: PathBuf,
    files: Files,
    calls: Vec<Served>,
    env: BTreeMap<String, String>,
    seen: BTreeSet<PathBuf>,
    moments: Vec<Moment>,
}

impl Recorder {
    /// Sets the client's folder.
    pub fn begin(&mut self, root: &Path) {
        self.root = root.to_owned();
        fs::create_dir_all(root.join(CALLS)).expect("make folder");
    }

    /// Adds a mark after the hooks that have ended.
    pub fn mark(&mut self, mut mark: Mark, calls: Vec<Served>) {
        self.take_calls();
        mark.files = changes(&mut self.files, client_files(&self.root));
        let known = |call: &Served| self.calls.iter().any(|old| old == call);
        let shortened =
            |call: &Served| Served { last_message: shorten_message(&call.last_message), ..call.clone() };
        mark.calls = calls.iter().filter(|call| !known(call)).map(shortened).collect();
        if let Some((_, stdout, _)) = &mut mark.outcome {
            *stdout = shorten_stdout(stdout);
        }
        self.calls = calls;
        self.moments.push(Moment::Mark(mark));
    }

    /// Adds the hooks that ended after the last mark, once the client is gone and before its folder is. A hook that the
    /// client killed, as it does when it exits after an error, is not recorded.
    pub fn end(&mut self) {
        let is_complete = || calls(&self.root).iter().all(|call| call.join("ended").exists());
        let end = Instant::now() + Duration::from_secs(2);
        while !is_complete() && Instant::now() < end {
            thread::sleep(Duration::from_millis(10));
        }
        self.take_calls();
    }

    /// The recording, without the folder's name.
    pub fn finish(&self) -> Vec<Moment> {
        let moments = self.moments.iter().map(|moment| without_root(moment, &self.root));
        std::iter::once(Moment::Client).chain(moments).collect()
    }

    fn take_calls(&mut self) {
        let mut ended: Vec<(u128, PathBuf)> = calls(&self.root)
            .into_iter()
            .filter(|path| !self.seen.contains(path))
            .filter_map(|path| Some((number(&path.join("ended"))?, path)))
            .collect();
        // Parallel hooks are recorded in the order in which they ended.
        ended.sort();
        for (_, path) in ended {
            let call = self.read_call(&path);
            self.moments.push(Moment::Hook(call));
            self.seen.insert(path);
        }
    }

    fn read_call(&mut self, path: &Path) -> HookCall {
        let text = |name: &str| fs::read_to_string(path.join(name)).expect("a file of the recorder");
        let env = text("env");
        let variables = env.split('\0').filter_map(|pair| pair.split_once('='));
        let set = variables.filter(|(name, _)| VARIABLES.contains(name));
        let set: BTreeMap<_, _> = set.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let env = (set != self.env).then(|| set.clone());
        self.env = set;
        let mut now = Files::new();
        let folder = path.join("files");
        read_folder(&folder, &folder, &mut now);
        HookCall {
            hook: text("hook").trim().to_owned(),
            at: text("at").trim().parse().expect("a time"),
            env,
            cwd: text("cwd").trim_end().to_owned(),
            stdin: text("stdin"),
            code: text("code").trim().parse().expect("a code"),
            stdout: text("stdout"),
            stderr: text("stderr"),
            files: changes(&mut self.files, now),
        }
    }
}

/// The folders of the calls so far.
fn calls(root: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root.join(CALLS)).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn number(path: &Path) -> Option<u128> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
