//! Plays a recording: calls the hooks as the client did, and compares their decisions with the recorded ones.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fusebox::platform::clock;
use fusebox::store::cache_file::CacheFile;
use serde_json::{Value, json};

use super::api::Served;
use super::recording::{HookCall, Mark, Moment, apply, with_root};
use crate::harness::{Ran, program_path, run};
use crate::terminal;

/// The rest of a client's recording.
pub(super) struct Player {
    moments: VecDeque<Moment>,
    root: PathBuf,
    calls: Vec<Served>,
    /// What the hooks told models so far.
    told: String,
    /// What the hooks said to anybody on the way to the last mark.
    shown: String,
    env: BTreeMap<String, String>,
    in_terminal: bool,
    moved_ms: i64,
    at: i64,
}

impl Player {
    /// A player of these moments.
    pub fn new(moments: Vec<Moment>) -> Self {
        Self {
            moments: moments.into(),
            root: PathBuf::new(),
            calls: Vec::new(),
            told: String::new(),
            shown: String::new(),
            at: 0,
            env: BTreeMap::new(),
            in_terminal: false,
            moved_ms: 0,
        }
    }

    /// Sets the client's folder.
    pub fn begin(&mut self, root: &Path) {
        self.root = root.to_owned();
        for moment in &mut self.moments {
            *moment = with_root(moment, root);
        }
    }

    /// Whether the client is in a terminal or in print mode.
    pub fn in_terminal(&mut self, yes: bool) {
        self.in_terminal = yes;
    }

    /// Moves the hooks' clock.
    pub fn move_clock(&mut self, env: &BTreeMap<String, String>, ms: i64) {
        self.moved_ms = ms;
        self.set_clock(env, self.at);
    }

    /// The API calls served so far.
    pub fn calls(&self) -> Vec<Served> {
        self.calls.clone()
    }

    /// Whether a hook told a model these words so far.
    pub fn was_told(&self, words: &str) -> bool {
        self.told.contains(words)
    }

    /// Whether a hook said these words on the way to the last mark.
    pub fn showed(&self, words: &str) -> bool {
        self.shown.contains(words)
    }

    /// Everything that the hooks said on the way to the last mark.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Calls the hooks that are left; there must be no mark among them.
    #[track_caller]
    pub fn end(&mut self, env: &BTreeMap<String, String>) {
        while self.play_hook(env) {}
        let journal = fs::read_to_string(self.root.join("state/journal.jsonl")).unwrap_or_default();
        assert!(!journal.contains("incomplete transcript"), "a response was taken for missing: {journal}");
        let caches =
            env.get("FUSEBOX_CACHE_DIR").map(|dir| CacheFile::all(Path::new(dir))).unwrap_or_default();
        for cache in caches.iter().filter_map(CacheFile::read) {
            assert!(!cache.is_incomplete(), "{}: a response was taken for missing", cache.session.id);
        }
        assert!(
            self.moments.is_empty(),
            "the recording goes on after the test's end: record again (tests/record)"
        );
    }

    /// Calls the hooks up to the next mark, which must be this one.
    #[track_caller]
    pub fn play(&mut self, what: &str, env: &BTreeMap<String, String>) -> Mark {
        self.shown.clear();
        loop {
            match self.moments.pop_front() {
                Some(Moment::Hook(call)) => self.call(&call, env),
                Some(Moment::Mark(mark)) => {
                    assert_eq!(
                        mark.what, what,
                        "the test no longer does what was recorded: record again (tests/record)"
                    );
                    apply(&self.root, &mark.files);
                    for call in &mark.calls {
                        self.calls.retain(|old| old.order != call.order);
                        self.calls.push(call.clone());
                    }
                    self.calls.sort_by_key(|call| call.order);
                    self.set_clock(env, mark.at);
                    return mark;
                }
                Some(Moment::Client) | None => {
                    panic!("the recording ends before {what:?}: record again (tests/record)")
                }
            }
        }
    }

    /// Calls the next hook; false when a mark comes first.
    #[track_caller]
    pub fn play_hook(&mut self, env: &BTreeMap<String, String>) -> bool {
        let next = self.moments.pop_front_if(|moment| matches!(moment, Moment::Hook(_)));
        let Some(Moment::Hook(call)) = next else { return false };
        self.call(&call, env);
        true
    }

    #[track_caller]
    fn call(&mut self, call: &HookCall, env: &BTreeMap<String, String>) {
        apply(&self.root, &call.files);
        self.set_clock(env, call.at);
        if let Some(set) = &call.env {
            self.env.clone_from(set);
        }
        let furnish = |mut command: Command| {
            command.env_clear().envs(env).current_dir(&call.cwd);
            command
        };
        let ran = if self.in_terminal && call.hook == "prompt-submit" {
            // Whether a person typed it also depends on the processes.
            let (_near, far) = terminal::terminal();
            let client = terminal::starter(&self.root, "claude");
            terminal::call(&self.root, &furnish, &self.env, &call.stdin, &client, None, far.into())
        } else {
            run(furnish(Command::new(program_path(&call.hook))).envs(&self.env), call.stdin.as_bytes())
        };
        let then = Ran { code: call.code, stdout: call.stdout.clone(), stderr: call.stderr.clone() };
        assert_eq!(
            decision(&ran),
            decision(&then),
            "{} decided differently from the recording (left: now). If that is intended, record again: \
             tests/record\n{ran:?}\nrecorded: {then:?}\ncalled with: {:.2000}",
            call.hook,
            call.stdin
        );
        let (to_model, to_person) = texts(&ran, &call.hook);
        self.told += &to_model;
        self.shown += &(to_model + &to_person);
    }

    fn set_clock(&mut self, env: &BTreeMap<String, String>, at: i64) {
        self.at = at;
        let offset = at - clock().0 + self.moved_ms;
        fs::write(&env["FUSEBOX_TEST_CLOCK"], offset.to_string()).expect("write the clock");
    }
}

/// The decision in a hook's answer, without its texts.
fn decision(ran: &Ran) -> Value {
    let answer: Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
    let specific = &answer["hookSpecificOutput"];
    json!({
        "code": ran.code,
        "json": answer.is_object(),
        "silent": ran.stdout.is_empty() && ran.stderr.is_empty(),
        "continue": answer["continue"],
        "decision": answer["decision"],
        "permission": specific["permissionDecision"],
        "adds context": specific["additionalContext"].is_string(),
        "tells the person": answer["systemMessage"].is_string(),
    })
}

/// What an answer says to the model, and to a person.
fn texts(ran: &Ran, hook: &str) -> (String, String) {
    let answer: Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
    let specific = &answer["hookSpecificOutput"];
    let text = |values: &[&Value]| -> String {
        values.iter().filter_map(|value| value.as_str()).map(|text| format!("{text}\n")).collect()
    };
    // The reason of a blocked prompt is for who typed it, any other for the model.
    let is_prompt = hook == "prompt-submit";
    let reason = &answer["reason"];
    let none = Value::Null;
    let to_model = text(&[
        &specific["permissionDecisionReason"],
        &specific["additionalContext"],
        if is_prompt { &none } else { reason },
    ]);
    let to_person =
        text(&[&answer["systemMessage"], &answer["stopReason"], if is_prompt { reason } else { &none }]);
    if ran.code == 2 { (to_model + &ran.stderr, to_person) } else { (to_model, to_person) }
}
