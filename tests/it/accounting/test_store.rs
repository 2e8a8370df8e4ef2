//! A store in its own folder, and readers that fill it as hooks do.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fusebox::agents::claude::transcript::ClaudeTranscripts;
use fusebox::domain::budget::{Budget, Scope, TokenClasses, Unit};
use fusebox::domain::operation::{Operation, OperationKind};
use fusebox::domain::time::Timestamp;
use fusebox::domain::usage::Usage;
use fusebox::domain::window::{Period, WindowRule};
use fusebox::prices::Prices;
use fusebox::store::sqlite::SqliteStore;
use fusebox::store::{Applied, Batch, BudgetKey, Decide, Query, Record, Session};
use fusebox::transcript::Fact;
use fusebox::transcript::cursor::{Position, read_new};
use fusebox::zoneinfo;
use tempfile::TempDir;

use crate::store::batch_builder;

/// A moment after all captured transcripts.
pub const NOW: Timestamp = Timestamp(1_795_400_000_000);

/// Counts: tokens by class, responses, tool calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub input: u64,
    pub output: u64,
    pub write_5m: u64,
    pub write_1h: u64,
    pub read: u64,
    pub requests: u64,
    pub tools: u64,
}

impl Sum {
    pub const fn tokens(input: u64, output: u64, write_5m: u64, write_1h: u64, read: u64) -> Self {
        Self { input, output, write_5m, write_1h, read, requests: 0, tools: 0 }
    }

    pub const fn calls(self, requests: u64, tools: u64) -> Self {
        Self { requests, tools, ..self }
    }

    pub fn plus(self, o: Self) -> Self {
        Self {
            input: self.input + o.input,
            output: self.output + o.output,
            write_5m: self.write_5m + o.write_5m,
            write_1h: self.write_1h + o.write_1h,
            read: self.read + o.read,
            requests: self.requests + o.requests,
            tools: self.tools + o.tools,
        }
    }

    pub fn from_usage(u: Usage) -> Self {
        Self::tokens(u.input, u.output, u.cache_write_5m, u.cache_write_1h, u.cache_read)
    }
}

/// A counter as seen by budgets, which have one class for both kinds of cache writes.
pub fn as_counter(sum: Sum) -> [u64; 6] {
    [sum.input, sum.output, sum.write_5m + sum.write_1h, sum.read, sum.requests, sum.tools]
}

/// A budget that only counts.
pub fn budget(name: &str, scope: Scope, unit: Unit, limit: u64) -> Budget {
    Budget { name: name.into(), unit, ..batch_builder::budget(scope, limit) }
}

/// One budget for each class of a counter.
pub fn part_budgets(scope: Scope, rule: &WindowRule, value: &str) -> Vec<BudgetKey> {
    let none = TokenClasses { input: false, output: false, cache_write: false, cache_read: false };
    let classes = [
        TokenClasses { input: true, ..none },
        TokenClasses { output: true, ..none },
        TokenClasses { cache_write: true, ..none },
        TokenClasses { cache_read: true, ..none },
    ];
    let token = |(i, count)| Budget {
        count,
        window: rule.clone(),
        ..budget(&format!("{}-{i}", scope.name()), scope, Unit::Tokens, 1)
    };
    let mut budgets: Vec<Budget> = classes.into_iter().enumerate().map(token).collect();
    for (name, unit) in [("requests", Unit::Requests), ("tools", Unit::ToolCalls)] {
        let name = format!("{}-{name}", scope.name());
        budgets.push(Budget { window: rule.clone(), ..budget(&name, scope, unit, 1) });
    }
    budgets.into_iter().map(|budget| BudgetKey { budget, value: value.into() }).collect()
}

/// A session of the test's user.
pub fn session(id: &str) -> Session {
    Session { id: id.into(), project: "/project".into(), user: "ann".into(), ..Session::default() }
}

/// A store in its own folder.
pub struct TestStore {
    pub dir: TempDir,
    pub sqlite: SqliteStore,
}

impl TestStore {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let store = open(dir.path());
        Self { dir, sqlite: store }
    }

    /// A store with counters from the start, which are changed by batches instead of computed.
    pub fn with_counters(sessions: &[&str]) -> Self {
        let mut store = Self::new();
        for id in sessions {
            for (scope, value) in [(Scope::Session, *id), (Scope::User, "ann"), (Scope::Project, "/project")]
            {
                store.counter(scope, &WindowRule::LIFETIME, value, NOW);
            }
        }
        store
    }

    pub fn apply(&mut self, session: &Session, facts: &[Fact]) -> Applied {
        apply(&mut self.sqlite, session, facts, &[], NOW)
    }

    /// The current value of a counter.
    pub fn counter(&mut self, scope: Scope, rule: &WindowRule, value: &str, now: Timestamp) -> [u64; 6] {
        let budgets = part_budgets(scope, rule, value);
        let watcher = Session { project: "/watcher".into(), user: "watcher".into(), ..session("watcher") };
        let states = apply(&mut self.sqlite, &watcher, &[], &budgets, now).states;
        let used: Vec<u64> = states.iter().map(|s| s.used).collect();
        used.try_into().expect("six budgets")
    }

    /// A counter that was changed batch by batch. Checks that computing it gives the same result.
    #[track_caller]
    pub fn lifetime_counter(&mut self, scope: Scope, value: &str) -> [u64; 6] {
        let moved = self.counter(scope, &WindowRule::LIFETIME, value, NOW);
        // Another zone is the same window, but another counter family, which has to be computed.
        let zones = ["Asia/Tokyo", "Asia/Seoul", "Asia/Manila", "Asia/Dhaka", "Asia/Tehran"];
        let mut rules = zones.into_iter().map(|zone| {
            let zone = zoneinfo::zone(zone).expect("tzdata is installed");
            WindowRule { period: Period::Lifetime, zone }
        });
        let rule = rules.find(|rule| self.is_new(scope, rule)).expect("a zone not used yet");
        assert_eq!(moved, self.counter(scope, &rule, value, NOW), "moved and added up, {scope:?} {value}");
        moved
    }

    fn is_new(&self, scope: Scope, rule: &WindowRule) -> bool {
        let db = rusqlite::Connection::open(self.dir.path().join(fusebox::store::sqlite::FILE));
        let sql = "SELECT COUNT(*) FROM meta WHERE name = 'family ' || ? || ' ' || ?";
        let known: i64 = db
            .and_then(|db| db.query_row(sql, (scope.name(), rule.to_string()), |r| r.get(0)))
            .expect("the store's families can be read");
        known == 0
    }

    /// The usage of a session, and the number of its estimated messages.
    #[track_caller]
    pub fn total(&mut self, id: &str) -> (Sum, u64) {
        let total = self.sqlite.session_total(id).expect("the store answers").unwrap_or_default();
        let sum = Sum {
            requests: total.amount.requests,
            tools: total.amount.tool_calls,
            ..Sum::from_usage(total.amount.usage)
        };
        (sum, total.estimated_messages)
    }

    /// A person's decision about a budget.
    pub fn add_operation(
        &mut self,
        id: &str,
        budget: &Budget,
        value: &str,
        decision: OperationKind,
        now: Timestamp,
    ) {
        let budgets = [BudgetKey { budget: budget.clone(), value: value.into() }];
        let state = apply(&mut self.sqlite, &session("watcher"), &[], &budgets, now).states.remove(0);
        let operation = Operation {
            id: id.into(),
            kind: decision,
            budget: budget.name.clone(),
            value: value.into(),
            window_start: state.window.start,
            reason: "test".into(),
            actor: "ann".into(),
            at: now,
        };
        self.sqlite.add_operation(&operation, &state).expect("the store records an operation");
    }
}

pub fn open(dir: &Path) -> SqliteStore {
    let mut store = SqliteStore::open(dir, NOW).expect("a store in a temporary folder").store;
    // Like a command: these tests may run on a busy machine.
    store.wait_patiently().expect("a longer timeout");
    store
}

pub fn apply(
    store: &mut SqliteStore,
    session: &Session,
    facts: &[Fact],
    budgets: &[BudgetKey],
    now: Timestamp,
) -> Applied {
    let batch = Batch {
        session,
        facts,
        budgets,
        alert: true,
        claim: false,
        seen: now,
        observation: None,
        now,
        prices: &Prices::default(),
    };
    store.apply(&batch).expect("the store records a batch")
}

/// A transcript file and the position of its reader.
pub struct Reader {
    pub path: PathBuf,
    pub session: Session,
    pub position: Position,
    agent: Option<String>,
}

impl Reader {
    pub fn new(session: &Session, path: &Path) -> Self {
        let name = path.file_stem().and_then(|n| n.to_str()).unwrap_or_default();
        let agent = name.strip_prefix("agent-").map(str::to_owned);
        let mut reader =
            Self { path: path.into(), session: session.clone(), position: Position::default(), agent };
        reader.restart();
        reader
    }

    /// Restarts at the beginning of the file.
    pub fn restart(&mut self) {
        let kind = if self.agent.is_some() { "" } else { "main" };
        self.position = Position::start(self.agent.clone(), kind.into());
    }

    /// The facts that were not read yet.
    pub fn facts(&mut self) -> Vec<Fact> {
        read_new(&ClaudeTranscripts, &self.path, &mut self.position, u64::MAX, NOW)
            .expect("a readable transcript")
            .facts
    }

    /// Reads and records the rest.
    pub fn record(&mut self, store: &mut SqliteStore) {
        let facts = self.facts();
        apply(store, &self.session, &facts, &[], NOW);
    }
}

/// The contents of a session's files, the main one first.
#[derive(Clone, Debug)]
pub struct SessionFiles {
    pub id: String,
    pub files: Vec<(PathBuf, Vec<u8>)>,
}

impl SessionFiles {
    /// A session's captured files.
    pub fn read(transcript: &Path) -> Self {
        let stem = transcript.file_stem().and_then(|s| s.to_str()).expect("a session id").to_owned();
        let root = transcript.parent().expect("a folder");
        let listed = fusebox::agents::transcript_files(transcript);
        let read = |path: &Path| {
            let name = path.strip_prefix(root).expect("below the scenario's folder").to_owned();
            (name, fs::read(path).expect("a fixture"))
        };
        Self { id: stem, files: listed.iter().map(|f| read(&f.path)).collect() }
    }

    /// A session made of lines of the main agent and, if not empty, of one subagent.
    pub fn from_lines(id: &str, main: &[String], agent: &[String]) -> Self {
        let join = |lines: &[String]| lines.iter().flat_map(|l| [l.as_bytes(), b"\n"].concat()).collect();
        let mut files = vec![(PathBuf::from(format!("{id}.jsonl")), join(main))];
        if !agent.is_empty() {
            files.push((PathBuf::from(format!("{id}/subagents/agent-a{id}.jsonl")), join(agent)));
        }
        Self { id: id.into(), files }
    }

    /// Readers of these files, which are created empty in `dir`.
    pub fn readers(&self, dir: &Path) -> Vec<Reader> {
        let session = session(&self.id);
        let reader = |(name, _): &(PathBuf, Vec<u8>)| {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder for transcripts");
            fs::write(&path, b"").expect("an empty transcript");
            Reader::new(&session, &path)
        };
        self.files.iter().map(reader).collect()
    }

    /// The facts of every line of every file, in order.
    pub fn facts_by_line(&self, dir: &Path) -> Vec<Vec<Fact>> {
        let mut facts = Vec::new();
        for (reader, (_, bytes)) in self.readers(dir).iter_mut().zip(&self.files) {
            for line in bytes.split_inclusive(|b| *b == b'\n') {
                append(&reader.path, line);
                facts.push(reader.facts());
            }
        }
        facts
    }
}

pub fn append(path: &Path, bytes: &[u8]) {
    use std::io::Write;
    let mut file = fs::OpenOptions::new().append(true).open(path).expect("a transcript to append to");
    file.write_all(bytes).expect("room for a transcript");
}

/// A reproducible series of random numbers.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, n: usize) -> usize {
        // xorshift64*: good enough to shuffle, and portable.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n.max(1)
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// The orders in which a set of sessions may be read and recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOrder {
    /// Each file at once.
    Whole,
    /// Each line in its own batch.
    Lines,
    /// Files that grow alternately by pieces of random size, including torn lines.
    Pieces,
    /// One line more each time, always from the start.
    Again,
    /// Subagents' files before the main one, the last session first.
    Backwards,
    /// Two stores on one database, alternately, each reading everything.
    TwoStores,
    /// Lines in random order, in random batches; some occur twice.
    Shuffled,
}

pub const READ_ORDERS: [ReadOrder; 7] = [
    ReadOrder::Whole,
    ReadOrder::Lines,
    ReadOrder::Pieces,
    ReadOrder::Again,
    ReadOrder::Backwards,
    ReadOrder::TwoStores,
    ReadOrder::Shuffled,
];

/// Records `sessions` in a new store.
pub fn record(sessions: &[SessionFiles], way: ReadOrder, seed: u64) -> TestStore {
    let ids: Vec<&str> = sessions.iter().map(|s| s.id.as_str()).collect();
    let mut store = TestStore::with_counters(&ids);
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut dice = Dice(seed | 1);
    let contents = sessions.iter().flat_map(|s| s.files.iter().map(|(_, bytes)| bytes));
    let readers = |dir: &Path| sessions.iter().flat_map(|s| s.readers(dir)).collect::<Vec<_>>();
    match way {
        ReadOrder::Whole => {
            for (mut reader, bytes) in readers(dir.path()).into_iter().zip(contents) {
                append(&reader.path, bytes);
                reader.record(&mut store.sqlite);
            }
        }
        ReadOrder::Lines => {
            for (mut reader, bytes) in readers(dir.path()).into_iter().zip(contents) {
                for line in bytes.split_inclusive(|b| *b == b'\n') {
                    append(&reader.path, line);
                    reader.record(&mut store.sqlite);
                }
            }
        }
        ReadOrder::Again => {
            for (mut reader, bytes) in readers(dir.path()).into_iter().zip(contents) {
                let lines: Vec<&[u8]> = bytes.split_inclusive(|b| *b == b'\n').collect();
                // Every line would take quadratic time, so restart after each eighth, and at the end.
                for portion in lines.chunks(lines.len().div_ceil(8).max(1)) {
                    append(&reader.path, &portion.concat());
                    reader.restart();
                    reader.record(&mut store.sqlite);
                }
                reader.restart();
                reader.record(&mut store.sqlite);
            }
        }
        ReadOrder::Backwards => {
            let files: Vec<_> = readers(dir.path()).into_iter().zip(contents).collect();
            for (mut reader, bytes) in files.into_iter().rev() {
                append(&reader.path, bytes);
                reader.record(&mut store.sqlite);
            }
        }
        ReadOrder::Pieces => {
            let mut files: Vec<_> = readers(dir.path()).into_iter().zip(contents).map(|f| (f, 0)).collect();
            while !files.is_empty() {
                let chosen = dice.below(files.len());
                let ((reader, bytes), done) = &mut files[chosen];
                let end = bytes.len().min(*done + 1 + dice.below(6000));
                append(&reader.path, &bytes[*done..end]);
                *done = end;
                reader.record(&mut store.sqlite);
                if end == bytes.len() {
                    files.swap_remove(chosen);
                }
            }
        }
        ReadOrder::TwoStores => {
            let mut other = open(store.dir.path());
            let files: Vec<_> = readers(dir.path()).into_iter().zip(contents).collect();
            let mut twins: Vec<Reader> =
                files.iter().map(|(r, _)| Reader::new(&r.session, &r.path)).collect();
            for ((mut reader, bytes), twin) in files.into_iter().zip(&mut twins) {
                let mut done = 0;
                while done < bytes.len() {
                    let end = bytes.len().min(done + 1 + dice.below(6000));
                    append(&reader.path, &bytes[done..end]);
                    done = end;
                    match dice.below(3) {
                        0 => reader.record(&mut store.sqlite),
                        1 => twin.record(&mut other),
                        _ => {
                            reader.record(&mut store.sqlite);
                            twin.record(&mut other);
                        }
                    }
                }
                reader.record(&mut store.sqlite);
            }
            twins.iter_mut().for_each(|twin| twin.record(&mut other));
        }
        ReadOrder::Shuffled => {
            let mut all: Vec<(Session, Vec<Fact>)> = Vec::new();
            for files in sessions {
                let facts = files.facts_by_line(dir.path()).into_iter().filter(|f| !f.is_empty());
                all.extend(facts.map(|facts| (session(&files.id), facts)));
            }
            let twice: Vec<_> = all.iter().step_by(3).cloned().collect();
            all.extend(twice);
            dice.shuffle(&mut all);
            let mut by_session: BTreeMap<String, Vec<Fact>> = BTreeMap::new();
            for (session, facts) in all {
                by_session.entry(session.id.clone()).or_default().extend(facts);
                if dice.below(2) == 0 {
                    let facts = by_session.remove(&session.id).unwrap_or_default();
                    store.apply(&session, &facts);
                }
            }
            for (id, facts) in by_session {
                store.apply(&session(&id), &facts);
            }
        }
    }
    store
}
