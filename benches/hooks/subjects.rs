//! The rows of the table: which hook, in which session, after what, and what it is compared with.

use std::process::Child;
use std::time::Duration;

use crate::home::{Session, Text};
use crate::spawn::{self, POST_TOOL_USE, PRE_TOOL_USE, PROMPT_SUBMIT, SESSION_EVENT, STATUS_LINE, Tools};
use crate::table::Row;

/// Index of the long session.
pub const LONG: usize = 8;

/// Index of the session without a transcript.
const WITHOUT_TRANSCRIPT: usize = 10;

/// Index of the session whose store is also used by others.
const CROWDED: usize = 11;

/// Index of the session with platforms in its configuration.
const PLATFORMS: usize = 12;

/// Index of the first session on the shared store.
pub const REDIS: usize = 13;

/// The row of a batch with nothing new.
const IDLE_BATCH: usize = 5;

/// The row of a hook that has the store to itself.
const ALONE: usize = 13;

/// The row of a hook with the shared store.
const WITH_REDIS: usize = 16;

/// Sessions that wait near their limits, in the store of [`CROWDED`].
pub const OTHERS: u64 = 8;

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
pub struct Subject {
    name: &'static str,
    pub program: &'static str,
    pub event: &'static str,
    pub session: usize,
    preparation: Preparation,
    baseline: Baseline,
    target: Option<f64>,
    floor: Vec<Duration>,
    musl_floor: Vec<Duration>,
    own: Vec<Duration>,
}

/// All rows.
pub fn subjects() -> Vec<Subject> {
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
        subject(
            "pre-tool-use, with platforms",
            PRE_TOOL_USE,
            "PreToolUse",
            PLATFORMS,
            Preparation::CacheAge(0),
            floor,
            pre,
        ),
    ]
}

impl Subject {
    pub fn prepare(&self, session: &mut Session) {
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

    pub fn run(&mut self, session: &mut Session, others: &mut [Session], tools: &Tools) {
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

    pub fn row(&self, all: &[Self]) -> Row {
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
    pub fn measures_memory(&self) -> bool {
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
