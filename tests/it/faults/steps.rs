//! The steps of a run, drawn by weight.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use super::client::{AGENT_TYPES, MODELS, Process, Session, append};
use super::count::{Count, MessageKind};
use super::lies::LYING_STEPS;
use super::shared::SHARED_STEPS;
use super::world::{DecisionOutcome, HookRun, World};
use crate::killed::At;

const HOUR_MS: i64 = 3600 * 1000;

pub type Step = fn(&mut World);

/// The weight of each step.
const STEPS: [(u64, Step); 20] = [
    (24, World::respond),
    (24, World::call),
    (9, World::call_killed),
    (3, World::call_in_parallel),
    (6, World::flush),
    (2, World::start),
    (2, World::fork),
    (2, World::resume),
    (2, World::end),
    (1, World::kill_client),
    (2, World::compact),
    (2, World::start_agent),
    (3, World::replay),
    (4, World::damage_cache),
    (2, World::damage_store),
    (2, World::fail_disk),
    (3, World::heal),
    (5, World::decide),
    (3, World::move_clock),
    (2, World::ask),
];

/// The events of hooks, with their weights.
pub const EVENTS: [(u64, &str); 8] = [
    (25, "PreToolUse"),
    (30, "PostToolUse"),
    (5, "PostToolUseFailure"),
    (15, "PostToolBatch"),
    (8, "UserPromptSubmit"),
    (6, "Stop"),
    (4, "PostCompact"),
    (4, "SessionStart"),
];

/// Maximum number of sessions: each is queried at each checkpoint.
const SESSIONS: usize = 24;

impl World {
    /// Creates a session older than the installation, and the installation.
    pub fn begin(&mut self) {
        self.start();
        let (serial, then) = (self.serial(), self.now(0) - HOUR_MS);
        self.sessions[0].respond(&mut self.random, None, serial, then);
        self.sessions[0].flush(None);
        for machine in 0..self.machines() {
            let (code, _, errors) = self.fusebox_on(machine, &["init"], None);
            assert_eq!(code, Some(0), "{errors}");
        }
        if self.shared.is_some() {
            return;
        }
        let db = rusqlite::Connection::open(self.database()).unwrap();
        let sql = "SELECT value FROM meta WHERE name = 'installed'";
        self.installed = db.query_row(sql, (), |row| row.get(0)).unwrap();
    }

    pub fn step(&mut self) {
        let step = match self.shared {
            _ if self.lies => self.random.weighted(&LYING_STEPS),
            Some(_) => self.random.weighted(&SHARED_STEPS),
            None => self.random.weighted(&STEPS),
        };
        step(self);
    }

    fn any_agent(&mut self, session: usize) -> Option<usize> {
        let agents = self.sessions[session].agents.len();
        (agents > 0 && self.random.chance(40)).then(|| self.random.below(agents))
    }

    pub fn respond(&mut self) {
        let Some(session) = self.any_live() else { return self.start() };
        let agent = self.any_agent(session);
        let (serial, now) = (self.serial(), self.now_of(session));
        let how = self.random.weighted(&[(70, "whole"), (15, "torn"), (15, "late")]);
        self.note(format!("{}: response {serial} of {agent:?}, {how}", self.sessions[session].id));
        let (random, session) = (&mut self.random, &mut self.sessions[session]);
        session.respond(random, agent, serial, now);
        match how {
            "whole" => session.flush(None),
            "torn" => session.flush(Some(random)),
            _ => {}
        }
    }

    pub fn flush(&mut self) {
        let Some(session) = self.any_live() else { return };
        self.note(format!("{}: what was late", self.sessions[session].id));
        self.sessions[session].flush(None);
    }

    pub fn call(&mut self) {
        let Some(session) = self.any_live() else { return };
        let (event, agent) = (self.random.weighted(&EVENTS), self.any_agent(session));
        self.hook(session, event, agent, None);
    }

    pub fn kill_at(&mut self) -> At {
        let instructions = if self.random.chance(30) { self.random.below(1500) } else { 0 };
        At { stops: self.random.below(330), instructions }
    }

    pub fn call_killed(&mut self) {
        let Some(session) = self.any_live() else { return };
        let (event, agent) = (self.random.weighted(&EVENTS), self.any_agent(session));
        let at = self.kill_at();
        self.hook(session, event, agent, Some(at));
    }

    /// Sixteen hooks at once, some of them killed, while clients keep writing.
    pub fn call_in_parallel(&mut self) {
        let Some(first) = self.any_live() else { return };
        self.note("sixteen at once:");
        let mut ready = Vec::new();
        for _ in 0..16 {
            let session = if self.random.chance(60) { first } else { self.any_live().unwrap_or(first) };
            let (event, agent) = (self.random.weighted(&EVENTS), self.any_agent(session));
            // A client writes nothing while a hook handles the end of a turn.
            let event = if event == "Stop" { "PostToolUse" } else { event };
            let kill = self.random.chance(25).then(|| self.kill_at());
            ready.push(self.prepare_hook(session, event, agent, kill));
        }
        for _ in 0..3 {
            let agent = self.any_agent(first);
            let (serial, now) = (self.serial(), self.now_of(first));
            self.sessions[first].respond(&mut self.random, agent, serial, now);
        }
        let called: Vec<HookRun> = std::thread::scope(|scope| {
            let calls: Vec<_> = ready.into_iter().map(|ready| scope.spawn(|| ready.call())).collect();
            let (random, session) = (&mut self.random, &mut self.sessions[first]);
            (0..20).for_each(|_| session.flush(Some(random)));
            session.flush(None);
            calls.into_iter().map(|call| call.join().expect("a hook broke the contract")).collect()
        });
        called.iter().for_each(|called| self.remember(called));
    }

    pub fn start(&mut self) {
        if self.sessions.len() < SESSIONS {
            self.start_session();
        }
    }

    /// Starts one more session.
    pub fn start_session(&mut self) {
        let id = format!("session-{}", self.serial());
        let machine = self.any_machine();
        let project = format!("project-{}", self.random.below(2));
        let project = self.home_of(machine).path(&project);
        self.note(format!("{id} starts on {machine}"));
        let transcript = self.home_of(machine).transcript(&id);
        self.sessions.push(Session::new(&id, project, transcript).on(machine));
        if self.random.chance(80) {
            let kill = self.random.chance(20).then(|| self.kill_at());
            self.hook(self.sessions.len() - 1, "SessionStart", None, kill);
        }
    }

    pub fn fork(&mut self) {
        let origins = |s: &Session| !s.retired && s.transcript.exists();
        let origins: Vec<usize> = (0..self.sessions.len()).filter(|i| origins(&self.sessions[*i])).collect();
        if origins.is_empty() || self.sessions.len() >= SESSIONS {
            return;
        }
        let origin = *self.random.pick(&origins);
        let id = format!("fork-{}", self.serial());
        let machine = self.any_machine();
        self.note(format!("{id} is forked from {} on {machine}", self.sessions[origin].id));
        let project = self.sessions[origin].project.file_name().unwrap().to_owned();
        let project = self.home_of(machine).path(&project.to_string_lossy());
        let transcript = self.home_of(machine).transcript(&id);
        let origin = &mut self.sessions[origin];
        origin.related = true;
        let mut fork = Session::new(&id, project, transcript).on(machine);
        fork.related = true;
        append(&fork.transcript, &origin.copied(&id));
        self.sessions.push(fork);
        if self.random.chance(70) {
            self.hook(self.sessions.len() - 1, "SessionStart", None, None);
        }
    }

    pub fn resume(&mut self) {
        let ended = |s: &Session| !s.is_live() && !s.retired;
        let ended: Vec<usize> = (0..self.sessions.len()).filter(|i| ended(&self.sessions[*i])).collect();
        if ended.is_empty() {
            return;
        }
        let session = *self.random.pick(&ended);
        self.note(format!("{} is resumed", self.sessions[session].id));
        self.sessions[session].client = Some(Process::start());
        let kill = self.random.chance(20).then(|| self.kill_at());
        self.hook(session, "SessionStart", None, kill);
    }

    /// A client exits; if the session was never forked, it may write its total and be gone for good.
    pub fn end(&mut self) {
        let Some(session) = self.any_live() else { return };
        let of = &mut self.sessions[session];
        of.flush(None);
        let retires = !of.related && !of.killed && of.transcript.exists() && self.random.chance(50);
        let id = of.id.clone();
        self.note(format!("{id} ends{}", if retires { ", with its total" } else { "" }));
        if retires {
            self.write_total(session);
        }
        let kill = self.random.chance(30).then(|| self.kill_at());
        self.hook(session, "SessionEnd", None, kill);
        self.sessions[session].client = None;
        self.sessions[session].retired = retires;
    }

    /// The total is the sum of the lines, plus more for the compaction and for cut streams.
    fn write_total(&mut self, session: usize) {
        let of = &self.sessions[session];
        let counted = [of.counted()];
        let mut totals: BTreeMap<String, [u64; 5]> = BTreeMap::new();
        for message in Count::from_sessions(&counted).messages.values().filter(|m| !m.model.is_empty()) {
            let more = match message.kind {
                MessageKind::Response => message.listed(),
                _ => {
                    [self.random.within(0, 90), self.random.within(0, 900), 0, 0, self.random.within(0, 9000)]
                }
            };
            let total = totals.entry(message.model.clone()).or_default();
            total.iter_mut().zip(more).for_each(|(sum, part)| *sum += part);
            if message.is_estimated() {
                total[1] += self.random.within(0, 500);
            }
        }
        let now = self.now_of(session);
        self.sessions[session].total(now, &totals);
        self.sessions[session].flush(None);
    }

    pub fn kill_client(&mut self) {
        let Some(session) = self.any_live() else { return };
        self.note(format!("the client of {} is killed", self.sessions[session].id));
        self.sessions[session].kill();
    }

    pub fn compact(&mut self) {
        let Some(session) = self.any_live() else { return };
        if self.sessions[session].compacted {
            return;
        }
        let (serial, now) = (self.serial(), self.now_of(session));
        self.note(format!("{} is compacted", self.sessions[session].id));
        self.sessions[session].compact(&mut self.random, serial, now);
        if self.random.chance(70) {
            self.sessions[session].flush(None);
        }
    }

    pub fn start_agent(&mut self) {
        let Some(session) = self.any_live() else { return };
        let id = format!("a{}", self.serial());
        let agent_type = *self.random.pick(&AGENT_TYPES);
        self.note(format!("{}: subagent {id} ({agent_type})", self.sessions[session].id));
        self.sessions[session].start_agent(&id, agent_type);
    }

    /// Rewrites a file, or repeats its lines.
    pub fn replay(&mut self) {
        let Some(session) = self.any_live() else { return };
        let files = self.sessions[session].files();
        let file = self.random.pick(&files).clone();
        let Ok(bytes) = fs::read(&file) else { return };
        let how =
            self.random.weighted(&[(1, "again"), (1, "replaced"), (1, "truncated"), (1, "put in front")]);
        self.note(format!("{}: {how}", file.file_name().unwrap().display()));
        match how {
            "again" => append(&file, &bytes),
            "replaced" => {
                let new = file.with_extension("new");
                fs::write(&new, &bytes).unwrap();
                fs::rename(&new, &file).unwrap();
            }
            "truncated" => {
                let length = self.random.below(bytes.len() + 1);
                fs::write(&file, &bytes[..length]).unwrap();
                if self.random.chance(50) {
                    self.call();
                }
                fs::write(&file, &bytes).unwrap();
            }
            _ => {
                // The same file, longer, with other lines at the front.
                let (serial, now) = (self.serial(), self.now_of(session));
                let mut front = front(serial, now, &self.sessions[session]);
                front.extend_from_slice(&bytes);
                fs::write(&file, &front).unwrap();
                // It is where the file held other lines.
                let keys = self.keys_of(session);
                self.sessions[session].held.perhaps.extend(keys);
            }
        }
    }

    pub fn move_clock(&mut self) {
        let by = self.random.within(0, 120).cast_signed() * HOUR_MS / 2 - 30 * HOUR_MS;
        let machine = self.any_machine();
        self.jump(machine, by);
        self.note(format!("the clock of {machine} moves by about {} h", by / HOUR_MS));
    }

    /// A person asks for numbers, and may not wait for the answer.
    pub fn ask(&mut self) {
        let kill = self.random.chance(40).then(|| At { stops: self.random.below(900), instructions: 0 });
        let machine = self.any_machine();
        let killed = kill.map_or(String::new(), |at| format!(", killed at {}", at.stops));
        self.note(format!("status on {machine}{killed}"));
        let (code, output, errors) = self.fusebox_on(machine, &["status", "--all", "--json"], kill);
        let excused = self.failing || self.damaged;
        assert!(matches!(code, None | Some(0)) || excused, "{code:?}: {errors}");
        if code == Some(0) {
            assert!(serde_json::from_str::<Value>(&output).is_ok_and(|list| list.is_array()), "{output}");
        }
    }

    /// A person makes a decision.
    pub fn decide(&mut self) {
        if self.sessions.is_empty() {
            return;
        }
        let session = self.random.below(self.sessions.len());
        let of = &self.sessions[session];
        let (id, project) = (of.id.clone(), of.project.to_string_lossy().into_owned());
        let machine = self.any_machine();
        // A project's name differs between machines, so there is no project budget on a shared store.
        let window = match self.shared {
            Some(_) => ("monthly", "--tokens", "--value", "tester"),
            None => ("hours", "--requests", "--value", project.as_str()),
        };
        let budgets = [
            ("session", "--tokens", "--session", id.as_str()),
            ("calls", "--tool-calls", "--session", id.as_str()),
            ("daily", "--tokens", "--value", "tester"),
            window,
            ("ever", "--tokens", "--value", "tester"),
            ("reads", "--tokens", "--value", MODELS[self.random.below(3)]),
        ];
        let (budget, unit, of, value) = *self.random.pick(&budgets);
        let what = self.random.weighted(&[(60, "extend"), (30, "reset"), (10, "delete")]);
        let amount = self.random.within(1, 40_000).to_string();
        let reason = format!("decision {}", self.serial());
        let mut arguments = vec!["budget", what, budget, of, value, "--reason", &reason, "--json"];
        if what == "extend" {
            arguments.extend([unit, &amount]);
        }
        let kill = self.random.chance(25).then(|| At { stops: self.random.below(900), instructions: 0 });
        self.note(format!(
            "on {machine}: {}{}",
            arguments.join(" "),
            kill.map_or(String::new(), |at| format!(", killed at {}", at.stops))
        ));
        let (code, _, errors) = self.fusebox_on(machine, &arguments, kill);
        let asked = match code {
            None => DecisionOutcome::Unknown,
            // A stopped server carries out requests later.
            Some(code) if self.failing && self.shared.is_some() && code != 0 => DecisionOutcome::Unknown,
            // It is lost with a damaged store once the damage is found.
            Some(0) if self.damaged => DecisionOutcome::Unknown,
            Some(0) => DecisionOutcome::Done,
            Some(_) => DecisionOutcome::Refused,
        };
        self.note(format!("  {asked:?} {}", errors.trim()));
        self.decisions.insert(reason, asked);
    }
}

/// A complete message before all others of a file.
fn front(serial: u64, now: i64, session: &Session) -> Vec<u8> {
    let line = serde_json::json!({
        "type": "assistant", "uuid": format!("line-{serial}-1"), "requestId": format!("req_{serial}"),
        "sessionId": session.id, "cwd": session.project, "timestamp": super::client::rfc3339(now),
        "message": {"id": format!("msg_{serial}"), "role": "assistant", "model": MODELS[0], "stop_reason": "end_turn",
            "content": [{"type": "text", "text": "first"}],
            "usage": {"input_tokens": 20, "output_tokens": 30, "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0}},
    });
    format!("{line}\n").into_bytes()
}
