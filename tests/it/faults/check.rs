//! Checkpoints: everything heals, and every number must match the transcripts.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use chrono::Datelike;
use serde_json::Value;

use super::client::{Held, Session};
use super::count::{Count, CountedSession, Message, MessageKind};
use super::world::{DecisionOutcome, World};

/// A budget of [`CONFIGURATION`](super::world::CONFIGURATION), or of the shared one.
#[derive(Clone, Copy)]
pub struct Budget {
    pub name: &'static str,
    pub scope: &'static str,
    pub window: Window,
    pub limit: u64,
    pub thresholds: &'static [f64],
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Window {
    Lifetime,
    Hours(i64),
    Month,
}

const DEFAULT_THRESHOLDS: &[f64] = &[0.5, 0.8, 0.9, 1.0];

const fn budget(
    name: &'static str,
    scope: &'static str,
    window: Window,
    limit: u64,
    thresholds: &'static [f64],
) -> Budget {
    Budget { name, scope, window, limit, thresholds }
}

const BUDGETS: [Budget; 8] = [
    budget("session", "session", Window::Lifetime, 60_000, DEFAULT_THRESHOLDS),
    budget("calls", "session", Window::Lifetime, 30, &[0.25, 0.5, 1.0]),
    budget("daily", "user", Window::Hours(24), 200_000, &[0.1, 0.3, 0.5, 0.7, 0.9]),
    budget("ever", "user", Window::Lifetime, 2_000_000, &[0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0]),
    budget("reads", "model", Window::Lifetime, 300_000, DEFAULT_THRESHOLDS),
    budget("agents", "agent_type", Window::Lifetime, 80, DEFAULT_THRESHOLDS),
    // The first only on one machine, where a project has one name; the second only on a shared store.
    budget("hours", "project", Window::Hours(5), 50, DEFAULT_THRESHOLDS),
    budget("monthly", "user", Window::Month, 900_000, DEFAULT_THRESHOLDS),
];

impl Budget {
    pub fn counts(&self, message: &Message, value: &str) -> bool {
        match self.scope {
            "session" => message.sessions.contains(value),
            "project" => message.project == value,
            "model" => message.model == value,
            "agent_type" => message.agent_type == value,
            _ => value == "tester",
        }
    }

    pub fn measure(&self, message: &Message) -> u64 {
        let [input, output, short, long, read] = message.tokens();
        match self.name {
            "session" | "daily" | "monthly" => input + output + short + long,
            "ever" => input + output + short + long + read,
            "reads" => read,
            "calls" => message.tools.len() as u64,
            _ => message.requests(),
        }
    }

    /// The start of the window that contains a moment.
    pub fn start(&self, at: i64) -> i64 {
        match self.window {
            Window::Lifetime => i64::MIN,
            Window::Hours(hours) => at.div_euclid(hours * 3_600_000) * hours * 3_600_000,
            Window::Month => {
                let date = chrono::DateTime::from_timestamp_millis(at).unwrap().date_naive();
                date.with_day(1).unwrap().and_hms_opt(0, 0, 0).unwrap().and_utc().timestamp_millis()
            }
        }
    }
}

/// The combined result of a person's decisions.
#[derive(Default)]
pub struct BudgetDecisions {
    extension: u64,
    since: Option<i64>,
    deleted: bool,
}

/// Decisions by budget, value and start of the window.
pub type Decisions = BTreeMap<(String, String, i64), BudgetDecisions>;

impl World {
    /// The budgets. On a shared store, only sessions have lifetime budgets.
    pub fn budgets(&self) -> [Budget; 8] {
        BUDGETS.map(|budget| match budget.window {
            Window::Lifetime if self.shared.is_some() && budget.scope != "session" => {
                Budget { window: Window::Month, ..budget }
            }
            _ => budget,
        })
    }

    pub fn budget(&self, name: &str) -> Budget {
        let named = self.budgets().into_iter().find(|budget| budget.name == name);
        named.unwrap_or_else(|| panic!("a budget {name}"))
    }

    /// A checkpoint. What it asks must be answered, however busy the machine is.
    pub fn check_everything(&mut self) {
        self.hurry(false);
        match self.shared {
            Some(_) => self.shared_checkpoint(),
            None => self.checkpoint(),
        }
        self.hurry(true);
    }

    fn checkpoint(&mut self) {
        self.note("checkpoint");
        self.show_all();
        self.heal();
        self.pass();
        if self.damaged {
            self.settle_store();
        }
        // A session known to neither the store nor a cache is known again with its next hook.
        for session in 0..self.sessions.len() {
            let of = &self.sessions[session];
            if !of.in_store && !of.in_cache && of.has_written() {
                self.hook(session, "PostToolUse", None, None);
            }
        }
        self.note_reading();
        let (decided, count) = (self.decisions_by_budget(), self.count());
        self.check_numbers(0, &count, &decided);
        // Sessions that can show alerts show the remaining ones.
        for session in 0..self.sessions.len() {
            if self.sessions[session].is_live() {
                self.hook(session, "UserPromptSubmit", None, None);
            }
        }
        // Estimates raise alerts as well.
        if !self.damaged && !self.lies {
            self.check_alerts(&count);
        }
    }

    /// Checks the numbers that a machine reports.
    pub fn check_numbers(&mut self, machine: usize, count: &Count, decided: &Decisions) {
        self.check_sessions(machine, count, decided);
        self.check_list(machine, count, decided);
    }

    /// A damaged store is found by whoever reads the damage, who may fail with an error; then everything is rebuilt.
    fn settle_store(&mut self) {
        let done = (0..4).any(|_| {
            let (code, _, errors) = self.fusebox(&["status", "--all", "--json"], None);
            self.note(format!("  status: {code:?} {}", errors.trim()));
            // Commands read different pages; later ones must not be the first to find the damage.
            code == Some(0)
                && [&["budget", "show", "ever", "--json"], &["budget", "list", "--all", "--json"]].iter().all(
                    |command| {
                        let (code, _, errors) = self.fusebox(&command[..], None);
                        self.note(format!("  {} {}: {code:?} {}", command[0], command[1], errors.trim()));
                        code == Some(0)
                    },
                )
        });
        assert!(done, "the store does not come back");
        // Pages not read yet may still be damaged, and are found later.
        self.damaged = !self.is_sound();
        // A person inspects the quarantined files, and deletes them.
        for file in std::fs::read_dir(self.home.path("state")).unwrap().map(|f| f.unwrap().path()) {
            if file.to_string_lossy().contains("corrupt-") {
                std::fs::remove_file(file).unwrap();
            }
        }
    }

    pub fn count(&self) -> Count {
        let sessions = self.sessions.iter().filter(|s| s.has_written()).map(Session::counted);
        Count::from_sessions(&sessions.collect::<Vec<_>>())
    }

    /// Something other than a session's hook may have read the files of any session.
    pub fn note_reading(&mut self) {
        for session in 0..self.sessions.len() {
            let keys = self.keys_of(session);
            let held = &mut self.sessions[session].held;
            held.tried = true;
            if !held.seen {
                held.perhaps.extend(keys);
            }
        }
    }

    /// The messages in the files of one session.
    pub fn keys_of(&self, session: usize) -> BTreeSet<String> {
        let of = &self.sessions[session];
        let counted: Vec<CountedSession> = of.has_written().then(|| of.counted()).into_iter().collect();
        Count::from_sessions(&counted).messages.into_keys().collect()
    }

    /// Whether the whole database is intact.
    fn is_sound(&self) -> bool {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
        let db = rusqlite::Connection::open_with_flags(self.database(), flags).unwrap();
        let said = db.query_row("PRAGMA integrity_check", (), |row| row.get::<_, String>(0));
        said.is_ok_and(|said| said == "ok")
    }

    pub fn rows<T>(&self, sql: &str, of: impl Fn(&rusqlite::Row) -> T) -> Vec<T> {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
        let db = rusqlite::Connection::open_with_flags(self.database(), flags).unwrap();
        let mut query = db.prepare(sql).unwrap();
        query.query_map((), |row| Ok(of(row))).unwrap().map(Result::unwrap).collect()
    }

    /// Every decision in the store.
    pub fn operations(&self) -> Vec<Value> {
        if let Some(shared) = &self.shared {
            return shared.operations();
        }
        let stored =
            self.rows("SELECT operation FROM operations ORDER BY seq", |r| r.get::<_, String>(0).unwrap());
        stored.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
    }

    /// The decisions in the store. Checks that each completed one is there once, and no refused one.
    pub fn decisions_by_budget(&mut self) -> Decisions {
        let mut decided = Decisions::new();
        let mut seen = BTreeSet::new();
        // A ledger that is replayed later brings earlier decisions.
        let mut operations = self.operations();
        operations.sort_by_key(|operation| operation["at"].as_i64());
        for operation in operations {
            let reason = operation["reason"].as_str().unwrap().to_owned();
            assert!(seen.insert(reason.clone()), "{reason} is recorded twice");
            let asked =
                self.decisions.get_mut(&reason).unwrap_or_else(|| panic!("nobody asked for {operation}"));
            assert_ne!(*asked, DecisionOutcome::Refused, "{operation}");
            // A damaged store may still be replaced. A killed command's decision may be missing from its machine's
            // ledger.
            let stays_open = self.shared.is_some() && *asked == DecisionOutcome::Unknown;
            *asked =
                if self.damaged || stays_open { DecisionOutcome::Unknown } else { DecisionOutcome::Done };
            let of = |name: &str| operation[name].as_str().unwrap().to_owned();
            let key = (of("budget"), of("value"), operation["window_start"].as_i64().unwrap());
            let sum = decided.entry(key).or_default();
            match operation["kind"].as_str() {
                Some("extend") => sum.extension += operation["amount"].as_u64().unwrap(),
                Some("reset") => {
                    *sum = BudgetDecisions {
                        since: operation["baseline"].as_i64(),
                        ..BudgetDecisions::default()
                    };
                }
                _ => sum.deleted = true,
            }
        }
        for (reason, asked) in &mut self.decisions {
            assert!(
                *asked != DecisionOutcome::Done || seen.contains(reason),
                "{reason} was carried out, and is lost"
            );
            if *asked == DecisionOutcome::Unknown && !seen.contains(reason) && self.shared.is_none() {
                *asked = DecisionOutcome::Refused;
            }
        }
        decided
    }

    /// The JSON that `fusebox` prints.
    pub fn answer(&mut self, machine: usize, arguments: &[&str]) -> Value {
        let (code, output, errors) = self.fusebox_on(machine, arguments, None);
        assert_eq!(code, Some(0), "{arguments:?} on {machine}: {errors}");
        serde_json::from_str(&output).unwrap()
    }

    fn check_sessions(&mut self, machine: usize, count: &Count, decided: &Decisions) {
        let answer = self.answer(machine, &["status", "--all", "--json"]);
        let now = self.now(machine);
        let listed: BTreeMap<&str, &Value> =
            answer.as_array().unwrap().iter().map(|s| (s["session"].as_str().unwrap(), s)).collect();
        for session in self.sessions.iter().filter(|s| s.has_written()) {
            let id = session.id.as_str();
            let Some(said) = listed.get(id) else { panic!("{id} is not listed") };
            let mut tokens = [0; 5];
            let (mut requests, mut tools, mut estimated) = (0, 0, 0);
            for message in count.of_session(id) {
                tokens.iter_mut().zip(message.tokens()).for_each(|(sum, part)| *sum += part);
                requests += message.requests();
                tools += message.tools.len() as u64;
                estimated += u64::from(message.is_estimated());
            }
            let names = ["input", "output", "cache_write_5m", "cache_write_1h", "cache_read"];
            let of = |value: &Value| value.as_u64().unwrap();
            assert_eq!(names.map(|name| of(&said["tokens"][name])), tokens, "drift: the tokens of {id}");
            let calls = ["requests", "tool_calls", "estimated_messages"].map(|name| of(&said[name]));
            assert_eq!(calls, [requests, tools, estimated], "drift: requests, tool calls, estimates of {id}");
            let nano_usd: u64 = count.of_session(id).map(Message::nano_usd).sum();
            let said_usd = said["cost"]["usd"].as_f64().unwrap() * 1e9;
            assert_eq!(said_usd.round() as u64, nano_usd, "drift: the price of {id}");
            let budgets = said["budgets"].as_array().unwrap();
            budgets.iter().for_each(|b| self.check_budget(b, now, count, decided));
            let project = session.project.canonicalize().unwrap().to_string_lossy().into_owned();
            let window = if self.shared.is_some() { ("monthly", "tester") } else { ("hours", &*project) };
            for (name, value) in
                [("session", id), ("calls", id), ("daily", "tester"), ("ever", "tester"), window]
            {
                let start = self.budget(name).start(now);
                let deleted = decided.get(&(name.into(), value.into(), start)).is_some_and(|d| d.deleted);
                let there = budgets.iter().any(|b| b["name"] == name && b["value"] == value);
                assert_eq!(there, !deleted, "budget {name} of {id}");
            }
        }
    }

    fn check_list(&mut self, machine: usize, count: &Count, decided: &Decisions) {
        let answer = self.answer(machine, &["budget", "list", "--all", "--json"]);
        let budgets = answer.as_array().unwrap();
        let now = self.now(machine);
        budgets.iter().for_each(|b| self.check_budget(b, now, count, decided));
        for budget in self.budgets() {
            let mut values: BTreeSet<String> = BTreeSet::new();
            for message in count.messages.values().filter(|m| m.at >= budget.start(now)) {
                match budget.scope {
                    "session" => values.extend(message.sessions.clone()),
                    "model" => values.extend([message.model.clone()]),
                    "agent_type" => values.extend([message.agent_type.clone()]),
                    // The listed values were seen in the window: the clock may have been set back since.
                    _ => {}
                }
            }
            for value in values.into_iter().filter(|value| !value.is_empty()) {
                let key = (budget.name.to_owned(), value.clone(), budget.start(now));
                let deleted = decided.get(&key).is_some_and(|d| d.deleted);
                let there = budgets.iter().any(|b| b["name"] == budget.name && b["value"] == value);
                assert_eq!(there, !deleted, "budget {} of {value} in the list", budget.name);
            }
        }
    }

    fn check_budget(&self, said: &Value, now: i64, count: &Count, decided: &Decisions) {
        let budget = self.budget(said["name"].as_str().unwrap());
        let value = said["value"].as_str().unwrap();
        let start = budget.start(now);
        let none = BudgetDecisions::default();
        let decided = decided.get(&(budget.name.to_owned(), value.to_owned(), start)).unwrap_or(&none);
        let since = decided.since.unwrap_or(start).max(start);
        let counted = |m: &&Message| budget.counts(m, value) && m.at >= since && budget.start(m.at) == start;
        let messages = || count.messages.values().filter(counted);
        let used: u64 = messages().map(|m| budget.measure(m)).sum();
        let history = said["history"].as_u64().unwrap();
        let expected = match budget.scope {
            "session" => self.history(count, &counted, &|m| budget.measure(m)),
            _ => 0..=0,
        };
        let what = format!("history of budget {} of {value}: {history}, not {expected:?}", budget.name);
        assert!(expected.contains(&history), "{what}");
        let limit = budget.limit + decided.extension + history;
        let numbers = ["used", "extension", "history", "limit"].map(|name| said[name].as_u64().unwrap());
        let what = format!("drift: used, extension, history, limit of budget {} of {value}", budget.name);
        assert_eq!(numbers, [used, decided.extension, history, limit], "{what}");
    }

    /// What the history of a session may be: what its files surely held when a hook first saw it, up to what they may
    /// have held. On a shared store, the time of the installation may be lost, and be recorded again.
    fn history(
        &self,
        count: &Count,
        counted: &dyn Fn(&&Message) -> bool,
        measure: &dyn Fn(&Message) -> u64,
    ) -> RangeInclusive<u64> {
        let keys = |of: fn(&Held) -> &BTreeSet<String>| -> BTreeSet<&String> {
            self.sessions.iter().flat_map(|session| of(&session.held)).collect()
        };
        let (surely, perhaps) = (keys(|held| &held.surely), keys(|held| &held.perhaps));
        let (mut least, mut most) = (0, 0);
        for (key, message) in count.messages.iter().filter(|(_, m)| m.at < self.installed && counted(m)) {
            let amount = measure(message);
            least += if self.shared.is_none() && surely.contains(key) { amount } else { 0 };
            // What only the client's total tells of belongs to the session as a whole.
            let is_unlisted = message.kind == MessageKind::Unlisted;
            most += if is_unlisted || perhaps.contains(key) { amount } else { 0 };
        }
        least..=most
    }
}
