//! Makes a recording while a test runs with a real client.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::api::Served;
use super::recording::{
    Files, HookCall, Mark, Moment, changes, client_files, read_folder, shorten_message, shorten_stdout,
    without_root,
};

/// The folder where `tests/recorder/record` puts hook calls, in the client's temporary folder.
const CALLS: &str = "hooks";

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

    /// The recording, without the folder's name.
    pub fn finish(&self) -> Vec<Moment> {
        let moments = self.moments.iter().map(|moment| without_root(moment, &self.root));
        std::iter::once(Moment::Client).chain(moments).collect()
    }

    fn take_calls(&mut self) {
        let folder = self.root.join(CALLS);
        let mut ended: Vec<(u128, PathBuf)> = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| Some((number(&entry.path().join("ended"))?, entry.path())))
            .filter(|(_, path)| !self.seen.contains(path))
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
        let text = |name: &str| fs::read_to_string(path.join(name)).unwrap_or_default();
        let env = text("env");
        let variables = env.split('\0').filter_map(|pair| pair.split_once('='));
        // Process ids of a recording are meaningless later.
        let set = variables.filter(|(name, _)| name.starts_with("CLAUDE") && *name != "CLAUDE_PID");
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

fn number(path: &Path) -> Option<u128> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
