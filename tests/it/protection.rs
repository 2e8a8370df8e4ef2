//! The tripwire: calls that would change what guards the agent are denied; calls that only look like it are not. Both
//! corpora (`tests/protection`) are run through the real executable.

mod clients;
mod commands;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::harness::{Home, Ran, message, program_path, run};

/// A call and the reason for its label.
#[derive(Deserialize)]
struct Entry {
    name: String,
    tool: String,
    input: Value,
    why: String,
}

/// The locations: the defaults without any variables, or all set by variables.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Layout {
    Usual,
    Moved,
}

/// A home with Fusebox installed, and a project with links to what is protected.
struct World {
    home: Home,
    layout: Layout,
}

impl World {
    fn new(layout: Layout) -> Self {
        let world = Self { home: Home::new(), layout };
        let folders =
            [".claude/agents", ".claude/commands", ".vscode", "src/cli", "docs", "scripts", "fusebox", "sub"];
        for folder in folders {
            std::fs::create_dir_all(world.home.path("project").join(folder)).unwrap();
        }
        for file in [
            world.settings(),
            world.config(),
            world.state().join("state.db"),
            world.cache().join("guardrails-s.json"),
            world.home.path(".local/share/claude/versions/2.1.332"),
        ] {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "").unwrap();
        }
        std::fs::create_dir_all(world.bin()).unwrap();
        // A copy, because the running executable's path locates the others. Copied by another process: a file open for
        // writing anywhere cannot be run.
        let copied = Command::new("cp").arg(program_path("pre-tool-use")).arg(world.bin()).status().unwrap();
        assert!(copied.success());
        for name in ["fusebox", "post-tool-use", "prompt-submit", "session-event"] {
            std::fs::write(world.bin().join(name), "").unwrap();
        }
        let project = world.home.path("project");
        for (to, name) in [
            (world.settings(), "prefs"),
            (world.settings().parent().unwrap().to_owned(), "prefs.d"),
            (world.state(), "ledger"),
            (world.bin().join("fusebox"), "tool"),
        ] {
            symlink(to, project.join(name)).unwrap();
        }
        world
    }

    fn place(&self, usual: &str, moved: &str) -> PathBuf {
        self.home.path(if self.layout == Layout::Usual { usual } else { moved })
    }

    fn state(&self) -> PathBuf {
        self.place(".local/state/fusebox", "elsewhere/ledger")
    }

    fn cache(&self) -> PathBuf {
        self.home.path("cache")
    }

    fn config(&self) -> PathBuf {
        self.place(".config/fusebox/config.toml", "elsewhere/limits.toml")
    }

    fn settings(&self) -> PathBuf {
        self.place(".claude/settings.json", "client/settings.json")
    }

    fn bin(&self) -> PathBuf {
        self.home.path(".cargo/bin")
    }

    /// An entry's input with the paths of this home.
    fn fill(&self, value: &Value) -> Value {
        let places = [
            ("{HOME}", self.home.path("")),
            ("{PROJECT}", self.home.path("project")),
            ("{STATE}", self.state()),
            ("{CACHE}", self.cache()),
            ("{BIN}", self.bin()),
            ("{CONFIG}", self.config()),
            ("{TOKENS}", self.config().with_file_name("serve-tokens")),
            ("{CONFIGS}", self.config().parent().unwrap().to_owned()),
            ("{SETTINGS}", self.settings()),
        ];
        match value {
            Value::String(text) => {
                let path = |p: &PathBuf| p.to_str().unwrap().trim_end_matches('/').to_owned();
                places.iter().fold(text.clone(), |text, (mark, p)| text.replace(mark, &path(p))).into()
            }
            Value::Array(values) => values.iter().map(|v| self.fill(v)).collect(),
            Value::Object(fields) => {
                Value::Object(fields.iter().map(|(k, v)| (k.clone(), self.fill(v))).collect())
            }
            other => other.clone(),
        }
    }

    fn command(&self) -> Command {
        self.command_of(&self.bin())
    }

    /// The hook, started by its path in a folder.
    fn command_of(&self, bin: &Path) -> Command {
        let mut command = self.home.furnish(Command::new(bin.join("pre-tool-use")));
        match self.layout {
            Layout::Usual => {
                for name in ["FUSEBOX_STATE_DIR", "XDG_CONFIG_HOME", "CLAUDE_CONFIG_DIR"] {
                    command.env_remove(name);
                }
            }
            Layout::Moved => {
                command.env("FUSEBOX_STATE_DIR", self.state()).env("FUSEBOX_CONFIG", self.config());
                command.env("CLAUDE_CONFIG_DIR", self.settings().parent().unwrap());
            }
        }
        command
    }

    fn call(&self, tool: &str, input: &Value) -> Ran {
        self.call_of(&self.bin(), tool, input)
    }

    fn call_of(&self, bin: &Path, tool: &str, input: &Value) -> Ran {
        let fields = json!({"tool_name": tool, "tool_input": self.fill(input)});
        let payload = self.home.payload("PreToolUse", "s", fields);
        run(&mut self.command_of(bin), payload.to_string().as_bytes())
    }
}

fn corpus(name: &str) -> Vec<Entry> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/protection").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn is_denial(ran: &Ran) -> bool {
    ran.code == 0
        && ran.stderr.is_empty()
        && !ran.stdout.is_empty()
        && ran.json()["hookSpecificOutput"]["permissionDecision"] == "deny"
}

/// The names of the entries with an unexpected result.
fn wrong(layout: Layout, entries: &[Entry], wanted: impl Fn(&Ran) -> bool) -> String {
    let world = World::new(layout);
    let failed = entries.iter().filter(|entry| !wanted(&world.call(&entry.tool, &entry.input)));
    failed.map(|e| format!("\n{}: {} ({} {})", e.name, e.why, e.tool, e.input)).collect()
}

#[test]
fn every_attempt_is_denied() {
    let attempts = corpus("attempts.json");
    assert!(attempts.len() >= 70);
    for layout in [Layout::Usual, Layout::Moved] {
        let missed = wrong(layout, &attempts, is_denial);
        assert!(
            missed.is_empty(),
            "{layout:?}, {} of {}:{missed}",
            missed.lines().count() - 1,
            attempts.len()
        );
    }
}

#[test]
fn every_harmless_call_is_let_through() {
    let harmless = corpus("harmless.json");
    assert!(harmless.len() >= 70);
    for layout in [Layout::Usual, Layout::Moved] {
        let stopped = wrong(layout, &harmless, Ran::is_silent);
        assert!(
            stopped.is_empty(),
            "{layout:?}, {} of {}:{stopped}",
            stopped.lines().count() - 1,
            harmless.len()
        );
    }
}

#[test]
fn a_denial_says_what_is_protected_and_who_may() {
    let world = World::new(Layout::Usual);
    for (command, what) in [
        ("rm -rf {STATE}", "store or journal"),
        ("rm -rf {CACHE}", "session caches"),
        ("rm {CONFIG}", "configuration"),
        ("rm {SETTINGS}", "settings in which Fusebox's hooks are registered"),
        ("rm {BIN}/pre-tool-use", "executables"),
        ("rm {TOKENS}", "tokens of Fusebox's server"),
        ("fusebox budget reset session --reason x", "`fusebox budget reset`"),
        ("fusebox serve --token-file mine", "`fusebox serve`"),
        ("pkill post-tool-use", "hooks"),
        ("FUSEBOX_ENABLED=0 claude -p x", "client"),
        ("FUSEBOX_STORE_TEAM=other claude -p x", "client"),
        ("env -u FUSEBOX_STORE_TEAM claude -p x", "client"),
        ("unset FUSEBOX_STORE_TEAM; claude -p x", "client with `FUSEBOX_STORE_TEAM`"),
        ("claude -p x --restricted", "client with `--restricted`"),
        // Whatever does not look like a name stays out.
        ("claude -p '--words of a prompt'", "client with `--words`"),
    ] {
        let ran = world.call("Bash", &json!({ "command": command }));
        let said = ran.json()["hookSpecificOutput"]["permissionDecisionReason"].as_str().unwrap().to_owned();
        assert!(
            said.contains(what) && said.contains("Only a person may do that, in their own terminal"),
            "{command}: {said}"
        );
    }
    assert_eq!(std::fs::read_to_string(world.state().join("journal.jsonl")).unwrap_or_default(), "");
    let said = |command: &str| {
        let ran = world.call("Bash", &json!({ "command": command }));
        ran.json()["hookSpecificOutput"]["permissionDecisionReason"].as_str().unwrap().to_owned()
    };
    assert!(said("rm {CONFIG}").ends_with("Reading is allowed."));
    let tokens = said("cat {TOKENS}");
    assert!(tokens.contains("read or change the tokens") && !tokens.contains("Reading is"), "{tokens}");
}

#[test]
fn each_protocol_says_it_in_its_own_way() {
    let world = World::new(Layout::Usual);
    let input = json!({"command": "fusebox uninstall"});
    let ran = world.call("Bash", &input);
    let reason = ran.json()["hookSpecificOutput"]["permissionDecisionReason"].clone();
    let whole = json!({"hookSpecificOutput":
        {"hookEventName": "PreToolUse", "permissionDecision": "deny", "permissionDecisionReason": reason}});
    assert_eq!((ran.code, ran.stderr.as_str(), ran.json()), (0, "", whole));

    let payload = json!({"tool": "Bash", "arguments": input, "sessionId": "seed"});
    let ran = run(&mut world.command(), payload.to_string().as_bytes());
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert_eq!(ran.stderr.trim_end(), reason.as_str().unwrap());
    let payload = json!({"tool": "Bash", "arguments": {"command": "fusebox status"}, "sessionId": "seed"});
    assert!(run(&mut world.command(), payload.to_string().as_bytes()).is_silent());
}

#[test]
fn it_holds_while_budgets_are_fresh_and_not_where_fusebox_is_switched_off() {
    let world = World::new(Layout::Moved);
    let reset = json!({"command": "fusebox budget reset session --reason x"});
    world.home.append(&world.home.transcript("s"), &[message(1, 10, 1)]);
    let payload = world.home.payload("PostToolUse", "s", json!({}));
    assert!(world.home.run("post-tool-use", payload.to_string().as_bytes()).is_silent());
    assert!(is_denial(&world.call("Bash", &reset)));
    assert!(world.call("Bash", &json!({"command": "ls"})).is_silent());
    std::fs::write(world.config(), "enabled = false\n").unwrap();
    assert!(world.call("Bash", &reset).is_silent());
}

/// The path in the settings may be a link: deleting it disables the guard.
#[test]
fn the_path_that_a_hook_is_started_by_is_protected() {
    let world = World::new(Layout::Usual);
    let linked = world.home.path("links");
    std::fs::create_dir(&linked).unwrap();
    symlink(world.bin().join("pre-tool-use"), linked.join("pre-tool-use")).unwrap();
    for command in
        ["rm -rf {HOME}/links", "rm {HOME}/links/pre-tool-use", "mv {HOME}/links/pre-tool-use /tmp/x"]
    {
        let input = json!({ "command": command });
        assert!(is_denial(&world.call_of(&linked, "Bash", &input)), "{command}");
    }
    assert!(world.call_of(&linked, "Bash", &json!({"command": "rm -rf {HOME}/other"})).is_silent());
}

#[test]
fn a_budget_that_stops_the_session_is_said_first() {
    let world = World::new(Layout::Moved);
    std::fs::write(world.config(), "[[budget]]\nname = \"session\"\nlimit = 5\non_limit = \"stop\"\n")
        .unwrap();
    world.home.append(&world.home.transcript("s"), &[message(1, 10, 1)]);
    let ran = world.call("Bash", &json!({"command": "fusebox budget reset session --reason x"}));
    assert_eq!(ran.json()["continue"], false, "{ran:?}");
}
