//! The cost of a hook, as a table: `cargo bench --bench hooks [-- --bin DIR | --runs N | --quick | --json]`.
//!
//! Machines are noisy, so figures are relative: each run of a hook is paired with a run of a do-nothing program (the
//! floor) on the same standard input, all rows take turns, and medians are compared.
#![allow(clippy::disallowed_methods, reason = "a benchmark looks at the clock")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run must say where it stopped")]

mod home;
mod redis;
mod spawn;
mod table;

use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use home::{Home, Session, Text};
use spawn::{POST_TOOL_USE, PRE_TOOL_USE, PROMPT_SUBMIT, SESSION_EVENT, STATUS_LINE, Tools};
use table::{Row, Unit};

/// Index of the long session.
const LONG: usize = 8;

/// Index of the session without a transcript.
const WITHOUT_TRANSCRIPT: usize = 10;

/// Index of the session whose store is also used by others.
const CROWDED: usize = 11;

/// Index of the first session on the shared store.
const REDIS: usize = 12;

/// The row of a batch with nothing new.
const IDLE_BATCH: usize = 5;

/// The row of a hook that has the store to itself.
const ALONE: usize = 13;

/// The row of a hook with the shared store.
const WITH_REDIS: usize = 16;

/// Sessions that wait near their limits, in the store of [`CROWDED`].
const OTHERS: u64 = 8;

/// Time until all of them wait, which they do for 200 ms.
const START_UP: Duration = Duration::from_millis(60);

/// Preparation before each run, not measured.
#[derive(Clone, Copy, PartialEq)]
enum Preparation {
    /// Nothing is new.
    Nothing,
    /// One new message in the transcript.
    Line,
    /// One new message in the transcript, while the store's other sessions wait for lines.
    LineAndOthers,
    /// The transcript does not exist.
    NoTranscript,
    /// The session's cache is this many seconds old.
    CacheAge(i64),
    /// The client says something new, which is in no transcript.
    Change,
}

/// What a row is compared with.
#[derive(Clone, Copy)]
enum Baseline {
    Floor,
    Row(usize),
}

/// One row, measured by running a hook.
struct Subject {
    name: &'static str,
    program: &'static str,
    event: &'static str,
    session: usize,
    preparation: Preparation,
    baseline: Baseline,
    target: Option<f64>,
    floor: Vec<Duration>,
    musl_floor: Vec<Duration>,
    own: Vec<Duration>,
}

struct Options {
    /// A folder with other executables than those of this build.
    bin: Option<PathBuf>,
    runs: usize,
    json: bool,
    /// Size of the large transcript, in bytes.
    large: u64,
    /// Messages in the long session.
    long: usize,
}

fn main() {
    let options = options();
    let dir = tempfile::Builder::new().prefix("hooks-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let tools = Tools::build(dir.path(), options.bin.as_deref());
    let home = |name: &str| Home::new(&dir.path().join(name));
    let mut sessions: Vec<Session> =
        ["fresh", "aged", "post", "idle", "batch", "idle-batch", "prompt", "stop"]
            .iter()
            .map(|name| Session::begin(home(name)))
            .collect();
    let mut long = Session::begin(home("long"));
    // Call by call: the result of a long session depends on how often the store was opened and written.
    for call in 0..options.long {
        // Occasional prompts: an agent may not make 10,000 calls by itself.
        if call % 400 == 0 {
            long.call("UserPromptSubmit");
        }
        long.append(1, Text::ToolCall);
        long.call("PostToolUse");
    }
    let mut large = Session::begin(home("large"));
    large.fill(options.large);
    large.read_to_end();
    sessions.extend([long, large]);
    sessions.push(Session::begin(home("no-transcript")));
    sessions.push(Session::begin(home("crowd")));
    let mut others: Vec<Session> = (1..=OTHERS).map(|n| near_limit(n, home("crowd"))).collect();
    let server = redis::Server::start(dir.path());
    let mut subjects = subjects();
    match &server {
        Some(server) => {
            let on = |name: &str, url: &str| Session::begin(home(name).on_redis(url, name));
            let names = ["redis-pre", "redis-post", "redis-idle", "redis-batch"];
            sessions.extend(names.map(|name| on(name, &server.url())));
            // A server that answered, and is gone.
            let gone = redis::Server::start(dir.path()).unwrap();
            sessions.push(on("redis-gone", &gone.url()));
        }
        None => {
            eprintln!("there is no redis-server: the rows of the shared store are left out");
            subjects.retain(|subject| subject.session < REDIS);
        }
    }
    let mut order: Vec<usize> = (0..subjects.len()).collect();
    for run in 0..options.runs {
        // A hook that runs after one of its kind finds warm CPU caches, so shuffle the rows.
        shuffle(&mut order, run);
        for at in &order {
            let subject = &mut subjects[*at];
            subject.run(&mut sessions[subject.session], &mut others, &tools);
        }
    }
    sessions.iter().take(REDIS + 4).for_each(Session::check);
    let mut rows: Vec<Row> = subjects.iter().map(|s| s.row(&subjects)).collect();
    rows.extend(fusebox::agents::hook::programs().map(|program| {
        let size = std::fs::metadata(tools.program(program)).unwrap().len();
        Row::single(format!("binary size, {program}"), size as f64 / 1e6, Unit::Megabytes, 4.5)
    }));
    let log = sessions[LONG].log_bytes() as f64 / 1e6;
    rows.push(Row::single("write-ahead log, 10,000th call".into(), log, Unit::Megabytes, 1.0));
    rows.extend(subjects.iter().filter(|s| s.measures_memory()).map(|s| {
        let session = &mut sessions[s.session];
        s.prepare(session);
        let peak = tools.peak(s.program, &session.launch());
        Row::single(format!("peak memory, {} {}", s.program, s.event), peak, Unit::Megabytes, 8.0)
    }));
    match options.json {
        true => println!("{}", table::json(&rows)),
        false => print!("{}", table::text(&rows, options.runs)),
    }
}

/// A session that used 8 of 10 tokens: another response would reach the limit.
fn near_limit(number: u64, home: Home) -> Session {
    let mut session = Session::numbered(number, home.with_limit(10));
    session.append(1, Text::ToolCall);
    session.read_to_end();
    session
}

/// Shuffles by `seed`, reproducibly.
fn shuffle(order: &mut [usize], seed: usize) {
    let mut state = (seed as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for i in (1..order.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(i, (state >> 33) as usize % (i + 1));
    }
}

fn options() -> Options {
    let mut options = Options { bin: None, runs: 300, json: false, large: 500 << 20, long: 10_000 };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--bin" => options.bin = Some(args.next().expect("--bin takes a folder").into()),
            "--runs" => {
                options.runs = args.next().and_then(|n| n.parse().ok()).expect("--runs takes a number")
            }
            "--quick" => (options.runs, options.large, options.long) = (40, 40 << 20, 1_000),
            "--json" => options.json = true,
            "--bench" => {} // Passed by cargo.
            other => panic!("{other}: there are --bin DIR, --runs N, --quick and --json"),
        }
    }
    options
}

fn subjects() -> Vec<Subject> {
    let (pre, post, on_redis, same) = (Some(1.6), Some(4.0), Some(5.0), Some(1.1));
    let (floor, line, nothing) = (Baseline::Floor, Preparation::Line, Preparation::Nothing);
    let changed = Preparation::Change;
    let (first_pre, first_post) = (Baseline::Row(0), Baseline::Row(2));
    let subject = |name, program, event, session, preparation, baseline, target| Subject {
        name,
        program,
        event,
        session,
        preparation,
        baseline,
        target,
        floor: vec![],
        musl_floor: vec![],
        own: vec![],
    };
    vec![
        subject(
            "pre-tool-use, cache fresh",
            PRE_TOOL_USE,
            "PreToolUse",
            0,
            Preparation::CacheAge(0),
            floor,
            pre,
        ),
        subject(
            "pre-tool-use, cache 30 s old",
            PRE_TOOL_USE,
            "PreToolUse",
            1,
            Preparation::CacheAge(30),
            floor,
            pre,
        ),
        subject("post-tool-use, one new message", POST_TOOL_USE, "PostToolUse", 2, line, floor, post),
        subject("post-tool-use, nothing new", POST_TOOL_USE, "PostToolUse", 3, nothing, floor, post),
        subject("PostToolBatch, one new message", POST_TOOL_USE, "PostToolBatch", 4, line, floor, post),
        subject("PostToolBatch, nothing new", POST_TOOL_USE, "PostToolBatch", 5, nothing, floor, post),
        subject("prompt-submit", PROMPT_SUBMIT, "UserPromptSubmit", 6, line, floor, None),
        subject("session-event Stop, line there", SESSION_EVENT, "Stop", 7, line, floor, None),
        subject("post-tool-use, 10,000th call", POST_TOOL_USE, "PostToolUse", LONG, line, first_post, same),
        subject("post-tool-use, 500 MB transcript", POST_TOOL_USE, "PostToolUse", 9, line, first_post, same),
        subject(
            "pre-tool-use, 10,000th call",
            PRE_TOOL_USE,
            "PreToolUse",
            8,
            Preparation::CacheAge(0),
            first_pre,
            same,
        ),
        subject(
            "pre-tool-use, 500 MB transcript",
            PRE_TOOL_USE,
            "PreToolUse",
            9,
            Preparation::CacheAge(0),
            first_pre,
            same,
        ),
        subject(
            "PostToolBatch, without a transcript",
            POST_TOOL_USE,
            "PostToolBatch",
            WITHOUT_TRANSCRIPT,
            Preparation::NoTranscript,
            Baseline::Row(IDLE_BATCH),
            Some(1.5),
        ),
        subject(
            "post-tool-use, alone in its store",
            POST_TOOL_USE,
            "PostToolUse",
            CROWDED,
            line,
            floor,
            None,
        ),
        subject(
            "post-tool-use, while 8 others wait",
            POST_TOOL_USE,
            "PostToolUse",
            CROWDED,
            Preparation::LineAndOthers,
            Baseline::Row(ALONE),
            Some(2.0),
        ),
        subject(
            "Redis: pre-tool-use, fresh",
            PRE_TOOL_USE,
            "PreToolUse",
            REDIS,
            Preparation::CacheAge(0),
            floor,
            pre,
        ),
        subject(
            "Redis: post-tool-use, new message",
            POST_TOOL_USE,
            "PostToolUse",
            REDIS + 1,
            line,
            floor,
            on_redis,
        ),
        subject(
            "Redis: post-tool-use, nothing new",
            POST_TOOL_USE,
            "PostToolUse",
            REDIS + 2,
            nothing,
            floor,
            on_redis,
        ),
        subject(
            "Redis: PostToolBatch, new message",
            POST_TOOL_USE,
            "PostToolBatch",
            REDIS + 3,
            line,
            floor,
            on_redis,
        ),
        subject(
            "Redis gone: post-tool-use",
            POST_TOOL_USE,
            "PostToolUse",
            REDIS + 4,
            line,
            Baseline::Row(WITH_REDIS),
            Some(1.2),
        ),
        subject("status-line", STATUS_LINE, "StatusLine", 0, changed, floor, Some(2.0)),
        subject("status-line, 10,000th call", STATUS_LINE, "StatusLine", LONG, changed, floor, Some(2.0)),
        subject("status-line, 500 MB transcript", STATUS_LINE, "StatusLine", 9, changed, floor, Some(2.0)),
    ]
}

impl Subject {
    fn prepare(&self, session: &mut Session) {
        match self.preparation {
            Preparation::Nothing => {}
            Preparation::Line if self.event == "Stop" => session.append(1, Text::Answer),
            Preparation::Line | Preparation::LineAndOthers => session.append(1, Text::ToolCall),
            Preparation::NoTranscript => {
                // Without a fresh cache, hooks wait for lines.
                session.age_cache(3600);
                return session.write_input_without_transcript(self.event);
            }
            Preparation::CacheAge(seconds) => session.age_cache(seconds),
            Preparation::Change => session.hold_line_back(),
        }
        session.write_input(self.event);
    }

    fn run(&mut self, session: &mut Session, others: &mut [Session], tools: &Tools) {
        self.prepare(session);
        let launch = session.launch();
        // The first program after the preparation finds cold caches: that must not always be the floor.
        spawn::time(&tools.floor, &launch);
        self.floor.push(spawn::time(&tools.floor, &launch));
        if let Some(floor) = &tools.musl_floor {
            self.musl_floor.push(spawn::time(floor, &launch));
        }
        let waiting = match self.preparation {
            Preparation::LineAndOthers => start_waiting(others, tools),
            _ => Vec::new(),
        };
        self.own.push(spawn::time(&tools.program(self.program), &launch));
        for mut process in waiting {
            assert!(process.wait().unwrap().success());
        }
    }

    fn row(&self, all: &[Self]) -> Row {
        let base = match self.baseline {
            Baseline::Floor => &self.floor,
            Baseline::Row(row) => &all[row].own,
        };
        let baseline_name = match self.baseline {
            Baseline::Floor => "floor",
            Baseline::Row(IDLE_BATCH) => "with one",
            Baseline::Row(ALONE) => "alone",
            Baseline::Row(WITH_REDIS) => "with one that answers",
            Baseline::Row(_) => "first",
        };
        Row::ratio(format!("{} / {baseline_name}", self.name), base, &self.own, &self.musl_floor, self.target)
    }

    /// One row of each kind is enough to measure a hook's memory.
    fn measures_memory(&self) -> bool {
        matches!(self.baseline, Baseline::Floor)
            && !matches!(self.preparation, Preparation::Nothing | Preparation::CacheAge(1..))
    }
}

/// Starts a hook of each session that waits for a line that never comes.
fn start_waiting(sessions: &mut [Session], tools: &Tools) -> Vec<Child> {
    let start = |session: &mut Session| {
        session.hold_line_back();
        session.write_input("PostToolBatch");
        spawn::start(&tools.program(POST_TOOL_USE), &session.launch())
    };
    let waiting = sessions.iter_mut().map(start).collect();
    std::thread::sleep(START_UP);
    waiting
}
