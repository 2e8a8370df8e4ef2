//! Checkpoints: everything heals, and every number must be the one that the transcripts say.

use std::collections::{BTreeMap, BTreeSet};

use chrono::Datelike;
use serde_json::Value;

use super::client::Session;
use super::count::{Count, Counted, Message};
use super::world::{Asked, World};

/// A budget of [`CONFIGURATION`](super::world::CONFIGURATION), or of the shared one.
#[derive(Clone, Copy)]
struct Budget {
    name: &'static str,
    scope: &'static str,
    window: Window,
    limit: u64,
    thresholds: &'static [f64],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Window {
    Lifetime,
    Hours(i64),
    Month,
}

const USUAL: &[f64] = &[0.5, 0.8, 0.9, 1.0];

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
    budget("session", "session", Window::Lifetime, 60_000, USUAL),
    budget("calls", "session", Window::Lifetime, 30, &[0.25, 0.5, 1.0]),
    budget("daily", "user", Window::Hours(24), 200_000, &[0.1, 0.3, 0.5, 0.7, 0.9]),
    budget("ever", "user", Window::Lifetime, 2_000_000, &[0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0]),
    budget("reads", "model", Window::Lifetime, 300_000, USUAL),
    budget("agents", "agent_type", Window::Lifetime, 80, USUAL),
    // The first on one machine only, where projects have one name; the second on a shared store.
    budget("hours", "project", Window::Hours(5), 50, USUAL),
    budget("monthly", "user", Window::Month, 900_000, USUAL),
];

impl Budget {
    fn counts(&self, message: &Message, value: &str) -> bool {
        match self.scope {
            "session" => message.sessions.contains(value),
            "project" => message.project == value,
            "model" => message.model == value,
            "agent_type" => message.agent_type == value,
            _ => value == "tester",
        }
    }

    fn measure(&self, message: &Message) -> u64 {
        let [input, output, short, long, read] = message.tokens();
        match self.name {
            "session" | "daily" | "monthly" => input + output + short + long,
            "ever" => input + output + short + long + read,
            "reads" => read,
            "calls" => message.tools.len() as u64,
            _ => message.requests(),
        }
    }

    /// The start of the window that a moment lies in.
    fn start(&self, at: i64) -> i64 {
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

/// What a person's decisions come to.
#[derive(Default)]
pub struct Decided {
    extension: u64,
    since: Option<i64>,
    deleted: bool,
}

/// Decisions by budget, value and start of the window.
pub type Decisions = BTreeMap<(String, String, i64), Decided>;

/// A stored alert.
#[derive(Debug)]
pub struct Alert {
    pub json: Value,
    /// From when on it counts: a reset begins anew.
    pub since: i64,
    pub shown: bool,
    /// A hook has it that did not show it, and whose time is not over.
    pub claimed: bool,
}

impl Alert {
    fn text(&self, name: &str) -> &str {
        self.json[name].as_str().unwrap()
    }

    fn number(&self, name: &str) -> u64 {
        self.json[name].as_u64().unwrap()
    }

    /// How it begins when it is said.
    fn said(&self) -> String {
        let (used, limit) = (self.number("used"), self.number("limit"));
        let percent = if limit == 0 { 100.0 } else { used as f64 / limit as f64 * 100.0 };
        let unit = self.text("unit").replace('_', " ");
        format!(
            "{} has used {percent:.2}%: {} of {} {unit}.",
            self.text("budget"),
            grouped(used),
            grouped(limit)
        )
    }
}

/// `1,234,567`.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let parts: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|c| std::str::from_utf8(c).unwrap()).collect();
    parts.join(",")
}

impl World {
    /// The budgets there are. On a shared store only those of sessions are without an end.
    fn budgets(&self) -> [Budget; 8] {
        BUDGETS.map(|budget| match budget.window {
            Window::Lifetime if self.shared.is_some() && budget.scope != "session" => {
                Budget { window: Window::Month, ..budget }
            }
            _ => budget,
        })
    }

    fn budget(&self, name: &str) -> Budget {
        let named = self.budgets().into_iter().find(|budget| budget.name == name);
        named.unwrap_or_else(|| panic!("a budget {name}"))
    }

    pub fn checkpoint(&mut self) {
        self.note("checkpoint");
        self.heal();
        self.pass();
        if self.damaged {
            self.settle_store();
        }
        // A session that neither the store nor a cache remembers is known again with its next hook.
        for session in 0..self.sessions.len() {
            let of = &self.sessions[session];
            if !of.in_store && !of.in_cache && of.has_written() {
                self.hook(session, "PostToolUse", None, None);
            }
        }
        let (decided, count) = (self.decided(), self.count());
        self.check_numbers(0, &count, &decided);
        // Who can speak says what is left to say.
        for session in 0..self.sessions.len() {
            if self.sessions[session].is_live() {
                self.hook(session, "UserPromptSubmit", None, None);
            }
        }
        if !self.damaged {
            self.check_alerts(&count);
        }
    }

    /// What a machine says must be so.
    pub fn check_numbers(&mut self, machine: usize, count: &Count, decided: &Decisions) {
        self.check_sessions(machine, count, decided);
        self.check_list(machine, count, decided);
    }

    /// A damaged store is found by whoever meets the damage, who may fail and says so; then all is rebuilt.
    fn settle_store(&mut self) {
        let done = (0..4).any(|_| {
            let (code, _, errors) = self.fusebox(&["status", "--all", "--json"], None);
            self.note(format!("  status: {code:?} {}", errors.trim()));
            // Commands read different pages: those that are asked later must not be the first to meet the damage.
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
        // What nobody has looked at yet may still be damaged, and is found later.
        self.damaged = !self.is_sound();
        // A person looks at what was set aside, and deletes it.
        for file in std::fs::read_dir(self.home.path("state")).unwrap().map(|f| f.unwrap().path()) {
            if file.to_string_lossy().contains("corrupt-") {
                std::fs::remove_file(file).unwrap();
            }
        }
    }

    pub fn count(&self) -> Count {
        let sessions = self.sessions.iter().filter(|s| s.has_written()).map(|session| Counted {
            id: &session.id,
            transcript: session.transcript.clone(),
            project: session.project.canonicalize().unwrap().to_string_lossy().into_owned(),
        });
        Count::of(&sessions.collect::<Vec<_>>())
    }

    /// Whether all of the database is whole.
    fn is_sound(&self) -> bool {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
        let db = rusqlite::Connection::open_with_flags(self.database(), flags).unwrap();
        let said = db.query_row("PRAGMA integrity_check", (), |row| row.get::<_, String>(0));
        said.is_ok_and(|said| said == "ok")
    }

    fn rows<T>(&self, sql: &str, of: impl Fn(&rusqlite::Row) -> T) -> Vec<T> {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
        let db = rusqlite::Connection::open_with_flags(self.database(), flags).unwrap();
        let mut query = db.prepare(sql).unwrap();
        query.query_map((), |row| Ok(of(row))).unwrap().map(Result::unwrap).collect()
    }

    /// Every decision that the store knows.
    fn operations(&self) -> Vec<Value> {
        if let Some(shared) = &self.shared {
            return shared.operations();
        }
        let stored =
            self.rows("SELECT operation FROM operations ORDER BY seq", |r| r.get::<_, String>(0).unwrap());
        stored.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
    }

    /// The decisions that the store knows: each that was carried out, once, and none that was not.
    pub fn decided(&mut self) -> Decisions {
        let mut decided = Decisions::new();
        let mut seen = BTreeSet::new();
        for operation in self.operations() {
            let reason = operation["reason"].as_str().unwrap().to_owned();
            assert!(seen.insert(reason.clone()), "{reason} is recorded twice");
            let asked = self.asked.get_mut(&reason).unwrap_or_else(|| panic!("nobody asked for {operation}"));
            assert_ne!(*asked, Asked::Refused, "{operation}");
            // A store that is still damaged somewhere may yet be given up.
            // What a killed command did is not yet in its machine's ledger, maybe.
            let stays_open = self.shared.is_some() && *asked == Asked::Unknown;
            *asked = if self.damaged || stays_open { Asked::Unknown } else { Asked::Done };
            let of = |name: &str| operation[name].as_str().unwrap().to_owned();
            let key = (of("budget"), of("value"), operation["window_start"].as_i64().unwrap());
            let sum = decided.entry(key).or_default();
            match operation["kind"].as_str() {
                Some("extend") => sum.extension += operation["amount"].as_u64().unwrap(),
                Some("reset") => {
                    *sum = Decided { since: operation["baseline"].as_i64(), ..Decided::default() };
                }
                _ => sum.deleted = true,
            }
        }
        for (reason, asked) in &mut self.asked {
            assert!(*asked != Asked::Done || seen.contains(reason), "{reason} was carried out, and is lost");
            if *asked == Asked::Unknown && !seen.contains(reason) && self.shared.is_none() {
                *asked = Asked::Refused;
            }
        }
        decided
    }

    /// What `fusebox` answers in JSON.
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
                    // Who is listed of these was seen in the window: the clock may have gone back since.
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
        let none = Decided::default();
        let decided = decided.get(&(budget.name.to_owned(), value.to_owned(), start)).unwrap_or(&none);
        let since = decided.since.unwrap_or(start).max(start);
        let counted = |m: &&Message| budget.counts(m, value) && m.at >= since && budget.start(m.at) == start;
        let messages = || count.messages.values().filter(counted);
        let used: u64 = messages().map(|m| budget.measure(m)).sum();
        let history = match budget.scope {
            "session" => messages().filter(|m| m.at < self.installed).map(|m| budget.measure(m)).sum(),
            _ => 0,
        };
        let limit = budget.limit + decided.extension + history;
        let numbers = ["used", "extension", "history", "limit"].map(|name| said[name].as_u64().unwrap());
        let what = format!("drift: used, extension, history, limit of budget {} of {value}", budget.name);
        assert_eq!(numbers, [used, decided.extension, history, limit], "{what}");
    }

    fn alerts(&self) -> Vec<Alert> {
        if let Some(shared) = &self.shared {
            return shared.alerts();
        }
        self.rows("SELECT alert, since, shown FROM alerts ORDER BY id", |row| Alert {
            json: serde_json::from_str(&row.get::<_, String>(0).unwrap()).unwrap(),
            since: row.get(1).unwrap(),
            shown: row.get(2).unwrap(),
            claimed: false,
        })
    }

    pub fn check_alerts(&mut self, count: &Count) {
        let alerts = self.alerts();
        let mut stored = BTreeSet::new();
        let mut sayable: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for alert in &alerts {
            let units =
                (alert.json["threshold"].as_f64().unwrap() * alert.number("limit") as f64 - 1e-6).ceil();
            assert!(alert.number("used") as f64 >= units, "too early: {alert:?}");
            let what = |with: &str| {
                let parts = ["budget", "value", "window_start", "limit", with]
                    .map(|name| alert.json[name].to_string());
                format!("{parts:?} {}", alert.since)
            };
            assert!(stored.insert(what("threshold")), "stored twice: {alert:?}");
            sayable.entry(alert.said()).or_default().insert(what("used"));
        }
        for (line, (sure, _)) in &self.said {
            // What comes after the numbers is advice.
            let known = sayable.iter().find(|(said, _)| line.starts_with(said.as_str()));
            let most = known.map_or(0, |(_, of)| of.len());
            assert!(*sure <= most, "said {sure} times, stored {most} times: {line}");
        }
        self.check_said(&alerts);
        // What is mended was not used just now: that raises nothing.
        if self.shared.as_ref().is_none_or(|shared| !shared.harms.spoils) {
            self.check_stored(&alerts, count);
        }
    }

    /// Everything that is noted as shown was said, or something higher of the same budget and value; and nothing that
    /// a live session can say is left.
    fn check_said(&self, alerts: &[Alert]) {
        let of = |operation: &Value, name: &str| operation[name].as_str().unwrap().to_owned();
        let decided = self.operations();
        let decided: BTreeSet<(String, String, i64)> = decided
            .iter()
            .map(|o| (of(o, "budget"), of(o, "value"), o["window_start"].as_i64().unwrap()))
            .collect();
        let live = || self.sessions.iter().filter(|s| s.is_live());
        for alert in alerts {
            let start = alert.json["window_start"].as_i64().unwrap();
            // A decision marks what nobody has seen as shown: it speaks of a limit that is no longer in force.
            let key = (alert.text("budget").to_owned(), alert.text("value").to_owned(), start);
            if decided.contains(&key) {
                continue;
            }
            let higher = |a: &&Alert| {
                let same = ["budget", "value"].iter().all(|name| a.json[name] == alert.json[name]);
                same && a.number("used") >= alert.number("used")
            };
            let was_said = |a: &Alert| self.said.keys().any(|line| line.starts_with(&a.said()));
            assert!(!alert.shown || alerts.iter().filter(higher).any(was_said), "never said: {alert:?}");
            let budget = self.budget(alert.text("budget"));
            let speaks = |session: &Session| match budget.scope {
                "session" => session.id == alert.text("value"),
                "user" => true,
                _ => false,
            };
            let open = live().any(|s| speaks(s) && start == budget.start(self.now(s.machine)));
            assert!(!open || alert.shown || alert.claimed, "nobody says: {alert:?}");
        }
    }

    /// What a session or user used in all, under the limit that was configured, raised every alert up to it.
    fn check_stored(&self, alerts: &[Alert], count: &Count) {
        let of = |operation: &Value, name: &str| operation[name].as_str().unwrap().to_owned();
        let decided: BTreeSet<String> =
            self.operations().iter().map(|o| format!("{} {}", of(o, "budget"), of(o, "value"))).collect();
        for budget in self
            .budgets()
            .iter()
            .filter(|b| b.window == Window::Lifetime && matches!(b.scope, "session" | "user"))
        {
            let values: Vec<String> = match budget.scope {
                "session" => self.sessions.iter().map(|s| s.id.clone()).collect(),
                _ => vec!["tester".into()],
            };
            for value in values.iter().filter(|v| !decided.contains(&format!("{} {v}", budget.name))) {
                let of = || count.messages.values().filter(|m| budget.counts(m, value));
                // What was held before raises the limit, while it is read; and what a fork and its origin share may grow
                // in a batch that answers for the other one only.
                if budget.scope == "session" && of().any(|m| m.at < self.installed || m.sessions.len() > 1) {
                    continue;
                }
                let used: u64 = of().map(|m| budget.measure(m)).sum();
                for threshold in budget.thresholds {
                    if used as f64 >= threshold * budget.limit as f64 {
                        let is = |a: &Alert| {
                            a.text("budget") == budget.name
                                && a.text("value") == value
                                && a.json["threshold"].as_f64() == Some(*threshold)
                        };
                        assert!(
                            alerts.iter().any(is),
                            "no alert at {threshold} of {} of {value}: {used}",
                            budget.name
                        );
                    }
                }
            }
        }
    }
}
