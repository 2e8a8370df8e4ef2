//! Another agent takes only one folder: everything not specific to Claude Code works with it.

mod agent;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use agent::Otto;
use fusebox::agents::Agent as _;
use fusebox::agents::capability::Guarantee;
use fusebox::agents::hook::Hook;
use fusebox::domain::time::Timestamp;
use fusebox::hook::run::handle_event;
use fusebox::platform::{self, Env};
use tempfile::TempDir;

/// A user of that agent.
struct User {
    dir: TempDir,
    vars: BTreeMap<String, String>,
    now: Timestamp,
    calls: usize,
}

impl User {
    fn new(more: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let of = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        let mut vars: BTreeMap<String, String> = [
            ("HOME", of("home")),
            ("USER", "ann".into()),
            ("FUSEBOX_STATE_DIR", of("state")),
            ("FUSEBOX_CACHE_DIR", of("cache")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        vars.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        fs::create_dir_all(dir.path().join("project")).unwrap();
        Self { vars, now: platform::clock(), calls: 0, dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The hook's answer to an event.
    fn hook(&mut self, hook: Hook, event: &str, more: &str) -> String {
        self.now = self.now.plus_millis(1000);
        let env =
            Env { now: self.now, vars: self.vars.clone(), cwd: self.path("project"), uid: platform::uid() };
        let (table, project) = (self.path("s.tsv"), self.path("project"));
        let input = format!(
            "otto={event}\nsession=s\ntable={}\nin={}\ncall=c{}\ntool=sh\n{more}",
            table.display(),
            project.display(),
            self.calls
        );
        let heard =
            Otto.parse_event(hook, &input, env.now).expect("a payload").expect("an event of this hook");
        String::from_utf8(handle_event(&env, heard).reply.stdout).unwrap()
    }

    /// A response that requests a command, which runs unless the hook denies it.
    fn run(&mut self, line: &str, tokens: u64) -> String {
        self.calls += 1;
        let row = format!("{0}\totto-1\tc{0}\t{tokens}\t0\n", self.calls);
        let mut table = fs::OpenOptions::new().create(true).append(true).open(self.path("s.tsv")).unwrap();
        table.write_all(row.as_bytes()).unwrap();
        let asked = self.hook(Hook::PreToolUse, "asks", &format!("line={line}"));
        if asked.starts_with("NO ") || asked.starts_with("STOP ") {
            return asked;
        }
        asked + &self.hook(Hook::PostToolUse, "did", &format!("line={line}\nresult=no such file\ncode=1"))
    }
}

#[test]
fn it_is_metered_warned_and_stopped() {
    let mut user = User::new(&[("FUSEBOX_BUDGET_SESSION_LIMIT", "1000")]);
    assert_eq!(user.run("make one", 100), "");
    let warned = user.run("make two", 750);
    assert!(warned.contains("850 of 1,000 tokens"), "{warned}");
    user.run("make three", 200);
    let answers: Vec<String> = (4..9).map(|n| user.run(&format!("make {n}"), 1)).collect();
    assert!(
        answers.iter().any(|answer| answer.starts_with("NO ") || answer.starts_with("STOP ")),
        "{answers:?}"
    );
}

#[test]
fn a_loop_of_it_is_broken() {
    let mut user = User::new(&[]);
    let answers: Vec<String> = (0..12).map(|_| user.run("make it", 1)).collect();
    let is_held = |answer: &String| answer.starts_with("NO ") || answer.starts_with("STOP ");
    assert!(answers.iter().any(is_held), "{answers:?}");
}

#[test]
fn it_cannot_change_what_guards_it() {
    let mut user = User::new(&[]);
    user.run("ls", 1);
    let state = user.path("state");
    for line in [
        format!("rm -rf {}", state.display()),
        "echo x > ~/.otto/otto.ini".into(),
        "otto --alone -p x".into(),
    ] {
        let answer = user.run(&line, 1);
        assert!(answer.starts_with("NO "), "{line}: {answer}");
    }
    assert!(!user.run("rm -rf build", 1).starts_with("NO "));
}

#[test]
fn the_executable_that_is_registered_for_an_event_answers_it() {
    for (event, hook) in Otto.registered_hooks() {
        let input = format!("otto={event}\nsession=s\ntool=sh\nline=ls");
        for other in Hook::ALL {
            let heard = Otto.parse_event(other, &input, platform::clock()).expect("a payload");
            assert_eq!(heard.is_some(), other == *hook, "{event} {other:?}");
        }
    }
}

#[test]
fn what_holds_with_it_follows_from_what_it_can_do() {
    assert_eq!(Otto.capabilities().guarantees(), [Guarantee::Metered, Guarantee::Denied]);
    let all = fusebox::agents::DEFAULT.capabilities().guarantees();
    assert_eq!(all.len(), 6, "{all:?}");
}
