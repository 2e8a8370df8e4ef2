//! The labelled corpus in `tests/loops`, parsed and unrolled. Its README explains the keys.

use std::path::PathBuf;

use serde_json::Value;

use crate::random::Random;

/// A labelled sequence.
pub struct Sequence {
    /// Unique name.
    pub name: String,
    /// Whether a person would stop it.
    pub is_loop: bool,
    /// The reason for its label.
    pub why: String,
    /// The file that it is in.
    pub file: String,
    /// Its events, unrolled.
    pub events: Vec<Event>,
}

/// An event in a sequence.
#[derive(Clone, Debug)]
pub enum Event {
    /// A person's prompt.
    Prompt(String),
    /// A response with its finished calls.
    Response {
        /// The subagent; empty for the main agent.
        agent: String,
        /// Its text before the calls.
        say: Option<String>,
        /// Its calls.
        calls: Vec<Called>,
    },
    /// A client-made prompt.
    Notification,
    /// A compaction or an API error, which hooks for calls do not see.
    Nothing,
}

/// A call and its outcome.
#[derive(Clone, Debug)]
pub struct Called {
    /// The tool.
    pub tool: String,
    /// Its input.
    pub input: Value,
    /// Its result, as the model sees it.
    pub result: String,
    /// Whether it failed.
    pub failed: bool,
    /// Whether the client refused it: no tool ran.
    pub refused: bool,
    /// The working folder.
    pub cwd: String,
}

/// Every sequence in a folder below `tests/loops`, or directly in it if the name is empty.
pub fn all(folder: &str) -> Vec<Sequence> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/loops").join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "json"));
    files.sort();
    files.iter().flat_map(read).collect()
}

fn read(path: &PathBuf) -> Vec<Sequence> {
    let file = path.file_name().unwrap().to_string_lossy().into_owned();
    let text = std::fs::read_to_string(path).unwrap();
    let list: Vec<Value> = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{file}: {e}"));
    let sequence = |one: &Value| {
        let text =
            |key: &str| one[key].as_str().unwrap_or_else(|| panic!("{file}: {key} of {one}")).to_owned();
        let name = text("name");
        let seed = name.bytes().fold(7u64, |hash, b| hash.wrapping_mul(31).wrapping_add(b.into()));
        let mut unrolling = Unrolling { random: Random::new(seed), clock: 36_000, events: Vec::new() };
        unrolling.steps(one["steps"].as_array().unwrap(), &[]);
        assert!(matches!(unrolling.events.first(), Some(Event::Prompt(_))), "{name} begins with no prompt");
        let is_loop = match text("label").as_str() {
            "loop" => true,
            "harmless" => false,
            other => panic!("{name}: label {other}"),
        };
        Sequence { name, is_loop, why: text("why"), file: file.clone(), events: unrolling.events }
    };
    list.iter().map(sequence).collect()
}

struct Unrolling {
    random: Random,
    clock: u64,
    events: Vec<Event>,
}

impl Unrolling {
    /// `rounds`: the counters of the enclosing repeats, the innermost last.
    fn steps(&mut self, steps: &[Value], rounds: &[usize]) {
        for step in steps {
            self.clock += 7;
            if let Some(times) = step["repeat"].as_u64() {
                for n in 1..=times as usize {
                    self.steps(step["steps"].as_array().unwrap(), &[rounds, &[n]].concat());
                }
            } else if let Some(calls) = step["parallel"].as_array() {
                let called: Vec<Called> = calls.iter().map(|call| self.call(call, rounds)).collect();
                self.respond(&calls[0], called, rounds);
            } else if step["call"].is_string() {
                let called = self.call(step, rounds);
                self.respond(step, vec![called], rounds);
            } else if let Some(text) = step["prompt"].as_str() {
                let text = self.fill(text, rounds);
                self.events.push(Event::Prompt(text));
            } else if step["notification"].is_string() {
                self.events.push(Event::Notification);
            } else {
                assert!(!step["compaction"].is_null() || !step["api_error"].is_null(), "no step: {step}");
                self.events.push(Event::Nothing);
            }
        }
    }

    fn respond(&mut self, step: &Value, calls: Vec<Called>, rounds: &[usize]) {
        let say = step["say"].as_str().map(|text| self.fill(text, rounds));
        let agent = step["agent"].as_str().unwrap_or_default().to_owned();
        self.events.push(Event::Response { agent, say, calls });
    }

    fn call(&mut self, call: &Value, rounds: &[usize]) -> Called {
        let result = match call["results"].as_array() {
            Some(results) => {
                let n = rounds.last().copied().unwrap_or(1);
                results[n.min(results.len()) - 1].as_str().unwrap()
            }
            None => call["result"].as_str().unwrap_or_else(|| panic!("no result: {call}")),
        };
        Called {
            tool: call["call"].as_str().unwrap().to_owned(),
            input: self.fill_value(&call["input"], rounds),
            result: self.fill(result, rounds),
            failed: call["failed"] == true,
            refused: call["refused"] == true,
            cwd: call["cwd"].as_str().unwrap_or("/home/user/project").to_owned(),
        }
    }

    fn fill_value(&mut self, value: &Value, rounds: &[usize]) -> Value {
        match value {
            Value::String(text) => self.fill(text, rounds).into(),
            Value::Array(items) => items.iter().map(|item| self.fill_value(item, rounds)).collect(),
            Value::Object(fields) => {
                fields.iter().map(|(name, value)| (name.clone(), self.fill_value(value, rounds))).collect()
            }
            other => other.clone(),
        }
    }

    fn fill(&mut self, text: &str, rounds: &[usize]) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            out.push_str(&rest[..at]);
            let word = rest[at + 1..].split('}').next().unwrap_or_default();
            match self.value(word, rounds).filter(|_| rest[at + 1..].contains('}')) {
                Some(value) => {
                    out.push_str(&value);
                    rest = &rest[at + word.len() + 2..];
                }
                None => {
                    out.push('{');
                    rest = &rest[at + 1..];
                }
            }
        }
        out + rest
    }

    fn value(&mut self, word: &str, rounds: &[usize]) -> Option<String> {
        let round = |back: usize| rounds.len().checked_sub(back).map(|i| rounds[i].to_string());
        let (h, m, s) = (self.clock / 3600 % 24, self.clock / 60 % 60, self.clock % 60);
        let hex = |random: &mut Random, digits: usize| {
            (0..digits).map(|_| format!("{:x}", random.below(16))).collect::<String>()
        };
        Some(match word {
            "n" => round(1)?,
            "m" => round(2)?,
            "hex" => hex(&mut self.random, 8),
            "uuid" => [8, 4, 4, 4, 12].map(|digits| hex(&mut self.random, digits)).join("-"),
            "time" => format!("{h:02}:{m:02}:{s:02}"),
            "stamp" => format!("2026-11-20T{h:02}:{m:02}:{s:02}Z"),
            "ms" => (1 + self.random.below(999)).to_string(),
            "pid" => (1000 + self.random.below(98_999)).to_string(),
            _ => return None,
        })
    }
}
