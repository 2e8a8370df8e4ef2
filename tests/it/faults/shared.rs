//! Machines that share a store: its data, its invariants, and sessions that continue on another machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::check_alerts::Alert;
use super::client::{Session, append};
use super::count::Message;
use super::steps::Step;
use super::world::World;
use crate::redis::{Options, Server};

pub const TENANT: &str = "faults";

/// The configuration of every machine. No project budget: a project's name differs between machines.
pub const SHARED_CONFIGURATION: &str = r#"
[store]
redis_timeout_ms = 300

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
name = "monthly"
scope = "user"
window = "month"
limit = 900_000
on_limit = "warn"

[[budget]]
name = "ever"
scope = "user"
window = "month"
count = ["input", "output", "cache_write", "cache_read"]
limit = 2_000_000
thresholds = [0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0]
on_limit = "warn"

[[budget]]
name = "reads"
scope = "model"
window = "month"
count = ["cache_read"]
limit = 300_000
on_limit = "warn"

[[budget]]
name = "agents"
scope = "agent_type"
window = "month"
unit = "requests"
limit = 80
on_limit = "warn"
"#;

/// The weight of each step.
pub const SHARED_STEPS: [(u64, Step); 23] = [
    (24, World::respond),
    (24, World::call),
    (9, World::call_killed),
    (3, World::call_in_parallel),
    (6, World::flush),
    (2, World::start),
    (3, World::fork),
    (2, World::resume),
    (2, World::resume_elsewhere),
    (2, World::end),
    (1, World::kill_client),
    (2, World::compact),
    (2, World::start_agent),
    (3, World::replay),
    (4, World::damage_cache),
    (6, World::break_server),
    (2, World::lose),
    (4, World::spoil),
    (4, World::heal),
    (5, World::decide),
    (3, World::move_clock),
    (2, World::ask),
    (3, World::resync),
];

/// What may happen to the server's data.
#[derive(Clone, Copy)]
pub struct ServerFaults {
    /// It may lose data.
    pub may_lose: bool,
    /// Records may be lost, damaged, or replaced by false ones.
    pub may_spoil: bool,
}

/// The server, and what may happen to it.
pub struct SharedServer {
    pub server: Server,
    pub faults: ServerFaults,
    /// Days in whose windows counters were repaired, since they may be wrong. `None`: never in doubt.
    pub fixed_days: Option<BTreeSet<i64>>,
    pub stands_still: bool,
    pub copied: bool,
}

impl SharedServer {
    /// A server with a log of all writes, so that it recovers after a kill.
    pub fn start(harms: ServerFaults) -> Self {
        Self {
            server: logging().start(),
            faults: harms,
            fixed_days: None,
            stands_still: false,
            copied: false,
        }
    }

    pub fn log(&self) -> PathBuf {
        self.server.path("appendonlydir").into()
    }

    pub fn copy(&self) -> PathBuf {
        self.server.path("copy").into()
    }

    /// Its keys, in a reproducible order.
    pub fn keys(&self, pattern: &str) -> Vec<String> {
        let found = self.server.text(&["KEYS", &format!("fusebox:{{{TENANT}}}:{pattern}")]);
        let mut keys: Vec<String> = found.lines().map(str::to_owned).collect();
        keys.sort();
        keys
    }

    /// Every decision on it.
    pub fn operations(&self) -> Vec<Value> {
        let lists = self.keys("o:operations:*").into_iter().map(|key| self.server.text(&["GET", &key]));
        lists.flat_map(|list| serde_json::from_str::<Vec<Value>>(&list).unwrap()).collect()
    }

    /// Every alert on it.
    pub fn alerts(&self) -> Vec<Alert> {
        let lists = self.keys("d:unshown:*").into_iter().map(|key| self.server.text(&["SMEMBERS", &key]));
        let unshown: Vec<String> =
            lists.flat_map(|list| list.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        let alert = |key: String| {
            let json: Value = serde_json::from_str(&self.server.text(&["GET", &key])).unwrap();
            let id = key.rsplit(':').next().unwrap_or_default().to_owned();
            let claimed = self.server.text(&["EXISTS", &format!("{key}:claim")]) == "1";
            Alert { json, since: 0, shown: !unshown.contains(&id), claimed }
        };
        let alerts = self.keys("d:alert:*").into_iter().filter(|key| !key.ends_with(":claim"));
        let mut alerts: Vec<Alert> = alerts.map(alert).collect();
        self.apply_resets(&mut alerts);
        alerts
    }

    /// An alert is raised again after a reset, without saying which. As many repetitions as there were resets count as
    /// distinct.
    fn apply_resets(&self, alerts: &mut [Alert]) {
        let place = |json: &Value| ["budget", "value", "window_start"].map(|name| json[name].to_string());
        let mut resets: BTreeMap<_, i64> = BTreeMap::new();
        for operation in self.operations().iter().filter(|operation| operation["kind"] == "reset") {
            *resets.entry(place(operation)).or_default() += 1;
        }
        let mut seen: BTreeMap<_, i64> = BTreeMap::new();
        for alert in alerts {
            let before = seen
                .entry((place(&alert.json), ["threshold", "limit"].map(|name| alert.json[name].to_string())))
                .or_default();
            let most = resets.get(&place(&alert.json)).copied().unwrap_or_default();
            alert.since = if *before <= most { *before } else { 0 };
            *before += 1;
        }
    }

    /// The recorded time of installation.
    fn installed(&self) -> Option<i64> {
        self.server.text(&["GET", &format!("fusebox:{{{TENANT}}}:o:installed")]).parse().ok()
    }

    /// What the store has of each message: date, counts and sessions.
    pub fn messages(&self) -> Vec<String> {
        let message = |key: String| {
            let text = self.server.text(&["GET", &key]);
            let Ok(found) = serde_json::from_str::<Value>(&text) else { return format!("{key} {text}") };
            let sessions: BTreeSet<&str> =
                found["s"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            format!("{} {} {} in {sessions:?}", found["d"]["at"], found["d"]["model"], found["c"])
        };
        self.keys("d:message:*").into_iter().map(message).collect()
    }

    /// Its counters.
    pub fn counters(&self) -> Vec<String> {
        let counter =
            |key: String| format!("{key} {}", self.server.text(&["HGETALL", &key]).replace('\n', " "));
        self.keys("d:counter:*").into_iter().map(counter).collect()
    }

    /// Every key expires.
    fn check_lives(&self) {
        let mut cursor = "0".to_owned();
        loop {
            let found = self.server.text(&["SCAN", &cursor, "COUNT", "1000"]);
            let mut lines = found.lines();
            cursor = lines.next().unwrap_or("0").to_owned();
            for key in lines {
                let lives: i64 = self.server.text(&["PTTL", key]).parse().unwrap();
                assert_ne!(lives, -1, "{key} lives forever");
            }
            if cursor == "0" {
                return;
            }
        }
    }
}

impl World {
    /// Continues a session on the other machine, from a copy of its transcript.
    pub fn resume_elsewhere(&mut self) {
        let is_there = |id: &str, machine| self.sessions.iter().any(|s| s.id == id && s.machine == machine);
        let ended = |s: &Session| {
            !s.is_live() && !s.retired && s.transcript.exists() && !is_there(&s.id, 1 - s.machine)
        };
        let ended: Vec<usize> = (0..self.sessions.len()).filter(|i| ended(&self.sessions[*i])).collect();
        if ended.is_empty() {
            return;
        }
        let origin = *self.random.pick(&ended);
        let machine = 1 - self.sessions[origin].machine;
        let id = self.sessions[origin].id.clone();
        self.note(format!("{id} is resumed on {machine}"));
        let project = self.sessions[origin].project.file_name().unwrap().to_owned();
        let project = self.home_of(machine).path(&project.to_string_lossy());
        let transcript = self.home_of(machine).transcript(&id);
        let origin = &mut self.sessions[origin];
        origin.related = true;
        let (related, compacted) = (true, origin.compacted);
        append(&transcript, &fs::read(&origin.transcript).unwrap());
        let mut new = Session::new(&id, project, transcript).on(machine);
        (new.related, new.compacted) = (related, compacted);
        self.sessions.push(new);
        if self.random.chance(70) {
            let kill = self.random.chance(20).then(|| self.kill_at());
            self.hook(self.sessions.len() - 1, "SessionStart", None, kill);
        }
    }

    /// Heals everything, lets every machine read everything, and checks every number against the transcripts.
    pub fn shared_checkpoint(&mut self) {
        self.note("checkpoint");
        self.heal();
        self.pass();
        self.fix_counters();
        // A session known to neither the store nor a cache is known again with its next hook.
        for session in 0..self.sessions.len() {
            let of = &self.sessions[session];
            if !of.in_store && !of.in_cache && of.has_written() {
                self.hook(session, "PostToolUse", None, None);
            }
        }
        for machine in 0..self.machines() {
            self.answer(machine, &["status", "--all", "--json"]);
        }
        self.installed = self.shared.as_ref().unwrap().installed().expect("when it was installed is known");
        self.note_reading();
        let (decided, count) = (self.decisions_by_budget(), self.count());
        for machine in 0..self.machines() {
            self.note(format!("numbers on {machine}"));
            self.check_numbers(machine, &count, &decided);
        }
        // Sessions that can show alerts show the remaining ones.
        for session in 0..self.sessions.len() {
            if self.sessions[session].is_live() {
                self.hook(session, "UserPromptSubmit", None, None);
            }
        }
        self.check_alerts(&count);
        self.shared.as_ref().unwrap().check_lives();
    }
}

impl World {
    /// For debugging: messages that differ between the store and the transcripts.
    pub fn print_differences(&self) {
        let Some(shared) = self.shared.as_ref().filter(|_| !self.failing) else { return };
        let of = |m: &Message| {
            let counts = [&m.tokens()[..], &[m.requests(), m.tools.len() as u64]].concat();
            format!("{} {:?} {} in {:?}", m.at, m.model, json!(counts), m.sessions)
        };
        let count = self.count();
        let (mut stored, mut written) = (shared.messages(), Vec::new());
        for message in count.messages.values().map(of) {
            match stored.iter().position(|known| *known == message) {
                Some(same) => drop(stored.swap_remove(same)),
                None => written.push(message),
            }
        }
        written.iter().for_each(|message| eprintln!("only in transcripts: {message}"));
        stored.iter().for_each(|message| eprintln!("only in the store:   {message}"));
        shared.counters().iter().for_each(|counter| eprintln!("counter {counter}"));
        (0..self.machines()).for_each(|m| eprintln!("clock of {m}: {}", self.now(m)));
    }
}

/// A server that logs each write before it answers. (Rewriting the log every second would prevent that.)
pub fn logging() -> Options {
    let options = Options::default().set("appendonly", "yes").set("appendfsync", "no");
    options.set("auto-aof-rewrite-percentage", "0")
}
