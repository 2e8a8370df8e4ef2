//! Hooks started as by clients: executables of many sessions at once, on one machine.

use std::path::Path;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::home::{Home, Session, Text};
use crate::spawn::{self, POST_TOOL_USE, Tools};

/// The results.
pub struct Processes {
    /// The time of each, from before the spawn until the process has exited.
    pub took: Vec<Duration>,
    /// How many gave up waiting for the server. Their data was recorded later.
    pub gave_up: usize,
    /// The total time.
    pub all: Duration,
    /// The sessions and their numbers of messages.
    pub sessions: Vec<(String, u64)>,
}

/// Runs `post-tool-use` (of this build, or from `bin`) for this long, recording one new message after another in each
/// of the sessions.
pub fn run(
    url: &str,
    tenant: &str,
    at_once: usize,
    seconds: u64,
    (dir, bin): (&Path, Option<&Path>),
) -> Processes {
    let dir = dir.join(format!("processes-{at_once}"));
    std::fs::create_dir(&dir).unwrap();
    let hook = Tools::build(&dir, bin).program(POST_TOOL_USE);
    let begin = |number: usize| {
        let home = Home::new(&dir.join(number.to_string())).on_redis(url, tenant);
        Session::numbered(number as u64, home)
    };
    let mut sessions: Vec<Session> = (0..at_once).map(begin).collect();
    let started = Barrier::new(at_once + 1);
    let (counts, all) = std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for session in &mut sessions {
            let (hook, started) = (&hook, &started);
            threads.push(scope.spawn(move || {
                started.wait();
                let (begun, mut took) = (Instant::now(), Vec::new());
                while begun.elapsed() < Duration::from_secs(seconds) {
                    session.append(1, Text::ToolCall);
                    session.write_input("PostToolUse");
                    took.push(spawn::time(hook, &session.launch()));
                }
                took
            }));
        }
        started.wait();
        let begun = Instant::now();
        let counts: Vec<Vec<Duration>> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        (counts, begun.elapsed())
    });
    let journals: String = sessions.iter().map(Session::journal).collect();
    let gave_up = journals.lines().count();
    let is_wait = |line: &str| line.contains("in time") || line.contains("so slowly");
    assert!(journals.lines().all(is_wait), "hooks failed while they were measured:\n{journals}");
    if gave_up > 0 {
        // The back-off of the store ends.
        std::thread::sleep(Duration::from_secs(6));
        sessions.iter().for_each(Session::read_to_end);
    }
    let messages = sessions.iter().zip(&counts).map(|(s, took)| (s.id().to_owned(), took.len() as u64 + 1));
    let sessions = messages.collect();
    Processes { took: counts.into_iter().flatten().collect(), gave_up, all, sessions }
}
