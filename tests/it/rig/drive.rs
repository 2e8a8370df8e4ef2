//! What drives the hooks of a test: a real client, one being recorded, or a recording.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::player::Player;
use super::recorder::Recorder;
use super::recording::{self, Moment};

/// How a test runs.
#[derive(Default)]
enum Mode {
    /// With a real client.
    #[default]
    Live,
    /// With a real client; contains the recorders so far.
    Record(Vec<Arc<Mutex<Drive>>>),
    /// With recordings; contains those of the next clients.
    Replay(VecDeque<Vec<Moment>>),
}

thread_local! {
    /// The mode of the test on this thread.
    static MODE: RefCell<Mode> = RefCell::default();
}

/// What drives the hooks of one client.
#[derive(Default)]
pub(super) enum Drive {
    /// A real client.
    #[default]
    Live,
    /// A real client, with a recorder.
    Record(Recorder),
    /// A recording.
    Replay(Player),
}

impl Drive {
    /// The drive of the test's next client.
    #[track_caller]
    pub fn next() -> Arc<Mutex<Self>> {
        MODE.with_borrow_mut(|mode| match mode {
            Mode::Live => Arc::default(),
            Mode::Record(recorders) => {
                let drive = Arc::new(Mutex::new(Self::Record(Recorder::default())));
                recorders.push(Arc::clone(&drive));
                drive
            }
            Mode::Replay(clients) => {
                let moments = clients.pop_front().expect("no further client was recorded: tests/record");
                Arc::new(Mutex::new(Self::Replay(Player::new(moments))))
            }
        })
    }

    /// The player, if there is one.
    pub fn player(&mut self) -> Option<&mut Player> {
        if let Self::Replay(player) = self { Some(player) } else { None }
    }

    /// The recorder, if there is one.
    pub fn recorder(&mut self) -> Option<&mut Recorder> {
        if let Self::Record(recorder) = self { Some(recorder) } else { None }
    }
}

/// Locks it, even if it was poisoned.
pub(super) fn lock(drive: &Mutex<Drive>) -> MutexGuard<'_, Drive> {
    drive.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether this test makes a recording.
pub(super) fn is_recording() -> bool {
    MODE.with_borrow(|mode| matches!(mode, Mode::Record(_)))
}

/// Runs `body` with a real client, and records its calls of the hooks.
pub(super) fn record(test: &str, body: impl FnOnce()) {
    MODE.set(Mode::Record(Vec::new()));
    body();
    let Mode::Record(drives) = MODE.take() else { panic!("another mode") };
    let moments = drives.iter().filter_map(|drive| Some(lock(drive).recorder()?.finish()));
    recording::save(test, &moments.flatten().collect::<Vec<_>>());
}

/// Runs `body` with a recording.
#[track_caller]
pub(super) fn replay(test: &str, body: impl FnOnce()) {
    let moments = recording::load(test);
    let moments = moments.unwrap_or_else(|| panic!("{test} has no recording: make it with tests/record"));
    let clients = moments.split(|moment| matches!(moment, Moment::Client)).skip(1);
    MODE.set(Mode::Replay(clients.map(<[_]>::to_vec).collect()));
    body();
    let Mode::Replay(rest) = MODE.take() else { panic!("another mode") };
    assert!(rest.is_empty(), "the recording has more clients than the test: record again (tests/record)");
}
