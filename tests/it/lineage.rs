//! Which session a client's session belongs to: only to one that lives and started it, whatever its variables say.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Home, Ran, message, program_path, run};
use crate::terminal::{self, starter};

const OUTER: &str = "11111111-2222-4333-8444-555555555555";
const INNER: &str = "66666666-2222-4333-8444-555555555555";

/// What an outer client's shell passes on.
const INHERITED: &str = "CLAUDECODE=1 CLAUDE_CODE_SESSION_ID=11111111-2222-4333-8444-555555555555";

/// A home in which shell text can call hooks: `hook NAME` runs `session-event` with the payload in that file.
struct Place {
    home: Home,
}

impl Place {
    fn new() -> Self {
        let home = Home::new();
        for (name, session) in [("outer", OUTER), ("inner", INNER)] {
            // A parent is charged for what comes after the start of its child.
            let now = home.env().now.plus_millis(3_600_000);
            let mut line = message(1, 100, 1);
            line["timestamp"] = json!(now.to_rfc3339());
            for id in ["uuid", "requestId"] {
                line[id] = json!(name);
            }
            line["message"]["id"] = json!(name);
            home.append(&home.transcript(session), &[line]);
            let start = home.payload("SessionStart", session, json!({"source": "startup"}));
            std::fs::write(home.path(name), start.to_string()).unwrap();
            let end = home.payload("SessionEnd", session, json!({"reason": "other"}));
            std::fs::write(home.path(&format!("{name}-end")), end.to_string()).unwrap();
        }
        Self { home }
    }

    fn hook(&self, name: &str) -> String {
        format!("{} < {}", program_path("session-event"), self.home.path(name).display())
    }

    /// A program that runs shell text, as a client runs hooks and tools. (`find`, under this name.)
    fn under(&self, name: &str, text: &str) -> String {
        let quoted = text.replace('\'', "'\\''");
        format!("{} / -maxdepth 0 -exec sh -c '{quoted}' \\;", self.program(name).display())
    }

    fn program(&self, name: &str) -> PathBuf {
        starter(&self.home.path(""), name)
    }

    /// Runs shell text, detached from whatever runs the tests, until it has written the file `done` (or another).
    fn run(&self, text: &str) {
        self.run_until(text, "done");
    }

    fn run_until(&self, text: &str, done: &str) {
        let mut command = Command::new("setsid");
        command.args(["--fork", "sh", "-c", text]);
        let mut command = self.home.furnish(command);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        assert!(command.status().unwrap().success());
        self.wait_for(done);
    }

    fn wait_for(&self, name: &str) {
        let end = Instant::now() + Duration::from_secs(60);
        while !self.home.path(name).exists() {
            assert!(Instant::now() < end, "no {name}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn file(&self, name: &str) -> String {
        self.home.path(name).display().to_string()
    }

    /// Whether the inner session counts for the outer one.
    fn is_child(&self) -> bool {
        let used = self.home.status(OUTER)["budgets"][0]["used"].as_u64().unwrap();
        assert_eq!(self.home.journal(), "");
        assert!(used == 101 || used == 202, "{used}");
        used == 202
    }
}

#[test]
fn a_child_in_a_tool_call_counts_for_its_parent_with_and_without_variables() {
    for variables in [INHERITED, "env -u CLAUDECODE"] {
        let place = Place::new();
        let inner = place.under("claude", &place.hook("inner"));
        place.run(&place.under(
            "claude",
            &format!("{}; {variables} {inner}; > {}", place.hook("outer"), place.file("done")),
        ));
        assert!(place.is_child(), "{variables}");
    }
}

#[test]
fn a_child_that_its_tool_call_left_running_counts_for_its_parent() {
    let place = Place::new();
    // Its shell has ended before it calls its first hook; the outer client goes on until it has.
    let inner = place.under(
        "claude",
        &format!(
            "until [ -e {0} ]; do sleep 0.01; done; {1}; > {2}",
            place.file("left"),
            place.hook("inner"),
            place.file("inner-done")
        ),
    );
    let text = format!(
        "{}; sh -c {}; > {}; until [ -e {} ]; do sleep 0.01; done; > {}",
        place.hook("outer"),
        shell_word(&format!("{INHERITED} {inner} &")),
        place.file("left"),
        place.file("inner-done"),
        place.file("done")
    );
    place.run(&place.under("claude", &text));
    assert!(place.is_child());
}

#[test]
fn a_session_that_has_ended_is_no_parent() {
    for end in [true, false] {
        let place = Place::new();
        // Ended in order, or killed.
        let last = if end { place.hook("outer-end") } else { "true".to_owned() };
        let outer = place.under("claude", &format!("{}; {last}", place.hook("outer")));
        let inner = place.under("claude", &place.hook("inner"));
        place.run(&format!("{outer}; {INHERITED} {inner}; > {}", place.file("done")));
        assert!(!place.is_child(), "ended in order: {end}");
    }
}

/// An editor that a client's shell once opened hands its variables to clients in its own terminals.
#[test]
fn a_living_session_that_is_no_ancestor_is_no_parent() {
    let place = Place::new();
    let inner = place.under("claude", &place.hook("inner"));
    let editor = place.under(
        "editor",
        &format!(
            "until [ -e {} ]; do sleep 0.01; done; {inner}; > {}",
            place.file("left"),
            place.file("inner-done")
        ),
    );
    let text = format!(
        "{}; sh -c {}; > {}; until [ -e {} ]; do sleep 0.01; done; > {}",
        place.hook("outer"),
        shell_word(&format!("{INHERITED} {editor} &")),
        place.file("left"),
        place.file("inner-done"),
        place.file("done")
    );
    place.run(&place.under("claude", &text));
    assert!(!place.is_child());
}

/// `claude --bg`: a daemon starts the session, and a variable says who launched it.
#[test]
fn a_session_launched_through_a_daemon_counts_for_its_launcher_while_that_lives() {
    for (lives, list, is_child) in [
        (true, format!("clear:{INNER},unknown,{OUTER}"), true),
        (true, format!(" {OUTER}x,saved,"), false),
        (false, OUTER.to_owned(), false),
    ] {
        let place = Place::new();
        let daemon = place.under(
            "daemon",
            &format!(
                "until [ -e {} ]; do sleep 0.01; done; CLAUDE_CODE_LAUNCHED_BY_SESSION_IDS='{list}' {}; > {}",
                place.file("started"),
                place.under("claude", &place.hook("inner")),
                place.file("inner-done")
            ),
        );
        let rest = if lives {
            format!("until [ -e {} ]; do sleep 0.01; done", place.file("inner-done"))
        } else {
            "true".to_owned()
        };
        let outer = place.under(
            "claude",
            &format!(
                "{}; {} {rest}",
                place.hook("outer"),
                if lives { format!("> {};", place.file("started")) } else { String::new() }
            ),
        );
        let after = if lives { String::new() } else { format!("> {};", place.file("started")) };
        place.run(&format!("{daemon} & {outer}; {after} wait; > {}", place.file("done")));
        assert_eq!(place.is_child(), is_child, "{list}, lives: {lives}");
    }
}

fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[test]
fn what_was_assumed_while_the_store_was_away_is_looked_up_again() {
    let place = Place::new();
    // The outer session is known, and has ended.
    place.run(&format!(
        "{}; > {}",
        place.under("claude", &format!("{}; {}", place.hook("outer"), place.hook("outer-end"))),
        place.file("done")
    ));
    let (db, away) = (place.home.path("state"), place.home.path("away"));
    std::fs::rename(&db, &away).unwrap();
    std::fs::write(&db, "not a folder").unwrap();
    let inner = |done: &str| {
        let client = place.under("claude", &place.hook("inner"));
        // Without an ancestor, the variables alone decide.
        place.run_until(&format!("{INHERITED} {client}; > {}", place.file(done)), done);
    };
    inner("done-1");
    std::fs::remove_file(&db).unwrap();
    std::fs::rename(&away, &db).unwrap();
    let cache = place.home.path("cache").join(format!("guardrails-{INNER}.json"));
    let noted: serde_json::Value = serde_json::from_slice(&std::fs::read(&cache).unwrap()).unwrap();
    assert_eq!(noted["untold"]["parent"], OUTER, "{noted}");
    place.home.wake_store(INNER);
    inner("done-2");
    assert!(!place.is_child());
}

/// A person in a terminal with stale variables decides; one whose variables name a living session does not.
#[test]
fn stale_variables_do_not_make_a_person_an_agent() {
    for (ended, person) in [(true, true), (false, false)] {
        let place = Place::new();
        let place = Place { home: place.home.var("CLAUDE_CODE_SESSION_ATTENDED", "1") };
        let last = if ended {
            place.hook("outer-end")
        } else {
            format!("until [ -e {} ]; do sleep 0.01; done", place.file("asked"))
        };
        let outer = place.under(
            "claude",
            &format!("{}; > {}; {last}; > {}", place.hook("outer"), place.file("done"), place.file("gone")),
        );
        place.run(&outer);
        if ended {
            place.wait_for("gone");
        }
        let (_terminal, line) = terminal::terminal();
        let payload = place.home.payload(
            "UserPromptSubmit",
            INNER,
            json!({"prompt": "fusebox: extend 5000 because lunch", "prompt_id": "p"}),
        );
        let furnish = |command| {
            let mut command = place.home.furnish(command);
            command.env("CLAUDECODE", "1").env("CLAUDE_CODE_SESSION_ID", OUTER);
            command
        };
        let client: &Path = &place.program("claude");
        let editor = place.program("editor");
        let ran: Ran = terminal::call(
            &place.home.path(""),
            &furnish,
            &Default::default(),
            &payload.to_string(),
            client,
            Some(&editor),
            line.into(),
        );
        std::fs::write(place.home.path("asked"), "").unwrap();
        place.wait_for("gone");
        assert_eq!(!ran.stdout.contains("started inside another client"), person, "{ran:?}");
        assert!(person || ran.stdout.contains("env -u CLAUDECODE claude"), "{ran:?}");
    }
}

#[test]
fn a_command_says_how_to_go_on_in_a_terminal_with_stale_variables() {
    let home = Home::new();
    let reset = ["budget", "reset", "session", "--reason", "x"];
    let run_in = |program: Option<PathBuf>| {
        let line = format!("{} {}", program_path("fusebox"), reset.join(" "));
        let mut command = match program {
            Some(program) => Command::new(program),
            None => Command::new(starter(&home.path(""), "editor")),
        };
        command.args(["/", "-maxdepth", "0", "-exec", "sh", "-c", &line, ";"]);
        run(home.furnish(command).env("CLAUDECODE", "1"), b"")
    };
    let stale = run_in(None);
    assert!(stale.stderr.contains("put `env -u CLAUDECODE` before the command"), "{stale:?}");
    let agent = run_in(Some(starter(&home.path(""), "claude")));
    assert!(agent.stderr.contains("CLAUDECODE is set") && !agent.stderr.contains("env -u"), "{agent:?}");
}
