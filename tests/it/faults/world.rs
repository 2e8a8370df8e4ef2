//! Homes with their clients, clocks and disks, and what a run records about them. On a shared store there are several
//! homes, one per machine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::client::Session;
use super::namespace::{self, Disk};
use super::shared::{SHARED_CONFIGURATION, SharedServer, TENANT};
use crate::harness::{self, Home, hook_of};
use crate::killed::{At, run_killed_at};
use crate::random::Random;

pub const CONFIGURATION: &str = r#"
[[budget]]
name = "session"
limit = 60_000
on_limit = "pause"

[[budget]]
name = "calls"
unit = "tool_calls"
limit = 30
thresholds = [0.25, 0.5, 1.0]
on_limit = "warn"

[[budget]]
name = "daily"
scope = "user"
window = "day"
limit = 200_000
thresholds = [0.1, 0.3, 0.5, 0.7, 0.9]
on_limit = "warn"

[[budget]]
name = "hours"
scope = "project"
unit = "requests"
window = "5h"
limit = 50
on_limit = "stop"

[[budget]]
name = "ever"
scope = "user"
count = ["input", "output", "cache_write", "cache_read"]
limit = 2_000_000
thresholds = [0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0]
on_limit = "warn"

[[budget]]
name = "reads"
scope = "model"
count = ["cache_read"]
limit = 300_000
on_limit = "warn"

[[budget]]
name = "agents"
scope = "agent_type"
unit = "requests"
limit = 80
on_limit = "warn"
"#;

/// The outcome of a requested decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecisionOutcome {
    /// The command succeeded.
    Done,
    /// The command failed.
    Refused,
    /// The command was killed, or the store was damaged since: the decision may or may not be there.
    Unknown,
}

pub struct World {
    // First, so that it is unmounted before the folder is deleted.
    pub disks: Option<[Disk; 2]>,
    /// The first machine.
    pub home: Home,
    /// The other machines.
    pub others: Vec<Home>,
    /// The shared store.
    pub shared: Option<SharedServer>,
    pub random: Random,
    pub sessions: Vec<Session>,
    /// Clock offset of each machine, in milliseconds.
    pub offsets: Vec<i64>,
    /// When Fusebox was installed.
    pub installed: i64,
    pub serial: u64,
    /// The requested decisions, by reason.
    pub decisions: BTreeMap<String, DecisionOutcome>,
    /// How often each alert was shown: by hooks that certainly recorded it, and by others.
    pub shown_alerts: BTreeMap<String, (usize, usize)>,
    /// Transcripts stand still, are replaced or moved for a while.
    pub lies: bool,
    /// A disk is full or read-only.
    pub failing: bool,
    /// The store was damaged since the last checkpoint.
    pub damaged: bool,
    pub log: Vec<String>,
    /// Hooks run, and hooks killed.
    pub ran: (usize, usize),
}

/// A prepared run of a hook.
pub struct PreparedHook {
    pub session: usize,
    /// The session has files.
    has_files: bool,
    /// What they hold, if no hook saw them before.
    held: Option<BTreeSet<String>>,
    command: Command,
    input: Vec<u8>,
    kill: Option<At>,
    description: String,
}

/// A finished run of a hook.
pub struct HookRun {
    pub session: usize,
    has_files: bool,
    held: Option<BTreeSet<String>>,
    pub killed: bool,
    /// It was so fast that no deadline can have ended it.
    pub is_uncut: bool,
    stdout: String,
}

/// The longest run that no deadline ended: far less than the deadlines of a hook and its maintenance.
const MAX_UNCUT: Duration = Duration::from_millis(350);

impl World {
    pub fn new(seed: u64, with_disks: bool) -> Self {
        // Its hooks have their own deadlines: some are meant to be cut short.
        let home = with_projects(Home::new(), CONFIGURATION);
        home.hurry(true);
        let disks = with_disks.then(|| ["state", "cache"].map(|name| Disk::mount(&home.path(name))));
        Self::with_homes(seed, home, disks)
    }

    /// Whether hooks have no more time than those that people run.
    pub fn hurry(&self, yes: bool) {
        std::iter::once(&self.home).chain(&self.others).for_each(|home| home.hurry(yes));
    }

    /// One machine with files that lie, and no disks that fail: a lost cache does not know what was estimated.
    pub fn lying(seed: u64) -> Self {
        Self { lies: true, ..Self::new(seed, false) }
    }

    /// Two machines on one shared store.
    pub fn sharing(seed: u64, shared: SharedServer) -> Self {
        let home = || {
            let home = Home::new()
                .var("FUSEBOX_STORE_REDIS_URL", &shared.server.socket_url())
                .var("FUSEBOX_STORE_TENANT", TENANT);
            home.hurry(true);
            with_projects(home, SHARED_CONFIGURATION)
        };
        let (first, second) = (home(), home());
        let mut world = Self::with_homes(seed, first, None);
        (world.others, world.offsets) = (vec![second], vec![0, 0]);
        world.shared = Some(shared);
        world.jump(1, 0);
        world
    }

    fn with_homes(seed: u64, home: Home, disks: Option<[Disk; 2]>) -> Self {
        let mut world = Self {
            disks,
            home,
            others: vec![],
            shared: None,
            random: Random::new(seed),
            sessions: vec![],
            offsets: vec![0],
            installed: 0,
            serial: 0,
            decisions: BTreeMap::new(),
            shown_alerts: BTreeMap::new(),
            lies: false,
            failing: false,
            damaged: false,
            log: vec![],
            ran: (0, 0),
        };
        world.jump(0, 0);
        world
    }

    /// How many machines there are.
    pub fn machines(&self) -> usize {
        self.offsets.len()
    }

    /// A random machine.
    pub fn any_machine(&mut self) -> usize {
        if self.machines() == 1 { 0 } else { self.random.below(self.machines()) }
    }

    /// The home of a machine.
    pub fn home_of(&self, machine: usize) -> &Home {
        machine.checked_sub(1).map_or(&self.home, |other| &self.others[other])
    }

    pub fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub fn note(&mut self, what: impl Into<String>) {
        self.log.push(what.into());
    }

    /// The time for hooks on a machine.
    pub fn now(&self, machine: usize) -> i64 {
        let real = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        i64::try_from(real).unwrap() + self.offsets[machine]
    }

    /// The time for a session's hooks.
    pub fn now_of(&self, session: usize) -> i64 {
        self.now(self.sessions[session].machine)
    }

    /// Moves a machine's clock by about `by` milliseconds, to a time not close to the start or end of a window, so that
    /// counts do not depend on the duration of a run.
    pub fn jump(&mut self, machine: usize, by: i64) {
        const MARGIN: i64 = 20 * 60 * 1000;
        self.offsets[machine] += by;
        let near = |now: i64, window: i64| {
            let at = now.rem_euclid(window);
            at < MARGIN || window - at < MARGIN
        };
        while near(self.now(machine), 5 * 3600 * 1000) || near(self.now(machine), 24 * 3600 * 1000) {
            self.offsets[machine] += MARGIN;
        }
        std::fs::write(self.home_of(machine).path("clock"), self.offsets[machine].to_string()).unwrap();
        if self.now(machine) < self.installed {
            // What is recorded again before the installation is no history.
            self.sessions.iter_mut().for_each(|session| session.held.surely.clear());
        }
    }

    /// A random session with a running client.
    pub fn any_live(&mut self) -> Option<usize> {
        let live: Vec<usize> = (0..self.sessions.len()).filter(|i| self.sessions[*i].is_live()).collect();
        (!live.is_empty()).then(|| *self.random.pick(&live))
    }

    /// A command on a machine, as started by a session's client or a person in its project.
    fn command(&self, program: &str, machine: usize, session: Option<usize>) -> Command {
        let mut command = self.home_of(machine).command(program);
        if machine > 0 {
            namespace::set_host_name(&mut command, &format!("machine-{machine}"));
        }
        if self.shared.is_some() && program == "fusebox" {
            // The test machine may be busy.
            command.env("FUSEBOX_STORE_REDIS_TIMEOUT_MS", "1000");
        }
        if let Some(session) = session {
            let session = &self.sessions[session];
            command.env("CLAUDE_PROJECT_DIR", &session.project);
            command.env("CLAUDE_PID", session.client.as_ref().map_or(1, |c| c.id()).to_string());
        }
        command
    }

    /// Prepares a run of a hook.
    pub fn prepare_hook(
        &mut self,
        session: usize,
        event: &str,
        agent: Option<usize>,
        kill: Option<At>,
    ) -> PreparedHook {
        // Without a file, there is nothing to see yet.
        let has_files = self.sessions[session].has_written();
        let is_first = !std::mem::replace(&mut self.sessions[session].held.tried, true) && has_files;
        let held = is_first.then(|| self.keys_of(session));
        let random = &mut self.random;
        let of = &mut self.sessions[session];
        let ends = matches!(event, "Stop" | "SubagentStop");
        let text = if ends { of.shown(agent, "text", "text") } else { None };
        // The same text again would be another response, which no file shows.
        let text = text.filter(|text| of.ended.insert(text.clone()));
        let of = &self.sessions[session];
        let tool = if random.chance(90) { of.last_tool.clone() } else { "toolu_unknown".to_owned() };
        // Unless files lie, hooks are told only of responses in a file: a killed client would lose the others.
        let ended = match self.lies {
            true => of.last_tools.get(&agent).cloned(),
            false => of.shown(agent, "tool_use", "id"),
        };
        // The response of a call that is stopped counts, too.
        let requested = json!(ended.clone());
        let ended: Vec<Value> = ended
            .iter()
            .map(|id| json!({"tool_use_id": id, "tool_name": "Bash", "tool_input": {}}))
            .collect();
        let mut fields = match event {
            "PostToolBatch" => json!({"tool_calls": ended}),
            "Stop" | "SubagentStop" => json!({"last_assistant_message": text}),
            "SessionStart" => json!({"source": "startup"}),
            "UserPromptSubmit" => json!({"prompt": "go on"}),
            "PreToolUse" => {
                json!({"tool_use_id": requested, "tool_name": "Bash", "tool_input": {"command": "true"}})
            }
            _ => json!({"tool_use_id": tool, "tool_name": "Bash", "tool_input": {"command": "true"}}),
        };
        if let Some((id, agent_type)) = agent.map(|agent| &of.agents[agent]) {
            fields["agent_id"] = json!(id);
            fields["agent_type"] = json!(agent_type);
        }
        fields["transcript_path"] = json!(of.transcript);
        fields["cwd"] = json!(of.project);
        let input = self.home_of(of.machine).payload(event, &of.id, fields).to_string().into_bytes();
        let what = format!(
            "{event} of {}{}{}{}",
            of.id,
            if of.machine == 0 { String::new() } else { format!(" on {}", of.machine) },
            agent.map_or(String::new(), |a| format!(" agent {a}")),
            kill.map_or(String::new(), |at| format!(", killed at {}+{}", at.stops, at.instructions))
        );
        let command = self.command(hook_of(event), of.machine, Some(session));
        PreparedHook { session, has_files, held, command, input, kill, description: what }
    }

    /// Calls a hook.
    pub fn hook(&mut self, session: usize, event: &str, agent: Option<usize>, kill: Option<At>) {
        let ready = self.prepare_hook(session, event, agent, kill);
        self.note(ready.description.clone());
        let called = ready.call();
        self.remember(&called);
    }

    /// Records the effects of a hook.
    pub fn remember(&mut self, called: &HookRun) {
        self.ran.0 += 1;
        self.ran.1 += usize::from(called.killed);
        // A damaged store is replaced when the damage is found, and loses its data.
        let sure = called.is_uncut && !called.killed && !self.failing && !self.damaged;
        if sure {
            self.sessions[called.session].in_store = true;
            self.sessions[called.session].in_cache = true;
        }
        if !self.sessions[called.session].held.seen {
            let keys = self.keys_of(called.session);
            // By this clock, the time of the installation is wrong.
            let is_early = self.now_of(called.session) < self.installed;
            let held = &mut self.sessions[called.session].held;
            held.perhaps.extend(keys);
            held.surely.extend(called.held.iter().filter(|_| sure && !is_early).flatten().cloned());
            held.seen = sure && called.has_files;
        }
        let Ok(said) = serde_json::from_str::<Value>(&called.stdout) else { return };
        for line in said["systemMessage"].as_str().unwrap_or_default().lines() {
            let id = self.sessions[called.session].id.clone();
            self.note(format!("  {id} says{}: {line}", if sure { "" } else { " perhaps" }));
            if let Some(alert) = line.strip_prefix("Fusebox: ").filter(|line| line.contains("% used: ")) {
                let told = self.shown_alerts.entry(alert.to_owned()).or_default();
                if sure {
                    told.0 += 1
                } else {
                    told.1 += 1
                };
            }
        }
    }

    /// Runs `fusebox` with arguments. Returns exit code, output and errors; no exit code if it was killed.
    pub fn fusebox(&mut self, arguments: &[&str], kill: Option<At>) -> (Option<i32>, String, String) {
        self.fusebox_on(0, arguments, kill)
    }

    /// The same, on a machine.
    pub fn fusebox_on(
        &mut self,
        machine: usize,
        arguments: &[&str],
        kill: Option<At>,
    ) -> (Option<i32>, String, String) {
        let mut command = self.person_command(machine, arguments);
        match kill {
            Some(at) => {
                let killed = run_killed_at(command, b"", at);
                (killed.code, killed.stdout, String::new())
            }
            None => {
                let ran = harness::run(&mut command, b"");
                (Some(ran.code), ran.stdout, ran.stderr)
            }
        }
    }

    /// `fusebox` with arguments, as started by a person on a machine, who waits longer than a hook does.
    pub fn person_command(&self, machine: usize, arguments: &[&str]) -> Command {
        let mut command = self.command("fusebox", machine, None);
        command.args(arguments).env("FUSEBOX_STORE_REDIS_TIMEOUT_MS", "1000");
        command
    }

    /// The path of the database.
    pub fn database(&self) -> PathBuf {
        self.home.path("state/state.db")
    }
}

/// Adds a clock, a configuration and projects to a home.
fn with_projects(home: Home, configuration: &str) -> Home {
    let clock = home.path("clock");
    let home = home.var("FUSEBOX_TEST_CLOCK", &clock.to_string_lossy());
    home.configure(configuration);
    for project in 0..2 {
        std::fs::create_dir_all(home.path(&format!("project-{project}"))).unwrap();
    }
    home
}

impl PreparedHook {
    /// Calls the hook, and checks the contract: exit code 0, empty standard error, and nothing or one JSON answer on
    /// standard output.
    pub fn call(self) -> HookRun {
        let Self { session, has_files, held, mut command, input, kill, description: what } = self;
        let started = Instant::now();
        let (killed, stdout) = match kill {
            Some(at) => {
                let done = run_killed_at(command, &input, at);
                assert!(done.killed || done.code == Some(0), "{what}: {done:?}");
                (done.killed, done.stdout)
            }
            None => {
                let ran = harness::run(&mut command, &input);
                assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{what}: {ran:?}");
                (false, ran.stdout)
            }
        };
        if !killed && !stdout.is_empty() {
            let answer: Value =
                serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{what}: {e}: {stdout}"));
            const FIELDS: [&str; 6] =
                ["continue", "stopReason", "decision", "reason", "systemMessage", "hookSpecificOutput"];
            let known = |name: &String| FIELDS.contains(&name.as_str());
            assert!(answer.as_object().is_some_and(|fields| fields.keys().all(known)), "{what}: {stdout}");
        }
        HookRun { session, has_files, held, killed, is_uncut: started.elapsed() < MAX_UNCUT, stdout }
    }
}
